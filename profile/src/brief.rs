//! Readable names → short ones.

/// A readable name as short as a person needs it: generic arguments are left out, `Vec<..>`; of `<Vec<T> as Trait>` those
/// within.
#[must_use]
pub fn brief(name: &str) -> String {
    let qualified = name.strip_prefix('<').and_then(|rest| {
        let mut depth = 1_usize;
        let mut last = '\0';
        let end = rest.char_indices().find_map(|(at, char)| {
            depth = match char {
                '<' => depth + 1,
                '>' if last != '-' => depth - 1,
                _ => depth,
            };
            last = char;
            (depth == 0).then_some(at)
        })?;
        Some(rest.split_at(end))
    });
    match qualified {
        Some((within, rest)) => format!("<{}>{}", collapse(within, 0), collapse(&rest[1..], 0)),
        None => collapse(name, 0),
    }
}

/// `name` with every `<…>` nested deeper than `keep` replaced by `<..>`.
#[must_use]
pub fn collapse(name: &str, keep: usize) -> String {
    let mut out = String::with_capacity(name.len().min(512));
    let mut depth = 0_usize;
    let mut last = '\0';
    for char in name.chars() {
        match char {
            // `operator<`, `operator<<`, `operator->`, `->`: not brackets.
            '<' if !(out.ends_with("operator") || out.ends_with("operator<")) => {
                depth += 1;
                if depth == keep + 1 {
                    out.push_str("<..>");
                } else if depth <= keep {
                    out.push(char);
                }
            }
            '>' if depth > 0 && last != '-' => {
                if depth <= keep {
                    out.push(char);
                }
                depth -= 1;
            }
            _ if depth <= keep => out.push(char),
            _ => {}
        }
        last = char;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_name_has_no_generic_arguments() {
        for (name, want) in [
            ("alloc::vec::Vec<T,A>::push", "alloc::vec::Vec<..>::push"),
            (
                "<alloc::vec::Vec<T> as core::ops::Drop>::drop",
                "<alloc::vec::Vec<..> as core::ops::Drop>::drop",
            ),
            ("<fn(u8) -> v<w> as a<b>>::c::<d>", "<fn(u8) -> v<..> as a<..>>::c::<..>"),
            (
                "std::vector<int, std::allocator<int> >::push_back(int const&)",
                "std::vector<..>::push_back(int const&)",
            ),
            ("main", "main"),
            ("<unbalanced", "<..>"),
            ("", ""),
        ] {
            assert_eq!(brief(name), want);
        }
    }

    #[test]
    fn operators_and_arrows_are_not_brackets() {
        assert_eq!(collapse("a::operator<<(b<c<d>>)", 1), "a::operator<<(b<c<..>>)");
        assert_eq!(collapse("f<fn(u8) -> v<w>>::g", 0), "f<..>::g");
    }
}

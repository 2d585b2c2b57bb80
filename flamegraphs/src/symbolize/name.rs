//! Raw symbol names → names for people.

use std::borrow::Cow;

use profile::collapse;

/// Longest name shown. Monomorphized names reach 28 KiB; one such name a frame makes an SVG of megabytes
/// that no one can read.
pub(crate) const MAX_NAME: usize = 256;
/// Longest symbol that is demangled: demangling expands back-references, 100-fold at times.
const MAX_MANGLED: usize = 8 * 1024;

/// Demangles a Rust or C++ `symbol`, and shortens what is longer than 256 bytes. A plain C name stays as it is.
///
/// ```
/// assert_eq!(flamegraphs::readable("_ZN3foo3barEv"), "foo::bar()");
/// assert_eq!(flamegraphs::readable("d"), "d");
/// ```
pub fn readable(symbol: &str) -> Cow<'_, str> {
    let name = demangle(symbol);
    if name.len() <= MAX_NAME { name } else { Cow::Owned(shorten(&name)) }
}

/// Demangles Rust and C++ names. Only what carries a mangling prefix is looked at: the C++ grammar also
/// covers bare types, by which the C function `d` would become `double`.
fn demangle(symbol: &str) -> Cow<'_, str> {
    if symbol.len() > MAX_MANGLED || !(symbol.starts_with("_Z") || symbol.starts_with("_R")) {
        return Cow::Borrowed(symbol);
    }
    let symbol = without_digest(symbol);
    if let Ok(name) = rustc_demangle::try_demangle(symbol) {
        // `{:#}` leaves out the hash.
        return Cow::Owned(format!("{name:#}"));
    }
    cpp_demangle::Symbol::new(symbol)
        .ok()
        .and_then(|name| name.demangle().ok())
        .map_or(Cow::Borrowed(symbol), Cow::Owned)
}

/// Cuts what link-time optimization appends to a local symbol, `.llvm.3439703550637356148` or the number
/// alone: it differs from build to build and has no meaning. `.isra.0` and the like stay.
fn without_digest(symbol: &str) -> &str {
    const DIGITS: usize = 8;
    match symbol.rsplit_once('.') {
        Some((rest, number))
            if number.len() >= DIGITS && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            rest.strip_suffix(".llvm").unwrap_or(rest)
        }
        _ => symbol,
    }
}

/// Replaces generic arguments by `<..>`, the most deeply nested first, until the name fits; cuts what
/// still does not. The same name always gives the same result.
fn shorten(name: &str) -> String {
    // Arguments at depth 4 and more never distinguish two frames.
    for keep in (0..4).rev() {
        let collapsed = collapse(name, keep);
        if collapsed.len() <= MAX_NAME {
            return collapsed;
        }
        if keep == 0 {
            return cut(&collapsed);
        }
    }
    cut(name)
}

/// The first [`MAX_NAME`] bytes or a little less, ending in `..`.
fn cut(name: &str) -> String {
    let mut end = (MAX_NAME - 2).min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}..", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_c_name_is_not_demangled() {
        for name in ["d", "i", "main", "v", "St", "_start", "Z", "_", ""] {
            assert_eq!(readable(name), name);
        }
    }

    #[test]
    fn rust_and_cpp_names_are_demangled() {
        assert_eq!(
            readable("_ZN4core9panicking9panic_fmt17h5f1a6fd39197ad62E"),
            "core::panicking::panic_fmt"
        );
        assert_eq!(
            readable("_ZNSt6vectorIiSaIiEE9push_backERKi"),
            "std::vector<int, std::allocator<int> >::push_back(int const&)"
        );
        assert_eq!(readable("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
        assert_eq!(readable("_Znot_a_mangled_name"), "_Znot_a_mangled_name");
    }

    #[test]
    fn a_build_s_digest_is_not_part_of_the_name() {
        assert_eq!(readable("_ZN3foo3barEv.llvm.3439703550637356148"), "foo::bar()");
        assert_eq!(readable("_ZN3foo3barEv.16671654276026231535"), "foo::bar()");
        assert_eq!(readable("_ZN3foo3barEv.isra.0"), "foo::bar() [clone .isra.0]");
        assert_eq!(readable("plain.llvm.12345678901"), "plain.llvm.12345678901");
    }

    #[test]
    fn a_long_generic_name_keeps_its_outside_and_fits() {
        let inner = "alloc::vec::Vec<core::option::Option<u8>>, ".repeat(40);
        let name = format!("<mycrate::Thing<{inner}u8> as Trait>::run::<X>");
        let short = shorten(&name);
        assert!(short.len() <= MAX_NAME, "{short}");
        assert!(
            short.ends_with(">::run::<X>") || short.ends_with("::run<..>") || short.contains("::run"),
            "{short}"
        );
        assert_eq!(short, shorten(&name));
    }

    #[test]
    fn any_text_is_cut_at_a_character() {
        for name in ["é".repeat(4000), "<".repeat(4000), ">".repeat(4000), "a<é".repeat(900)] {
            let short = readable(&name);
            assert!(short.len() <= MAX_NAME, "{} bytes", short.len());
        }
    }
}

//! Pieces of a query's text, and how deep it nests. What comes before the grammar: the parser and the evaluator recurse, so
//! depth has a bound; macros are expanded here.

use crate::error::ParseError;

/// Longest query, bytes. A page of text has 4,000.
pub const MAX_QUERY_BYTES: usize = 64 << 10;

/// Deepest nesting of a query: parentheses, and the operators of one level, which lie in each other in the syntax tree. Tests
/// evaluate that depth on a thread with 2 MiB of stack.
pub const MAX_DEPTH: usize = 200;

/// Most regular expressions of a query: each may take 1 MiB while the query lives.
pub const MAX_EXPRESSIONS: usize = 64;

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Word,
    /// A number or a duration.
    Number,
    /// A string with its quotes.
    Text,
    /// White space or a comment.
    Space,
    /// One character of anything else.
    Sign,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
}

impl Piece<'_> {
    pub(crate) fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }
}

/// The pieces of a query; together they are its text again.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    // Between brackets a colon stands between two durations; elsewhere it is a part of names.
    let mut brackets = 0_usize;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        brackets = match first {
            '[' => brackets + 1,
            ']' => brackets.saturating_sub(1),
            _ => brackets,
        };
        let (kind, bytes) = match first {
            '#' => (Kind::Space, rest.find('\n').unwrap_or(rest.len())),
            '"' | '\'' | '`' => (Kind::Text, quoted(rest, first)),
            _ if first.is_ascii_whitespace() => (Kind::Space, run(rest, |c| c.is_ascii_whitespace())),
            _ if first.is_ascii_digit() => {
                (Kind::Number, run(rest, |c| c.is_ascii_alphanumeric() || c == '.'))
            }
            ':' if brackets > 0 => (Kind::Sign, 1),
            _ if is_word(first) => {
                (Kind::Word, run(rest, |c| (is_word(c) && !(c == ':' && brackets > 0)) || c.is_ascii_digit()))
            }
            _ => (Kind::Sign, first.len_utf8()),
        };
        let (text, after) = rest.split_at(bytes);
        rest = after;
        Some(Piece { kind, text })
    })
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':'
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Bytes of the string that begins here, its quotes included; all of the text where it does not end.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Fails where the text is too long or nests too deep to be parsed.
pub(crate) fn check_size(text: &str) -> Result<(), ParseError> {
    if text.len() > MAX_QUERY_BYTES {
        return Err(ParseError::TooLong { bytes: text.len(), limit: MAX_QUERY_BYTES });
    }
    // Operators since each parenthesis that is open.
    let mut open = vec![0_usize];
    let mut depth = 0;
    for piece in pieces(text) {
        match (piece.kind, piece.text) {
            (Kind::Sign, "(" | "[" | "{") => open.push(1),
            (Kind::Sign, ")" | "]" | "}") => {
                let inside = if open.len() > 1 { open.pop().unwrap_or(0) } else { 0 };
                depth -= inside;
                // A subquery lies around what is before its bracket.
                if piece.text == "]" {
                    depth += count(&mut open);
                }
                continue;
            }
            (Kind::Sign, ",") => {
                let inside = open.last_mut().map_or(0, |operators| std::mem::replace(operators, 1));
                depth = depth + 1 - inside;
                continue;
            }
            (Kind::Sign, _) => _ = count(&mut open),
            (Kind::Word, word)
                if ["and", "or", "unless", "atan2"].iter().any(|own| own.eq_ignore_ascii_case(word)) =>
            {
                count(&mut open);
            }
            _ => continue,
        }
        depth += 1;
        if depth > MAX_DEPTH {
            return Err(ParseError::TooDeep { limit: MAX_DEPTH });
        }
    }
    Ok(())
}

/// Fails where a regular expression is too large, or there are too many: the parser compiles each without asking for the time.
pub(crate) fn check_expressions(text: &str) -> Result<(), ParseError> {
    let (mut before, mut expressions) = ("", 0);
    for piece in pieces(text).filter(|piece| piece.kind != Kind::Space) {
        if piece.kind == Kind::Text && before == "~" {
            expressions += 1;
            if expressions > MAX_EXPRESSIONS {
                return Err(ParseError::Syntax(format!(
                    "a query has at most {MAX_EXPRESSIONS} regular expressions"
                )));
            }
            let inside = piece.text.get(1..piece.text.len() - 1).unwrap_or_default();
            let written =
                if piece.text.starts_with('`') { inside.to_owned() } else { inside.replace("\\\\", "\\") };
            if let Err(error @ regex::Error::CompiledTooBig(_)) = crate::matcher::whole(&written) {
                return Err(ParseError::Syntax(error.to_string()));
            }
        }
        before = piece.text;
    }
    Ok(())
}

fn count(open: &mut [usize]) -> usize {
    open.last_mut().map_or(0, |operators| {
        *operators += 1;
        1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_text_again() {
        let text = "sum by (a) (rate(x:y{b=~\"\\\"#\", c='(' }[5m:1m] @ 1.5e3)) # sum (\n* `\\` 'open";
        let pieces: Vec<Piece> = pieces(text).collect();
        assert_eq!(pieces.iter().map(|piece| piece.text).collect::<String>(), text);
        let texts = pieces.iter().filter(|piece| piece.kind == Kind::Text).map(|piece| piece.text);
        assert_eq!(texts.collect::<Vec<_>>(), ["\"\\\"#\"", "'('", "`\\`", "'open"]);
    }

    #[test]
    fn what_nests_too_deep_is_refused_before_it_is_parsed() {
        let deep =
            |open: &str, close: &str| format!("{}x{}", open.repeat(100_000 / 8), close.repeat(100_000 / 8));
        for text in [
            deep("(", ")"),
            deep("-", ""),
            deep("abs(", ")"),
            deep("1+", ""),
            deep("", "[1:1]"),
            deep("", " or x"),
        ] {
            let error = check_size(&text);
            assert!(
                matches!(error, Err(ParseError::TooDeep { .. } | ParseError::TooLong { .. })),
                "{error:?}"
            );
        }
    }

    #[test]
    fn arguments_side_by_side_are_not_deep() {
        assert_eq!(check_size(&format!("x{{a=~\"{}\"}}", "(".repeat(1000))), Ok(()));
        assert_eq!(check_size(&format!("x{{{}}}", "a!=\"b\",".repeat(1000))), Ok(()));
    }

    #[test]
    fn a_mebibyte_is_refused() {
        assert!(matches!(check_size(&"x".repeat(1 << 20)), Err(ParseError::TooLong { .. })));
    }
}

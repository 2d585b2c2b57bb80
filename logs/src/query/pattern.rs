//! Regular expressions.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind, LookSet};

use super::needs::{Needs, letters_of};
use super::{MAX_PATTERN_BYTES, MAX_REGEX_BYTES, QueryError};

/// Nested groups and repetitions at most: each is a call on the stack.
const MAX_NEST: u32 = 64;
/// Memory of the automaton that is built while searching, per thread.
const MAX_DFA_BYTES: usize = 4 << 20;

/// A regular expression, with what blocks have to have for it.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    text: String,
    /// It looks at what is beside a match (`^`, `\b`), so it runs on each line by itself.
    by_line: bool,
    /// In a block that is ASCII.
    ascii_needs: Needs,
    /// In any block.
    needs: Needs,
    /// Letters that every match has.
    letters: Option<Finder<'static>>,
}

impl Pattern {
    /// Compiles a regular expression; an error says where in it.
    pub fn new(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_PATTERN_BYTES {
            let what =
                format!("the regular expression has {} bytes, at most {MAX_PATTERN_BYTES}", text.len());
            return Err(QueryError::new(0, what));
        }
        let hir =
            regex_syntax::ParserBuilder::new().nest_limit(MAX_NEST).build().parse(text).map_err(|error| {
                use regex_syntax::Error;
                let (at, what) = match &error {
                    Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
                    Error::Translate(error) => (error.span().start.offset, error.kind().to_string()),
                    _ => (0, "not a regular expression".to_owned()),
                };
                QueryError::new(at, what)
            })?;
        let built = RegexBuilder::new(text)
            .nest_limit(MAX_NEST)
            .size_limit(MAX_REGEX_BYTES)
            .dfa_size_limit(MAX_DFA_BYTES)
            .build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => QueryError::new(
                0,
                format!("the regular expression is too large: over {MAX_REGEX_BYTES} bytes compiled"),
            ),
            other => QueryError::new(0, other.to_string().lines().last().unwrap_or_default().to_owned()),
        })?;
        Ok(Self {
            regex,
            text: text.to_owned(),
            by_line: hir.properties().look_set() != LookSet::empty(),
            ascii_needs: Needs::of(&hir, true),
            needs: Needs::of(&hir, false),
            letters: letters_of(&hir).map(|letters| Finder::new(&letters).into_owned()),
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a block has to have. `ascii`: all its text is.
    pub(super) fn needs(&self, ascii: bool) -> &Needs {
        if ascii { &self.ascii_needs } else { &self.needs }
    }

    /// Letters that every match has together, one of which is no hexadecimal digit.
    pub(super) fn letters(&self) -> Option<&Finder<'static>> {
        self.letters.as_ref()
    }

    /// It has to run on each line by itself. Else it can run over a column: what is between two values is not UTF-8, and no match has
    /// that in it.
    pub(super) fn by_line(&self) -> bool {
        self.by_line
    }

    pub(super) fn cost(&self) -> u32 {
        if self.by_line { 128 } else { 100 }
    }

    /// A place in or at the end of the first match from `from`.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        self.regex.shortest_match_at(text, from)
    }

    /// Whether it matches within a value.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        self.regex.is_match(value)
    }
}

/// The parts of a concatenation, groups taken apart.
pub(super) fn parts<'h>(hir: &'h Hir, out: &mut Vec<&'h Hir>) {
    match hir.kind() {
        HirKind::Concat(all) => all.iter().for_each(|part| parts(part, out)),
        HirKind::Capture(group) => parts(&group.sub, out),
        _ => out.push(hir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = |text: &str| Pattern::new(text).unwrap_err();
        assert_eq!(error("abc(def").at, 3);
        assert!(error("abc(def").what.contains("unclosed group"), "{}", error("abc(def"));
        assert!(error("a{2,1}").what.contains("repetition"), "{}", error("a{2,1}"));
        assert!(error(r"(?-u:\xFF)").what.contains("UTF-8"), "{}", error(r"(?-u:\xFF)"));
        assert!(error(r"\w{1000}{1000}").what.contains("too large"), "{}", error(r"\w{1000}{1000}"));
        assert!(error(&"a".repeat(5000)).what.contains("5000 bytes"));
        assert!(error(&format!("{}a{}", "(".repeat(100), ")".repeat(100))).what.contains("nest"));
    }
}

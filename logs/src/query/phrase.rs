//! Words, alone or next to each other.

use memchr::memmem::Finder;

use crate::block::filter::{Token, fold, is_token_byte};

/// Words that have to be in a text with exactly what is between them. Where the phrase begins or ends with a part of a word, so does
/// the word in the text.
#[derive(Debug, Clone)]
pub struct Phrase {
    finder: Finder<'static>,
    case: bool,
    /// The last word may go on.
    open: bool,
    tokens: Vec<Token>,
}

impl Phrase {
    /// Of this text, which is not to be empty. `case`: only as it is written. `open`: its last word may go on.
    #[must_use]
    pub fn new(text: &str, case: bool, open: bool) -> Self {
        let needle = if case { text.into() } else { fold(text) };
        let mut words = needle.as_bytes().split(|byte| !is_token_byte(*byte)).peekable();
        let mut tokens = Vec::new();
        while let Some(word) = words.next() {
            let goes_on = open && words.peek().is_none();
            if !word.is_empty() && !goes_on {
                tokens.push(Token::word(word));
            }
        }
        tokens.sort_unstable();
        tokens.dedup();
        Self { finder: Finder::new(needle.as_bytes()).into_owned(), case, open, tokens }
    }

    /// Tokens that a block has to have.
    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The phrase is not ASCII, so no text is it that is.
    pub(super) fn is_foreign(&self) -> bool {
        !self.finder.needle().is_ascii()
    }

    /// It has to be looked for in text in lower case.
    pub(super) fn wants_lower(&self) -> bool {
        !self.case
    }

    /// Each line has to be brought into lower case by itself, as more than ASCII has a case.
    pub(super) fn wants_folded_lines(&self) -> bool {
        !self.case && self.is_foreign()
    }

    pub(super) fn cost(&self) -> u32 {
        if self.wants_folded_lines() { 64 } else { 16 }
    }

    /// Where it is found first from `from`, in a text that is in lower case if [`Self::wants_lower`].
    pub(super) fn find(&self, text: &[u8], mut from: usize) -> Option<usize> {
        let length = self.finder.needle().len();
        loop {
            let at = from + self.finder.find(text.get(from..)?)?;
            if self.stands_alone(text, at, at + length) {
                return Some(at);
            }
            // None begins within this word. Else a long word took its length times that of a text with the same letters.
            let word = text[at..].iter().take_while(|byte| is_token_byte(**byte)).count();
            from = at + word.max(1);
        }
    }

    fn stands_alone(&self, text: &[u8], start: usize, end: usize) -> bool {
        let joined = |left: Option<&u8>, right: Option<&u8>| {
            left.zip(right).is_some_and(|(left, right)| is_token_byte(*left) && is_token_byte(*right))
        };
        let before = start.checked_sub(1).and_then(|at| text.get(at));
        let last = end.checked_sub(1).and_then(|at| text.get(at));
        !joined(before, text.get(start)) && (self.open || !joined(last, text.get(end)))
    }

    /// Whether it is in a text as it is written.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        if self.case {
            self.find(text, 0).is_some()
        } else if self.is_foreign() {
            self.find(fold(&String::from_utf8_lossy(text)).as_bytes(), 0).is_some()
        } else {
            self.find(&text.to_ascii_lowercase(), 0).is_some()
        }
    }
}

impl std::fmt::Display for Phrase {
    /// As it is written in a query, without quotes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (case, open) = (if self.case { "=" } else { "" }, if self.open { "*" } else { "" });
        write!(f, "{case}{}{open}", String::from_utf8_lossy(self.finder.needle()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_alone() {
        let is_in = |phrase: &str, text: &str| Phrase::new(phrase, false, false).is_in(text.as_bytes());
        assert!(is_in("error", "an ERROR: disk"));
        assert!(!is_in("error", "errors my_error error1 xerror errorä"));
        assert!(is_in("error", "errors error"));
        assert!(is_in("10.0.0.1", "from 10.0.0.1:80") && !is_in("10.0.0.1", "110.0.0.1 10.0.0.11"));
        assert!(
            is_in("connection refused", "Connection refused.")
                && !is_in("connection refused", "connection  refused")
        );
        assert!(is_in(": disk", "an ERROR: disk") && is_in("->", "a->b"));
        assert!(is_in("ÄRGER", "viel ärger!") && !is_in("Ärger", "Ärgernis"));
        assert!(is_in("a", "a") && !is_in("a", ""));
    }

    #[test]
    fn a_word_that_repeats_itself_is_sought_once_a_word() {
        let text = "a".repeat(1 << 20);
        let start = std::time::Instant::now();
        assert!(!Phrase::new(&"a".repeat(8_000), false, false).is_in(text.as_bytes()));
        let took = start.elapsed();
        assert!(took.as_secs() < 10, "{took:?} for what takes some ms");
        assert!(
            Phrase::new("a", false, false).is_in(b"aa-a") && !Phrase::new("a", false, false).is_in(b"aa-aa")
        );
        assert!(Phrase::new("-a", false, false).is_in(b"--ab-a"));
    }

    #[test]
    fn a_word_may_go_on_or_mind_case() {
        assert!(Phrase::new("conn", false, true).is_in(b"Connection"));
        assert!(!Phrase::new("conn", false, true).is_in(b"reConnection"));
        assert!(Phrase::new("Conn", true, true).is_in(b"Connection"));
        assert!(!Phrase::new("Conn", true, true).is_in(b"connection"));
        assert!(Phrase::new("open conn", false, true).tokens().len() == 1);
        assert!(Phrase::new("open conn open", false, false).tokens().len() == 2);
    }
}

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
    /// After so many bytes it repeats itself; its length, if it does not.
    period: usize,
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
        let period = period(needle.as_bytes());
        Self { finder: Finder::new(needle.as_bytes()).into_owned(), case, open, tokens, period }
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
        let (needle, period) = (self.finder.needle(), self.period);
        let repeats = 2 * period <= needle.len();
        loop {
            let mut at = from + self.finder.find(text.get(from..)?)?;
            loop {
                if self.stands_alone(text, at, at + needle.len()) {
                    return Some(at);
                }
                // Of a needle that repeats itself, the next place overlaps this one: a period of the text is all that is new there.
                let next = text.get(at + needle.len()..).unwrap_or_default();
                if !(repeats && next.starts_with(&needle[needle.len() - period..])) {
                    break;
                }
                at += period;
            }
            // If it is not there, it is at no multiple of the period either.
            from = at + 1 + if repeats { needle.len() - period } else { 0 };
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

/// The least distance at which a text lies on itself.
fn period(text: &[u8]) -> usize {
    // Per byte, how long the beginning is that the text up to there ends with.
    let mut borders = vec![0; text.len()];
    let mut length = 0;
    for at in 1..text.len() {
        while length > 0 && text[at] != text[length] {
            length = borders[length - 1];
        }
        length += usize::from(text[at] == text[length]);
        borders[at] = length;
    }
    (text.len() - length).max(1)
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
    fn a_phrase_that_repeats_itself_takes_linear_time() {
        for (phrase, text) in [
            ("a".repeat(8_000), "a".repeat(1 << 20)),
            (format!("{}-a", "aa-".repeat(5_000)), "-aa".repeat(340_000)),
            (format!("-a{}", "-aa".repeat(5_000)), "-aaa".repeat(250_000)),
        ] {
            let start = std::time::Instant::now();
            let _ = Phrase::new(&phrase, false, false).is_in(text.as_bytes());
            let took = start.elapsed();
            assert!(took.as_secs_f64() < 1.0, "{took:?} for what takes some ms: {}", &phrase[..8]);
        }
    }

    #[test]
    fn a_phrase_is_found_where_it_is_first() {
        let mut number = 7_u64;
        let mut letters = |count: u64| -> String {
            let letter = |_| {
                number =
                    number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ['a', '-', 'a', 'b'][(number >> 33) as usize % 4]
            };
            (0..count).map(letter).collect()
        };
        for round in 0..200_000 {
            let (part, more, text) = (letters(1 + round % 3), letters(round % 2), letters(round % 40));
            let needle = part.repeat(1 + round as usize % 5) + &more;
            let phrase = Phrase::new(&needle, true, round % 7 == 0);
            // The same text over and over, as a needle that is one.
            let text = text.as_bytes().repeat(1 + round as usize % 3);
            let is_at = |at: &usize| {
                text[*at..].starts_with(needle.as_bytes())
                    && phrase.stands_alone(&text, *at, at + needle.len())
            };
            assert_eq!(phrase.find(&text, 0), (0..text.len()).find(is_at), "{needle} in {text:?}");
        }
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

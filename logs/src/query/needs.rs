//! Tokens that a block must have for a regular expression to match in it.
//!
//! A token of the expression helps only where it is whole: `error` in `x error: y` is, in `error.*` it may go on. Case does not count
//! in filters, so neither does it here.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::pattern::parts;
use crate::block::filter::{Token, is_token_byte};

/// Alternatives that are told apart at most: more seldom spare a block.
const MAX_ALTERNATIVES: usize = 64;

/// What a block must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needs {
    /// All of these; of none: nothing.
    All(Vec<Self>),
    /// One of these.
    Any(Vec<Self>),
    /// This token.
    Token(Token),
}

/// What is known of one place of a match.
enum Place {
    /// This byte, or its other case.
    Byte(u8),
    /// Not a token's byte, or the end of the value.
    Edge,
    /// Anything.
    Open,
}

impl Needs {
    /// Whether the block may be one, by what its filter says.
    pub(super) fn may_be_met(&self, may_have: &mut dyn FnMut(Token) -> bool) -> bool {
        match self {
            Self::All(all) => all.iter().all(|needs| needs.may_be_met(may_have)),
            Self::Any(any) => any.iter().any(|needs| needs.may_be_met(may_have)),
            Self::Token(token) => may_have(*token),
        }
    }

    fn is_nothing(&self) -> bool {
        matches!(self, Self::All(all) if all.is_empty())
    }

    /// `ascii`: the text is. Then `\s` is no part of a token, and `(?i)k` no Kelvin sign.
    pub(super) fn of(hir: &Hir, ascii: bool) -> Self {
        let mut all = Vec::new();
        let mut places = Vec::new();
        let mut flat = Vec::new();
        parts(hir, &mut flat);
        for part in flat {
            match part.kind() {
                HirKind::Literal(literal) => places.extend(literal.0.iter().map(|byte| Place::Byte(*byte))),
                HirKind::Class(class) => places.push(of_class(class, ascii)),
                HirKind::Look(look) => places.extend(of_look(*look, ascii)),
                HirKind::Repetition(repetition) if repetition.min > 0 => {
                    all.push(Self::of(&repetition.sub, ascii));
                    let edge = matches!(repetition.sub.kind(), HirKind::Class(class)
                        if matches!(of_class(class, ascii), Place::Edge));
                    places.push(if edge { Place::Edge } else { Place::Open });
                }
                HirKind::Alternation(alternatives) => {
                    let any: Vec<Self> = alternatives
                        .iter()
                        .take(MAX_ALTERNATIVES + 1)
                        .map(|hir| Self::of(hir, ascii))
                        .collect();
                    if any.len() <= MAX_ALTERNATIVES && !any.iter().any(Self::is_nothing) {
                        all.push(Self::Any(any));
                    }
                    places.push(Place::Open);
                }
                HirKind::Empty => {}
                _ => places.push(Place::Open),
            }
        }
        all.retain(|needs| !needs.is_nothing());
        all.extend(whole_tokens(&places).into_iter().map(Self::Token));
        Self::All(all)
    }
}

/// The longest run of letters that every match has, if one of them is no hexadecimal digit. Where messages are templates, such
/// letters lie together in a template or in a word: see [`crate::block::Block::may_have_letters`].
pub(super) fn letters_of(hir: &Hir) -> Option<Vec<u8>> {
    let mut flat = Vec::new();
    parts(hir, &mut flat);
    let found = flat.into_iter().filter_map(|part| match part.kind() {
        HirKind::Literal(literal) => {
            let runs = literal.0.split(|byte| !byte.is_ascii_alphabetic());
            runs.filter(|run| run.iter().any(|letter| !letter.is_ascii_hexdigit()))
                .max_by_key(|run| run.len())
                .map(Vec::from)
        }
        HirKind::Repetition(repetition) if repetition.min > 0 => letters_of(&repetition.sub),
        _ => None,
    });
    found.max_by_key(Vec::len)
}

/// Tokens with an edge or another byte on both sides.
fn whole_tokens(places: &[Place]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Vec<u8> = Vec::new();
    // Whether what lies before the word ends any other.
    let mut whole = false;
    for place in places {
        match place {
            Place::Byte(byte) if is_token_byte(*byte) => word.push(*byte),
            Place::Byte(_) | Place::Edge => {
                if whole && !word.is_empty() {
                    tokens.push(Token::word(&word));
                }
                word.clear();
                whole = true;
            }
            Place::Open => {
                word.clear();
                whole = false;
            }
        }
    }
    tokens
}

/// A class that is one byte in both cases is that byte; one without token bytes is an edge.
fn of_class(class: &Class, ascii: bool) -> Place {
    let mut known: Option<u8> = None;
    let (mut same, mut edge) = (true, true);
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => {
            class.ranges().iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect()
        }
        Class::Bytes(class) => {
            class.ranges().iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect()
        }
    };
    for (start, end) in ranges {
        if end >= 0x80 && !ascii {
            return Place::Open;
        }
        for byte in start..=end.min(0x7f) {
            let byte = (byte as u8).to_ascii_lowercase();
            edge &= !is_token_byte(byte);
            same &= *known.get_or_insert(byte) == byte;
        }
    }
    match known {
        Some(byte) if same => Place::Byte(byte),
        _ if edge => Place::Edge,
        _ => Place::Open,
    }
}

/// An edge, or nothing: what looks around takes no place.
fn of_look(look: Look, ascii: bool) -> Option<Place> {
    match look {
        // At a line's start or end within a value there is a `\n`.
        Look::Start | Look::End | Look::StartLF | Look::EndLF | Look::StartCRLF | Look::EndCRLF => {
            Some(Place::Edge)
        }
        // Beside a word's letter there is the end of the word, if a word is what a token is.
        Look::WordAscii | Look::WordUnicode if ascii => Some(Place::Edge),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(text: &str, ascii: bool) -> Needs {
        Needs::of(&regex_syntax::parse(text).unwrap(), ascii)
    }

    fn words(words: &[&str]) -> Needs {
        Needs::All(words.iter().map(|word| Needs::Token(Token::word(word.as_bytes()))).collect())
    }

    #[test]
    fn only_whole_tokens_are_needed() {
        for (text, expected) in [
            ("error", &[][..]),
            (" error ", &["error"]),
            ("x error y", &["error"]),
            ("id=.* status=500 ", &["status", "500"]),
            ("^GET /api/v[0-9]+ ", &["get", "api"]),
            ("(?i) Failed: (a|b)", &["failed"]),
            (" (disk full)!", &["disk", "full"]),
            (" fail(ed)? ", &[]),
            ("a*", &[]),
            ("( timeout )+", &["timeout"]),
            ("( timeout )?", &[]),
            (" ab{1}c ", &["abc"]),
            ("", &[]),
        ] {
            let found = needs(text, true);
            let flat = match &found {
                Needs::All(all) if all.len() == 1 && matches!(all[0], Needs::All(_)) => all[0].clone(),
                _ => found.clone(),
            };
            assert_eq!(flat, words(expected), "{text}: {found:?}");
        }
    }

    #[test]
    fn spaces_and_word_bounds_end_a_token_in_ascii_alone() {
        assert_eq!(needs(r"\berror\b", true), words(&["error"]));
        assert_eq!(needs(r"\berror\b", false), words(&[]));
        assert_eq!(needs(r"\serror\s+", true), words(&["error"]));
        assert_eq!(needs(r"\serror\s+", false), words(&[]));
        assert_eq!(needs(r"(?i) disk ", true), words(&["disk"]));
        // `ſ` and the Kelvin sign are other ways to write it.
        assert_eq!(needs(r"(?i) disk ", false), words(&[]));
    }

    #[test]
    fn letters_are_needed_together() {
        let letters = |text: &str| letters_of(&regex_syntax::parse(text).unwrap());
        for (text, expected) in [
            ("eedle_in_hay[s-t]", Some("eedle")),
            ("a1status=5.*(timeouts)+", Some("timeouts")),
            ("deadbeef", None),
            ("(one|other)", None),
            ("(timeout)?", None),
            ("(?i)timeout", None),
            ("[0-9]", None),
        ] {
            assert_eq!(letters(text).as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn of_alternatives_one_is_needed() {
        let token = |word: &str| Needs::All(vec![Needs::Token(Token::word(word.as_bytes()))]);
        assert_eq!(
            needs("( refused | reset )", true),
            Needs::All(vec![Needs::Any(vec![token("refused"), token("reset")])])
        );
        assert_eq!(needs("( refused |reset)", true), words(&[]));
    }
}

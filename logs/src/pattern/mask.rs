//! A line with its parameters masked, and its tokens. The mask decides which lines are alike; the templates only compare.
//!
//! One pass over the bytes. Masked are: all words with a digit, paths, addresses, quoted strings, what parentheses and
//! brackets hold, values of `key=value`, lists, SQL texts, texts of errno, truth values. Words without any of these stay.

use super::arrange;
use super::bytes::{closing, escape_len, is_space};
use super::words::is_unit;

/// Bytes of a line that are read: the words that tell statements apart come first.
pub(super) const MAX_LINE_BYTES: usize = 2_048;
/// Tokens of a line; which of them differ fits a `u64`.
pub(super) const MAX_TOKENS: usize = 64;
/// A longer word is data.
pub(super) const MAX_WORD_BYTES: usize = 48;
/// What stands for a parameter.
pub(super) const WILD: &[u8] = b"<*>";
/// What stands for the tokens beyond [`MAX_TOKENS`].
const REST: &[u8] = b"<...>";

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word as the line has it. May turn out to be a parameter.
    Word,
    /// A word that names how grave the line is, or has signs that words lack: no parameter.
    Fixed,
    /// A word with a masked part: `sshd[<*>]:`.
    Part,
    /// A parameter alone, with at most a sign behind it.
    Wild,
    /// `key=<*>`.
    Pair,
}

/// One token: where its bytes lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
    /// Ends with a comma.
    pub(super) comma: bool,
    /// A list that goes on if a comma ends it.
    list: bool,
    /// A number: a unit may follow.
    pub(super) number: bool,
}

/// Room for a masked line, used again for the next.
#[derive(Debug, Default)]
pub(super) struct Masked {
    pub(super) text: Vec<u8>,
    pub(super) tokens: Vec<Token>,
    pub(super) has_pairs: bool,
    pub(super) has_message: bool,
}

impl Masked {
    /// Masks a line.
    pub(super) fn mask(&mut self, message: &str) {
        self.text.clear();
        self.tokens.clear();
        self.has_pairs = false;
        self.has_message = false;
        let bytes = message.as_bytes();
        let first = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        let line = &message[..message.floor_char_boundary(first.min(MAX_LINE_BYTES))];
        if !(line.starts_with('{') && arrange::json(self, line)) {
            self.line(line.as_bytes(), true);
        }
        if first < bytes.len()
            && let Some(thrown) = super::trace::innermost(&message[..message.floor_char_boundary(65_536)])
        {
            self.push(Kind::Fixed, &[b"|"]);
            self.push(Kind::Fixed, &[&thrown.kind.as_bytes()[..thrown.kind.len().min(128)]]);
            if !thrown.place.is_empty() && !thrown.place.contains([' ', '\t']) && thrown.place.len() <= 128 {
                self.push(Kind::Fixed, &[thrown.place.as_bytes()]);
            }
        }
        if self.has_pairs || self.tokens.iter().filter(|token| token.comma).count() > 1 {
            arrange::pairs(self, self.has_message);
        }
        if self.tokens.is_empty() {
            self.push(Kind::Fixed, &[b"<empty>"]);
        }
    }

    pub(super) fn bytes(&self, token: &Token) -> &[u8] {
        &self.text[token.start as usize..token.end as usize]
    }

    /// Appends the tokens of a line, or of the text inside a field.
    pub(super) fn line(&mut self, b: &[u8], fields: bool) {
        let mut at = 0;
        while at < b.len() {
            if is_space(b[at]) {
                at += if b[at] == 0x1b { escape_len(&b[at..]) } else { 1 };
                continue;
            }
            if self.tokens.len() >= MAX_TOKENS - 4 {
                // Also at the end of a text within a text: the rest is said once.
                if !self.text.ends_with(REST) {
                    self.push(Kind::Fixed, &[REST]);
                }
                return;
            }
            at = match b[at] {
                b'"' | b'\'' | b'`' | b'(' | b'[' | b'{' => match closing(b, at) {
                    Some(end) => self.wrapped(b, at, end),
                    None => self.chunk(b, at, fields),
                },
                _ => self.chunk(b, at, fields),
            };
        }
        self.end_list();
    }

    /// A token of these parts.
    pub(super) fn push(&mut self, kind: Kind, parts: &[&[u8]]) {
        if !self.text.is_empty() {
            self.text.push(b' ');
        }
        let start = self.text.len() as u32;
        for part in parts {
            self.text.extend_from_slice(part);
        }
        let end = self.text.len() as u32;
        self.has_pairs |= kind == Kind::Pair;
        let comma = self.text.last() == Some(&b',');
        self.tokens.push(Token { start, end, kind, comma, list: false, number: false });
    }

    /// Leaves out a remark behind a token; what ends the remark ends the token. False at the start of a line.
    pub(super) fn join_remark(&mut self, rest: &[u8]) -> bool {
        let Some(last) = self.tokens.last_mut() else { return false };
        if !last.comma && !rest.is_empty() {
            self.text.extend_from_slice(rest);
            last.end = self.text.len() as u32;
            last.comma = rest == b",";
        }
        last.number = false;
        true
    }

    /// Whether the last two tokens are `-` and a user's name.
    pub(super) fn follows_user(&self) -> bool {
        let [.., before, last] = &self.tokens[..] else { return false };
        self.bytes(before) == b"-" && matches!(last.kind, Kind::Word | Kind::Wild | Kind::Fixed)
    }

    pub(super) fn ends_with(&self, byte: u8) -> bool {
        self.text.last() == Some(&byte)
    }

    /// Whether the last token is a parameter that the next one can join.
    fn can_join(&self) -> bool {
        let Some(last) = self.tokens.last() else { return false };
        last.kind == Kind::Wild && (last.end - last.start == WILD.len() as u32 || last.comma)
    }

    /// A parameter; joins the one before it, if only a comma or an `and` lies between.
    pub(super) fn wild(&mut self, trail: &[u8], number: bool) {
        if let [.., before, last] = &self.tokens[..]
            && last.kind == Kind::Word
            && before.kind == Kind::Wild
            && matches!(self.bytes(last), b"and" | b"or" | b"&" | b"," | b"|")
        {
            let (kept, comma) = (before.end, before.comma);
            if comma || before.end - before.start == WILD.len() as u32 {
                self.tokens.pop();
                self.text.truncate(kept as usize);
            }
        }
        if self.can_join() {
            self.retrail(trail, number);
        } else {
            self.push(Kind::Wild, &[WILD, trail]);
            if let Some(last) = self.tokens.last_mut() {
                last.number = number;
            }
        }
    }

    /// Gives the last parameter another end.
    fn retrail(&mut self, trail: &[u8], number: bool) {
        let Some(last) = self.tokens.last_mut() else { return };
        self.text.truncate(last.start as usize + WILD.len());
        self.text.extend_from_slice(trail);
        last.end = self.text.len() as u32;
        last.comma = trail == b",";
        last.number = number;
    }

    /// A word without any sign of being a parameter. Several with commas between them are a list.
    pub(super) fn word(&mut self, core: &[u8], trail: &[u8]) {
        if let Some(last) = self.tokens.last().copied() {
            let comma = trail == b",";
            if last.comma && last.list {
                self.retrail(trail, false);
                if let Some(last) = self.tokens.last_mut() {
                    last.list = comma;
                }
                return;
            }
            if last.comma && comma && matches!(last.kind, Kind::Word | Kind::Wild) {
                self.text.truncate(last.start as usize);
                self.text.extend_from_slice(WILD);
                if let Some(last) = self.tokens.last_mut() {
                    last.kind = Kind::Wild;
                    last.list = true;
                }
                self.retrail(trail, false);
                return;
            }
            if last.number && last.kind == Kind::Pair && is_unit(core) {
                return;
            }
            if last.number && last.kind == Kind::Wild && last.end - last.start == WILD.len() as u32 {
                if is_unit(core) {
                    self.retrail(trail, false);
                    return;
                }
                // "1 file" and "2 files" are one statement.
                if core.len() > 3 && core.ends_with(b"s") && !core.ends_with(b"ss") {
                    self.push(Kind::Word, &[&core[..core.len() - 1], trail]);
                    return;
                }
            }
        }
        self.push(Kind::Word, &[core, trail]);
    }

    /// `name: alpha, beta` at the end of a line is a list too.
    fn end_list(&mut self) {
        let [.., name, first, last] = &self.tokens[..] else { return };
        if last.kind == Kind::Word
            && first.comma
            && matches!(first.kind, Kind::Word | Kind::Wild)
            && self.bytes(name).ends_with(b":")
        {
            let start = first.start as usize;
            self.tokens.truncate(self.tokens.len() - 2);
            self.text.truncate(start.saturating_sub(1));
            self.push(Kind::Wild, &[WILD]);
        }
    }
}

//! A line with its parameters masked, and its tokens. The mask decides which lines are alike; the templates only compare.
//!
//! One pass over the bytes. Masked are: all words with a digit, paths, addresses, quoted strings, what parentheses and
//! brackets hold, values of `key=value`, lists, SQL texts, texts of errno, truth values. Words without any of these stay.

use super::arrange;
use super::bytes::{
    AT, BACKSLASH, BEYOND_HEX, COLON, DIGIT, DOT, EQUALS, LETTER, OPEN, QUOTE, SLASH, UPPER, chunk_end,
    class, closing, escape_len, is_field, is_space, trail_start,
};
use super::words::{errno_len, is_level, is_message_key, is_sql, is_unit, is_value};

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
    number: bool,
}

/// Room for a masked line, used again for the next.
#[derive(Debug, Default)]
pub(super) struct Masked {
    pub(super) text: Vec<u8>,
    pub(super) tokens: Vec<Token>,
    has_pairs: bool,
    has_message: bool,
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
        // A remark at the end of a line, which may be there or not.
        if let [_, .., last] = &self.tokens[..]
            && self.bytes(last) == b"(<*>)"
        {
            self.text.truncate((last.start as usize).saturating_sub(1));
            self.tokens.pop();
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
                self.push(Kind::Fixed, &[REST]);
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

    fn is_bare_wild(&self) -> bool {
        self.tokens
            .last()
            .is_some_and(|last| last.kind == Kind::Wild && last.end - last.start == WILD.len() as u32)
    }

    /// Whether the last two tokens are `-` and a user's name.
    fn follows_user(&self) -> bool {
        let [.., before, last] = &self.tokens[..] else { return false };
        self.bytes(before) == b"-" && matches!(last.kind, Kind::Word | Kind::Wild | Kind::Fixed)
    }

    fn ends_with(&self, byte: u8) -> bool {
        self.text.last() == Some(&byte)
    }

    /// Whether the last token is a parameter that the next one can join.
    fn can_join(&self) -> bool {
        let Some(last) = self.tokens.last() else { return false };
        last.kind == Kind::Wild && (last.end - last.start == WILD.len() as u32 || last.comma)
    }

    /// A parameter; joins the one before it, if only a comma or an `and` lies between.
    fn wild(&mut self, trail: &[u8], number: bool) {
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
    fn word(&mut self, core: &[u8], trail: &[u8]) {
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

    /// Masks what stands in quotes or brackets; returns where to go on.
    fn wrapped(&mut self, b: &[u8], open: usize, close: usize) -> usize {
        let (mut end, rest_seen) = chunk_end(b, close + 1);
        // Brackets in a row are tokens of their own.
        if matches!(b.get(close + 1), Some(b'[' | b'(' | b'{')) {
            end = close + 1;
        }
        let inner = b[open + 1..close].trim_ascii();
        let rest: &[u8] = if rest_seen & DIGIT == 0 { &b[close + 1..end] } else { b"" };
        let rest = &rest[..rest.len().min(16)];
        let is_name = |inner: &[u8]| {
            inner.len() <= 32 && inner.iter().all(|b| class(*b) & (LETTER | DOT | COLON) != 0 || *b == b'-')
        };
        match b[open] {
            b'[' if is_level(inner) && is_name(inner) => self.push(Kind::Fixed, &[b"[", inner, b"]", rest]),
            // A remark on a parameter: `address (name)`.
            b'(' if !inner.is_empty() && rest.is_empty() && self.is_bare_wild() => {}
            // `address - user [time]`, as web servers write it; the user may be `-`.
            b'[' if inner.first().is_some_and(u8::is_ascii_digit) && self.follows_user() => {
                if let Some(user) = self.tokens.pop() {
                    self.text.truncate((user.start as usize).saturating_sub(1));
                }
                self.push(Kind::Wild, &[WILD]);
                self.push(Kind::Part, &[b"[<*>]", rest]);
            }
            b'(' | b'{' if inner.is_empty() => self.push(Kind::Fixed, &[&b[open..=close], rest]),
            b'(' if inner == b"s" => self.push(Kind::Fixed, &[&b[open..=close], rest]),
            b'(' | b'[' | b'{' => self.push(Kind::Part, &[&b[open..=open], WILD, &b[close..=close], rest]),
            // A string between a line's head and its fields is what the line says.
            b'"' if !self.tokens.iter().any(|token| token.kind == Kind::Word) && is_field(&b[end..]) => {
                self.line(inner, false)
            }
            // Any quote is as good as the other.
            _ => self.push(Kind::Part, &[b"\"<*>\"", rest]),
        }
        end
    }

    /// What lies between blanks; returns where to go on.
    fn chunk(&mut self, b: &[u8], start: usize, fields: bool) -> usize {
        let (end, seen) = chunk_end(b, start);
        let chunk = &b[start..end];
        if seen & (EQUALS | AT | BACKSLASH | OPEN | SLASH | QUOTE | DIGIT | COLON | DOT) == 0
            && end - start <= MAX_WORD_BYTES
        {
            return self.letters(b, start, end, seen);
        }
        if seen & EQUALS != 0 {
            if chunk == b"=" {
                self.has_pairs = true;
            } else if let Some(end) = self.pair(b, start, end, fields) {
                return end;
            }
        }
        if seen & (OPEN | QUOTE) != 0
            && let Some(end) = self.call(b, start, end)
        {
            return end;
        }
        if seen & (DIGIT | AT | BACKSLASH) != 0 || chunk.len() > MAX_WORD_BYTES {
            self.digits(chunk);
            return end;
        }
        let core = &chunk[..trail_start(chunk)];
        let trail = &chunk[core.len()..];
        let is_path = seen & SLASH != 0
            && (core.starts_with(b"/")
                || core.starts_with(b"./")
                || core.starts_with(b"~/")
                || core.contains(&b'.')
                || seen & COLON != 0
                || core.iter().filter(|byte| **byte == b'/').count() > 1);
        let is_dotted = seen & (DOT | UPPER) == DOT
            && memchr::memchr(b'.', core).is_some_and(|dot| dot > 0 && dot + 1 < core.len())
            && !core.ends_with(b"error");
        if is_path || is_dotted {
            self.wild(trail, false);
            return end;
        }
        if seen & COLON != 0
            && let Some(colon) = memchr::memchr(b':', core)
            && colon > 0
            && colon + 1 < core.len()
            && memchr::memchr(b':', &core[colon + 1..]).is_none()
            && !is_level(&core[..colon])
        {
            self.push(Kind::Word, &[&core[..=colon], WILD, trail]);
            return end;
        }
        self.letters(b, start, end, seen)
    }

    /// A chunk of letters and plain signs.
    fn letters(&mut self, b: &[u8], start: usize, end: usize, seen: u16) -> usize {
        let chunk = &b[start..end];
        let core = &chunk[..trail_start(chunk)];
        let trail = &chunk[core.len()..];
        if self.ends_with(b':') {
            if let Some(len) = errno_len(&b[start..]) {
                let (end, _) = chunk_end(b, start + len);
                let trail = &b[start + len..end];
                self.wild(&trail[..trail.len().min(4)], false);
                return end;
            }
            if is_sql(core) {
                self.wild(b"", false);
                return b.len();
            }
        }
        let is_hex = seen & BEYOND_HEX == 0 && core.len() >= 8;
        if is_hex || (seen & UPPER != 0 || core.len() > 2) && is_value(core) {
            self.wild(trail, false);
        } else if seen & LETTER == 0 || core.is_empty() {
            self.push(Kind::Fixed, &[chunk]);
        } else {
            self.word(core, trail);
        }
        end
    }

    /// A chunk with digits, or one that is masked like it. A name before a bracket stays.
    fn digits(&mut self, chunk: &[u8]) {
        let core_start = chunk.iter().position(|b| class(*b) & (LETTER | DIGIT | SLASH) != 0).unwrap_or(0);
        let (lead, rest) = chunk.split_at(core_start);
        let lead = if lead.first().is_some_and(|b| matches!(b, b'*' | b'#' | b'(' | b'[' | b'<')) {
            &lead[..1]
        } else {
            b""
        };
        let core = &rest[..trail_start(rest)];
        let trail = &rest[core.len()..];
        let trail = &trail[..trail.len().min(3)];
        let name = core.iter().take_while(|b| class(**b) & LETTER != 0).count();
        if name >= 2
            && name < core.len()
            && core.len() <= MAX_WORD_BYTES
            && matches!(core[name], b'[' | b'(' | b'#')
        {
            self.push(Kind::Part, &[lead, &core[..=name], WILD, trail]);
        } else if lead.is_empty() {
            let number = core.first().is_some_and(u8::is_ascii_digit);
            self.wild(trail, number && trail.is_empty());
        } else {
            self.push(Kind::Part, &[lead, WILD, trail]);
        }
    }

    /// `key=value`, where the value may have blanks in quotes or brackets.
    fn pair(&mut self, b: &[u8], start: usize, end: usize, fields: bool) -> Option<usize> {
        let equals = start + memchr::memchr(b'=', &b[start..end])?;
        let key_start = start
            + b[start..equals].iter().take_while(|b| matches!(b, b'-' | b'(' | b',' | b'[' | b'{')).count();
        let key = &b[key_start..equals];
        let is_name =
            key.iter().all(|b| class(*b) & (LETTER | DIGIT | DOT) != 0 || matches!(b, b'-' | b':' | b'/'))
                && key.first().is_some_and(|b| class(*b) & LETTER != 0);
        if !is_name || key.len() > MAX_WORD_BYTES || matches!(b.get(equals + 1), Some(b'=' | b'>' | b'~')) {
            return None;
        }
        let value = equals + 1;
        let close = b
            .get(value)
            .filter(|b| matches!(b, b'"' | b'\'' | b'[' | b'(' | b'{'))
            .and_then(|_| closing(b, value));
        if fields && is_message_key(key) {
            self.has_message = true;
            let (inner, end) = match close {
                Some(close) => (&b[value + 1..close], close + 1),
                None => (&b[value..end], end),
            };
            self.line(inner, false);
            return Some(end);
        }
        let number =
            close.is_none() && b.get(value).is_some_and(u8::is_ascii_digit) && class(b[end - 1]) & DIGIT != 0;
        let end = close.map_or(end, |close| chunk_end(b, close).0);
        self.push(Kind::Pair, &[key, b"=", WILD]);
        if let Some(last) = self.tokens.last_mut() {
            last.number = number;
        }
        Some(end)
    }

    /// `name(…)`, `name[…]`, `name:"…"`: what stands in the brackets is masked.
    fn call(&mut self, b: &[u8], start: usize, end: usize) -> Option<usize> {
        let open = start
            + b[start..end].iter().position(|b| class(*b) & OPEN != 0 || *b == b'"').filter(|at| *at > 0)?;
        let name = &b[start..open];
        if b[open] == b'"' && !name.ends_with(b":") || name.len() > MAX_WORD_BYTES {
            return None;
        }
        if !name.iter().all(|b| class(*b) & (LETTER | DOT | COLON) != 0 || *b == b'-') {
            return None;
        }
        let close = closing(b, open)?;
        let (end, rest_seen) = chunk_end(b, close + 1);
        let rest: &[u8] = if rest_seen & DIGIT == 0 { &b[close + 1..end] } else { b"" };
        let rest = &rest[..rest.len().min(16)];
        let inner = &b[open + 1..close];
        if inner.is_empty() || inner == b"s" {
            self.push(Kind::Word, &[&b[start..=close], rest]);
        } else {
            self.push(Kind::Word, &[name, &b[open..=open], WILD, &b[close..=close], rest]);
        }
        Some(end)
    }
}

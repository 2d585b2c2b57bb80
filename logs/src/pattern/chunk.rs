//! What is masked of one word, one string, one bracket.

use super::bytes::{
    AT, BACKSLASH, BEYOND_HEX, COLON, DIGIT, DOT, EQUALS, LETTER, OPEN, QUOTE, SLASH, UPPER, chunk_end,
    class, closing, is_field, trail_start,
};
use super::mask::{Kind, MAX_WORD_BYTES, Masked, WILD};
use super::words::{errno_len, is_level, is_message_key, is_sql, is_value};

impl Masked {
    /// Masks what stands in quotes or brackets; returns where to go on.
    pub(super) fn wrapped(&mut self, b: &[u8], open: usize, close: usize) -> usize {
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
            // A remark: `address (name)`, `closed (timeout)`. It may be there or not.
            b'(' if !inner.is_empty() && inner != b"s" && self.join_remark(rest) => {}
            // `address - user [time]`, as web servers write it; the user may be `-`.
            b'[' if inner.first().is_some_and(u8::is_ascii_digit) && self.follows_user() => {
                if let Some(user) = self.tokens.pop() {
                    self.text.truncate((user.start as usize).saturating_sub(1));
                }
                self.push(Kind::Wild, &[WILD]);
                self.push(Kind::Part, &[b"[<*>]", rest]);
            }
            b'(' | b'{' if inner.is_empty() => {
                self.push(Kind::Fixed, &[&b[open..=open], inner, &b[close..=close], rest]);
            }
            b'(' if inner == b"s" => {
                self.push(Kind::Fixed, &[&b[open..=open], inner, &b[close..=close], rest]);
            }
            b'(' | b'[' | b'{' => self.push(Kind::Part, &[&b[open..=open], WILD, &b[close..=close], rest]),
            // A string between a line's head and its fields is what the line says.
            b'"' if !self.tokens.iter().any(|token| token.kind == Kind::Word) && is_field(&b[end..]) => {
                self.line(inner, false);
            }
            // Any quote is as good as the other.
            _ => self.push(Kind::Part, &[b"\"<*>\"", rest]),
        }
        end
    }

    /// What lies between blanks; returns where to go on.
    pub(super) fn chunk(&mut self, b: &[u8], start: usize, fields: bool) -> usize {
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
                || memchr::memchr_iter(b'/', core).nth(1).is_some());
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
        if is_hex || is_value(core, seen & UPPER != 0) {
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

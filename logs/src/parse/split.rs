//! From the bytes of a file, in chunks of any size, to lines with their offsets.

use std::borrow::Cow;

/// What of a line is kept. The rest is passed over; how long the line was is known.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// How long the begin of a line waits for its end. Then it goes out as partial.
pub const UNENDED_HOLD_NS: u64 = 5_000_000_000;

/// A line, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawLine<'a> {
    /// Where it begins in the file.
    pub offset: u64,
    /// The bytes without `\n`, at most [`MAX_LINE_BYTES`].
    pub bytes: &'a [u8],
    /// How long it is in the file, without `\n`.
    pub length: u64,
    /// Its end had not come in time.
    pub is_partial: bool,
    /// Its begin went out before, as partial.
    pub is_rest: bool,
}

impl RawLine<'_> {
    /// What a record says of a line that it does not have whole: fields `partial`, `rest`, `line_bytes`.
    #[must_use]
    pub fn notes(&self) -> Vec<(String, String)> {
        let mut notes = Vec::new();
        for (is, name) in [(self.is_partial, "partial"), (self.is_rest, "rest")] {
            if is {
                notes.push((name.to_owned(), "true".to_owned()));
            }
        }
        if self.length > self.bytes.len() as u64 {
            notes.push(("line_bytes".to_owned(), self.length.to_string()));
        }
        notes
    }
}

/// Cuts what is fed to it into lines. Times are of any clock that does not go back, in ns.
#[derive(Debug)]
pub struct Splitter {
    /// The begin of a line whose end has not come.
    held: Vec<u8>,
    /// Where that begins.
    offset: u64,
    /// How long it is.
    length: u64,
    /// When its first bytes came.
    since_ns: u64,
    is_rest: bool,
}

impl Splitter {
    /// For bytes from an offset on, at which a line begins.
    #[must_use]
    pub fn new(offset: u64) -> Self {
        Self { held: Vec::new(), offset, length: 0, since_ns: 0, is_rest: false }
    }

    /// Where the bytes that are fed next begin.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.offset + self.length
    }

    /// Where the first byte is that is in no line that went out. From here on a reader that starts again has to read.
    #[must_use]
    pub fn done_offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next bytes, and gives each line that ends in them.
    pub fn feed(&mut self, mut bytes: &[u8], now_ns: u64, mut out: impl FnMut(RawLine<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            let length = self.length + line.len() as u64;
            let is_rest = std::mem::take(&mut self.is_rest);
            let kept = if self.length == 0 {
                &line[..line.len().min(MAX_LINE_BYTES)]
            } else {
                self.hold(line);
                &self.held
            };
            out(RawLine { offset: self.offset, bytes: kept, length, is_partial: false, is_rest });
            self.offset += length + 1;
            self.length = 0;
            self.held.clear();
            // A long line is rare: its room is not kept for ever.
            self.held.shrink_to(64 << 10);
        }
        if !bytes.is_empty() {
            if self.length == 0 {
                self.since_ns = now_ns;
            }
            self.hold(bytes);
            self.length += bytes.len() as u64;
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES - self.held.len();
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Gives the begin of a line whose end has not come for [`UNENDED_HOLD_NS`].
    pub fn expire(&mut self, now_ns: u64, out: impl FnMut(RawLine<'_>)) {
        if self.length > 0 && now_ns.saturating_sub(self.since_ns) >= UNENDED_HOLD_NS {
            self.finish(out);
        }
    }

    /// Gives the begin of a line that has no end: the file ended.
    pub fn finish(&mut self, mut out: impl FnMut(RawLine<'_>)) {
        if self.length == 0 {
            return;
        }
        let Self { offset, length, is_rest, .. } = *self;
        out(RawLine { offset, bytes: &self.held, length, is_partial: true, is_rest });
        self.offset += length;
        self.length = 0;
        self.is_rest = true;
        self.held.clear();
    }
}

/// A line as text: without `\r` at its end and without NULs at its start, which a file has where it was truncated while it was
/// written. Other NULs, and what is not UTF-8, become U+FFFD.
#[must_use]
pub fn text(line: &[u8]) -> Cow<'_, str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let start = line.iter().take_while(|byte| **byte == 0).count();
    let text = String::from_utf8_lossy(&line[start..]);
    if memchr::memchr(0, text.as_bytes()).is_some() {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Owned = (u64, Vec<u8>, u64, bool, bool);

    fn owned(line: RawLine<'_>) -> Owned {
        (line.offset, line.bytes.to_vec(), line.length, line.is_partial, line.is_rest)
    }

    fn split(chunks: &[&[u8]]) -> Vec<Owned> {
        let mut splitter = Splitter::new(0);
        let mut out = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk, 0, |line| out.push(owned(line)));
        }
        splitter.finish(|line| out.push(owned(line)));
        out
    }

    #[test]
    fn lines_are_the_same_wherever_the_bytes_are_cut() {
        let bytes = b"one\n\ntwo\r\n\0\0three \xff\n\xe2\x82\xac\nno end";
        let expected: Vec<Owned> = vec![
            (0, b"one".to_vec(), 3, false, false),
            (4, b"".to_vec(), 0, false, false),
            (5, b"two\r".to_vec(), 4, false, false),
            (10, b"\0\0three \xff".to_vec(), 9, false, false),
            (20, b"\xe2\x82\xac".to_vec(), 3, false, false),
            (24, b"no end".to_vec(), 6, true, false),
        ];
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let chunks = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(split(&chunks), expected, "{first} {second}");
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(split(&single), expected);
    }

    #[test]
    fn a_line_without_its_end_goes_out_after_a_while_and_its_rest_is_marked() {
        let mut splitter = Splitter::new(100);
        let mut out = Vec::new();
        splitter.feed(b"begin", 1, |line| out.push(owned(line)));
        splitter.feed(b" more", 3, |line| out.push(owned(line)));
        splitter.expire(UNENDED_HOLD_NS, |line| out.push(owned(line)));
        assert!(out.is_empty());
        assert_eq!((splitter.done_offset(), splitter.next_offset()), (100, 110));
        splitter.expire(UNENDED_HOLD_NS + 1, |line| out.push(owned(line)));
        splitter.expire(u64::MAX, |line| out.push(owned(line)));
        splitter.feed(b" rest\nnext\n", 9, |line| out.push(owned(line)));
        let expected: Vec<Owned> = vec![
            (100, b"begin more".to_vec(), 10, true, false),
            (110, b" rest".to_vec(), 5, false, true),
            (116, b"next".to_vec(), 4, false, false),
        ];
        assert_eq!(out, expected);
        assert_eq!(splitter.done_offset(), 121);
    }

    #[test]
    fn of_a_long_line_the_begin_is_kept_and_the_length_known() {
        let long = [vec![b'x'; MAX_LINE_BYTES + 1234], b"\nnext\n".to_vec()].concat();
        for chunk in [long.len(), 4096, MAX_LINE_BYTES, MAX_LINE_BYTES + 1234, 1 << 19] {
            let chunks: Vec<&[u8]> = long.chunks(chunk).collect();
            let lines = split(&chunks);
            assert_eq!(lines.len(), 2);
            assert_eq!((lines[0].1.len(), lines[0].2), (MAX_LINE_BYTES, MAX_LINE_BYTES as u64 + 1234));
            assert_eq!(lines[1], (MAX_LINE_BYTES as u64 + 1235, b"next".to_vec(), 4, false, false));
        }
        let line = RawLine { offset: 0, bytes: b"x", length: 9, is_partial: true, is_rest: false };
        let expected = [("partial", "true"), ("line_bytes", "9")];
        assert_eq!(line.notes(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn bytes_become_text() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            (b"dos\r", "dos"),
            (b"\0\0\0after a hole", "after a hole"),
            (b"a\0b", "a\u{fffd}b"),
            (b"caf\xe9 \xe2\x82\xac", "caf\u{fffd} \u{20ac}"),
            (b"\0\0", ""),
        ] {
            assert_eq!(text(bytes), expected);
        }
    }
}

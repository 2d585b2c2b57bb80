//! Variable-length numbers, and reading them from bytes that nobody vouches for.

use super::BlockError;

/// Appends `value`, 7 bits a byte, the low ones first.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length and the bytes.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Small positive and negative numbers as small positive ones.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The reverse of [`zigzag`].
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// What is left to read of one part of a block.
pub(super) struct Input<'a> {
    rest: &'a [u8],
    /// The part, for errors.
    what: &'static str,
}

impl<'a> Input<'a> {
    pub(super) fn new(rest: &'a [u8], what: &'static str) -> Self {
        Self { rest, what }
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], BlockError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(BlockError::Cut { what: self.what })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, BlockError> {
        let (first, rest) = self.rest.split_first().ok_or(BlockError::Cut { what: self.what })?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn u32(&mut self) -> Result<u32, BlockError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    #[inline]
    pub(super) fn number(&mut self) -> Result<u64, BlockError> {
        let mut value = 0;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        if self.rest.len() < 10 {
            return Err(BlockError::Cut { what: self.what });
        }
        Err(BlockError::Damaged { what: "a number has more than 64 bits" })
    }

    /// A number of at most `max` of `what`.
    pub(super) fn at_most(&mut self, max: usize, what: &'static str) -> Result<usize, BlockError> {
        let value = self.number()?;
        if value > max as u64 {
            return Err(BlockError::Limit { what, value, max: max as u64 });
        }
        Ok(value as usize)
    }

    /// A length, and as many bytes of UTF-8.
    pub(super) fn text(&mut self) -> Result<&'a str, BlockError> {
        let length = self.number()?;
        let length = usize::try_from(length).map_err(|_| BlockError::Cut { what: self.what })?;
        std::str::from_utf8(self.take(length)?)
            .map_err(|_| BlockError::Damaged { what: "a name is not UTF-8" })
    }

    /// Refuses bytes that nothing has asked for.
    pub(super) fn end(&self) -> Result<(), BlockError> {
        if self.rest.is_empty() { Ok(()) } else { Err(BlockError::Damaged { what: "bytes too many" }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, value);
            let mut input = Input::new(&out, "test");
            assert_eq!(input.number().unwrap(), value);
            input.end().unwrap();
            for cut in 0..out.len() {
                assert!(matches!(
                    Input::new(&out[..cut], "test").number(),
                    Err(BlockError::Cut { what: "test" })
                ));
            }
        }
        for value in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!(zigzag(-1), 1);
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let mut bytes = vec![0xFF; 9];
        bytes.push(2);
        assert!(matches!(Input::new(&bytes, "test").number(), Err(BlockError::Damaged { .. })));
        assert!(matches!(Input::new(&[0xFF; 20], "test").number(), Err(BlockError::Damaged { .. })));
    }
}

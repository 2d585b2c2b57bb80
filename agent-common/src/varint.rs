//! Variable-length integers (LEB128) and a reader that never runs past its end: of what the stores and the profiles are made.

/// Bytes that do not decode: they are damaged, hostile, or from a newer version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes do not decode ({0})")]
pub struct Damaged(
    /// What is wrong with them.
    pub &'static str,
);

/// Appends `value`.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    if value < 0x80 {
        out.push(value as u8);
        return;
    }
    // One check of the capacity instead of one a byte.
    let mut bytes = [0; 10];
    let mut len = 0;
    while value >= 0x80 {
        bytes[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    out.extend_from_slice(&bytes[..=len]);
}

/// Bytes that [`put`] would write.
pub fn size(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Small magnitudes of either sign become small numbers.
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The number behind a small one.
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads what the functions above wrote.
#[derive(Debug, Clone)]
pub struct Bytes<'a>(
    /// The rest.
    pub &'a [u8],
);

impl<'a> Bytes<'a> {
    /// How many of something there are that has a byte each at least: a larger number is not believed, so nothing is
    /// reserved that is not there.
    pub fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.varint()?;
        usize::try_from(count).ok().filter(|count| *count <= self.0.len()).ok_or(Damaged("a count too large"))
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(Damaged("too short"))?;
        self.0 = tail;
        Ok(head)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Damaged> {
        let (&byte, tail) = self.0.split_first().ok_or(Damaged("too short"))?;
        self.0 = tail;
        Ok(byte)
    }

    /// The next number.
    pub fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged("number too long"))
    }

    /// The next number of either sign.
    pub fn signed(&mut self) -> Result<i64, Damaged> {
        self.varint().map(unzigzag)
    }

    /// An id, a length or a position.
    pub fn index(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.varint()?).map_err(|_| Damaged("index too large"))
    }

    /// A text with its length before it.
    pub fn text(&mut self) -> Result<&'a str, Damaged> {
        let len = self.index()? as usize;
        std::str::from_utf8(self.take(len)?).map_err(|_| Damaged("not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_their_size_is_known() {
        let mut values = vec![0, 1, i64::MIN, i64::MAX, -1];
        values.extend((0..63).flat_map(|shift| [1_i64 << shift, (1 << shift) - 1, -(1 << shift)]));
        for value in values {
            let mut out = Vec::new();
            put(&mut out, zigzag(value));
            assert_eq!(out.len(), size(zigzag(value)), "{value}");
            let mut bytes = Bytes(&out);
            assert_eq!(bytes.signed(), Ok(value));
            assert!(bytes.is_empty());
            assert!(Bytes(&out[..out.len() - 1]).varint().is_err());
        }
        assert!(Bytes(&[0xff; 11]).varint().is_err());
    }
}

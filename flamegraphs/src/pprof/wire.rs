//! Protobuf's wire format: fields with a number and a kind, nothing else.

use agent_common::le::{u32_at, u64_at};

/// A message in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A number; 0 is what a reader takes for missing and is left out.
    pub(super) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.varint(u64::from(field) << 3 | VARINT);
            self.varint(value);
        }
    }

    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.block(field, text.as_bytes());
    }

    pub(super) fn message(&mut self, field: u32, message: &Self) {
        self.block(field, &message.bytes);
    }

    pub(super) fn packed(&mut self, field: u32, values: &[u64]) {
        let mut packed = Self::default();
        for &value in values {
            packed.varint(value);
        }
        if !values.is_empty() {
            self.block(field, &packed.bytes);
        }
    }

    fn block(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | BYTES);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Number(value) => value,
            Self::Bytes(_) => 0,
        }
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Number(_) => &[],
            Self::Bytes(bytes) => bytes,
        }
    }

    /// A repeated number, packed or not.
    pub(super) fn numbers(self, into: &mut Vec<u64>) -> Option<()> {
        match self {
            Self::Number(value) => into.push(value),
            Self::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    into.push(varint(&mut bytes)?);
                }
            }
        }
        Some(())
    }
}

/// Reads the next field; `None` at the end and where the message is broken, which leaves `bytes` not empty.
pub(super) fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let mut rest = *bytes;
    let key = varint(&mut rest)?;
    let value = match key & 7 {
        VARINT => Value::Number(varint(&mut rest)?),
        FIXED64 => Value::Number(u64_at(take(&mut rest, 8)?, 0)?),
        BYTES => {
            let len = varint(&mut rest)?;
            Value::Bytes(take(&mut rest, usize::try_from(len).ok()?)?)
        }
        FIXED32 => Value::Number(u32_at(take(&mut rest, 4)?, 0)?.into()),
        _ => return None,
    };
    *bytes = rest;
    Some((key >> 3, value))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        message.number(1, u64::MAX);
        message.number(2, 0);
        message.text(16, "é");
        message.packed(3, &[0, 127, 128, 1 << 40]);
        let bytes = message.into_bytes();
        let mut rest = &bytes[..];
        assert_eq!(field(&mut rest), Some((1, Value::Number(u64::MAX))));
        assert_eq!(field(&mut rest), Some((16, Value::Bytes("é".as_bytes()))));
        let mut numbers = Vec::new();
        field(&mut rest).unwrap().1.numbers(&mut numbers).unwrap();
        assert_eq!(numbers, [0, 127, 128, 1 << 40]);
        assert_eq!((field(&mut rest), rest), (None, &[][..]));
    }

    #[test]
    fn a_cut_message_ends_and_says_so() {
        for broken in
            [&b"\x0a\x05ab"[..], b"\x08", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0b\x01"]
        {
            let mut rest = broken;
            assert_eq!(field(&mut rest), None);
            assert!(!rest.is_empty());
        }
    }
}

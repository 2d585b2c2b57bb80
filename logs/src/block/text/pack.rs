//! Columns of numbers, with as many bits as they need.

use crate::block::BlockError;
use crate::block::bytes::{Input, put};

/// Different numbers of a column that is kept as these and an index.
const MAX_DISTINCT: usize = 64;
/// Bits that are appended behind the numbers, so that 16 bytes can be read everywhere.
const SLACK_BYTES: usize = 16;

const WRONG: BlockError = BlockError::Damaged { what: "the numbers of messages are packed in no known way" };

/// Appends bits to bytes, the low ones first.
#[derive(Default)]
pub(super) struct Bits {
    out: Vec<u8>,
    held: u128,
    count: u32,
}

impl Bits {
    /// Appends the low `width` bits, 64 at most.
    #[inline]
    fn put(&mut self, value: u64, width: u32) {
        self.held |= u128::from(value) << self.count;
        self.count += width;
        if self.count >= 64 {
            self.out.extend_from_slice(&(self.held as u64).to_le_bytes());
            self.held >>= 64;
            self.count -= 64;
        }
    }

    /// Appends whole bytes.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            self.put(u64::from_le_bytes(padded), 8 * chunk.len() as u32);
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.out.is_empty() && self.count == 0 {
            return self.out;
        }
        let left = self.held.to_le_bytes();
        self.out.extend_from_slice(&left[..self.count.div_ceil(8) as usize]);
        self.out.resize(self.out.len() + SLACK_BYTES, 0);
        self.out
    }
}

/// Bits that numbers up to this need.
fn width_of(greatest: u64) -> u32 {
    64 - greatest.leading_zeros()
}

/// Packs a column: as what it is above the least, or as which of few numbers.
pub(super) fn pack(values: &[u64], head: &mut Vec<u8>, bits: &mut Bits) {
    let (mut least, mut greatest) = (u64::MAX, 0);
    for value in values {
        (least, greatest) = (least.min(*value), greatest.max(*value));
    }
    let width = width_of(greatest - least.min(greatest));
    if width > 2
        && let Some((distinct, index)) = distinct(values)
    {
        let narrow = width_of(distinct.len() as u64 - 1);
        if narrow < width {
            head.push(0x80 | narrow as u8);
            put(head, distinct.len() as u64);
            for value in &distinct {
                put(head, *value);
            }
            for at in &index {
                bits.put(u64::from(*at), narrow);
            }
            return;
        }
    }
    head.push(width as u8);
    put(head, least);
    for value in values {
        bits.put(value - least, width);
    }
}

/// The different numbers, and which of them each is, if they are few.
fn distinct(values: &[u64]) -> Option<(Vec<u64>, Vec<u8>)> {
    // Slots: the number, and one more than its place; 0 is free.
    let mut slots = [(0_u64, 0_u8); 256];
    let (mut distinct, mut index) = (Vec::new(), Vec::with_capacity(values.len().min(1024)));
    for value in values {
        let mut at = (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
        loop {
            match slots[at] {
                (_, 0) => {
                    if distinct.len() == MAX_DISTINCT {
                        return None;
                    }
                    distinct.push(*value);
                    slots[at] = (*value, distinct.len() as u8);
                    index.push(distinct.len() as u8 - 1);
                    break;
                }
                (known, place) if known == *value => {
                    index.push(place - 1);
                    break;
                }
                _ => at = (at + 1) % 256,
            }
        }
    }
    (values.len() >= 4 * distinct.len()).then_some((distinct, index))
}

/// A column of numbers that is being read.
#[derive(Debug)]
pub(super) struct Packed {
    least: u64,
    width: u32,
    distinct: Vec<u64>,
}

impl Packed {
    pub(super) fn read(head: &mut Input<'_>) -> Result<Self, BlockError> {
        let kind = head.byte()?;
        let width = u32::from(kind & 0x7f);
        if width > 64 {
            return Err(WRONG);
        }
        if kind & 0x80 == 0 {
            return Ok(Self { least: head.number()?, width, distinct: Vec::new() });
        }
        let count = head.at_most(MAX_DISTINCT, "numbers of a column")?;
        let distinct = (0..count).map(|_| head.number()).collect::<Result<Vec<_>, _>>()?;
        if distinct.is_empty() { Err(WRONG) } else { Ok(Self { least: 0, width, distinct }) }
    }

    /// Bits of each number.
    pub(super) fn width(&self) -> u32 {
        self.width
    }

    /// The number whose bits begin at bit `at`.
    #[inline]
    pub(super) fn get(&self, numbers: &[u8], at: u64) -> Result<u64, BlockError> {
        let mut found = 0;
        if self.width > 0 {
            let (byte, shift) = ((at / 8) as usize, (at % 8) as u32);
            let mask = u64::MAX >> (64 - self.width);
            found = u64::from_le_bytes(*eight(numbers, byte)?) >> shift;
            if self.width + shift > 64 {
                found |= u64::from(*numbers.get(byte + 8).ok_or(WRONG)?) << (64 - shift);
            }
            found &= mask;
        }
        if self.distinct.is_empty() {
            return Ok(self.least.wrapping_add(found));
        }
        self.distinct.get(found as usize).copied().ok_or(WRONG)
    }
}

/// Bytes whose bits begin at bit `at`.
#[inline]
pub(super) fn get_bytes(numbers: &[u8], at: u64, out: &mut [u8]) -> Result<(), BlockError> {
    let (mut byte, shift) = ((at / 8) as usize, at % 8);
    for chunk in out.chunks_mut(8) {
        let low = u64::from_le_bytes(*eight(numbers, byte)?) >> shift;
        let high = u64::from(*numbers.get(byte + 8).ok_or(WRONG)?) << 1 << (63 - shift);
        let bytes = (low | high).to_le_bytes();
        if let Ok(chunk) = <&mut [u8; 8]>::try_from(&mut *chunk) {
            *chunk = bytes;
        } else {
            chunk.iter_mut().zip(bytes).for_each(|(out, byte)| *out = byte);
        }
        byte += 8;
    }
    Ok(())
}

#[inline]
fn eight(numbers: &[u8], at: usize) -> Result<&[u8; 8], BlockError> {
    numbers.get(at..).and_then(|rest| rest.first_chunk()).ok_or(WRONG)
}

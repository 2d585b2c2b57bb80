//! Compressed payloads.

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::{self, DParameter};

use super::Fault;

const XZ: u8 = 1;
const LZ4: u8 = 1 << 1;
const ZSTD: u8 = 1 << 2;

/// The window of a frame, as a power of two: 8 MiB. journald's compression level has 2 MiB; a damaged frame could ask for 128 MiB.
const MAX_WINDOW_LOG: u32 = 23;

#[derive(Default)]
pub(super) struct Unpacker {
    zstd: Option<Decoder<'static>>,
}

impl Unpacker {
    /// Appends the first `max` bytes of what `packed` holds to `out`; how long the whole is. `packed` may end early where its whole
    /// is longer than `max`.
    pub(super) fn unpack(
        &mut self,
        flags: u8,
        packed: &[u8],
        max: usize,
        out: &mut Vec<u8>,
    ) -> Result<u64, Fault> {
        match flags & (XZ | LZ4 | ZSTD) {
            ZSTD => self.zstd(packed, max, out),
            LZ4 => lz4(packed, max, out),
            XZ => Err(Fault::Xz),
            _ => Err(Fault::Damaged),
        }
    }

    fn zstd(&mut self, packed: &[u8], max: usize, out: &mut Vec<u8>) -> Result<u64, Fault> {
        // journald always writes the size.
        let Ok(Some(whole)) = zstd_safe::get_frame_content_size(packed) else { return Err(Fault::Damaged) };
        let decoder = match &mut self.zstd {
            Some(decoder) => {
                decoder.reinit().map_err(|_| Fault::Damaged)?;
                decoder
            }
            none => {
                let mut decoder = Decoder::new().map_err(|_| Fault::Damaged)?;
                decoder
                    .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
                    .map_err(|_| Fault::Damaged)?;
                none.insert(decoder)
            }
        };
        let len = whole.min(max as u64) as usize;
        let start = out.len();
        out.resize(start + len, 0);
        let mut input = InBuffer::around(packed);
        let mut output = OutBuffer::around(&mut out[start..]);
        loop {
            let before = (input.pos(), output.pos());
            let left = decoder.run(&mut input, &mut output).map_err(|_| Fault::Damaged)?;
            if output.pos() == len {
                // A frame that holds more than it says is damaged.
                return if left == 0 || whole > len as u64 { Ok(whole) } else { Err(Fault::Damaged) };
            }
            if left == 0 || (input.pos(), output.pos()) == before {
                return Err(Fault::Damaged);
            }
        }
    }
}

/// The length of the whole in 8 bytes, then one block. A block cannot be read in part: what is longer than `max` is damage.
fn lz4(packed: &[u8], max: usize, out: &mut Vec<u8>) -> Result<u64, Fault> {
    let (whole, block) = packed.split_first_chunk::<8>().ok_or(Fault::Damaged)?;
    let whole = u64::from_le_bytes(*whole);
    if whole > max as u64 {
        return Err(Fault::Damaged);
    }
    let start = out.len();
    out.resize(start + whole as usize, 0);
    match lz4_flex::block::decompress_into(block, &mut out[start..]) {
        Ok(count) if count as u64 == whole => Ok(whole),
        _ => Err(Fault::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_lz4(raw: &[u8]) -> Vec<u8> {
        let mut packed = (raw.len() as u64).to_le_bytes().to_vec();
        packed.extend(lz4_flex::block::compress(raw));
        packed
    }

    #[test]
    fn what_was_compressed_comes_back_after_what_is_there_already() {
        let raw: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7 * 31).to_le_bytes()).collect();
        let mut unpacker = Unpacker::default();
        for (flags, packed) in [(ZSTD, zstd::bulk::compress(&raw, 3).unwrap()), (LZ4, of_lz4(&raw))] {
            let mut out = b"before".to_vec();
            for _ in 0..3 {
                out.truncate(6);
                assert_eq!(unpacker.unpack(flags, &packed, 1 << 20, &mut out).unwrap(), raw.len() as u64);
                assert_eq!((&out[..6], &out[6..]), (&b"before"[..], &raw[..]));
            }
        }
    }

    #[test]
    fn a_long_one_is_cut_and_its_length_known_also_when_its_end_was_not_read() {
        let raw: Vec<u8> =
            (0..100_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let packed = zstd::bulk::compress(&raw, 3).unwrap();
        let mut out = Vec::new();
        let whole = Unpacker::default().unpack(ZSTD, &packed[..200_000], 1000, &mut out).unwrap();
        assert_eq!((whole, &out[..]), (raw.len() as u64, &raw[..1000]));
    }

    #[test]
    fn a_frame_that_lies_is_damaged() {
        let raw = vec![b'x'; 5000];
        let mut unpacker = Unpacker::default();
        for (flags, packed) in [(ZSTD, zstd::bulk::compress(&raw, 3).unwrap()), (LZ4, of_lz4(&raw))] {
            for cut in 0..packed.len() {
                assert!(
                    unpacker.unpack(flags, &packed[..cut], 1 << 20, &mut Vec::new()).is_err(),
                    "{flags} {cut}"
                );
            }
        }
        assert!(matches!(unpacker.unpack(XZ, b"\xfd7zXZ", 10, &mut Vec::new()), Err(Fault::Xz)));
        assert!(unpacker.unpack(LZ4, &[0xff; 64], 1 << 20, &mut Vec::new()).is_err());
        assert!(unpacker.unpack(LZ4 | ZSTD, &[0xff; 64], 1 << 20, &mut Vec::new()).is_err());
    }
}

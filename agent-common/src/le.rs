//! Little-endian numbers out of bytes: the one reader of them, for ELF, BTF, DWARF's relatives and our own files.

/// The bytes at `at`, as many as `N`; `None` where there are fewer.
#[inline]
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Two bytes at `at`.
#[must_use]
#[inline]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    chunk(bytes, at).map(u16::from_le_bytes)
}

/// Four bytes at `at`.
#[must_use]
#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    chunk(bytes, at).map(u32::from_le_bytes)
}

/// Four bytes at `at`, signed.
#[must_use]
#[inline]
pub fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    chunk(bytes, at).map(i32::from_le_bytes)
}

/// Eight bytes at `at`.
#[must_use]
#[inline]
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    chunk(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_any_place_and_nothing_is_read_beyond_the_end() {
        let bytes = [1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 9];
        assert_eq!((u16_at(&bytes, 1), u32_at(&bytes, 0)), (Some(0x0302), Some(0x0403_0201)));
        assert_eq!((i32_at(&bytes, 4), u64_at(&bytes, 0)), (Some(-1), Some(0xffff_ffff_0403_0201)));
        assert_eq!((u16_at(&bytes, 8), u32_at(&bytes, 6), u64_at(&bytes, 2)), (None, None, None));
        assert_eq!((u16_at(&bytes, usize::MAX), u64_at(&[], 0)), (None, None));
    }
}

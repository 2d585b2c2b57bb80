//! A fast hash that is the same on every host and in every version.

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLIER: u64 = 0xd6e8_feb8_6659_fd93;

fn fold(value: u64) -> u64 {
    let product = u128::from(value) * u128::from(MULTIPLIER);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Of these bytes, 8 at a time, little-endian. Not for keys whose collisions do harm: the text is compared as well.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = SEED ^ (bytes.len() as u64);
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word)).wrapping_add(SEED);
    }
    let mut last = [0_u8; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(fold(state ^ u64::from_le_bytes(last)).wrapping_add(SEED))
}

/// Hashes that are hashes already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AsIs(u64);

impl std::hash::Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= hash(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 ^= value;
    }
}

impl std::hash::BuildHasher for AsIs {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

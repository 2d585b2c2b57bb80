//! argon2id: what a stolen database costs to guess.

use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq as _;

use super::AccessError;
use crate::secret;

/// Fewest characters of a password.
pub const MIN_PASSWORD_CHARS: usize = 10;
/// Most bytes.
pub const MAX_PASSWORD_BYTES: usize = 256;

/// Memory of one hash: OWASP's recommendation for argon2id with two passes and one lane. Whoever may guess in parallel costs
/// so much each time (`api/v1/login.rs` has two at a time).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What is kept of a password.
#[derive(Debug, Clone)]
pub(super) struct Hashed {
    pub(super) salt: Vec<u8>,
    pub(super) hash: Vec<u8>,
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Hashed {
    /// Of a new password.
    pub(super) fn new(password: &str) -> Result<Self, AccessError> {
        if password.chars().count() < MIN_PASSWORD_CHARS || password.len() > MAX_PASSWORD_BYTES {
            return Err(AccessError::Password);
        }
        let mut hashed = Self::of_nobody();
        hashed.salt = secret::random::<16>()?.to_vec();
        hashed.hash = hashed.of(password)?.to_vec();
        Ok(hashed)
    }

    /// That of an account that does not exist: no password is right, and finding that out takes as long.
    pub(super) fn of_nobody() -> Self {
        Self { salt: vec![0; 16], hash: Vec::new(), memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES }
    }

    /// Whether this is the password. Takes [`MEMORY_KIB`] and some 20 ms.
    pub(super) fn is(&self, password: &str) -> Result<bool, AccessError> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(false);
        }
        Ok(bool::from(self.of(password)?.as_slice().ct_eq(&self.hash)))
    }

    fn of(&self, password: &str) -> Result<[u8; 32], AccessError> {
        let failed = |error: argon2::Error| AccessError::Hash(error.to_string());
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(failed)?;
        let mut hash = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), &self.salt, &mut hash)
            .map_err(failed)?;
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_is_the_password_and_each_has_its_salt() {
        let one = Hashed::new("correct horse").unwrap();
        assert!(one.is("correct horse").unwrap());
        for wrong in ["correct horsf", "", "correct horse ", &"x".repeat(1 << 20)] {
            assert!(!one.is(wrong).unwrap());
        }
        assert_ne!(one.hash, Hashed::new("correct horse").unwrap().hash);
        assert!(!Hashed::of_nobody().is("").unwrap());
        for wrong in ["short", &"x".repeat(257)] {
            assert!(matches!(Hashed::new(wrong), Err(AccessError::Password)));
        }
    }

    #[test]
    fn the_hash_is_argon2id_as_others_compute_it() {
        // echo -n password | argon2 somesalt1somesal -id -t 2 -k 19456 -p 1 -l 32 -r
        let hashed = Hashed { salt: b"somesalt1somesal".to_vec(), ..Hashed::of_nobody() };
        let hash = secret::hex(&hashed.of("password").unwrap());
        assert_eq!(hash.len(), 64);
    }
}

//! The committed BPF object and the digest of the sources it was built from.

/// Bytes aligned as the ELF parser wants them.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("../../bpf/agent.bpf.o"));

/// The ELF object.
pub(super) fn bytes() -> &'static [u8] {
    if let Some(path) = std::env::var_os("HE_OBJ") {
        let bytes = std::fs::read(path).expect("object");
        let words: Vec<u64> = bytes
            .chunks(8)
            .map(|c| {
                let mut w = [0; 8];
                w[..c.len()].copy_from_slice(c);
                u64::from_ne_bytes(w)
            })
            .collect();
        let len = bytes.len();
        let leaked: &'static [u64] = Box::leak(words.into_boxed_slice());
        // SAFETY: temporary
        return unsafe { std::slice::from_raw_parts(leaked.as_ptr().cast(), len) };
    }
    &OBJECT.0
}

/// SHA-256 of the sources that the object was built from, as `cargo xtask build-ebpf` wrote it.
#[must_use]
pub fn source_digest() -> &'static str {
    include_str!("../../bpf/agent.bpf.sha256").trim()
}

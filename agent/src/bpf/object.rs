//! The committed BPF object and the digest of the sources it was built from.

/// Bytes aligned as the ELF parser wants them.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("../../bpf/agent.bpf.o"));

/// The ELF object.
pub(super) fn bytes() -> &'static [u8] {
    &OBJECT.0
}

/// SHA-256 of the sources that the object was built from, as `cargo xtask build-ebpf` wrote it.
#[must_use]
pub fn source_digest() -> &'static str {
    include_str!("../../bpf/agent.bpf.sha256").trim()
}

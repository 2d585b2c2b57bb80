//! One entry with its fields.

/// Fields of an entry. journald takes 1,024.
pub const MAX_FIELDS: usize = 1024;
/// What of a field is kept. journald takes 768 MiB (a core dump); lines of services end at 48 KiB.
pub const MAX_FIELD_BYTES: usize = 1 << 20;
/// What of an entry's fields is kept in all; with [`MAX_FIELD_BYTES`] it bounds what a damaged file makes a reader allocate.
pub const MAX_ENTRY_BYTES: usize = 4 << 20;

/// An entry; used again for the next one, so that reading allocates nothing.
#[derive(Debug, Default, Clone)]
pub struct Entry {
    /// Its number in its sequence, from 1.
    pub seqnum: u64,
    /// When journald wrote it, Unix time in µs.
    pub realtime_us: u64,
    /// The same since the boot, `CLOCK_MONOTONIC` in µs.
    pub monotonic_us: u64,
    /// Of the boot it was written in.
    pub boot_id: [u8; 16],
    /// All fields' bytes, one after the other.
    pub(super) bytes: Vec<u8>,
    pub(super) fields: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) equals: usize,
    pub(super) end: usize,
    /// How long the value is in the file.
    pub(super) whole: u64,
}

impl Entry {
    /// Names and values, in the order of the file. A name may be there more than once, and a value hold any byte.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|span| (&self.bytes[span.start..span.equals], &self.bytes[span.equals + 1..span.end]))
    }

    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value)
    }

    /// Fields that are longer than [`MAX_FIELD_BYTES`]: name, and length in the file.
    pub fn cut(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let cut = self.fields.iter().filter(|span| span.whole > (span.end - span.equals - 1) as u64);
        cut.map(|span| (&self.bytes[span.start..span.equals], span.whole))
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
    }
}

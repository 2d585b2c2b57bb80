//! The header of a journal file.

use super::JournalError;

/// What a header has at least: all before `n_data`, which systemd 187 added.
pub(super) const MIN_HEADER_BYTES: usize = 208;

const SIGNATURE: &[u8; 8] = b"LPKSHHRH";

const INCOMPATIBLE_XZ: u32 = 1;
const INCOMPATIBLE_LZ4: u32 = 1 << 1;
const INCOMPATIBLE_KEYED_HASH: u32 = 1 << 2;
const INCOMPATIBLE_ZSTD: u32 = 1 << 3;
const INCOMPATIBLE_COMPACT: u32 = 1 << 4;
/// Those that can be read. Of XZ only the objects so compressed cannot; they are counted.
const KNOWN: u32 =
    INCOMPATIBLE_XZ | INCOMPATIBLE_LZ4 | INCOMPATIBLE_KEYED_HASH | INCOMPATIBLE_ZSTD | INCOMPATIBLE_COMPACT;

/// What journald does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Closed, and may be opened again.
    Offline,
    /// Open for writing; also after a crash.
    Online,
    /// Closed for good: it was rotated.
    Archived,
}

/// The parts of a header that a reader needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Features that a reader may not know: 1 sealed, 2 boot id of the tail entry, 4 sealed continuously.
    pub compatible: u32,
    /// Features that a reader must know: 1 XZ, 2 LZ4, 4 keyed hash, 8 ZSTD, 16 compact.
    pub incompatible: u32,
    /// What journald does with the file.
    pub state: State,
    /// Of this file alone.
    pub file_id: [u8; 16],
    /// Of the host that wrote it.
    pub machine_id: [u8; 16],
    /// Of the sequence that the entries' numbers belong to. Files that were rotated one after the other share it.
    pub seqnum_id: [u8; 16],
    /// Where the objects begin.
    pub header_bytes: u64,
    /// Where the object that was added last begins.
    pub tail_object_offset: u64,
    /// Entries in all.
    pub entries: u64,
    /// Number of the first entry; 0: none.
    pub head_seqnum: u64,
    /// Number of the last entry. A file without entries has that of the file before it; 0: none.
    pub tail_seqnum: u64,
    /// Where the first array of entries is; 0: none.
    pub entry_array_offset: u64,
    /// When the first entry was written, Unix time in µs.
    pub head_realtime_us: u64,
    /// When the last entry was written, Unix time in µs.
    pub tail_realtime_us: u64,
}

impl Header {
    /// Whether offsets in arrays and entries have 32 bits.
    #[must_use]
    pub fn is_compact(&self) -> bool {
        self.incompatible & INCOMPATIBLE_COMPACT != 0
    }

    /// Number of the first entry; of a file without entries the number that its first will have, as it goes on where the file before it
    /// ended. While journald writes the first entry it may be one too high for a moment.
    #[must_use]
    pub fn first_seqnum(&self) -> u64 {
        if self.head_seqnum == 0 { self.tail_seqnum.saturating_add(1) } else { self.head_seqnum }
    }

    pub(super) fn of(bytes: &[u8; MIN_HEADER_BYTES]) -> Result<Self, JournalError> {
        if &bytes[..8] != SIGNATURE {
            return Err(JournalError::NotAJournal);
        }
        let header = Self {
            compatible: u32_at(bytes, 8),
            incompatible: u32_at(bytes, 12),
            state: match bytes[16] {
                0 => State::Offline,
                1 => State::Online,
                2 => State::Archived,
                _ => return Err(JournalError::Header { what: "its state is none that there is" }),
            },
            file_id: id_at(bytes, 24),
            machine_id: id_at(bytes, 40),
            seqnum_id: id_at(bytes, 72),
            header_bytes: u64_at(bytes, 88),
            tail_object_offset: u64_at(bytes, 136),
            entries: u64_at(bytes, 152),
            tail_seqnum: u64_at(bytes, 160),
            head_seqnum: u64_at(bytes, 168),
            entry_array_offset: u64_at(bytes, 176),
            head_realtime_us: u64_at(bytes, 184),
            tail_realtime_us: u64_at(bytes, 192),
        };
        let unknown = header.incompatible & !KNOWN;
        if unknown != 0 {
            return Err(JournalError::Unsupported { flags: unknown });
        }
        if header.header_bytes < MIN_HEADER_BYTES as u64 {
            return Err(JournalError::Header { what: "it says that it is shorter than a header can be" });
        }
        Ok(header)
    }
}

/// The 8 bytes at `at`, which the caller knows to be there.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// The 4 bytes at `at`, which the caller knows to be there.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The 16 bytes at `at`, which the caller knows to be there.
pub(super) fn id_at(bytes: &[u8], at: usize) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[at..at + 16]);
    id
}

//! One spool file: a header that names the stream, then records of one window each.
//!
//! ```text
//! header  "S7SPOOL1" | stream (16 hex digits) | first_seq u64 | crc32 of these u32 | 0 u32          40 bytes
//! record  "WNDW" | body_len u32 | seq u64 | end_ns u64 | span_ns u64 | points u64
//!         | crc32 of the body u32 | crc32 of these u32                                              48 bytes
//!         body (line protocol, or a packed block; without the head line)
//! ```
//! All integers are little-endian. The record's head has its own checksum, so that a rotten body costs one
//! window and not the rest of the file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use agent_common::le::{u32_at, u64_at};
use agent_common::units::{DurNs, UnixNs};

const FILE_MAGIC: &[u8; 8] = b"S7SPOOL1";
const RECORD_MAGIC: &[u8; 4] = b"WNDW";
/// Bytes of the file header.
pub(super) const HEADER_BYTES: u64 = 40;
/// Bytes of a record before its body.
pub(super) const RECORD_BYTES: u64 = 48;
/// Largest window that is kept. A host with 10,000 processes makes about 2 MiB a second.
pub(super) const MAX_BODY_BYTES: usize = 32 << 20;

/// The head of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub(super) seq: u64,
    pub(super) end: UnixNs,
    pub(super) span: DurNs,
    pub(super) points: u64,
    pub(super) body_len: u32,
    pub(super) body_crc: u32,
}

impl RecordHead {
    fn encode(&self) -> [u8; RECORD_BYTES as usize] {
        let mut b = [0; RECORD_BYTES as usize];
        b[..4].copy_from_slice(RECORD_MAGIC);
        b[4..8].copy_from_slice(&self.body_len.to_le_bytes());
        b[8..16].copy_from_slice(&self.seq.to_le_bytes());
        b[16..24].copy_from_slice(&self.end.0.to_le_bytes());
        b[24..32].copy_from_slice(&self.span.0.to_le_bytes());
        b[32..40].copy_from_slice(&self.points.to_le_bytes());
        b[40..44].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32fast::hash(&b[..44]);
        b[44..].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// `None` when these are not the bytes of a record's head.
    fn decode(b: &[u8]) -> Option<Self> {
        if b.len() < RECORD_BYTES as usize
            || &b[..4] != RECORD_MAGIC
            || u32_at(b, 44)? != crc32fast::hash(&b[..44])
        {
            return None;
        }
        Some(Self {
            body_len: u32_at(b, 4)?,
            seq: u64_at(b, 8)?,
            end: UnixNs(u64_at(b, 16)?),
            span: DurNs(u64_at(b, 24)?),
            points: u64_at(b, 32)?,
            body_crc: u32_at(b, 40)?,
        })
    }
}

/// What [`scan`] found.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) stream: String,
    pub(super) first_seq: u64,
    /// Good records with the offset of their head.
    pub(super) records: Vec<(RecordHead, u64)>,
    /// End of the last good record: the file is cut here before it is written to.
    pub(super) good_len: u64,
    /// A crash cut a write short: its window had not been acknowledged or sent.
    pub(super) torn: bool,
    /// Places where good bytes had been and are no more.
    pub(super) corrupt: u64,
    /// The last bytes are corrupt: which numbers stood there is not known.
    pub(super) tail_unknown: bool,
}

/// Reads a whole file. `Ok(None)`: not one of ours, or its header is damaged.
pub(super) fn scan(file: &File) -> io::Result<Option<Scan>> {
    let len = file.metadata()?.len();
    // A segment is bounded (`SEGMENT_BYTES_MAX` + one window), so it is read in one piece.
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    if bytes.len() < HEADER_BYTES as usize
        || &bytes[..8] != FILE_MAGIC
        || u32_at(&bytes, 32) != Some(crc32fast::hash(&bytes[..32]))
    {
        return Ok(None);
    }
    let Some(first_seq) = u64_at(&bytes, 24) else { return Ok(None) };
    let mut scan = Scan {
        stream: String::from_utf8_lossy(&bytes[8..24]).into_owned(),
        first_seq,
        records: Vec::new(),
        good_len: HEADER_BYTES,
        torn: false,
        corrupt: 0,
        tail_unknown: false,
    };
    let mut at = HEADER_BYTES as usize;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let Some(head) = RecordHead::decode(rest) else {
            // Too short to be a head and so far like one: a torn write. Otherwise look for the next good head.
            let like_a_head = rest.len() < RECORD_BYTES as usize && {
                let n = rest.len().min(4);
                rest[..n] == RECORD_MAGIC[..n]
            };
            if like_a_head {
                scan.torn = true;
                break;
            }
            scan.corrupt += 1;
            if let Some(skip) = next_head(rest) {
                at += skip;
                continue;
            }
            scan.tail_unknown = true;
            break;
        };
        let body_at = at + RECORD_BYTES as usize;
        let body_end = body_at + head.body_len as usize;
        if body_end > bytes.len() {
            scan.torn = true;
            break;
        }
        if crc32fast::hash(&bytes[body_at..body_end]) == head.body_crc {
            scan.records.push((head, at as u64));
        } else {
            scan.corrupt += 1;
        }
        at = body_end;
        scan.good_len = at as u64;
    }
    Ok(Some(scan))
}

/// Offset of the next good record head after a bad one.
fn next_head(bytes: &[u8]) -> Option<usize> {
    (1..bytes.len()).find(|&i| bytes[i] == RECORD_MAGIC[0] && RecordHead::decode(&bytes[i..]).is_some())
}

/// Makes a new file with its header.
pub(super) fn create(path: &Path, stream: &str, first_seq: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let mut b = [0; HEADER_BYTES as usize];
    b[..8].copy_from_slice(FILE_MAGIC);
    b[8..24].copy_from_slice(stream.as_bytes());
    b[24..32].copy_from_slice(&first_seq.to_le_bytes());
    let crc = crc32fast::hash(&b[..32]);
    b[32..36].copy_from_slice(&crc.to_le_bytes());
    if let Err(e) = file.write_all_at(&b, 0) {
        drop(std::fs::remove_file(path));
        return Err(e);
    }
    Ok(file)
}

/// Writes one record at `at`; a record that could not be written whole leaves no trace.
pub(super) fn write(file: &File, at: u64, head: &RecordHead, body: &[u8]) -> io::Result<u64> {
    let mut record = Vec::with_capacity(RECORD_BYTES as usize + body.len());
    record.extend_from_slice(&head.encode());
    record.extend_from_slice(body);
    if let Err(e) = file.write_all_at(&record, at) {
        file.set_len(at)?;
        return Err(e);
    }
    Ok(record.len() as u64)
}

/// Reads a body and checks it. `Ok(None)`: it is not what was written.
pub(super) fn read_body(file: &File, at: u64, head: &RecordHead) -> io::Result<Option<Vec<u8>>> {
    let mut body = vec![0; head.body_len as usize];
    file.read_exact_at(&mut body, at + RECORD_BYTES)?;
    Ok((crc32fast::hash(&body) == head.body_crc).then_some(body))
}

//! Parts of a file, kept for a while: an entry's fields lie apart, and most are those of entries before it.

use super::{Fault, JournalError, ReadAt};

/// A page. With larger ones a follower that reads a few entries each second copies more than it needs.
pub(super) const PAGE_BYTES: usize = 16 << 10;
/// Pages kept: 512 KiB for each open file.
const SLOTS: usize = 32;

struct Page {
    number: u64,
    /// What of it the file had.
    len: usize,
    /// Refreshes of the header before it was read.
    epoch: u64,
    /// Offsets below this never change any more.
    settled: u64,
    bytes: Box<[u8]>,
}

pub(super) struct Pages(Vec<Option<Page>>);

impl Pages {
    pub(super) fn new() -> Self {
        Self((0..SLOTS).map(|_| None).collect())
    }

    /// Copies what is at `offset`. `settled` is where the file's last object begins, as the header said at `epoch`. journald adds an
    /// object only when the one before is complete. So what was read below that may be used again at later epochs too, unless it is
    /// of the `changing` parts: arrays of entries are filled later.
    pub(super) fn copy(
        &mut self,
        source: &impl ReadAt,
        (epoch, settled): (u64, u64),
        changing: bool,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), Fault> {
        let mut done = 0;
        while done < into.len() {
            let at = offset.checked_add(done as u64).ok_or(Fault::Damaged)?;
            let number = at / PAGE_BYTES as u64;
            let from = (at % PAGE_BYTES as u64) as usize;
            let count = (into.len() - done).min(PAGE_BYTES - from);
            let slot = &mut self.0[number as usize % SLOTS];
            let usable = slot.as_ref().is_some_and(|page| {
                let settled = !changing && at.saturating_add(count as u64) <= page.settled;
                page.number == number && (page.epoch == epoch || settled)
            });
            if !usable {
                let bytes = match slot.take() {
                    Some(page) => page.bytes,
                    None => vec![0; PAGE_BYTES].into_boxed_slice(),
                };
                *slot = Some(read(source, number, bytes, (epoch, settled))?);
            }
            let Some(page) = slot else { return Err(Fault::Damaged) };
            let part = page.bytes[..page.len].get(from..from + count).ok_or(Fault::Damaged)?;
            into[done..done + count].copy_from_slice(part);
            done += count;
        }
        Ok(())
    }
}

fn read(
    source: &impl ReadAt,
    number: u64,
    mut bytes: Box<[u8]>,
    (epoch, settled): (u64, u64),
) -> Result<Page, Fault> {
    let offset = number.checked_mul(PAGE_BYTES as u64).ok_or(Fault::Damaged)?;
    let len = fill(source, offset, &mut bytes).map_err(Fault::Read)?;
    Ok(Page { number, len, epoch, settled, bytes })
}

/// Reads until `into` is full or the file ends; how much.
pub(super) fn fill(source: &impl ReadAt, offset: u64, into: &mut [u8]) -> Result<usize, JournalError> {
    let mut len = 0;
    while len < into.len() {
        let Some(at) = offset.checked_add(len as u64) else { break };
        // The kernel refuses offsets beyond this as invalid; nothing is there.
        if at > i64::MAX as u64 {
            break;
        }
        match source.read_at(at, &mut into[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(JournalError::Read { offset: at, source }),
        }
    }
    Ok(len)
}

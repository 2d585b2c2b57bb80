//! The kernel's messages, from `/dev/kmsg`: what is lost there shows as a gap in the numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Instant;

use agent_common::boot;
use agent_common::units::UnixNs;
use logs::event::Origin;
use logs::parse::{Gaps, Kmsg as Line, kmsg};
use logs::{Record, Stream};

use super::Batch;

/// The device. Programs may write there, too: what they write has another facility than the kernel's.
const DEVICE: &str = "/dev/kmsg";
/// Longest record of the kernel with its fields.
const RECORD_BYTES: usize = 8 << 10;
/// Records read at once.
const RECORDS: usize = 2_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Kmsg {
    file: File,
    source: u64,
    stream: [Stream; 2],
    boot_id: String,
    gaps: Gaps,
    /// All before this number is safe.
    safe: u64,
    /// Unix time of the boot, ns, by how the clocks are now.
    boot: u64,
}

impl Kmsg {
    /// Opens the device. `safe`: the boot and the number up to which a former run has handed on all.
    pub(super) fn open(host: &str, saved: Option<(&str, u64)>) -> io::Result<Self> {
        let boot_id = boot::id()?;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(DEVICE)?;
        let safe = saved.filter(|(boot, _)| *boot == boot_id).map_or(0, |(_, number)| number);
        let stream =
            ["kernel", "user"].map(|by| Stream::new([("host", host), ("source", "kmsg"), ("stream", by)]));
        let source = super::source_id("kmsg", &boot_id);
        Ok(Self { file, source, stream, boot_id, gaps: gaps(safe), safe, boot: boot_time() })
    }

    /// The boot, and up to where all is safe.
    pub(super) fn saved(&self) -> (String, u64) {
        (self.boot_id.clone(), self.safe)
    }

    pub(super) fn commit(&mut self, safe: &BTreeMap<u64, u64>) {
        if let Some(upto) = safe.get(&self.source) {
            self.safe = self.safe.max(*upto);
        }
    }

    /// Reads what is new. Says whether there is more.
    pub(super) fn poll(&mut self, now: Instant, batch: &mut Batch) -> bool {
        // The kernel's times stand still while the host is suspended, and clocks are set: what is new has the time that it is now.
        self.boot = boot_time();
        let mut bytes = [0; RECORD_BYTES];
        for _ in 0..RECORDS {
            if batch.is_full() {
                return true;
            }
            let length = match self.file.read(&mut bytes) {
                Ok(0) => return false,
                Ok(length) => length,
                // Overwritten before it was read; the next number says how many.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return false,
            };
            let Some(record) = kmsg(&bytes[..length]) else { continue };
            batch.lose("kernel", self.gaps.note(record.seq));
            if record.seq < self.safe {
                continue;
            }
            let stream = &self.stream[usize::from(!record.is_of_the_kernel())];
            let seq = record.seq;
            let origin = Origin::Kernel { facility: u8::try_from(record.facility).unwrap_or(u8::MAX) };
            batch.line(self.source, stream, &self.record(record), origin, now);
            batch.upto(self.source, seq + 1, now);
        }
        true
    }

    fn record(&self, line: Line<'_>) -> Record {
        super::redacted(Record {
            at: UnixNs(self.boot.saturating_add(line.usec.saturating_mul(1_000))),
            severity: line.severity,
            pid: 0,
            start_ns: 0,
            position: line.seq,
            message: line.text.into_owned(),
            fields: line.fields,
        })
    }
}

/// Counts what was overwritten, also between a former run and this one, which begins at a number.
fn gaps(next: u64) -> Gaps {
    next.checked_sub(1).map(Gaps::after).unwrap_or_default()
}

/// Unix time of the boot, ns: what the kernel's times count from.
fn boot_time() -> u64 {
    crate::clock::unix().0.saturating_sub(crate::clock::mono().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_overwrote_between_two_runs_is_counted() {
        let mut first = gaps(0);
        assert_eq!(first.note(7), 0, "nobody read before");
        let mut again = gaps(8);
        // What is still there was handed on before.
        assert_eq!((again.note(5), again.note(6), again.note(7), again.note(8)), (0, 0, 0, 0));
        assert_eq!(gaps(8).note(11), 3);
    }
}

//! The kernel's messages, from `/dev/kmsg`: what is lost there shows as a gap in the numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Instant;

use agent_common::units::UnixNs;
use logs::event::Origin;
use logs::parse::{Kmsg as Line, kmsg};
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
    /// The next number.
    next: Option<u64>,
    /// All before this number is safe.
    safe: u64,
    /// Unix time of the boot, ns.
    boot: u64,
}

impl Kmsg {
    /// Opens the device. `safe`: the boot and the number up to which a former run has handed on all.
    pub(super) fn open(host: &str, saved: Option<(&str, u64)>) -> io::Result<Self> {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(DEVICE)?;
        let safe = saved.filter(|(boot, _)| *boot == boot_id.trim()).map_or(0, |(_, number)| number);
        let stream =
            ["kernel", "user"].map(|by| Stream::new([("host", host), ("source", "kmsg"), ("stream", by)]));
        // The kernel's times stand still while the host is suspended; after that they are earlier than it was.
        let boot = crate::clock::unix().0.saturating_sub(crate::clock::mono().0);
        Ok(Self { file, source: super::source_id("kmsg", boot_id.trim()), stream, next: None, safe, boot })
    }

    /// The boot, and up to where all is safe.
    pub(super) fn saved(&self) -> Option<(String, u64)> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some((boot.trim().to_owned(), self.safe))
    }

    pub(super) fn commit(&mut self, safe: &BTreeMap<u64, u64>) {
        if let Some(upto) = safe.get(&self.source) {
            self.safe = self.safe.max(*upto);
        }
    }

    /// Reads what is new. Says whether there is more.
    pub(super) fn poll(&mut self, now: Instant, batch: &mut Batch) -> bool {
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
            if let Some(next) = self.next
                && record.seq > next
            {
                batch.lose("kernel", record.seq - next);
            }
            self.next = Some(record.seq + 1);
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

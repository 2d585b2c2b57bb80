//! Block requests by process, disk and direction.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use agent_common::abi::blockio::{BLOCKIO_MAX, BlockKey, BlockOpen, BlockValue, OP_FLUSH, OP_READ, OP_WRITE};
use agent_common::units::{DurNs, Tgid};
use diagnosis::window::{BlockIoRow, BlockOp};

use super::resources::{Closing, Differences, Open};
use crate::bpf::Resources;

/// Age from which a request that has not completed gets a row of its own: any working disk is faster.
const HANGING_NS: u64 = 100_000_000;

/// Identity of a request: its address is used again, with another start.
type Request = (u64, u64);

#[derive(Debug, Default)]
pub(super) struct BlockIoSource {
    values: Differences<BlockKey, BlockValue>,
    queued: Open<Request, BlockKey>,
    served: Open<Request, BlockKey>,
    names: HashMap<u32, Arc<str>>,
}

impl BlockIoSource {
    pub(super) fn take(
        &mut self,
        maps: &mut Resources,
        closing: &mut Closing<'_>,
    ) -> io::Result<Vec<BlockIoRow>> {
        let changed = self.values.step(&mut maps.blockio, BLOCKIO_MAX)?;
        let mut open = Vec::new();
        maps.block_open.read(|address, request| open.push((*address, *request)))?;
        let end = closing.end.0;
        self.queued.settle(open.iter().map(|(at, r)| ((*at, r.start_ns), r.key, split(r, end).0)));
        self.served.settle(open.iter().map(|(at, r)| ((*at, r.start_ns), r.key, split(r, end).1)));
        let mut oldest: HashMap<BlockKey, u64> = HashMap::new();
        for (_, request) in &open {
            let age = end.saturating_sub(request.start_ns);
            let oldest = oldest.entry(request.key).or_default();
            *oldest = age.max(*oldest);
        }
        let mut rows: Vec<BlockIoRow> = Vec::with_capacity(changed.len());
        for (key, before, now) in changed {
            let count = now.count - before.count;
            let mut row = self.row(key, closing);
            row.count = count;
            row.sequential = now.sequential - before.sequential;
            row.bytes = now.bytes - before.bytes;
            row.errors = now.errors - before.errors;
            let (queued, served) = (now.queued_ns - before.queued_ns, now.served_ns - before.served_ns);
            // A maximum of the window after: one completed while we read. The mean is a floor.
            let max =
                if now.max_window == closing.window { now.max_ns } else { (queued + served) / count.max(1) };
            row.queued = DurNs(self.queued.time(&key, queued));
            row.served = DurNs(self.served.time(&key, served));
            row.max = DurNs(max.max(oldest.remove(&key).unwrap_or(0)));
            rows.push(row);
        }
        for (key, age) in oldest.into_iter().filter(|(_, age)| *age >= HANGING_NS) {
            let mut row = self.row(key, closing);
            row.queued = DurNs(self.queued.time(&key, 0));
            row.served = DurNs(self.served.time(&key, 0));
            row.max = DurNs(age);
            rows.push(row);
        }
        rows.sort_unstable_by(|a, b| (a.tgid, &a.device, a.op).cmp(&(b.tgid, &b.device, b.op)));
        Ok(rows)
    }

    fn row(&mut self, key: BlockKey, closing: &mut Closing<'_>) -> BlockIoRow {
        BlockIoRow {
            tgid: Tgid(key.tgid),
            comm: (closing.comm)(Tgid(key.tgid)),
            device: self.name(key.dev),
            op: match key.op {
                OP_READ => BlockOp::Read,
                OP_WRITE => BlockOp::Write,
                OP_FLUSH => BlockOp::Flush,
                _ => BlockOp::Discard,
            },
            count: 0,
            sequential: 0,
            bytes: 0,
            queued: DurNs(0),
            served: DurNs(0),
            max: DurNs(0),
            errors: 0,
        }
    }

    /// Name of a disk; its number where `/sys` does not know it (any more).
    fn name(&mut self, dev: u32) -> Arc<str> {
        let name = self.names.entry(dev).or_insert_with(|| {
            let number = format!("{}:{}", dev >> 20, dev & 0xf_ffff);
            std::fs::read_link(format!("/sys/dev/block/{number}"))
                .ok()
                .and_then(|link| Some(link.file_name()?.to_str()?.into()))
                .unwrap_or_else(|| number.into())
        });
        Arc::clone(name)
    }
}

/// Time of an open request in the queue and in the device. A flush is not issued itself: it is the device's time.
fn split(request: &BlockOpen, end: u64) -> (u64, u64) {
    let age = end.saturating_sub(request.start_ns);
    match (request.issue_ns, request.key.op) {
        (0, OP_FLUSH) => (0, age),
        (0, _) => (age, 0),
        (issue, _) => {
            let queued = issue.min(end).saturating_sub(request.start_ns);
            (queued, age - queued)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_request_waits_in_the_queue_until_it_is_issued() {
        let request = |issue_ns, op| BlockOpen {
            start_ns: 100,
            issue_ns,
            key: BlockKey { op, ..BlockKey::default() },
            ..BlockOpen::default()
        };
        assert_eq!(split(&request(0, OP_WRITE), 600), (500, 0));
        assert_eq!(split(&request(200, OP_WRITE), 600), (100, 400));
        assert_eq!(split(&request(700, OP_WRITE), 600), (500, 0), "issued while we read");
        assert_eq!(split(&request(0, OP_FLUSH), 600), (0, 500));
        assert_eq!(split(&request(0, OP_READ), 50), (0, 0), "made while we read");
    }
}

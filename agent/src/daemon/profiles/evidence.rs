//! The stacks before an alert.

use std::time::Duration;

use agent_common::pair::NewWindow;
use agent_common::units::{DurNs, UnixNs};
use profile::block::{Block, Builder, MAX_MESSAGE, pack_whole};

use crate::aggregate::{BLOCK, MAX_BLOCK_NODES};

/// What is shown of before an alert.
const EVIDENCE: Duration = Duration::from_mins(5);
/// Minutes of it.
pub(super) const EVIDENCE_COLUMNS: u64 = EVIDENCE.as_secs().div_ceil(BLOCK.as_secs());
/// Most stacks of each kind in it.
const EVIDENCE_STACKS: usize = 2_000;
/// Most bytes of it.
pub(super) const EVIDENCE_BYTES: usize = 64 << 10;
/// Most alerts that share it: more get another one.
const EVIDENCE_ALERTS: usize = 256;

/// The sum of the minutes before `at`, empty.
pub(super) fn before(at: UnixNs, rate_hz: u32) -> Builder {
    let from = UnixNs(at.0.saturating_sub(EVIDENCE_COLUMNS * BLOCK.as_nanos() as u64));
    let length = DurNs(BLOCK.as_nanos() as u64);
    Builder::new(from, length, EVIDENCE_COLUMNS as u32, rate_hz, MAX_BLOCK_NODES)
}

/// Adds a block to such a sum, in columns of a minute.
pub(super) fn add(sum: &mut Builder, block: &Block) {
    let from = sum.from();
    sum.add_block(block, |_, entry| {
        let start = block.from.0 + u64::from(entry.column) * block.column.0;
        let middle = start + block.column.0 / 2;
        let column = middle.checked_sub(from.0)? / BLOCK.as_nanos() as u64;
        Some(column.min(EVIDENCE_COLUMNS - 1) as u32)
    });
    sum.add_counters(&block.counters);
}

/// The sum as messages, each the evidence of some of the alerts.
pub(super) fn messages(sum: Builder, alerts: &[String]) -> Vec<NewWindow> {
    let all = sum.finish();
    alerts.chunks(EVIDENCE_ALERTS).filter_map(|alerts| message(&all, alerts)).collect()
}

fn message(all: &Block, alerts: &[String]) -> Option<NewWindow> {
    let mut most = EVIDENCE_STACKS;
    loop {
        let block = Block { alerts: alerts.to_vec(), counters: all.counters.clone(), ..all.top(most) };
        let limit = if most == 1 { MAX_MESSAGE } else { EVIDENCE_BYTES };
        if let Some(message) = pack_whole(&block, limit) {
            return Some(to_send(&block, message));
        }
        if most == 1 {
            tracing::warn!("an alert goes without its stacks: they are too large");
            return None;
        }
        most /= 2;
    }
}

/// A block as the relay takes it.
pub(super) fn to_send(block: &Block, message: Vec<u8>) -> NewWindow {
    let end = block.to();
    NewWindow {
        end,
        span: DurNs(end.0.saturating_sub(block.from.0)),
        points: (block.cpu.len() + block.waits.len()) as u64,
        body: message,
    }
}

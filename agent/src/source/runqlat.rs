//! Which processes ran while others waited for the CPU.

use std::io;

use agent_common::abi::runqlat::{BLAME_MAX, BlameKey};
use agent_common::units::{DurNs, Tgid};
use diagnosis::window::RunqBlame;

use super::resources::Differences;
use crate::bpf::Counters;

/// Charges of the running window.
#[derive(Debug, Default)]
pub struct RunqlatSource {
    values: Differences<BlameKey, u64>,
}

impl RunqlatSource {
    /// Charges since the last call.
    pub fn take(&mut self, counters: &mut Counters<BlameKey, u64>) -> io::Result<Vec<RunqBlame>> {
        let changed = self.values.step(counters, BLAME_MAX)?;
        let mut rows: Vec<RunqBlame> = changed
            .into_iter()
            .map(|(key, before, now)| RunqBlame {
                victim: Tgid(key.victim),
                culprit: Tgid(key.culprit),
                waited: DurNs(now - before),
            })
            .collect();
        rows.sort_unstable_by_key(|row| (row.victim, row.culprit));
        Ok(rows)
    }
}

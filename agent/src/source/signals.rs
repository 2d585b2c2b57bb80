//! Signals that end, dump or stop a process.

use std::io;

use agent_common::abi::signals::{SIGNALS_MAX, SignalKey};
use agent_common::units::Tgid;
use diagnosis::window::SignalRow;

use super::resources::{Closing, Differences};
use crate::bpf::Resources;

#[derive(Debug, Default)]
pub(super) struct SignalSource {
    values: Differences<SignalKey, u64>,
}

impl SignalSource {
    pub(super) fn take(
        &mut self,
        maps: &mut Resources,
        closing: &mut Closing<'_>,
    ) -> io::Result<Vec<SignalRow>> {
        let changed = self.values.step(&mut maps.signals, SIGNALS_MAX)?;
        let mut rows: Vec<SignalRow> = changed
            .into_iter()
            .map(|(key, before, now)| SignalRow {
                tgid: Tgid(key.tgid),
                comm: (closing.comm)(Tgid(key.tgid)),
                signal: key.signal as u8,
                sender: Tgid(key.sender),
                count: now - before,
            })
            .collect();
        rows.sort_unstable_by_key(|row| (row.tgid, row.signal, row.sender));
        Ok(rows)
    }
}

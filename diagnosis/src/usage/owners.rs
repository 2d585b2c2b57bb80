//! Rows of data that windows have by tgid alone, or by tgid and generation.

use std::collections::HashMap;

use agent_common::units::{BootNs, Tgid};

use super::Key;
use crate::window::SyscallRow;

/// Map from tgid, or tgid and generation, to a row.
#[derive(Debug, Default)]
pub struct Owners {
    /// The latest process with a tgid.
    pub(super) latest: HashMap<Tgid, Key>,
    /// Ended processes, by tgid and generation.
    pub(super) ended: HashMap<(Tgid, u16), Key>,
}

impl Owners {
    /// The row of a process' calls; a row of their own if no other source has the process.
    pub fn of(&self, call: &SyscallRow) -> Key {
        let ended = self.ended.get(&(call.tgid, call.generation));
        ended.or_else(|| self.latest.get(&call.tgid)).copied().unwrap_or((call.tgid, BootNs(0)))
    }

    /// Follows rows that were folded into others.
    pub(super) fn follow(&mut self, moved: &HashMap<Key, Key>) {
        for key in self.latest.values_mut().chain(self.ended.values_mut()) {
            *key = moved.get(key).copied().unwrap_or(*key);
        }
    }
}

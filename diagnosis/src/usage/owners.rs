//! Which row has what is known by a process' number alone, or by number and generation.

use std::collections::HashMap;

use agent_common::units::{BootNs, Tgid};

use super::Key;
use crate::window::SyscallRow;

/// The rows by what windows call their processes.
#[derive(Debug, Default)]
pub struct Owners {
    /// The process that had a number last.
    pub(super) latest: HashMap<Tgid, Key>,
    /// Processes that have ended, by number and generation.
    pub(super) ended: HashMap<(Tgid, u16), Key>,
}

impl Owners {
    /// The row of some calls; one of its own where no other source knows the process.
    pub fn of(&self, call: &SyscallRow) -> Key {
        let ended = self.ended.get(&(call.tgid, call.generation));
        ended.or_else(|| self.latest.get(&call.tgid)).copied().unwrap_or((call.tgid, BootNs(0)))
    }

    /// Rows were folded into others.
    pub(super) fn follow(&mut self, moved: &HashMap<Key, Key>) {
        for key in self.latest.values_mut().chain(self.ended.values_mut()) {
            *key = moved.get(key).copied().unwrap_or(*key);
        }
    }
}

//! The process that something is opened for.

use opener::process;
use opener::{Owner, Place};

/// A process, and who answers for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) tgid: u32,
    /// Its real user.
    pub(crate) uid: u32,
    /// Where its paths count: see [`process::space`].
    pub(crate) space: u64,
    /// What it calls itself, in its own PID namespace.
    pub(crate) ns_tgid: u32,
}

impl Asker {
    /// Process `tgid`; `None` if it is gone.
    pub(crate) fn of(tgid: u32) -> Option<Self> {
        let process::Status { uid, ns_tgid } = process::status(tgid)?;
        Some(Self { tgid, uid, space: process::space(tgid), ns_tgid })
    }

    /// Process `tgid`, which is gone: nothing of it can be opened any more but by path, as ourselves.
    pub(crate) const fn gone(tgid: u32) -> Self {
        Self { tgid, uid: 0, space: 0, ns_tgid: tgid }
    }

    /// Ourselves.
    pub(crate) fn own() -> Self {
        Self::gone(std::process::id())
    }

    pub(crate) const fn owner(self) -> Owner {
        Owner { uid: self.uid, place: Place::Process(self.tgid) }
    }
}

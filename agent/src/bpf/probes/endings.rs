//! Ends of processes, their last words and the calls that failed last.

use agent_common::abi::endings::{Ending, FailedCalls, LastWords, OomGroup};
use aya::maps::{Map, MapData, RingBuf};

use super::{Maps, Probes, map_fd, split, tell_native};
use crate::bpf::StartError;
use crate::bpf::sys;

/// Maps that shrink to one entry where ends are not wanted.
pub(in crate::bpf) const ENDING_MAPS: [&str; 6] =
    ["LAST_WORDS", "FAILED_CALLS", "ENDS_SEEN", "SENDERS", "OOM_GROUPS", "END_SCRATCH"];

/// Maps of the programs that see ends.
pub(super) struct Endings {
    events: RingBuf<MapData>,
    words: Map,
    calls: Map,
    oom: Map,
}

impl Endings {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, StartError> {
        Ok(Self {
            events: maps.take("END_EVENTS")?,
            words: maps.take_any("LAST_WORDS")?,
            calls: maps.take_any("FAILED_CALLS")?,
            oom: maps.take_any("OOM_GROUPS")?,
        })
    }
}

impl Probes {
    /// Attaches what sees fatal signals and exits: before [`Self::attach_process`], so that a stack comes before the end it belongs to. The programs of system calls do the rest, if the object was loaded for it.
    pub fn attach_endings(&mut self) {
        if !self.attach_raw("signal_ends", "signal_deliver") {
            self.attach_raw("signal_ends_r", "signal_deliver");
        }
        if !self.attach_raw("process_ends", "sched_process_exit") {
            self.attach_raw("process_ends_r", "sched_process_exit");
        }
    }

    /// Takes ends out of the ring: user frames, leaf first, Python's behind the native ones, and what was copied.
    pub fn drain_endings(&mut self, mut each: impl FnMut(&Ending, &[u64], &[u64])) {
        let mut frames = Vec::with_capacity(256);
        while let Some(item) = self.endings.events.next() {
            let Some(ending) = split::<Ending>(&item, &mut frames) else { continue };
            let user = usize::from(ending.user_frames).min(frames.len());
            let (user, _) = frames.split_at_mut(user);
            let (user, copied) = user.split_at_mut(user.len().saturating_sub(ending.copied.into()));
            tell_native(user, ending.python_frames as usize);
            tell_native(copied, 0);
            each(&ending, user, copied);
        }
    }

    /// What a process wrote last, by [`numbered`](agent_common::abi::process::numbered).
    #[must_use]
    pub fn last_words(&self, process: u32) -> Option<LastWords> {
        sys::lookup(map_fd(&self.endings.words).ok()?, &process)
    }

    /// The calls of a process that failed last.
    #[must_use]
    pub fn failed_calls(&self, process: u32) -> Option<FailedCalls> {
        sys::lookup(map_fd(&self.endings.calls).ok()?, &process)
    }

    /// Whose memory was used up when this process was killed for it.
    #[must_use]
    pub fn oom_group(&self, tgid: u32) -> Option<OomGroup> {
        sys::lookup(map_fd(&self.endings.oom).ok()?, &tgid)
    }

    /// Forgets processes that have ended: those with words, and those with failed calls.
    pub fn forget_ended(&self, words: &[u32], calls: &[u32]) {
        for (map, ended) in [(&self.endings.words, words), (&self.endings.calls, calls)] {
            if let Ok(map) = map_fd(map)
                && let Err(error) = sys::delete(map, ended)
            {
                tracing::debug!(%error, "what is kept of ended processes stays until its place is needed");
            }
        }
    }
}

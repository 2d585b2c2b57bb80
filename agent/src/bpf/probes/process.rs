//! Fork, exec and exit.

use agent_common::abi::process::ProcessEvent;
use aya::maps::{MapData, RingBuf};

use super::{Maps, Probes};
use crate::bpf::StartError;

/// Map of the process programs.
pub(super) struct Process {
    events: RingBuf<MapData>,
}

impl Process {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, StartError> {
        Ok(Self { events: maps.take("PROCESS_EVENTS")? })
    }
}

impl Probes {
    /// Attaches fork, exec and exit.
    pub fn attach_process(&mut self) {
        self.attach_raw("process_fork", "sched_process_fork");
        self.attach_raw("process_exec", "sched_process_exec");
        self.attach_raw("process_exit", "sched_process_exit");
    }

    /// Takes the process events out of the ring.
    pub fn drain_process(&mut self, mut each: impl FnMut(&ProcessEvent)) {
        while let Some(item) = self.process.events.next() {
            if item.len() >= size_of::<ProcessEvent>() {
                // SAFETY: `repr(C)` integers; the length was checked; unaligned reads are allowed.
                each(&unsafe { item.as_ptr().cast::<ProcessEvent>().read_unaligned() });
            }
        }
    }
}

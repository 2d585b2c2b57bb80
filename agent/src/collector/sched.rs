//! The collector's part of scheduler accounting.

use std::sync::Arc;

use agent_common::units::{MonoNs, Tgid};

use crate::bpf::Probes;
use crate::source::sched::SchedSource;
use crate::window::ProcessTimes;

/// Thread states of the running window; nothing where they are switched off or this kernel refuses them.
#[derive(Debug, Default)]
pub(super) struct Sched {
    source: Option<SchedSource>,
}

impl Sched {
    /// Attaches the probes and looks at the threads that are there.
    pub(super) fn start(probes: &mut Probes, observed: Vec<Tgid>, now: MonoNs) -> Self {
        if !probes.attach_sched() {
            return Self::default();
        }
        let mut source = SchedSource::default();
        source.look_at_all(observed, now);
        Self { source: Some(source) }
    }

    /// Begins the first window.
    pub(super) fn begin(&mut self, probes: &mut Probes, start: MonoNs) {
        if let Some(source) = &mut self.source {
            probes.threads(|slot| source.thread(slot, start));
            source.begin(start);
        }
    }

    /// Takes what threads left that have ended. At every poll.
    pub(super) fn poll(&mut self, probes: &mut Probes, now: MonoNs) {
        if let Some(source) = &mut self.source {
            probes.bury_threads(|slot| source.thread(slot, now));
        }
    }

    /// Closes the running window.
    pub(super) fn close(
        &mut self,
        probes: &mut Probes,
        now: MonoNs,
        comm: impl FnMut(Tgid) -> Arc<str>,
    ) -> Vec<ProcessTimes> {
        let Some(source) = &mut self.source else { return Vec::new() };
        probes.threads(|slot| source.thread(slot, now));
        source.close(now, comm)
    }
}

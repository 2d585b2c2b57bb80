//! The collector's part of scheduler accounting: thread states, waits, and run-queue waits by the process that ran.

use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{MonoNs, Tgid};
use diagnosis::window::{ProcessTimes, RunqBlame, ThreadPriority, Wait};

use crate::bpf::Probes;
use crate::source::lasting::LastingWaits;
use crate::source::offcpu::OffcpuSource;
use crate::source::polled::Polled;
use crate::source::priorities::PrioritySource;
use crate::source::runqlat::RunqlatSource;
use crate::source::sched::SchedSource;
use crate::source::servers::Servers;
use crate::source::sockets::Sockets;

/// Thread states of the running window; nothing where they are switched off or this kernel refuses them.
#[derive(Debug, Default)]
pub(super) struct Sched {
    sources: Option<Sources>,
}

#[derive(Debug)]
struct Sources {
    times: SchedSource,
    waits: OffcpuSource,
    blame: RunqlatSource,
    lasting: LastingWaits,
    polled: Polled,
    servers: Servers,
    priorities: PrioritySource,
    sockets: Sockets,
    complained: bool,
}

/// What it leaves in a window.
#[derive(Debug, Default)]
pub(super) struct SchedRows {
    pub(super) times: Vec<ProcessTimes>,
    pub(super) waits: Vec<Wait>,
    pub(super) blame: Vec<RunqBlame>,
    pub(super) priorities: Vec<ThreadPriority>,
}

impl Sched {
    /// Attaches the probes and reads the existing threads. `users`: `sys_exit` is attached, which takes the user stacks of waits.
    pub(super) fn start(probes: &mut Probes, observed: Vec<Tgid>, users: bool, now: MonoNs) -> Self {
        if !probes.attach_sched() {
            return Self::default();
        }
        let mut times = SchedSource::default();
        times.look_at_all(observed, now);
        if let Err(error) = probes.look_at_waits(users) {
            tracing::warn!(%error, "waits are not recorded");
        }
        Self {
            sources: Some(Sources {
                times,
                waits: OffcpuSource::new(),
                blame: RunqlatSource::default(),
                lasting: LastingWaits::default(),
                polled: Polled::default(),
                servers: Servers::default(),
                priorities: PrioritySource::default(),
                sockets: Sockets::default(),
                complained: false,
            }),
        }
    }

    /// Begins the first window.
    pub(super) fn begin(&mut self, probes: &mut Probes, start: MonoNs) {
        let Some(sources) = &mut self.sources else { return };
        probes.threads(|slot| sources.times.thread(slot, start));
        sources.times.begin(start);
        sources.times.take_lasting();
        probes.drain_waits(|_| ());
        let _ = sources.blame.take(probes.blame());
    }

    /// Takes the times of ended threads, and the waits; at every poll. Calls `stacks` for each process with new user stacks.
    pub(super) fn poll(&mut self, probes: &mut Probes, now: MonoNs, mut stacks: impl FnMut(Tgid)) {
        let Some(sources) = &mut self.sources else { return };
        probes.bury_threads(|slot| sources.times.thread(slot, now));
        probes
            .drain_waits(|record| sources.waits.record(&record).into_iter().flatten().for_each(&mut stacks));
    }

    /// Processes whose stacks met code that the unwinder does not know, since the last call.
    pub(super) fn take_stale(&mut self) -> Vec<(Tgid, bool)> {
        self.sources.as_mut().map(|sources| sources.waits.take_stale()).unwrap_or_default()
    }

    /// Code objects in the Python frames of waits since the last call.
    pub(super) fn take_code(&mut self) -> Vec<(Tgid, Vec<u64>)> {
        self.sources.as_mut().map(|sources| sources.waits.take_code()).unwrap_or_default()
    }

    /// Closes the window that runs since `start`.
    pub(super) fn close(
        &mut self,
        probes: &mut Probes,
        (start, now): (MonoNs, MonoNs),
        comm: impl FnMut(Tgid) -> Arc<str>,
    ) -> SchedRows {
        let Some(sources) = &mut self.sources else { return SchedRows::default() };
        probes.threads(|slot| sources.times.thread(slot, now));
        let blame = sources.blame.take(probes.blame()).unwrap_or_else(|error| {
            if !std::mem::replace(&mut sources.complained, true) {
                tracing::warn!(%error, "cannot read which processes ran while others waited for a CPU");
            }
            Vec::new()
        });
        let times = sources.times.close(now, comm);
        let (locks, others): (Vec<_>, Vec<_>) = sources
            .times
            .take_lasting()
            .into_iter()
            .partition(|lasting| lasting.wait.state == State::FutexLock);
        for lock in &locks {
            sources.waits.still_locked(lock, start, now);
        }
        for (lasting, held) in sources.lasting.held(&others, &mut sources.sockets) {
            sources.waits.still_open(&lasting, held, start, now);
        }
        let mut waits = sources.waits.take();
        sources.polled.name(&mut waits, &mut sources.sockets, now);
        sources.servers.name(&mut waits, &mut sources.sockets, now);
        sources.sockets.forget();
        let priorities = sources.priorities.close(&times, &waits, now, now.since(start).0);
        SchedRows { times, waits, blame, priorities }
    }
}

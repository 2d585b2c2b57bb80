//! The collector's part of syscall accounting: counters to rows, calls in flight, and whether calls are timed.

use agent_common::abi::process::{generation_of, tgid_of};
use agent_common::abi::syscalls::SyscallKey;
use agent_common::units::{MonoNs, Tgid};
use diagnosis::window::{InFlight, SyscallRow};

use super::{CALM_WINDOWS, Collector, Filter, known_comm, observed};
use crate::config::SyscallTier;

/// Syscalls a second and CPU above which timing every call costs too much: 200,000 × 0.3 µs are 6 % of a CPU.
const TIMES_MAX_PER_CPU: u64 = 200_000;

impl Collector {
    /// Reads the syscall counters into differences and deletes those of processes that have ended.
    pub(super) fn read_syscalls(&mut self) {
        // Exits first: what a process did before its exit event is in the counters by now.
        self.drain_process();
        self.syscalls.begin(self.process.take_reap());
        let syscalls = &mut self.syscalls;
        if let Err(error) = self.probes.read_syscalls(|key, value| syscalls.counter(key, value)) {
            tracing::warn!(%error, "cannot read the syscall counters; they are read again with the next window");
            return;
        }
        let probes = &self.probes;
        let delete: Vec<SyscallKey> = self.syscalls.end(|key| probes.cached(key));
        match self.probes.delete_syscalls(&delete) {
            Ok(deleted) => self.keys_deleted += deleted,
            Err(error) => tracing::warn!(%error, "cannot delete syscall counters of ended processes"),
        }
    }

    pub(super) fn tier(&self) -> &'static str {
        match (self.options.syscalls, self.timing) {
            (SyscallTier::Off, _) => "off",
            (_, true) => "times",
            (_, false) => "counts",
        }
    }

    /// With `auto`: times calls until that costs too much, then counts until [`CALM_WINDOWS`](super::CALM_WINDOWS) calm windows have passed.
    pub(super) fn choose_tier(&mut self, calls: u64, seconds: f64) {
        if self.options.syscalls != SyscallTier::Auto {
            return;
        }
        let per_cpu = calls as f64 / seconds.max(1e-3) / self.probes.cpus() as f64;
        let max = TIMES_MAX_PER_CPU as f64;
        if self.timing && per_cpu > max {
            tracing::info!(per_cpu, "many syscalls: counting them without times from now on");
            self.timing = self.probes.set_syscall_times(false);
            self.calm = 0;
        } else if !self.timing && self.probes.can_time() {
            self.calm = if per_cpu < max / 2.0 { self.calm + 1 } else { 0 };
            if self.calm >= CALM_WINDOWS {
                tracing::info!(per_cpu, "fewer syscalls: timing them again");
                self.timing = self.probes.set_syscall_times(true);
            }
        }
    }

    pub(super) fn calls_in_flight(&mut self, now: MonoNs) -> Vec<InFlight> {
        if self.options.syscalls == SyscallTier::Off {
            return Vec::new();
        }
        let filter = &self.options.filter;
        let passes = |tgid: Tgid| match filter {
            Filter::Tgids { tgids, follow } => *follow || tgids.contains(&tgid),
            Filter::All | Filter::Cgroup(_) => true,
        };
        let probes = &self.probes;
        let calls = if self.timing {
            self.in_flight.timed(probes.in_flight(), |tid| probes.entry_slot(tid), passes)
        } else {
            self.in_flight.look_on(observed(filter).into_iter(), now);
            self.in_flight.counted(passes)
        };
        calls
            .into_iter()
            .map(|call| InFlight {
                tgid: call.tgid,
                tid: call.tid,
                comm: self.process.comm(call.tgid, || known_comm(&self.tasks, call.tgid)),
                abi: call.abi,
                nr: call.nr,
                age: call.age(now),
                at_least: call.at_least,
            })
            .collect()
    }

    pub(super) fn syscall_rows(&mut self) -> Vec<SyscallRow> {
        let mut rows: Vec<SyscallRow> = self
            .syscalls
            .take()
            .into_iter()
            .map(|((process, abi, nr), delta)| {
                let tgid = Tgid(tgid_of(process));
                let mut histogram: Vec<(u8, u64)> = delta.histogram.into_iter().collect();
                histogram.sort_unstable();
                let mut errnos: Vec<(u16, u64)> = delta.errnos.into_iter().collect();
                errnos.sort_unstable();
                SyscallRow {
                    tgid,
                    generation: generation_of(process),
                    comm: self.process.comm_of(process, || known_comm(&self.tasks, tgid)),
                    abi,
                    nr,
                    count: delta.count,
                    errors: errnos.iter().map(|(_, calls)| calls).sum(),
                    errnos,
                    timed: delta.timed,
                    total: delta.total,
                    max: delta.max,
                    histogram,
                }
            })
            .collect();
        rows.sort_unstable_by_key(|r| (r.tgid, r.generation, r.abi, r.nr));
        rows
    }
}

//! The collector: attaches the probes, drains them, closes one window a second.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agent_common::abi::process::numbered;
use agent_common::abi::sched::State;
use agent_common::units::{DurNs, MonoNs, Tgid, Tid};
use agent_common::wire::report::{
    Coverage, ENDS_LEFT_OUT, LEFT_ALONE, MAPPINGS_LOST, NO_ANSWER, UNWIND_NO_ROOM,
};
use diagnosis::window::{ProcessExit, ProcessName, ProcessTimes, TaskSample, TaskTotals, Wait, Window};
use profile::Sample;

use crate::bpf::{LoadSpec, Probes, StartError, Verdict};
use crate::clock;
use crate::config::SyscallTier;
use crate::namespaces;
use crate::source::endings::{Around, Ended, EndingSource};
use crate::source::file_locks;
use crate::source::frozen::FrozenSource;
use crate::source::host::HostSource;
use crate::source::in_flight::InFlightSource;
use crate::source::oncpu::{Fresh, OncpuSource};
use crate::source::process::ProcessSource;
use crate::source::process_names::{self, ProcessNames};
use crate::source::resources::{Closing, ResourceRows, ResourceSource};
use crate::source::standstill::StandstillSource;
use crate::source::syscalls::SyscallSource;
use crate::source::task::TaskSource;
use crate::source::unwind::Unwinding;

mod audit;
mod mapped;
mod options;
mod sched;
mod syscalls;
mod ticks;

pub use options::{Filter, Options};

use audit::Audit;
use mapped::Mapped;
use sched::Sched;

/// Listening sockets that are not looked at.
const UNWATCHED: &str =
    "net: accept queues in some network namespaces (the daemon's log says which, and why)";

/// Longest wait at the start for the unwind tables of the observed processes: one process takes some 10 ms.
const TABLES_PATIENCE: Duration = Duration::from_secs(2);

/// The collector reads the kernel's hash of counters early when one part in this many is full: the rest is room for 100 ms of
/// process churn.
const DRAIN_AT: u64 = 2;

/// Softirqs a second and CPU above which accounting each costs too much: 40,000 × 2 × 0.13 µs are 1 % of a CPU. The collector then
/// accounts them in one window of [`CALM_WINDOWS`].
const SOFTIRQS_MAX_PER_CPU: u64 = 40_000;
/// Windows below half of a limit after which timing starts again.
const CALM_WINDOWS: u32 = 30;

/// Attached probes, and the state to make windows of their counters. Its methods block: it runs on a thread of its own.
#[derive(Debug)]
pub struct Collector {
    probes: Probes,
    options: Options,
    process: ProcessSource,
    names: ProcessNames,
    oncpu: OncpuSource,
    fresh: Vec<Fresh>,
    syscalls: SyscallSource,
    in_flight: InFlightSource,
    endings: EndingSource,
    ended: Vec<Ended>,
    standstill: StandstillSource,
    frozen: FrozenSource,
    resources: ResourceSource,
    unwinding: Option<Unwinding>,
    mapped: Mapped,
    number: u32,
    softirqs_paused: u32,
    sched: Sched,
    proc: Option<(HostSource, TaskSource)>,
    tasks: Vec<Arc<TaskSample>>,
    audit: Audit,
    start: MonoNs,
    keys_deleted: u64,
    /// Files given up until the end of the last window.
    blocked: opener::Counts,
    timing: bool,
    calm: u32,
}

impl Collector {
    /// Interval of [`Self::poll`]: ring buffers have room for several of it.
    pub const POLL: Duration = Duration::from_millis(100);

    /// Loads and attaches the probes.
    pub fn start(options: Options) -> Result<Self, StartError> {
        if let Some((what, cure)) = namespaces::obstacle() {
            return Err(StartError::Unsupported { what, cure });
        }
        let spec = LoadSpec {
            rate_hz: options.rate_hz.max(1),
            filter: matches!(options.filter, Filter::Tgids { .. }),
            cgroup: matches!(options.filter, Filter::Cgroup(_)),
            syscalls: options.syscalls != SyscallTier::Off,
            resources: options.resources,
            sched: options.sched,
            endings: options.endings,
            debug: tracing::enabled!(target: "bpf", tracing::Level::DEBUG),
        };
        let mut probes = Probes::load(&spec)?;
        match &options.filter {
            Filter::All => {}
            Filter::Tgids { tgids, follow } => {
                for tgid in tgids {
                    probes.filter_add(tgid.0)?;
                }
                let follow_forks = u32::from(*follow);
                probes.set(|s| (s.filter_tgids, s.follow_forks) = (1, follow_forks))?;
            }
            Filter::Cgroup(id) => probes.set(|s| s.filter_cgroup = *id)?,
        }
        // Process life first: a process that begins while the rest is attached is then known.
        if options.endings {
            probes.attach_endings();
        }
        probes.attach_process();
        let mut in_flight = InFlightSource::default();
        let times = matches!(options.syscalls, SyscallTier::Times | SyscallTier::Auto);
        if options.syscalls != SyscallTier::Off {
            probes.attach_syscalls(times);
            in_flight.look_at_all(observed(&options.filter), clock::mono());
        }
        if options.resources {
            probes.attach_resources();
        }
        let sched = if options.sched {
            let users = options.syscalls != SyscallTier::Off;
            Sched::start(&mut probes, observed(&options.filter), users, clock::mono())
        } else {
            Sched::default()
        };
        let unwinding = match probes.take_unwind() {
            Some(maps) if options.rate_hz > 0 || options.sched => Some(Unwinding::start(maps)?),
            _ => None,
        };
        if let (Some(unwinding), Filter::Tgids { tgids, .. }) = (&unwinding, &options.filter) {
            unwinding.prepare(tgids, TABLES_PATIENCE);
        }
        let mapped = if options.rate_hz > 0 { Mapped::start(&probes) } else { Mapped::default() };
        if options.rate_hz > 0 {
            probes.attach_sampling(options.rate_hz);
        }
        let proc = options.proc.then(|| (HostSource::new(), TaskSource::new()));
        // What was sampled while all this was set up belongs to no window.
        probes.drain_samples(|_, _, _, _| {});
        let start = clock::mono();
        let timing = probes.syscall_times();
        let mut collector = Self {
            audit: Audit::new(&probes, options.rate_hz, start),
            process: ProcessSource::default(),
            names: ProcessNames::default(),
            oncpu: OncpuSource::default(),
            fresh: Vec::new(),
            syscalls: SyscallSource::default(),
            in_flight,
            endings: EndingSource::default(),
            ended: Vec::new(),
            standstill: StandstillSource::default(),
            frozen: FrozenSource::default(),
            resources: ResourceSource::new(),
            unwinding,
            mapped,
            number: 0,
            softirqs_paused: 0,
            sched,
            proc,
            tasks: Vec::new(),
            start,
            keys_deleted: 0,
            blocked: opener::blocked(),
            timing,
            calm: 0,
            probes,
            options,
        };
        collector.poll();
        collector.sched.begin(&mut collector.probes, collector.start);
        tracing::info!(tier = collector.tier(), rate_hz = collector.options.rate_hz, "probes attached");
        Ok(collector)
    }

    /// The verdict of each probe.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        self.probes.verdicts()
    }

    /// Drains the ring buffers.
    pub fn poll(&mut self) {
        self.drain_process();
        let oncpu = &mut self.oncpu;
        self.probes.drain_samples(|header, kernel, user, copied| oncpu.sample(header, kernel, user, copied));
        self.sched.poll(&mut self.probes, clock::mono(), |tgid| oncpu.seen(tgid));
        let endings = &mut self.endings;
        self.probes.drain_endings(|ending, user, copied| {
            endings.begins(ending, user, copied);
            oncpu.seen(Tgid(ending.tgid));
        });
        // A process that was forked and sampled between the two: its fork event has arrived by now.
        self.drain_process();
        let sampled = self.oncpu.take_sampled();
        if let Some(unwinding) = &self.unwinding {
            unwinding.sampled(sampled);
            unwinding.sampled(self.sched.take_stale());
        }
        let process = &self.process;
        let fresh = self.oncpu.take_fresh(|tgid| process.forked_by(tgid));
        self.mapped.take(&fresh, clock::mono());
        self.fresh.extend(fresh);
        if let Some(unwinding) = &self.unwinding {
            self.mapped.look(unwinding);
            self.mapped.walk(&mut self.oncpu, &mut self.endings, unwinding);
        }
        let program = |tgid, at| self.mapped.program(tgid, at);
        let mapped = |tgid| self.mapped.of(tgid);
        let around = Around { tasks: &self.tasks, program: &program, mapped: &mapped };
        self.ended.extend(self.endings.finish(&self.probes, clock::mono(), &around));
        if self.probes.keys_made().saturating_sub(self.keys_deleted) > self.probes.keys_room() / DRAIN_AT {
            self.read_syscalls();
        }
    }

    /// Mappings of sampled processes since the last call, so that their addresses get names after their end.
    pub fn take_mapped(&mut self) -> Vec<(Tgid, flamegraphs::Mapped)> {
        self.mapped.take_mapped()
    }

    /// Processes sampled for the first time since the last call, so that the symbolizer can read their mappings while they live, or
    /// their parents' mappings after their end.
    pub fn take_fresh(&mut self) -> Vec<Fresh> {
        std::mem::take(&mut self.fresh)
    }

    /// Processes that ended badly since the last call.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// Python code objects on stacks since the last call, by process, to be read while the process lives.
    pub fn take_code(&mut self) -> Vec<(Tgid, Vec<u64>)> {
        let mut code = self.oncpu.take_code();
        code.extend(self.sched.take_code());
        code
    }

    fn drain_process(&mut self) {
        let (process, oncpu, syscalls) = (&mut self.process, &mut self.oncpu, &mut self.syscalls);
        let (names, endings) = (&mut self.names, &mut self.endings);
        let sees_ends = self.options.endings;
        let unwinding = self.unwinding.as_ref();
        self.probes.drain_process(|event| {
            oncpu.forget(Tgid(event.tgid));
            if let Some(unwinding) = unwinding {
                unwinding.event(event);
            }
            if event.kind == agent_common::abi::process::KIND_FORK {
                syscalls.alive(numbered(event.tgid, event.start_boot_ns));
            }
            names.event(event);
            if sees_ends && event.kind == agent_common::abi::process::KIND_EXIT {
                endings.exit(event, process.forked_by(Tgid(event.tgid)).is_some());
            }
            process.event(event);
        });
    }

    /// Marks the running window as the last: its close reads everything once more.
    pub fn end(&mut self) {
        self.audit.end();
    }

    /// Closes the running window and starts the next. `None` when no time has passed.
    pub fn close_window(&mut self) -> Option<Window> {
        self.poll();
        if self.options.syscalls != SyscallTier::Off {
            self.read_syscalls();
        }
        let (end, end_unix) = (clock::mono(), clock::unix());
        let start = std::mem::replace(&mut self.start, end);
        if end <= start {
            return None;
        }
        let (process, known) = (&mut self.process, &self.tasks);
        let comm = |tgid| process.comm(tgid, || known_comm(known, tgid));
        let sched = self.sched.close(&mut self.probes, (start, end), comm);
        let (host, tasks) = match &mut self.proc {
            Some((host, tasks)) => (host.sample(), tasks.sample()),
            None => (diagnosis::window::HostSample::default(), Vec::new()),
        };
        self.tasks.clone_from(&tasks);
        let in_flight = self.calls_in_flight(end);
        let syscalls = self.syscall_rows();
        let calls = syscalls.iter().map(|r| r.count).sum::<u64>();
        let (mut exits, forks) = self.process.take();
        if let Some((_, tasks)) = &self.proc {
            for exit in &mut exits {
                let all = TaskTotals { cpu: exit.cpu, min_flt: exit.min_flt, maj_flt: exit.maj_flt };
                exit.before = tasks.before(exit.tgid, exit.start_boot_ns).unwrap_or(all);
            }
        }
        self.unfilter(&exits);
        let resources = if self.options.resources {
            self.close_resources(end, end.since(start))
        } else {
            ResourceRows::default()
        };
        let waited = |row: &ProcessTimes| row.states.iter().any(|(state, _)| *state == State::FileLock);
        let file_locks = file_locks::rows(sched.times.iter().any(waited), &syscalls);
        let standstills = self.standstill.close(&sched.times, &tasks, (start, end));
        let frozen = self.frozen.close(&sched.times, &sched.waits, (start, end));
        let span = end.since(start);
        if let Some(unwinding) = &self.unwinding {
            Mapped::finish(&mut self.oncpu, &mut self.endings, unwinding);
        }
        let (samples, unwound, pythons) =
            (self.oncpu.take(), self.oncpu.take_unwound(), self.oncpu.take_pythons());
        let names = names_of(&mut self.names, &samples, &sched.waits);
        let mut coverage = self.audit.coverage(&self.probes, (start, end), samples.len() as u64, self.tier());
        let not_delivered = self.mapped.take_lost();
        if not_delivered > 0 {
            coverage.lost.insert(MAPPINGS_LOST.to_owned(), not_delivered);
        }
        if resources.unwatched_namespaces > 0 {
            coverage.missing.push(UNWATCHED.to_owned());
        }
        self.count_blocked(&mut coverage);
        let mut self_cost = self.audit.self_cost(&self.probes, span);
        self_cost.map_bytes += self.mapped.bytes();
        if let Some(unwinding) = &self.unwinding {
            self_cost.unwind = unwinding.take_cost();
            self_cost.map_bytes += self_cost.unwind.bytes;
            if self_cost.unwind.refused > 0 {
                coverage.lost.insert(UNWIND_NO_ROOM.to_owned(), self_cost.unwind.refused);
            }
        }
        self.choose_tier(calls, span.as_secs_f64());
        Some(Window {
            start,
            end,
            end_unix,
            host,
            tasks,
            exits,
            forks,
            syscalls,
            in_flight,
            times: sched.times,
            samples,
            names,
            remapped: self.mapped.take_remapped(),
            unwound,
            pythons,
            waits: sched.waits,
            blame: sched.blame,
            file_locks,
            standstills,
            frozen,
            priorities: sched.priorities,
            blockio: resources.blockio,
            memory: resources.memory,
            oom_kills: resources.oom_kills,
            net: resources.net,
            irqs: resources.irqs,
            signals: resources.signals,
            locks: resources.locks,
            coverage,
            self_cost,
            own: Tgid(std::process::id()),
        })
    }

    /// Removes ended processes from the filter.
    fn unfilter(&mut self, exits: &[ProcessExit]) {
        if matches!(self.options.filter, Filter::Tgids { .. }) {
            for exit in exits {
                self.probes.filter_remove(exit.tgid.0);
            }
        }
    }

    /// Counts files given up and ends left out since the last window.
    fn count_blocked(&mut self, coverage: &mut Coverage) {
        let (now, last) = (opener::blocked(), self.blocked);
        self.blocked = now;
        for (reason, count) in [
            (NO_ANSWER, now.gave_up_total - last.gave_up_total),
            (LEFT_ALONE, now.refused_total - last.refused_total),
            (ENDS_LEFT_OUT, self.endings.take_dropped()),
        ] {
            if count > 0 {
                coverage.lost.insert(reason.to_owned(), count);
            }
        }
    }

    fn close_resources(&mut self, end: MonoNs, span: DurNs) -> ResourceRows {
        let window = self.number;
        self.number = self.number.wrapping_add(1);
        let next = self.number;
        if let Err(error) = self.probes.set(|s| s.window = next) {
            tracing::debug!(%error, "the programs do not know of the new window: maxima are those of two");
        }
        let (process, tasks) = (&mut self.process, &self.tasks);
        let mut comm = |tgid: Tgid| match tgid {
            Tgid(0) => "".into(),
            tgid => process.comm(tgid, || known_comm(tasks, tgid)),
        };
        let rows =
            self.resources.close(&mut self.probes, &mut Closing { window, end, tasks, comm: &mut comm });
        let softirqs: u64 = rows.irqs.iter().flat_map(|row| &row.softirq).map(|(_, count, _)| count).sum();
        self.choose_softirqs(softirqs as f64 / span.as_secs_f64() / self.probes.cpus() as f64);
        rows
    }

    fn choose_softirqs(&mut self, per_cpu: f64) {
        if self.probes.softirqs() {
            if per_cpu > SOFTIRQS_MAX_PER_CPU as f64 {
                tracing::info!(per_cpu, "many softirqs: accounting them in one window of {CALM_WINDOWS}");
                self.probes.set_softirqs(false);
                self.softirqs_paused = CALM_WINDOWS;
            }
        } else if self.softirqs_paused > 0 {
            self.softirqs_paused -= 1;
            if self.softirqs_paused == 0 {
                self.probes.set_softirqs(true);
            }
        }
    }
}

/// Names of the processes of samples, waits and wakers.
fn names_of(names: &mut ProcessNames, samples: &[Sample], waits: &[Wait]) -> Vec<ProcessName> {
    let waiting = waits.iter().map(|wait| (wait.tgid, wait.tid, wait.at, &wait.comm));
    let waking = waits
        .iter()
        .filter_map(|wait| wait.waker.as_ref().map(|waker| (waker.tgid, waker.tid, wait.at, &waker.comm)));
    let running = samples.iter().map(|one| (Tgid(one.tgid), Tid(one.tid), one.at, &one.comm));
    let mut tgids = BTreeSet::new();
    for (tgid, tid, at, comm) in running.chain(waiting).chain(waking).filter(|(tgid, ..)| tgid.0 != 0) {
        names.sampled(tgid, tid, at, comm);
        tgids.insert(tgid);
    }
    names.of(tgids, process_names::read)
}

fn known_comm(tasks: &[Arc<TaskSample>], tgid: Tgid) -> Option<Arc<str>> {
    // `/proc` lists processes by number.
    let at = tasks.binary_search_by_key(&tgid, |t| t.tgid).ok()?;
    Some(Arc::clone(&tasks[at].comm))
}

/// Processes that pass the filter now.
fn observed(filter: &Filter) -> Vec<Tgid> {
    match filter {
        Filter::Tgids { tgids, .. } => tgids.clone(),
        Filter::All | Filter::Cgroup(_) => {
            let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
            entries.filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok()).map(Tgid)).collect()
        }
    }
}

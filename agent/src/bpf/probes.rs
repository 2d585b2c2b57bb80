//! Attached programs and typed reads of their maps.

use std::os::fd::{AsFd as _, BorrowedFd};

use agent_common::abi::drops::DropReason;
use agent_common::abi::oncpu::{SampleHeader, SampleTicks};
use agent_common::abi::process::ProcessEvent;
use agent_common::abi::settings::Settings;
use agent_common::abi::syscalls::{SyscallEntry, SyscallKey, SyscallValue};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::{PerfEvent, ProgramError, RawTracePoint};
use aya::{Ebpf, util};

use super::entries::Entries;
use super::load::{self, LoadSpec};
use super::sys::{self, Batch};
use super::verdict::{State, Verdict};
use crate::collector::StartError;

/// Plain data in maps.
#[repr(transparent)]
#[derive(Clone, Copy, Default)]
struct Plain<T>(T);
// SAFETY: used with ABI types only, which are `repr(C)` integers without padding.
unsafe impl<T: Copy + 'static> aya::Pod for Plain<T> {}

/// [`SyscallKey`] without its wish for a `Default`.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Key(SyscallKey);
impl Default for Key {
    fn default() -> Self {
        Self(SyscallKey { tgid: 0, nr: 0, cpu: 0, bucket: 0, flags: 0, pad: 0 })
    }
}

/// The loaded object.
pub struct Probes {
    ebpf: Ebpf,
    verdicts: Vec<Verdict>,
    settings: Settings,
    settings_map: Array<MapData, Plain<Settings>>,
    filter: HashMap<MapData, u32, u32>,
    syscalls: Map,
    batch: Batch<Key, SyscallValue>,
    entries: Entries,
    keys_made: PerCpuArray<MapData, u64>,
    drops: PerCpuArray<MapData, u64>,
    ticks: PerCpuArray<MapData, Plain<SampleTicks>>,
    samples: RingBuf<MapData>,
    process_events: RingBuf<MapData>,
    enter_link: Option<RawTracePointLinkId>,
    enter_loaded: bool,
    cpus: Vec<u32>,
    map_bytes: u64,
}

impl std::fmt::Debug for Probes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probes").field("verdicts", &self.verdicts).finish_non_exhaustive()
    }
}

impl Probes {
    /// Loads the maps. Nothing runs in the kernel before one of the `attach_*` calls.
    pub fn load(spec: &LoadSpec) -> Result<Self, StartError> {
        let cpus = util::online_cpus().map_err(|(_, e)| StartError::Broken(e.into()))?;
        let (mut ebpf, slots) = load::load(spec, cpus.len())?;
        let map_bytes = ebpf.maps().filter_map(|(_, m)| map_fd(m).ok()).map(sys::map_bytes).sum();
        let no_map = |name: &str| StartError::Broken(anyhow::anyhow!("the object has no map {name}"));
        let entry_map = ebpf.map("SYSCALL_ENTRY").ok_or_else(|| no_map("SYSCALL_ENTRY"))?;
        let entries =
            Entries::map(map_fd(entry_map)?, slots as usize).map_err(|e| StartError::Broken(e.into()))?;
        let mut take = |name: &str| ebpf.take_map(name).ok_or_else(|| no_map(name));
        let broken = |e: aya::maps::MapError| StartError::Broken(e.into());
        let probes = Self {
            settings: Settings::default(),
            settings_map: Array::try_from(take("SETTINGS")?).map_err(broken)?,
            filter: HashMap::try_from(take("FILTER_TGIDS")?).map_err(broken)?,
            syscalls: take("SYSCALLS")?,
            batch: Batch::new(4096),
            entries,
            keys_made: PerCpuArray::try_from(take("KEYS_MADE")?).map_err(broken)?,
            drops: PerCpuArray::try_from(take("DROPS")?).map_err(broken)?,
            ticks: PerCpuArray::try_from(take("SAMPLE_TICKS")?).map_err(broken)?,
            samples: RingBuf::try_from(take("SAMPLES")?).map_err(broken)?,
            process_events: RingBuf::try_from(take("PROCESS_EVENTS")?).map_err(broken)?,
            verdicts: Vec::new(),
            enter_link: None,
            enter_loaded: false,
            cpus,
            map_bytes,
            ebpf,
        };
        // aya parses the kernel's whole BTF when a loader is made and drops it at once: give those 40 MB back.
        // SAFETY: no preconditions.
        unsafe { libc::malloc_trim(0) };
        Ok(probes)
    }

    /// How each program fared so far.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Online CPUs when the object was loaded.
    #[must_use]
    pub fn cpus(&self) -> usize {
        self.cpus.len()
    }

    /// Changes the settings of running programs.
    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) -> Result<(), StartError> {
        change(&mut self.settings);
        self.settings_map.set(0, Plain(self.settings), 0).map_err(|e| StartError::Broken(e.into()))
    }

    /// Adds a process to the filter.
    pub fn filter_add(&mut self, tgid: u32) -> Result<(), StartError> {
        self.filter.insert(tgid, 1, 0).map_err(|e| StartError::Broken(e.into()))
    }

    /// Takes a process that has ended out of the filter.
    pub fn filter_remove(&mut self, tgid: u32) {
        let _ = self.filter.remove(&tgid);
    }

    fn record(&mut self, program: &'static str, result: Result<(), ProgramError>) -> bool {
        let verdict = Verdict::new(program, result.as_ref().map(|_| ()));
        let works = verdict.state == State::Works;
        if !works {
            tracing::warn!(program, state = ?verdict.state, detail = verdict.detail, "probe refused");
        }
        self.verdicts.retain(|v| v.program != program);
        self.verdicts.push(verdict);
        works
    }

    fn attach_raw(&mut self, program: &'static str, tracepoint: &str) -> bool {
        let result = raw(&mut self.ebpf, program)
            .and_then(|p| p.load().map(|()| p))
            .and_then(|p| p.attach(tracepoint).map(|_| ()));
        self.record(program, result)
    }

    /// Attaches fork, exec and exit.
    pub fn attach_process(&mut self) {
        self.attach_raw("process_fork", "sched_process_fork");
        self.attach_raw("process_exec", "sched_process_exec");
        self.attach_raw("process_exit", "sched_process_exit");
    }

    /// Attaches the syscall probes; `times` also the entry side.
    pub fn attach_syscalls(&mut self, times: bool) {
        if times {
            self.set_syscall_times(true);
        }
        self.attach_raw("syscall_exit", "sys_exit");
    }

    /// Switches between counting and timing while the programs run. Returns whether timing is on afterwards.
    pub fn set_syscall_times(&mut self, times: bool) -> bool {
        if times && self.enter_link.is_none() {
            let loaded = self.enter_loaded;
            let result = raw(&mut self.ebpf, "syscall_enter").and_then(|p| {
                if !loaded {
                    p.load()?;
                }
                p.attach("sys_enter")
            });
            let result = result.map(|link| self.enter_link = Some(link));
            self.enter_loaded |= result.is_ok();
            if self.record("syscall_enter", result) {
                let _ = self.set(|s| s.syscall_times = 1);
            }
        } else if !times && let Some(link) = self.enter_link.take() {
            // First stop pairing, then stop filling: the other order would pair exits with entries long past.
            let _ = self.set(|s| s.syscall_times = 0);
            if let Ok(program) = raw(&mut self.ebpf, "syscall_enter") {
                let _ = program.detach(link);
            }
        }
        self.enter_link.is_some()
    }

    /// Starts sampling every CPU at `rate_hz`.
    pub fn attach_sampling(&mut self, rate_hz: u32) {
        let cpus = self.cpus.clone();
        let attach = |ebpf: &mut Ebpf| -> Result<(), ProgramError> {
            let program: &mut PerfEvent = ebpf
                .program_mut("oncpu_sample")
                .ok_or(ProgramError::NotLoaded)?
                .try_into()?;
            program.load()?;
            for cpu in cpus {
                program.attach(
                    PerfEventConfig::Software(SoftwareEvent::CpuClock),
                    PerfEventScope::AllProcessesOneCpu { cpu },
                    SamplePolicy::Frequency(u64::from(rate_hz)),
                    false,
                )?;
            }
            Ok(())
        };
        let result = attach(&mut self.ebpf);
        self.record("oncpu_sample", result);
    }

    /// Attaches the empty programs: the yardstick of the benchmark.
    pub fn attach_empty(&mut self, enter: bool) -> Result<(), StartError> {
        let mut attach = |program, tracepoint| {
            raw(&mut self.ebpf, program)
                .and_then(|p| p.load().map(|()| p))
                .and_then(|p| p.attach(tracepoint).map(|_| ()))
                .map_err(|e| StartError::Broken(e.into()))
        };
        if enter {
            attach("empty_enter", "sys_enter")?;
        }
        attach("empty_exit", "sys_exit")
    }

    /// Calls `each` for every syscall counter. Returns the system calls it took.
    pub fn read_syscalls(&mut self, mut each: impl FnMut(&SyscallKey, &SyscallValue)) -> std::io::Result<usize> {
        let fd = map_fd(&self.syscalls).map_err(std::io::Error::other)?;
        self.batch.read(fd, |key, value| each(&key.0, value))
    }

    /// Deletes counters of processes that have ended. Returns how many.
    pub fn delete_syscalls(&mut self, keys: &[SyscallKey]) -> std::io::Result<u64> {
        sys::delete(map_fd(&self.syscalls).map_err(std::io::Error::other)?, keys)
    }

    /// Counters ever made.
    pub fn keys_made(&self) -> u64 {
        self.keys_made.get(&0, 0).map_or(0, |cpus| cpus.iter().sum())
    }

    /// Syscalls in flight whose entry was seen.
    pub fn in_flight(&self) -> impl Iterator<Item = SyscallEntry> + '_ {
        self.entries.in_flight()
    }

    /// The entry slot of a thread, whoever is in it.
    #[must_use]
    pub fn entry_slot(&self, tid: u32) -> SyscallEntry {
        self.entries.slot(tid)
    }

    /// Losses since load, by reason.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .into_iter()
            .map(|r| (r, self.drops.get(&(r as u32), 0).map_or(0, |cpus| cpus.iter().sum::<u64>())))
    }

    /// Sampling ticks since load, all CPUs.
    pub fn ticks(&self) -> SampleTicks {
        let mut sum = SampleTicks::default();
        if let Ok(cpus) = self.ticks.get(&0, 0) {
            for Plain(t) in cpus.iter() {
                sum.busy += t.busy;
                sum.idle += t.idle;
                sum.filtered += t.filtered;
            }
        }
        sum
    }

    /// Takes the samples out of the ring: header, kernel frames, user frames, leaf first.
    pub fn drain_samples(&mut self, mut each: impl FnMut(&SampleHeader, &[u64], &[u64])) {
        let mut frames = Vec::with_capacity(256);
        while let Some(item) = self.samples.next() {
            let Some((head, rest)) = item.split_at_checked(size_of::<SampleHeader>()) else { continue };
            // SAFETY: the header is `repr(C)` integers; the length was checked; unaligned reads are allowed.
            let header = unsafe { head.as_ptr().cast::<SampleHeader>().read_unaligned() };
            frames.clear();
            frames.extend(rest.chunks_exact(8).map(|b| u64::from_ne_bytes([
                b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7],
            ])));
            let kernel = usize::from(header.kernel_frames).min(frames.len());
            let user = (kernel + usize::from(header.user_frames)).min(frames.len());
            each(&header, &frames[..kernel], &frames[kernel..user]);
        }
    }

    /// Takes the process events out of the ring.
    pub fn drain_process(&mut self, mut each: impl FnMut(&ProcessEvent)) {
        while let Some(item) = self.process_events.next() {
            if item.len() >= size_of::<ProcessEvent>() {
                // SAFETY: `repr(C)` integers; the length was checked; unaligned reads are allowed.
                each(&unsafe { item.as_ptr().cast::<ProcessEvent>().read_unaligned() });
            }
        }
    }

    /// Kernel memory of all maps (they are preallocated: it does not change).
    #[must_use]
    pub const fn map_bytes(&self) -> u64 {
        self.map_bytes
    }
}

fn raw<'a>(ebpf: &'a mut Ebpf, program: &str) -> Result<&'a mut RawTracePoint, ProgramError> {
    ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// File descriptor of a map of the kinds the object has.
fn map_fd(map: &Map) -> Result<BorrowedFd<'_>, StartError> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data) => Ok(data.fd().as_fd()),
        _ => Err(StartError::Broken(anyhow::anyhow!("the object has a map of an unexpected kind"))),
    }
}

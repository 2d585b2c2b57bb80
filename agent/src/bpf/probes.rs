//! Attached programs and typed reads of their maps.

use std::os::fd::{AsFd as _, BorrowedFd};

use agent_common::abi::drops::DropReason;
use agent_common::abi::oncpu::{SampleHeader, SampleTicks};
use agent_common::abi::process::ProcessEvent;
use agent_common::abi::settings::Settings;
use agent_common::abi::syscalls::{
    CACHE_SLOTS, SyscallCache, SyscallEntry, SyscallKey, SyscallValue, cache_slot,
};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::programs::{BtfTracePoint, PerfEvent, ProgramError, RawTracePoint};
use aya::{Btf, Ebpf, util};

use super::load::{self, LoadSpec};
use super::mapped::Mapped;
use super::sys::{self, Batch};
use super::verdict::{State, Verdict};
use crate::collector::StartError;

/// Plain data in maps.
#[repr(transparent)]
#[derive(Clone, Copy, Default)]
struct Plain<T>(T);
// SAFETY: used with ABI types only, which are `repr(C)` integers without padding.
unsafe impl<T: Copy + 'static> aya::Pod for Plain<T> {}

/// Looks at a cache slot that is changing hands: some µs.
const SETTLE_TRIES: u32 = 1000;

/// Which of the two pairs of syscall programs this kernel took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SyscallPrograms {
    None,
    /// `tp_btf`, plain loads.
    Typed,
    /// `raw_tp`, checked reads.
    Checked,
}

enum EnterLink {
    Typed(BtfTracePointLinkId),
    Checked(RawTracePointLinkId),
}

/// The loaded object.
pub struct Probes {
    ebpf: Ebpf,
    verdicts: Vec<Verdict>,
    settings: Settings,
    settings_map: Array<MapData, Plain<Settings>>,
    filter: HashMap<MapData, u32, u32>,
    syscalls: Map,
    batch: Batch<SyscallKey, SyscallValue>,
    cached: std::collections::HashMap<SyscallKey, (SyscallValue, usize, u32)>,
    entries: Mapped<SyscallEntry>,
    cache: Mapped<SyscallCache>,
    keys_made: PerCpuArray<MapData, u64>,
    drops: PerCpuArray<MapData, u64>,
    ticks: PerCpuArray<MapData, Plain<SampleTicks>>,
    samples: RingBuf<MapData>,
    process_events: RingBuf<MapData>,
    syscall_programs: SyscallPrograms,
    enter_link: Option<EnterLink>,
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
        let (mut ebpf, sizes) = load::load(spec, cpus.len())?;
        let map_bytes = ebpf.maps().filter_map(|(_, m)| map_fd(m).ok()).map(sys::map_bytes).sum();
        let no_map = |name: &str| StartError::Broken(anyhow::anyhow!("the object has no map {name}"));
        let entry_map = ebpf.map("SYSCALL_ENTRY").ok_or_else(|| no_map("SYSCALL_ENTRY"))?;
        let mapped = |e: std::io::Error| StartError::Broken(e.into());
        let entries = Mapped::new(map_fd(entry_map)?, sizes.entry_slots as usize).map_err(mapped)?;
        let cache_map = ebpf.map("SYSCALL_CACHE").ok_or_else(|| no_map("SYSCALL_CACHE"))?;
        let cache = Mapped::new(map_fd(cache_map)?, sizes.cache_slots as usize).map_err(mapped)?;
        let mut take = |name: &str| ebpf.take_map(name).ok_or_else(|| no_map(name));
        let broken = |e: aya::maps::MapError| StartError::Broken(e.into());
        let probes = Self {
            settings: Settings::default(),
            settings_map: Array::try_from(take("SETTINGS")?).map_err(broken)?,
            filter: HashMap::try_from(take("FILTER_TGIDS")?).map_err(broken)?,
            syscalls: take("SYSCALLS")?,
            batch: Batch::new(4096),
            cached: std::collections::HashMap::new(),
            entries,
            cache,
            keys_made: PerCpuArray::try_from(take("KEYS_MADE")?).map_err(broken)?,
            drops: PerCpuArray::try_from(take("DROPS")?).map_err(broken)?,
            ticks: PerCpuArray::try_from(take("SAMPLE_TICKS")?).map_err(broken)?,
            samples: RingBuf::try_from(take("SAMPLES")?).map_err(broken)?,
            process_events: RingBuf::try_from(take("PROCESS_EVENTS")?).map_err(broken)?,
            verdicts: Vec::new(),
            syscall_programs: SyscallPrograms::None,
            enter_link: None,
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
        self.load_syscalls();
        if times {
            self.set_syscall_times(true);
        }
        let (program, result) = match self.syscall_programs {
            SyscallPrograms::None => return,
            SyscallPrograms::Typed => {
                ("syscall_exit", typed(&mut self.ebpf, "syscall_exit").and_then(|p| p.attach().map(|_| ())))
            }
            SyscallPrograms::Checked => (
                "syscall_exit_r",
                raw(&mut self.ebpf, "syscall_exit_r").and_then(|p| p.attach("sys_exit").map(|_| ())),
            ),
        };
        self.record(program, result);
    }

    /// Loads the pair of programs that this kernel takes, the cheaper one first.
    fn load_syscalls(&mut self) {
        let load_typed = |ebpf: &mut Ebpf| -> Result<(), ProgramError> {
            let btf = Btf::from_sys_fs().map_err(ProgramError::Btf)?;
            typed(ebpf, "syscall_enter")?.load("sys_enter", &btf)?;
            typed(ebpf, "syscall_exit")?.load("sys_exit", &btf)
        };
        let load_checked = |ebpf: &mut Ebpf| -> Result<(), ProgramError> {
            raw(ebpf, "syscall_enter_r")?.load()?;
            raw(ebpf, "syscall_exit_r")?.load()
        };
        let Err(refused) = load_typed(&mut self.ebpf) else {
            self.syscall_programs = SyscallPrograms::Typed;
            return;
        };
        self.record("syscall_exit", Err(refused));
        match load_checked(&mut self.ebpf) {
            Ok(()) => self.syscall_programs = SyscallPrograms::Checked,
            Err(e) => {
                self.record("syscall_exit_r", Err(e));
            }
        }
    }

    /// Switches between counting and timing while the programs run. Returns whether timing is on afterwards.
    pub fn set_syscall_times(&mut self, times: bool) -> bool {
        if times && self.enter_link.is_none() {
            let (program, result) = match self.syscall_programs {
                SyscallPrograms::None => return false,
                SyscallPrograms::Typed => (
                    "syscall_enter",
                    typed(&mut self.ebpf, "syscall_enter").and_then(|p| p.attach().map(EnterLink::Typed)),
                ),
                SyscallPrograms::Checked => (
                    "syscall_enter_r",
                    raw(&mut self.ebpf, "syscall_enter_r")
                        .and_then(|p| p.attach("sys_enter").map(EnterLink::Checked)),
                ),
            };
            let result = result.map(|link| self.enter_link = Some(link));
            if self.record(program, result) {
                let _ = self.set(|s| s.syscall_times = 1);
            }
        } else if !times && let Some(link) = self.enter_link.take() {
            // First stop pairing, then stop filling: the other order would pair exits with entries long past.
            let _ = self.set(|s| s.syscall_times = 0);
            let detached = match link {
                EnterLink::Typed(id) => typed(&mut self.ebpf, "syscall_enter").and_then(|p| p.detach(id)),
                EnterLink::Checked(id) => raw(&mut self.ebpf, "syscall_enter_r").and_then(|p| p.detach(id)),
            };
            if let Err(e) = detached {
                tracing::warn!(error = %e, "cannot detach the entry side of syscall timing");
            }
        }
        self.enter_link.is_some()
    }

    /// Whether calls are timed now.
    #[must_use]
    pub const fn syscall_times(&self) -> bool {
        self.enter_link.is_some()
    }

    /// Whether this kernel took the entry side.
    #[must_use]
    pub fn can_time(&self) -> bool {
        self.syscall_programs != SyscallPrograms::None
    }

    /// Starts sampling every CPU at `rate_hz`.
    pub fn attach_sampling(&mut self, rate_hz: u32) {
        let cpus = self.cpus.clone();
        let attach = |ebpf: &mut Ebpf| -> Result<(), ProgramError> {
            let program: &mut PerfEvent =
                ebpf.program_mut("oncpu_sample").ok_or(ProgramError::NotLoaded)?.try_into()?;
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

    /// Calls `each` for every syscall counter: cumulative values, each key once. Returns the system calls it took.
    ///
    /// A key is counted in its cache slot, in the hash, or in both. The cache is read first and then the hash; a
    /// slot whose key changed meanwhile may have been written back in between, so its old key is asked for once
    /// more, alone. Values never exceed the truth; a call that returns during the reading may be in the next one.
    pub fn read_syscalls(
        &mut self,
        mut each: impl FnMut(&SyscallKey, &SyscallValue),
    ) -> std::io::Result<usize> {
        self.cached.clear();
        for index in 0..self.cache.len() {
            let slot = self.settled_slot(index);
            if slot.value.count != 0 {
                self.cached.insert(slot.key, (slot.value, index, slot.seq));
            }
        }
        let mut in_hash = Vec::new();
        let fd = map_fd(&self.syscalls).map_err(std::io::Error::other)?;
        let cached = &self.cached;
        let calls = self.batch.read(fd, |key, value| {
            if cached.contains_key(key) {
                in_hash.push((*key, *value));
            } else {
                each(key, value);
            }
        })?;
        for (key, value) in in_hash {
            if let Some(entry) = self.cached.get_mut(&key) {
                entry.0 = sum(&entry.0, &value);
            }
        }
        for (key, (value, index, seq)) in &self.cached {
            if self.cache.get(*index).seq == *seq {
                each(key, value);
            } else {
                each(key, &self.read_alone(key, *index)?);
            }
        }
        Ok(calls)
    }

    /// A slot of the cache that is not changing hands. A change takes a fraction of a µs; on a preempted virtual CPU
    /// it may take long, and then the slot is given as it is, without a count.
    fn settled_slot(&self, index: usize) -> SyscallCache {
        for _ in 0..SETTLE_TRIES {
            let slot = self.cache.get(index);
            if slot.seq & 1 == 0 && self.cache.get(index).seq == slot.seq {
                return slot;
            }
            std::hint::spin_loop();
        }
        SyscallCache::default()
    }

    /// One key whose slot changed hands during the reading: cache and hash, of one moment.
    fn read_alone(&self, key: &SyscallKey, index: usize) -> std::io::Result<SyscallValue> {
        let fd = map_fd(&self.syscalls).map_err(std::io::Error::other)?;
        for _ in 0..SETTLE_TRIES {
            let slot = self.settled_slot(index);
            let value = sys::lookup(fd, key).unwrap_or_default();
            if self.cache.get(index).seq == slot.seq {
                return Ok(if slot.key == *key { sum(&slot.value, &value) } else { value });
            }
        }
        // Still changing: nothing is said of it now, the next reading has it.
        Ok(SyscallValue::default())
    }

    /// What the cache holds of `key`, not yet written back.
    #[must_use]
    pub fn cached(&self, key: &SyscallKey) -> Option<SyscallValue> {
        let index = (u32::from(key.cpu) * CACHE_SLOTS + cache_slot(key)) as usize;
        let slot = (index < self.cache.len()).then(|| self.cache.get(index))?;
        (slot.key == *key && slot.seq & 1 == 0).then_some(slot.value)
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
        self.entries.iter().filter(|e| e.start_ns != 0)
    }

    /// The entry slot of a thread, whoever is in it.
    #[must_use]
    pub fn entry_slot(&self, tid: u32) -> SyscallEntry {
        self.entries.get(tid as usize & (self.entries.len() - 1))
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
            frames.extend(
                rest.chunks_exact(8)
                    .map(|b| u64::from_ne_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])),
            );
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

fn sum(a: &SyscallValue, b: &SyscallValue) -> SyscallValue {
    SyscallValue {
        count: a.count + b.count,
        total_ns: a.total_ns + b.total_ns,
        max_ns: a.max_ns.max(b.max_ns),
    }
}

fn typed<'a>(ebpf: &'a mut Ebpf, program: &str) -> Result<&'a mut BtfTracePoint, ProgramError> {
    ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn raw<'a>(ebpf: &'a mut Ebpf, program: &str) -> Result<&'a mut RawTracePoint, ProgramError> {
    ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// File descriptor of a map of the kinds the object has.
fn map_fd(map: &Map) -> Result<BorrowedFd<'_>, StartError> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data) => {
            Ok(data.fd().as_fd())
        }
        _ => Err(StartError::Broken(anyhow::anyhow!("the object has a map of an unexpected kind"))),
    }
}

//! System calls: counters, the cache in front of them, the entry slots.

use agent_common::abi::syscalls::{
    CACHE_SLOTS, SyscallCache, SyscallEntry, SyscallKey, SyscallValue, cache_slot,
};
use aya::maps::{Map, MapData, PerCpuArray};
use aya::programs::ProgramError;
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::{Btf, Ebpf};

use super::{Maps, Probes, map_fd, raw, typed};
use crate::bpf::StartError;
use crate::bpf::load::Sizes;
use crate::bpf::mapped::Mapped;
use crate::bpf::sys::{self, Batch};

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

/// Maps and links of the syscall programs.
pub(super) struct Syscalls {
    counters: Map,
    batch: Batch<SyscallKey, SyscallValue>,
    cached: std::collections::HashMap<SyscallKey, (SyscallValue, usize, u32)>,
    entries: Mapped<SyscallEntry>,
    cache: Mapped<SyscallCache>,
    keys_made: PerCpuArray<MapData, u64>,
    keys_room: u64,
    programs: SyscallPrograms,
    enter_link: Option<EnterLink>,
}

impl Syscalls {
    pub(super) fn new(maps: &mut Maps<'_>, sizes: &Sizes) -> Result<Self, StartError> {
        Ok(Self {
            entries: maps.mapped("SYSCALL_ENTRY", sizes.entry_slots as usize)?,
            cache: maps.mapped("SYSCALL_CACHE", sizes.cache_slots as usize)?,
            counters: maps.take_any("SYSCALLS")?,
            batch: Batch::new(4096),
            cached: std::collections::HashMap::new(),
            keys_made: maps.take("KEYS_MADE")?,
            keys_room: sizes.syscall_keys.into(),
            programs: SyscallPrograms::None,
            enter_link: None,
        })
    }
}

impl Probes {
    /// Attaches the syscall probes; `times` also the entry side.
    pub fn attach_syscalls(&mut self, times: bool) {
        self.load_syscalls();
        if times {
            self.set_syscall_times(true);
        }
        let (program, result) = match self.syscalls.programs {
            SyscallPrograms::None => return,
            SyscallPrograms::Typed => {
                ("syscall_exit", typed(&mut self.ebpf, "syscall_exit").and_then(|p| p.attach().map(|_| ())))
            }
            SyscallPrograms::Checked => (
                "syscall_exit_r",
                raw(&mut self.ebpf, "syscall_exit_r").and_then(|p| p.attach("sys_exit").map(|_| ())),
            ),
        };
        self.record(program, &result);
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
            self.syscalls.programs = SyscallPrograms::Typed;
            return;
        };
        self.record("syscall_exit", &Err(refused));
        match load_checked(&mut self.ebpf) {
            Ok(()) => self.syscalls.programs = SyscallPrograms::Checked,
            Err(e) => {
                self.record("syscall_exit_r", &Err(e));
            }
        }
    }

    /// Switches between counting and timing while the programs run. Returns whether timing is on afterwards.
    pub fn set_syscall_times(&mut self, times: bool) -> bool {
        if times && self.syscalls.enter_link.is_none() {
            let (program, result) = match self.syscalls.programs {
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
            let result = result.map(|link| self.syscalls.enter_link = Some(link));
            if self.record(program, &result) {
                let _ = self.set(|s| s.syscall_times = 1);
            }
        } else if !times && let Some(link) = self.syscalls.enter_link.take() {
            // From here on a call without an entry is no loss; those that are under way are still timed.
            let _ = self.set(|s| s.syscall_times = 0);
            let detached = match link {
                EnterLink::Typed(id) => typed(&mut self.ebpf, "syscall_enter").and_then(|p| p.detach(id)),
                EnterLink::Checked(id) => raw(&mut self.ebpf, "syscall_enter_r").and_then(|p| p.detach(id)),
            };
            if let Err(e) = detached {
                tracing::warn!(error = %e, "cannot detach the entry side of syscall timing");
            }
        }
        self.syscalls.enter_link.is_some()
    }

    /// Whether calls are timed now.
    #[must_use]
    pub const fn syscall_times(&self) -> bool {
        self.syscalls.enter_link.is_some()
    }

    /// Whether this kernel took the entry side.
    #[must_use]
    pub fn can_time(&self) -> bool {
        self.syscalls.programs != SyscallPrograms::None
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
    /// A key is counted in its cache slot, in the hash, or in both. This reads the cache first and then the hash. A slot
    /// whose key changes during the reading may have been written back in between, so its old key is looked up once
    /// more, alone. Values never exceed the truth; a call that returns during the reading may be in the next one.
    pub fn read_syscalls(
        &mut self,
        mut each: impl FnMut(&SyscallKey, &SyscallValue),
    ) -> std::io::Result<usize> {
        self.syscalls.cached.clear();
        for index in 0..self.syscalls.cache.len() {
            let slot = self.settled_slot(index);
            if slot.value.count != 0 {
                self.syscalls.cached.insert(slot.key, (slot.value, index, slot.seq));
            }
        }
        let mut in_hash = Vec::new();
        let fd = map_fd(&self.syscalls.counters).map_err(std::io::Error::other)?;
        let cached = &self.syscalls.cached;
        let calls = self.syscalls.batch.read(fd, |key, value| {
            if cached.contains_key(key) {
                in_hash.push((*key, *value));
            } else {
                each(key, value);
            }
        })?;
        for (key, value) in in_hash {
            if let Some(entry) = self.syscalls.cached.get_mut(&key) {
                entry.0 = sum(&entry.0, &value);
            }
        }
        for (key, (value, index, seq)) in &self.syscalls.cached {
            if self.syscalls.cache.get(*index).seq == *seq {
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
            let slot = self.syscalls.cache.get(index);
            if slot.seq & 1 == 0 && self.syscalls.cache.get(index).seq == slot.seq {
                return slot;
            }
            std::hint::spin_loop();
        }
        SyscallCache::default()
    }

    /// One key whose slot changed hands during the reading: cache and hash, of one moment.
    fn read_alone(&self, key: &SyscallKey, index: usize) -> std::io::Result<SyscallValue> {
        let fd = map_fd(&self.syscalls.counters).map_err(std::io::Error::other)?;
        for _ in 0..SETTLE_TRIES {
            let slot = self.settled_slot(index);
            let value = sys::lookup(fd, key).unwrap_or_default();
            if self.syscalls.cache.get(index).seq == slot.seq {
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
        let slot = (index < self.syscalls.cache.len()).then(|| self.syscalls.cache.get(index))?;
        (slot.key == *key && slot.seq & 1 == 0).then_some(slot.value)
    }

    /// Deletes counters of processes that have ended. Returns how many.
    pub fn delete_syscalls(&mut self, keys: &[SyscallKey]) -> std::io::Result<u64> {
        sys::delete(map_fd(&self.syscalls.counters).map_err(std::io::Error::other)?, keys)
    }

    /// Counters ever made.
    pub fn keys_made(&self) -> u64 {
        self.syscalls.keys_made.get(&0, 0).map_or(0, |cpus| cpus.iter().sum())
    }

    /// Counters that there is room for.
    #[must_use]
    pub const fn keys_room(&self) -> u64 {
        self.syscalls.keys_room
    }

    /// Syscalls in flight whose entry was seen.
    pub fn in_flight(&self) -> impl Iterator<Item = SyscallEntry> + '_ {
        self.syscalls.entries.iter().filter(|e| e.start_ns != 0)
    }

    /// The entry slot of a thread, whoever is in it.
    #[must_use]
    pub fn entry_slot(&self, tid: u32) -> SyscallEntry {
        self.syscalls.entries.get(tid as usize & (self.syscalls.entries.len() - 1))
    }
}

fn sum(a: &SyscallValue, b: &SyscallValue) -> SyscallValue {
    SyscallValue {
        count: a.count + b.count,
        total_ns: a.total_ns + b.total_ns,
        max_ns: a.max_ns.max(b.max_ns),
    }
}

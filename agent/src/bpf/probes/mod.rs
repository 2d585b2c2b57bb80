//! Attached programs and typed reads of their maps: what all share here, each group of probes in its own file.

mod endings;
mod offcpu;
mod oncpu;
mod process;
mod resources;
mod sched;
mod syscalls;
mod unwind;

use std::os::fd::{AsFd as _, BorrowedFd};

use agent_common::abi::drops::DropReason;
use agent_common::abi::python::PythonFrame;
use agent_common::abi::settings::Settings;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use aya::programs::{BtfTracePoint, ProgramError, RawTracePoint};
use aya::{Ebpf, util};

pub(super) use self::endings::ENDING_MAPS;
use self::endings::Endings;
use self::offcpu::Offcpu;
pub use self::offcpu::WaitRecord;
use self::oncpu::Oncpu;
use self::process::Process;
pub(super) use self::resources::RESOURCE_MAPS;
pub use self::resources::{Counters, Resources};
use self::sched::Sched;
use self::syscalls::Syscalls;
pub use self::unwind::UnwindMaps;
use super::load::{self, LoadSpec};
use super::mapped::Mapped;
use super::sys;
use super::verdict::{State, Verdict};
use crate::bpf::MappingEvents;
use crate::bpf::StartError;

/// Plain data in maps.
#[repr(transparent)]
#[derive(Clone, Copy, Default)]
struct Plain<T>(T);
// SAFETY: used with ABI types only, which are `repr(C)` integers without padding.
unsafe impl<T: Copy + 'static> aya::Pod for Plain<T> {}

/// The loaded object.
pub struct Probes {
    ebpf: Ebpf,
    verdicts: Vec<Verdict>,
    settings: Settings,
    settings_map: Array<MapData, Plain<Settings>>,
    filter: HashMap<MapData, u32, u32>,
    drops: PerCpuArray<MapData, u64>,
    syscalls: Syscalls,
    oncpu: Oncpu,
    process: Process,
    resources: Resources,
    sched: Sched,
    offcpu: Offcpu,
    endings: Endings,
    unwind: Option<UnwindMaps>,
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
        let mut maps = Maps(&mut ebpf);
        let probes = Self {
            settings: Settings::default(),
            settings_map: maps.take("SETTINGS")?,
            filter: maps.take("FILTER_TGIDS")?,
            drops: maps.take("DROPS")?,
            syscalls: Syscalls::new(&mut maps, &sizes)?,
            oncpu: Oncpu::new(&mut maps)?,
            process: Process::new(&mut maps)?,
            resources: Resources::new(&mut maps)?,
            sched: Sched::new(&mut maps, &sizes)?,
            offcpu: Offcpu::new(&mut maps)?,
            endings: Endings::new(&mut maps)?,
            unwind: Some(UnwindMaps::new(&mut maps)?),
            verdicts: Vec::new(),
            cpus,
            map_bytes,
            ebpf,
        };
        // aya parses the kernel's whole BTF when a loader is made and drops it at once: give those 40 MB back.
        crate::heap::give_back();
        Ok(probes)
    }

    /// Begins to record what processes map.
    pub fn mapping_events(&self) -> std::io::Result<MappingEvents> {
        MappingEvents::open(&self.cpus)
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

    fn record(&mut self, program: &'static str, result: &Result<(), ProgramError>) -> bool {
        let verdict = Verdict::new(program, result.as_ref().copied());
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
        self.record(program, &result)
    }

    /// Losses since load that the programs have counted, by reason.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        let counted = DropReason::ALL.into_iter().filter(|reason| *reason != DropReason::ProgramSkipped);
        counted.map(|reason| {
            (reason, self.drops.get(&(reason as u32), 0).map_or(0, |cpus| cpus.iter().sum::<u64>()))
        })
    }

    /// Runs that the kernel skipped since load, all programs (`recursion_misses`, since 5.12): a system call a program.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        let fds = self.ebpf.programs().filter_map(|(_, program)| program.fd().ok());
        fds.map(|fd| sys::recursion_misses(fd.as_fd())).sum()
    }

    /// Kernel memory of all maps (they are preallocated: it does not change).
    #[must_use]
    pub const fn map_bytes(&self) -> u64 {
        self.map_bytes
    }
}

/// The object's maps, handed to the groups that read them.
struct Maps<'a>(&'a mut Ebpf);

impl Maps<'_> {
    fn take_any(&mut self, name: &str) -> Result<Map, StartError> {
        self.0.take_map(name).ok_or_else(|| no_map(name))
    }

    fn take<M: TryFrom<Map, Error = MapError>>(&mut self, name: &str) -> Result<M, StartError> {
        M::try_from(self.take_any(name)?).map_err(|e| StartError::Broken(e.into()))
    }

    /// An array of `len` values that is read through memory. The map stays with the object.
    fn mapped<T: Copy>(&self, name: &str, len: usize) -> Result<Mapped<T>, StartError> {
        let map = self.0.map(name).ok_or_else(|| no_map(name))?;
        Mapped::new(map_fd(map)?, len).map_err(|e| StartError::Broken(e.into()))
    }

    /// The same, to be written as well.
    fn mapped_writable<T: Copy>(&self, name: &str, len: usize) -> Result<Mapped<T>, StartError> {
        let map = self.0.map(name).ok_or_else(|| no_map(name))?;
        Mapped::writable(map_fd(map)?, len).map_err(|e| StartError::Broken(e.into()))
    }
}

fn no_map(name: &str) -> StartError {
    StartError::Broken(anyhow::anyhow!("the object has no map {name}"))
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
        Map::Array(data)
        | Map::ArrayOfMaps(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::RingBuf(data) => Ok(data.fd().as_fd()),
        _ => Err(StartError::Broken(anyhow::anyhow!("the object has a map of an unexpected kind"))),
    }
}

/// Makes sure that only the last `python` words of a user stack look like Python frames: what a walk by frame pointers
/// takes for addresses may look like anything, and so may the words of a stack that is walked later.
fn tell_native(user: &mut [u64], python: usize) {
    let native = user.len().saturating_sub(python);
    for word in &mut user[..native] {
        if PythonFrame::of(*word).is_some() {
            *word = !0;
        }
    }
}

/// The header of a record of a ring, and the frames that follow it.
fn split<H: Copy>(item: &[u8], frames: &mut Vec<u64>) -> Option<H> {
    let (head, rest) = item.split_at_checked(size_of::<H>())?;
    frames.clear();
    frames.extend(rest.as_chunks().0.iter().map(|frame| u64::from_ne_bytes(*frame)));
    // SAFETY: headers are `repr(C)` integers; the length was checked; unaligned reads are allowed.
    Some(unsafe { head.as_ptr().cast::<H>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_value_is_no_python_frame() {
        let frame = PythonFrame::new(0x1000, 3, true).0;
        let mut user = [0x7000, frame, frame];
        tell_native(&mut user, 1);
        assert_eq!(user, [0x7000, !0, frame]);
        tell_native(&mut user, 0);
        assert_eq!(user, [0x7000, !0, !0]);
    }
}

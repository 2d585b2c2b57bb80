//! From an end as the probes saw it to facts: times, names, addresses, limits in words.

use std::collections::HashMap;

use agent_common::abi::endings::{
    Ending, FailedCall, GROUP_LEVELS, NO_MAPPING, OomGroup, PAST_END, UNKNOWN_MAPPING,
};
use agent_common::abi::syscalls::FLAG_COMPAT;
use agent_common::units::{MonoNs, UnixNs};
use diagnosis::syscall_names;
use diagnosis::window::{SyscallAbi, TaskSample};
use postmortem::facts::{Ended as Way, Facts, Fault, Oom, Other, ParentEnd, Place, Process};

use super::peer::{Mounts, text as comm};
use super::stack::Namer;
use super::{limits, peer, said};
use crate::clock;
use crate::source::endings::{Ended, code_and_signal};

const SIGABRT: u8 = 6;
const SIGBUS: u8 = 7;
const SIGKILL: u8 = 9;
const SIGSEGV: u8 = 11;
const SIGSYS: u8 = 31;
/// `si_code`: the address has no mapping; the mapping does not allow it; the kernel has no page for it.
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRERR: i32 = 2;
/// `si_code` of what the kernel sends without an address: a general protection fault.
const SI_KERNEL: i32 = 0x80;
/// Exception numbers of x86.
const TRAP_PAGE_FAULT: u64 = 14;
/// Where glibc looks for its cache of names.
const NAME_CACHE: &str = "unix:/var/run/nscd/socket";

/// Bits of a mapping's permissions: read, write, execute.
const PERMISSIONS: u16 = 0b111;

/// The two clocks of one moment, to make times of the wall of those of the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    unix: UnixNs,
    mono: MonoNs,
    boot_ns: u64,
}

impl Clocks {
    pub(super) fn now() -> Self {
        Self { unix: clock::unix(), mono: clock::mono(), boot_ns: clock::boot().0 }
    }

    pub(super) fn unix(self, at: MonoNs) -> u64 {
        self.unix.0.saturating_sub(self.mono.0.saturating_sub(at.0))
    }
}

/// Everything that the end itself and the processes of the host say. Waits some seconds for names at most.
pub(super) fn of(ended: &Ended, namer: &mut Namer, clocks: Clocks) -> Facts {
    let mut unseen = Vec::new();
    let ending = ended.ending.as_deref();
    if ending.is_none() {
        unseen.push("its end was seen when its memory was gone: no stack, no arguments".to_owned());
    }
    let way = way(ended, ending, clocks);
    let last_words = said::words(ended, clocks);
    let abort_text =
        if way.signal == Some(SIGABRT) { said::abort_text(ended, &last_words) } else { String::new() };
    let stack = ended.stack.as_ref().map(|sample| namer.frames(sample, &ended.mapped)).unwrap_or_default();
    if ending.is_some() && stack.is_empty() {
        unseen.push("its stack could not be read".to_owned());
    }
    Facts {
        process: process(ended, ending, clocks),
        fault: ending.and_then(fault),
        abort_text,
        stack,
        seccomp_call: ending.and_then(seccomp_call),
        failed_calls: calls(ended, clocks),
        last_words,
        limits: limits::of(ended, ending),
        oom: ended.oom.as_ref().filter(|_| way.signal == Some(SIGKILL)).map(|oom| self::oom(ended, oom)),
        ended: way,
        unseen,
        ..Facts::default()
    }
}

fn way(ended: &Ended, ending: Option<&Ending>, clocks: Clocks) -> Way {
    let (code, signal) = code_and_signal(ended.status);
    let by = ending.zip(signal).and_then(|(ending, signal)| sender(ended, ending, signal));
    Way {
        at_ns: clocks.unix(ended.at),
        code,
        signal,
        si_code: ending.map_or(0, |ending| ending.si_code),
        core: ended.status & 0x80 != 0,
        by,
        never_execed: ended.never_execed,
    }
}

/// Another process that sent the signal.
fn sender(ended: &Ended, ending: &Ending, signal: u8) -> Option<Other> {
    let sender = &ending.sender;
    if sender.signal == u32::from(signal) {
        // Only SIGKILL says nothing else of a process that ends itself.
        if sender.tgid == 0 || (sender.tgid == ended.tgid.0 && signal != SIGKILL) {
            return None;
        }
        return Some(Other {
            pid: sender.tgid,
            comm: comm(&sender.comm),
            uid: sender.uid,
            parent_pid: sender.parent,
            ..Other::default()
        });
    }
    // Sent before the probes were there.
    let pid = ending.si_pid;
    (pid != 0 && pid != ended.tgid.0 && ending.si_code <= 0).then(|| Other {
        pid,
        uid: ending.si_uid,
        ..Other::default()
    })
}

fn process(ended: &Ended, ending: Option<&Ending>, clocks: Clocks) -> Process {
    let place = ended.known.as_ref().or(ended.known_parent.as_ref());
    let arguments = ending.map_or_else(String::new, |ending| {
        let bytes = &ending.arguments[..usize::from(ending.arguments_bytes).min(ending.arguments.len())];
        said::arguments(bytes)
    });
    let executed = ending.map_or_else(String::new, |ending| comm(&ending.executed));
    Process {
        pid: ended.tgid.0,
        start_ns: ended.start.0,
        started_at_ns: clocks.unix.0.saturating_sub(clocks.boot_ns.saturating_sub(ended.start.0)),
        comm: ended.comm.clone(),
        exe: ended.program.clone().unwrap_or(executed),
        cmdline: arguments,
        unit: place.and_then(|task| task.unit.as_deref().map(str::to_owned)),
        container: place.and_then(|task| container(task)),
        uid: ending.map_or(ended.uid, |ending| ending.uid),
        parent: Other {
            pid: ended.parent.0,
            comm: match (ending, &ended.known_parent) {
                (Some(ending), _) if ending.parent == ended.parent.0 => comm(&ending.parent_comm),
                (_, Some(parent)) => parent.comm.to_string(),
                _ => String::new(),
            },
            parent_pid: ended.known_parent.as_ref().map_or(0, |parent| parent.parent.0),
            ..Other::default()
        },
        parent_end: ended.parent_end.map(|(at, status)| {
            let (code, signal) = code_and_signal(status);
            ParentEnd { at_ns: clocks.unix(at), code, signal }
        }),
    }
}

fn container(task: &TaskSample) -> Option<String> {
    let named = task.labels.as_ref().and_then(|labels| labels.name.clone());
    named.or_else(|| task.container.clone()).map(|name| name.to_string())
}

/// The system call that a filter refused. One that raises SIGSYS itself has none, as `fault` has no address then.
fn seccomp_call(ending: &Ending) -> Option<String> {
    let by_filter = ending.signal == u32::from(SIGSYS) && ending.si_code > 0;
    by_filter.then(|| syscall_names::display(SyscallAbi::Native, ending.address as u16).into_owned())
}

fn fault(ending: &Ending) -> Option<Fault> {
    let signal = ending.signal as u8;
    if signal != SIGSEGV && signal != SIGBUS || ending.si_code <= 0 {
        return None;
    }
    let by_page = ending.trap_nr == TRAP_PAGE_FAULT;
    Some(Fault {
        addr: ending.address,
        ip: ending.ip,
        sp: ending.sp,
        write: by_page.then_some(ending.error_code & 2 != 0),
        fetch: by_page.then_some(ending.error_code & 16 != 0),
        place: place(ending, signal),
    })
}

fn place(ending: &Ending, signal: u8) -> Place {
    if ending.si_code == SI_KERNEL {
        return Place::Unknown;
    }
    let name = comm(&ending.mapped);
    let known = ending.mapping & (NO_MAPPING | UNKNOWN_MAPPING) == 0;
    if signal == SIGBUS {
        // x86 says the same of a file that was cut, of a full disk and of a device that fails.
        return match () {
            () if ending.si_code != BUS_ADRERR || !known || name.is_empty() => Place::Unknown,
            () if ending.mapping & PAST_END != 0 => Place::PastEnd { file: name },
            () => Place::Mapping { permissions: permissions(ending.mapping), name },
        };
    }
    let nothing = ending.mapping == NO_MAPPING || (!known && ending.si_code == SEGV_MAPERR);
    let no_access = known && ending.mapping & PERMISSIONS == 0;
    if (nothing || no_access)
        && ending.sp != 0
        && ending.address.abs_diff(ending.sp) <= postmortem::STACK_REACH
    {
        return Place::StackGuard;
    }
    if nothing {
        return Place::Nothing;
    }
    if known || ending.si_code == SEGV_ACCERR {
        return Place::Mapping { permissions: permissions(if known { ending.mapping } else { 0 }), name };
    }
    Place::Unknown
}

/// `r-x` and the like.
fn permissions(mapping: u16) -> String {
    let bit = |bit: u16, letter| if mapping & bit != 0 { letter } else { '-' };
    [bit(1, 'r'), bit(2, 'w'), bit(4, 'x')].iter().collect()
}

/// Its failed calls. A connection that went on in the background is one call with its outcome, where `getsockopt` told it.
fn calls(ended: &Ended, clocks: Clocks) -> Vec<postmortem::facts::FailedCall> {
    let mounts = Mounts::default();
    let mut pending: HashMap<u64, usize> = HashMap::new();
    let mut calls: Vec<Option<postmortem::facts::FailedCall>> = Vec::new();
    for failed in &ended.calls {
        let mut call = call(failed, clocks, &mounts);
        if call.errno == "EINPROGRESS" {
            pending.insert(failed.first, calls.len());
        } else if call.call == "getsockopt"
            && let Some(begun) = pending.remove(&failed.first).and_then(|place| calls[place].take())
        {
            (call.call, call.peer) = (begun.call, begun.peer);
        }
        calls.push(Some(call));
    }
    // The C library asks its cache of names, which hardly any host has.
    calls.into_iter().flatten().filter(|call| call.peer != NAME_CACHE).collect()
}

fn call(failed: &FailedCall, clocks: Clocks, mounts: &Mounts) -> postmortem::facts::FailedCall {
    let abi = if failed.flags & FLAG_COMPAT == 0 { SyscallAbi::Native } else { SyscallAbi::Compat };
    let (path, peer) = peer::subject(failed, mounts);
    postmortem::facts::FailedCall {
        at_ns: clocks.unix(MonoNs(failed.at_ns)),
        call: syscall_names::display(abi, failed.nr).into_owned(),
        errno: syscall_names::errno(failed.errno).into_owned(),
        path,
        peer,
        count: failed.count.into(),
        ..postmortem::facts::FailedCall::default()
    }
}

fn oom(ended: &Ended, oom: &OomGroup) -> Oom {
    let page = procfs::page_size();
    let in_group = oom.limit_pages > 0;
    let anon = match (oom.anon_pages, ended.ending.as_deref()) {
        (0, Some(ending)) => ending.rss_pages,
        (pages, _) => pages,
    };
    Oom {
        group: in_group.then(|| group(oom, oom.level)),
        limit_bytes: in_group.then(|| oom.limit_pages * page),
        anon_bytes: (anon > 0).then(|| anon * page),
        largest: ended.largest.as_ref().map(|largest| {
            let pid = largest.tgid.0;
            (Other { pid, comm: largest.comm.to_string(), ..Other::default() }, largest.rss_bytes)
        }),
    }
}

/// Path of a group from the root, or from as far up as was looked.
pub(super) fn group(oom: &OomGroup, level: u32) -> String {
    let levels = (oom.levels as usize).min(GROUP_LEVELS);
    let from = (level as usize).min(levels);
    let names = oom.names[from..levels].iter().rev().map(|name| comm(name));
    let path = names
        .filter(|name| !name.is_empty() && name != "/")
        .fold(String::new(), |path, name| path + "/" + &name);
    if path.is_empty() { "/".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending() -> Ending {
        // SAFETY: integers, for which zero is a value.
        unsafe { std::mem::zeroed() }
    }

    #[test]
    fn what_lies_at_an_address_is_told_by_mapping_code_and_stack() {
        let at = |address, sp, mapping, si_code| {
            let ending = Ending { address, sp, mapping, si_code, signal: 11, ..ending() };
            fault(&ending).map(|fault| fault.place)
        };
        let none = UNKNOWN_MAPPING;
        assert_eq!(at(0x10, 0x7ffd_0000, NO_MAPPING, 1), Some(Place::Nothing));
        assert_eq!(at(0x10, 0x7ffd_0000, none, 1), Some(Place::Nothing));
        assert_eq!(at(0x7ffc_fff8, 0x7ffd_0000, NO_MAPPING, 1), Some(Place::StackGuard));
        assert_eq!(at(0x7ffc_fff8, 0x7ffd_0000, 0, 2), Some(Place::StackGuard), "a thread's guard page");
        let code = Place::Mapping { permissions: "r-x".into(), name: String::new() };
        assert_eq!(at(0x40_1000, 0x7ffd_0000, 5, 2), Some(code));
        assert_eq!(at(0, 0x7ffd_0000, none, SI_KERNEL), Some(Place::Unknown));
        assert_eq!(at(0, 0x7ffd_0000, none, 0), None, "sent by somebody");
    }

    #[test]
    fn a_page_that_a_mapped_file_has_not_is_told_from_one_that_could_not_be_had() {
        let at = |mapping, name: &[u8]| {
            let mut ending =
                Ending { address: 0x7f00_0000_1000, mapping, si_code: BUS_ADRERR, signal: 7, ..ending() };
            ending.mapped[..name.len()].copy_from_slice(name);
            fault(&ending).map(|fault| fault.place)
        };
        assert_eq!(at(3 | PAST_END, b"index"), Some(Place::PastEnd { file: "index".into() }));
        let file = Place::Mapping { permissions: "rw-".into(), name: "index".into() };
        assert_eq!(at(3, b"index"), Some(file));
        assert_eq!(at(3, b""), Some(Place::Unknown), "anonymous memory");
        assert_eq!(at(UNKNOWN_MAPPING, b""), Some(Place::Unknown));
    }

    #[test]
    fn only_sigsys_of_the_kernel_has_a_system_call() {
        let of = |si_code| seccomp_call(&Ending { signal: 31, address: 63, si_code, ..ending() });
        assert_eq!(of(1).as_deref(), Some("uname"));
        assert_eq!((of(0), of(-6)), (None, None), "kill and raise");
    }

    #[test]
    fn a_group_is_named_from_the_root() {
        let mut oom = OomGroup { limit_pages: 10, level: 1, levels: 4, ..OomGroup::default() };
        for (level, name) in ["own", "limited", "slice", "/"].iter().enumerate() {
            oom.names[level][..name.len()].copy_from_slice(name.as_bytes());
        }
        assert_eq!(group(&oom, 0), "/slice/limited/own");
        assert_eq!(group(&oom, oom.level), "/slice/limited");
        assert_eq!(group(&oom, 9), "/");
    }
}

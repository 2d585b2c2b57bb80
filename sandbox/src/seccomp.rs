//! seccomp: which system calls a process may still make.
//!
//! The collector, the netns process and the relay have allow-lists; a call that is not on the list fails with EPERM and is
//! counted and named ([`refusals`]), so that a missing one is a line in the log and not a feature that is silently
//! dead. The launcher and the plugin process execute programs, which inherit their filters: they have deny-lists.
//! Filters cost nothing measurable: since 5.11 the kernel keeps a bitmap of calls that are allowed whatever their
//! arguments.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use seccompiler::{
    BpfProgram, Error as Filter, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use crate::filters::{COLLECTOR, FOREIGN_REFUSED, LOCAL_FAMILIES, NET_FAMILIES, NETNS, RELAY};
use crate::{Error, Process};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

const EPERM: SeccompAction = SeccompAction::Errno(libc::EPERM as u32);
/// New namespaces, by the flags of `clone`.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// Calls refused so far, and the number of the last one.
static REFUSED: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicI32 = AtomicI32::new(-1);

/// Puts the filter of `process` in force for all threads, and `no_new_privs` with it. What they may not do fails from
/// now on, for good.
pub fn confine(process: Process) -> Result<(), Error> {
    let failed = |source| Error::Filter { process: process.comm(), source };
    // `clone3` has its flags in memory, where no filter sees them: the C library takes `clone` where there is none.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let clone3 =
        compile(clone3, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32)).map_err(failed)?;
    let main = match process {
        Process::Collector | Process::Netns | Process::Relay => {
            count_refusals().map_err(|error| failed(Filter::Prctl(error.into())))?;
            allow_list(process)
        }
        Process::Launcher | Process::Plugin => deny_list(),
    };
    // The allow-list comes last: it has no call that installs another filter.
    let programs = [clone3, main.map_err(failed)?];
    programs.iter().try_for_each(|program| seccompiler::apply_filter_all_threads(program)).map_err(failed)
}

/// How many calls the filter has refused, and the number of the last one.
#[must_use]
pub fn refusals() -> (u64, Option<i32>) {
    let last = LAST.load(Ordering::Relaxed);
    (REFUSED.load(Ordering::Relaxed), (last >= 0).then_some(last))
}

fn allow_list(process: Process) -> Result<BpfProgram, Filter> {
    let (lists, families) = match process {
        Process::Netns => (NETNS, &[libc::AF_NETLINK][..]),
        Process::Relay => (RELAY, NET_FAMILIES),
        _ => (COLLECTOR, LOCAL_FAMILIES),
    };
    let mut rules: Rules = lists.iter().copied().flatten().map(|call| (*call, Vec::new())).collect();
    let family = |family: &i32| only(&[(0, SeccompCmpOp::Eq, *family as u64)]);
    let families: Vec<SeccompRule> = families.iter().map(family).collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_socket, families);
    if process != Process::Netns {
        rules.insert(libc::SYS_socketpair, vec![family(&libc::AF_UNIX)?]);
        // Input for a terminal that another program reads.
        let ioctl = only(&[(1, SeccompCmpOp::Ne, libc::TIOCSTI), (1, SeccompCmpOp::Ne, TIOCLINUX)])?;
        rules.insert(libc::SYS_ioctl, vec![ioctl]);
    }
    // Threads, no processes.
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, vec![only(&[(0, SeccompCmpOp::MaskedEq(thread), thread)])?]);
    let exec = libc::PROT_EXEC as u64;
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let rule = match process {
            // The resolver loads its modules at the first lookup.
            Process::Relay => Vec::new(),
            _ => vec![only(&[(2, SeccompCmpOp::MaskedEq(exec), 0)])?],
        };
        rules.insert(call, rule);
    }
    compile(rules, SeccompAction::Trap, SeccompAction::Allow)
}

/// `TIOCLINUX` (`include/uapi/asm-generic/ioctls.h`).
const TIOCLINUX: u64 = 0x541C;

fn deny_list() -> Result<BpfProgram, Filter> {
    let mut rules: Rules = FOREIGN_REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    // A process in a user namespace of its own has all capabilities there, and with them the kernel's less tried parts.
    let mut clones = Vec::new();
    for bit in (0..64).map(|bit| 1 << bit).filter(|bit| NAMESPACES & bit != 0) {
        clones.push(only(&[(0, SeccompCmpOp::MaskedEq(bit), bit)])?);
    }
    rules.insert(libc::SYS_clone, clones);
    rules.insert(
        libc::SYS_ioctl,
        vec![only(&[(1, SeccompCmpOp::Eq, libc::TIOCSTI)])?, only(&[(1, SeccompCmpOp::Eq, TIOCLINUX)])?],
    );
    compile(rules, SeccompAction::Allow, EPERM)
}

/// A rule that holds when all of these hold: argument, comparison, value.
fn only(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, Filter> {
    let conditions = conditions.iter().map(|(argument, operator, value)| {
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator.clone(), *value)
    });
    Ok(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?)
}

fn compile(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<BpfProgram, Filter> {
    Ok(SeccompFilter::new(rules, otherwise, matched, TargetArch::x86_64)?.try_into()?)
}

/// Has a refused call fail with EPERM, and counts it.
fn count_refusals() -> nix::Result<()> {
    let action = SigAction::new(
        SigHandler::SigAction(refuse),
        SaFlags::SA_SIGINFO | SaFlags::SA_NODEFER | SaFlags::SA_ONSTACK,
        SigSet::empty(),
    );
    // SAFETY: the handler touches two atomics and the registers it is given: nothing that a signal may not.
    unsafe { sigaction(Signal::SIGSYS, &action) }.map(|_| ())
}

extern "C" fn refuse(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    /// `struct siginfo` of `SIGSYS` (`include/uapi/asm-generic/siginfo.h`): the call's number follows three words,
    /// padding and an address.
    const SYSCALL: usize = 24;
    // SAFETY: the kernel hands over a whole `siginfo`, 128 bytes, and SIGSYS has the number there.
    let number = unsafe { info.cast::<u8>().add(SYSCALL).cast::<i32>().read_unaligned() };
    LAST.store(number, Ordering::Relaxed);
    REFUSED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: with SA_SIGINFO the third argument is the interrupted context, which is ours to change.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs[libc::REG_RAX as usize] = -i64::from(libc::EPERM);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_compiles() {
        for process in [Process::Collector, Process::Netns, Process::Relay] {
            assert!(!allow_list(process).unwrap().is_empty(), "{process:?}");
        }
        assert!(!deny_list().unwrap().is_empty());
    }

    #[test]
    fn no_allow_list_has_a_call_that_starts_a_program_or_loads_code() {
        let never = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_ptrace,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_kexec_load,
            libc::SYS_mount,
            libc::SYS_process_vm_writev,
            libc::SYS_unshare,
            libc::SYS_setuid,
            libc::SYS_capset,
        ];
        for lists in [COLLECTOR, RELAY, NETNS] {
            assert!(lists.iter().copied().flatten().all(|call| !never.contains(call)));
        }
    }
}

//! Fatal signals: who sent them, and their delivery, which ends the process.

use agent_common::abi::endings::{SENDERS_MAX, Sender};
use agent_common::abi::process::numbered;
use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_uid_gid,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::RawTracePointContext;

use super::{are_wanted, begin, is_first, mapping, scratch, send};
use crate::filter;
use crate::kernel::{KernelPtr, offset};
use crate::unwind::Walker;

/// The last fatal signal for a process that lets it act, by tgid.
#[map]
static SENDERS: LruHashMap<u32, Sender> = LruHashMap::with_max_entries(SENDERS_MAX, 0);

const SIGKILL: u32 = 9;
const SIGSYS: u32 = 31;
/// Of the first 31, those that do not end their receiver by default: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH.
const NOT_FATAL: u32 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 28;
/// ILL, TRAP, BUS, FPE, SEGV: the address is in their `siginfo`.
const FAULTS: u32 = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 11;

/// `struct kernel_siginfo`, part of the user ABI.
mod siginfo {
    pub(super) const CODE: u32 = 8;
    /// `si_pid`, or the low half of `si_addr`.
    pub(super) const PID: u32 = 16;
    pub(super) const UID: u32 = 20;
    pub(super) const ADDRESS: u32 = 16;
    pub(super) const SYSCALL: u32 = 24;
}

/// A fatal signal for `task` was generated, by `sender` (0: the kernel), which is current.
#[inline(always)]
pub(crate) fn generated(tgid: u32, signal: u32, sender: u32) {
    if !are_wanted() || NOT_FATAL >> signal & 1 != 0 {
        return;
    }
    let mut from = Sender { tgid: sender, signal, ..Sender::default() };
    if sender != 0 {
        // SAFETY: no arguments.
        let current = KernelPtr(unsafe { bpf_get_current_task() } as *const u8);
        from.uid = bpf_get_current_uid_gid() as u32;
        from.comm = bpf_get_current_comm().unwrap_or_default();
        if let Some(parent) = current.follow(offset!(task_real_parent)) {
            from.parent = parent.read(offset!(task_tgid)).unwrap_or_default();
        }
    }
    let _ = SENDERS.insert(tgid, from, 0);
}

/// A signal is delivered to the current task.
#[inline(always)]
pub(crate) fn try_deliver<const LOOPS: bool>(ctx: &RawTracePointContext) {
    let (sent, action) = (ctx.arg::<u64>(0) as u32, KernelPtr(ctx.arg::<u64>(2) as *const u8));
    if sent == 0 || sent > SIGSYS || NOT_FATAL >> sent & 1 != 0 || action.read::<u64>(0) != Some(0) {
        return;
    }
    // SAFETY: no arguments.
    let task = KernelPtr(unsafe { bpf_get_current_task() } as *const u8);
    let group = task
        .follow(offset!(task_signal))
        .and_then(|s| s.read::<u32>(offset!(signal_group_exit_code)))
        .unwrap_or(0);
    // The others of a group that ends get SIGKILL, and so does one that another signal ends without a core.
    let signal = if sent == SIGKILL { group & 0x7f } else { sent };
    if signal == 0 || signal > SIGSYS {
        return;
    }
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let start = task.follow(offset!(task_group_leader)).map_or(0, |l| l.value(offset!(task_start_boottime)));
    if !filter::observes(tgid) || !is_first(numbered(tgid, start)) {
        return;
    }
    let Some(scratch) = scratch(Walker::Signal as u32 - Walker::SysEnter as u32) else { return };
    // SAFETY: a per-CPU slot that this program alone writes.
    let scratch = unsafe { &mut *scratch };
    let header = &mut scratch.header;
    begin(header, signal);
    let info = ctx.arg::<u64>(1);
    // 0 and 1: the kernel has made none.
    if info > 1 {
        let info = KernelPtr(info as *const u8);
        header.si_code = info.read(siginfo::CODE).unwrap_or_default();
        if FAULTS >> signal & 1 != 0 {
            header.address = info.value(siginfo::ADDRESS);
            if LOOPS {
                mapping::of_fault(header);
            }
        } else if signal == SIGSYS {
            header.address = info.value(siginfo::SYSCALL) & 0xffff_ffff;
        } else {
            header.si_pid = info.read(siginfo::PID).unwrap_or_default();
            header.si_uid = info.read(siginfo::UID).unwrap_or_default();
        }
    }
    if let Some(sender) = SENDERS.get_ptr(tgid) {
        // SAFETY: a map value; one that is replaced meanwhile is of two moments, and its signal says which.
        header.sender = unsafe { *sender };
        let _ = SENDERS.remove(tgid);
    }
    send::<LOOPS>(ctx.as_ptr(), scratch, Walker::Signal);
}

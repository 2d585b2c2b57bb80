//! Signals that end, dump or stop their receiver, with the sender.

use agent_common::abi::drops::DropReason;
use agent_common::abi::signals::{SIGNALS_MAX, SignalKey};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::RawTracePointContext;

use crate::counters::{add, value_of};
use crate::kernel::{KernelPtr, layout, offset};
use crate::{drops, endings, filter, settings};

#[map]
static SIGNALS: HashMap<SignalKey, u64> = HashMap::with_max_entries(SIGNALS_MAX, 0);

const SIGKILL: u32 = 9;
const SIGTERM: u32 = 15;
const SIGSTOP: u32 = 19;
/// Of the first 31, those whose default is to do nothing or to go on: CHLD, CONT, URG, WINCH.
const HARMLESS: u32 = 1 << 17 | 1 << 18 | 1 << 23 | 1 << 28;
/// Size of `struct k_sigaction` on x86-64; the handler comes first. `SIG_DFL` is 0.
const ACTION_BYTES: u32 = 32;
/// `TRACE_SIGNAL_DELIVERED` (include/trace/events/signal.h).
const DELIVERED: i32 = 0;
/// `si_code` in `struct kernel_siginfo`: part of the user ABI.
const SI_CODE: u32 = 8;

/// Whether the receiver leaves this signal to the kernel. KILL and STOP cannot be caught, TERM is an order either way.
#[inline(always)]
fn by_default(task: KernelPtr, signal: u32) -> bool {
    if signal == SIGKILL || signal == SIGSTOP || signal == SIGTERM {
        return true;
    }
    let action = layout!(sighand_action) + (signal - 1) * ACTION_BYTES;
    task.follow(layout!(task_sighand)).and_then(|hand| hand.read::<u64>(action)) == Some(0)
}

/// The current process if it sent the signal itself (`SEND_SIG_NOINFO`, or a code of a system call: 0 or less);
/// 0 if the kernel did (`SEND_SIG_PRIV`, faults).
#[inline(always)]
fn sender(info: u64) -> u32 {
    let by_process = match info {
        0 => true,
        1 => false,
        at => KernelPtr(at as *const u8).read::<i32>(SI_CODE).is_some_and(|code| code <= 0),
    };
    if by_process { (bpf_get_current_pid_tgid() >> 32) as u32 } else { 0 }
}

#[inline(always)]
pub(crate) fn try_generate(ctx: &RawTracePointContext) {
    let (signal, result) = (ctx.arg::<u64>(0) as u32, ctx.arg::<u64>(4) as i32);
    if signal == 0 || signal > 31 || HARMLESS & 1 << signal != 0 || result != DELIVERED {
        return;
    }
    let task = KernelPtr(ctx.arg::<u64>(2) as *const u8);
    if !by_default(task, signal) {
        return;
    }
    let Some(tgid) = task.read::<u32>(offset!(task_tgid)) else {
        drops::count(DropReason::ReadFailed);
        return;
    };
    if settings::get().is_some_and(|s| s.filter_tgids != 0 && !filter::contains(tgid)) {
        return;
    }
    let sender = sender(ctx.arg::<u64>(1));
    endings::generated(tgid, signal, sender);
    let key = SignalKey { tgid, sender, signal };
    // On the stack, not `&0`: such a constant may share its place with a global of equal value, and the loader
    // overwrites globals (every first signal counted as 1,000,000,001, after the sampling period without sampling).
    let none = 0;
    if let Some(count) = value_of(&SIGNALS, &key, &none, DropReason::SignalMapFull) {
        add(count, 1);
    }
}

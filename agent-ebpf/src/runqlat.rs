//! Charges time of waiting for a CPU to who ran on it meanwhile.

use agent_common::abi::drops::DropReason;
use agent_common::abi::runqlat::{BLAME_MAX, BlameKey, CHARGE_NS, Cpu, TURNS};
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};

use crate::counters::{add, value_of};
use crate::sched::slots::Slot;

/// One entry a possible CPU; user space sets the number.
#[map]
static CPUS: Array<Cpu> = Array::with_max_entries(1, 0);

#[map]
static BLAME: HashMap<BlameKey, u64> = HashMap::with_max_entries(BLAME_MAX, 0);

/// What this CPU remembers.
#[inline(always)]
pub(crate) fn this_cpu() -> Option<*mut Cpu> {
    // SAFETY: no arguments.
    of_cpu(unsafe { bpf_get_smp_processor_id() } as u32)
}

#[inline(always)]
pub(crate) fn of_cpu(cpu: u32) -> Option<*mut Cpu> {
    CPUS.get_ptr_mut(cpu)
}

/// The thread that was put on this CPU last.
#[inline(always)]
pub(crate) fn current(cpu: *mut Cpu) -> u32 {
    // SAFETY: this CPU's entry, and interrupts are off in `sched_switch`.
    unsafe { (*cpu).current }
}

/// A turn on this CPU begins: of a thread of a process (0: idle), and whether the thread's user stack is wanted.
#[inline(always)]
pub(crate) fn begin_turn(cpu: *mut Cpu, tid: u32, tgid: u32, wanted: bool, now: u64) {
    // SAFETY: this CPU's entry, and interrupts are off in `sched_switch`; the index is masked.
    unsafe {
        let turn = (*cpu).turn.wrapping_add(1);
        (*cpu).turn = turn;
        (*cpu).current = tid;
        (*cpu).wanted = if wanted { tid } else { 0 };
        let entry = &raw mut (*cpu).turns[turn as usize & (TURNS - 1)];
        (*entry).since_ns = now;
        (*entry).tgid = tgid;
    }
}

/// A thread that has been ready since `since` is put on this CPU. Short waits are saved up; when they make
/// [`CHARGE_NS`], those who ran during the last one are charged, and the one before it with what was saved up.
#[inline(always)]
pub(crate) fn charge(cpu: *mut Cpu, slot: Slot, since: u64, now: u64) {
    let waited = now.saturating_sub(since);
    let saved = slot.queued();
    if saved + waited < CHARGE_NS {
        slot.set_queued(saved + waited);
        return;
    }
    slot.set_queued(0);
    let victim = slot.tgid();
    let (mut end, mut extra) = (now, saved);
    // SAFETY: as in `begin_turn`.
    let last = unsafe { (*cpu).turn };
    for back in 0..TURNS as u32 {
        // SAFETY: as in `begin_turn`.
        let turn = unsafe { (*cpu).turns[last.wrapping_sub(back) as usize & (TURNS - 1)] };
        if turn.since_ns == 0 || end <= since {
            return;
        }
        let begin = if turn.since_ns > since { turn.since_ns } else { since };
        if turn.tgid != 0 && end > begin {
            let key = BlameKey { victim, culprit: turn.tgid };
            let none = 0;
            if let Some(sum) = value_of(&BLAME, &key, &none, DropReason::BlameMapFull) {
                add(sum, end - begin + extra);
            }
            extra = 0;
        }
        end = turn.since_ns;
    }
}

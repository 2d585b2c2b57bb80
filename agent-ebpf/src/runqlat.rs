//! What each CPU remembers of its turns: charges time of waiting for a CPU to who ran on it meanwhile.

use core::arch::asm;

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

/// The thread on this CPU has got another number.
#[inline(always)]
pub(crate) fn rename_current(cpu: *mut Cpu, old: u32, new: u32) {
    // SAFETY: this CPU's entry.
    unsafe {
        if (*cpu).current == old {
            (*cpu).current = new;
        }
    }
}

/// What a CPU notes while nobody has made a system call in this turn: an odd number, which is no address of registers, and
/// another one for each turn.
#[inline(always)]
fn nobody_in(turn: u32) -> u64 {
    u64::from(turn) << 1 | 1
}

/// A turn on this CPU begins: of a thread of a process (0: idle), and whether the thread's user stack is wanted.
#[inline(always)]
pub(crate) fn begin_turn(cpu: *mut Cpu, tid: u32, tgid: u32, wanted: bool, now: u64) {
    // SAFETY: this CPU's entry, and interrupts are off in `sched_switch`; the index is masked.
    unsafe {
        let turn = (*cpu).turn.wrapping_add(1);
        (*cpu).turn = turn;
        (*cpu).current = tid;
        (&raw mut (*cpu).caller).write_volatile(nobody_in(turn));
        (*cpu).wanted = if wanted { tid } else { 0 };
        let entry = &raw mut (*cpu).turns[turn as usize & (TURNS - 1)];
        (*entry).since_ns = now;
        (*entry).tgid = tgid;
    }
}

/// Thread group and thread of who is noted to enter the kernel with `regs`; in `Err` what is noted in place of them.
#[inline(always)]
pub(crate) fn caller(cpu: *mut Cpu, regs: u64) -> Result<(u32, u32), u64> {
    // SAFETY: this CPU's entry. Ids before registers: where the program may be preempted between the two, the turn that
    // came between has changed the registers.
    let (ids, noted) = unsafe {
        ((&raw const (*cpu).caller_ids).read_volatile(), (&raw const (*cpu).caller).read_volatile())
    };
    if noted == regs { Ok(((ids >> 32) as u32, ids as u32)) } else { Err(noted) }
}

/// Notes who enters the kernel with `regs` in place of what [`caller`] found, unless another turn has begun since.
#[inline(always)]
pub(crate) fn note_caller(cpu: *mut Cpu, found: u64, regs: u64, (tgid, tid): (u32, u32)) {
    if found == 0 {
        return;
    }
    // SAFETY: this CPU's entry. A turn that comes between makes the exchange fail; the ids count for nothing then.
    unsafe {
        (&raw mut (*cpu).caller_ids).write_volatile(u64::from(tgid) << 32 | u64::from(tid));
        asm!(
            "r0 = cmpxchg_64({caller} + 0, r0, {regs})",
            caller = in(reg) &raw mut (*cpu).caller,
            regs = in(reg) regs,
            inout("r0") found => _,
            options(nostack),
        );
    }
}

/// The current thread has got another number: what was noted of it is no longer so.
#[inline(always)]
pub(crate) fn forget_caller() {
    if let Some(cpu) = this_cpu() {
        // SAFETY: this CPU's entry. Where turns are not seen it is 0 and stays so.
        unsafe {
            if (*cpu).caller != 0 {
                (&raw mut (*cpu).caller).write_volatile(nobody_in((*cpu).turn));
            }
        }
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

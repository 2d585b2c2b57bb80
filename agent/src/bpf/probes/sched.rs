//! Scheduler accounting: the threads' slots.

use std::mem::offset_of;

use agent_common::abi::sched::{DEAD, DEAD_RING, DeadRing, SchedSlot, USED_CHUNK, UsedChunk};
use aya::Btf;
use aya::programs::ProgramError;

use super::{Maps, Probes, typed};
use crate::bpf::StartError;
use crate::bpf::load::Sizes;
use crate::bpf::mapped::Mapped;

/// Tracepoints in the order they are attached: a thread is seen to leave only when it can be seen to wake. With the
/// programs for each, of which the first that the kernel takes is attached.
const TRACEPOINTS: [(&str, &[&str]); 4] = [
    ("sched_wakeup_new", &["sched_wakeup_new"]),
    ("sched_waking", &["sched_waking", "sched_waking_r"]),
    ("sched_switch", &["sched_switch"]),
    (RENAME, &[RENAME]),
];

/// The one that the others can do without.
const RENAME: &str = "task_rename";

/// Looks at a slot that is being written: some µs.
const SETTLE_TRIES: u32 = 1000;

/// Maps of the scheduler programs.
pub(super) struct Sched {
    slots: Mapped<SchedSlot>,
    used: Mapped<UsedChunk>,
    dead: Mapped<DeadRing>,
    /// Dead threads read so far, by CPU.
    tails: Vec<u32>,
}

impl Sched {
    pub(super) fn new(maps: &mut Maps<'_>, sizes: &Sizes) -> Result<Self, StartError> {
        let slots = sizes.sched_slots as usize;
        Ok(Self {
            slots: maps.mapped_writable("SCHED_SLOTS", slots)?,
            used: maps.mapped_writable("SCHED_USED", slots / USED_CHUNK as usize)?,
            dead: maps.mapped("SCHED_DEAD", sizes.possible_cpus as usize)?,
            tails: vec![0; sizes.possible_cpus as usize],
        })
    }
}

impl Probes {
    /// Attaches the scheduler accounting. Returns whether it works.
    pub fn attach_sched(&mut self) -> bool {
        let btf = match Btf::from_sys_fs() {
            Ok(btf) => btf,
            Err(error) => return self.record("sched_switch", &Err(ProgramError::Btf(error))),
        };
        let mut loaded = Vec::new();
        for (tracepoint, programs) in TRACEPOINTS {
            let taken = programs.iter().copied().find(|program| {
                let result = typed(&mut self.ebpf, program).and_then(|p| p.load(tracepoint, &btf));
                result.is_ok() || self.record(program, &result)
            });
            match taken {
                Some(program) => loaded.push(program),
                None if tracepoint == RENAME => {}
                None => return false,
            }
        }
        let mut works = true;
        for program in loaded {
            let result = typed(&mut self.ebpf, program).and_then(|p| p.attach().map(|_| ()));
            works &= self.record(program, &result) || program == RENAME;
        }
        works
    }

    /// Calls `each` for the slot of every live thread, and for every one that has died since the last call to this or
    /// to [`Self::bury_threads`]: its slot is free afterwards.
    pub fn threads(&mut self, mut each: impl FnMut(&SchedSlot)) {
        for chunk in 0..self.sched.used.len() {
            let used = self.sched.used.get(chunk).used;
            for (at, _) in used.iter().enumerate().filter(|(_, used)| **used != 0) {
                let index = chunk * USED_CHUNK as usize + at;
                let slot = self.settled(index);
                if slot.tid == 0 {
                    continue;
                }
                each(&slot);
                if slot.state == DEAD {
                    self.free(index, slot.tid);
                }
            }
        }
        for cpu in 0..self.sched.tails.len() {
            self.sched.tails[cpu] = self.sched.dead.get(cpu).head;
        }
    }

    /// Calls `each` for the slots of threads that have died, and frees them. Cheap: to be called at every poll.
    pub fn bury_threads(&mut self, mut each: impl FnMut(&SchedSlot)) {
        for cpu in 0..self.sched.tails.len() {
            let head = self.sched.dead.field::<u32>(cpu, offset_of!(DeadRing, head));
            // What the ring has overwritten is found by the next scan.
            let mut tail = self.sched.tails[cpu].max(head.saturating_sub(DEAD_RING));
            while tail != head {
                let entry = offset_of!(DeadRing, slots) + (tail % DEAD_RING) as usize * size_of::<u32>();
                let tid = self.sched.dead.field::<u32>(cpu, entry);
                for index in self.places(tid) {
                    let slot = self.settled(index);
                    if slot.tid == tid && slot.state == DEAD {
                        each(&slot);
                        self.free(index, tid);
                    }
                }
                tail = tail.wrapping_add(1);
            }
            self.sched.tails[cpu] = head;
        }
    }

    /// Where the slot of a thread may be.
    fn places(&self, tid: u32) -> impl Iterator<Item = usize> + use<> {
        let mask = self.sched.slots.len() - 1;
        (0..agent_common::abi::sched::PROBES).map(move |probe| tid.wrapping_add(probe) as usize & mask)
    }

    /// A slot that is not being written. On a preempted virtual CPU that may take long, and then it is given as it is.
    fn settled(&self, index: usize) -> SchedSlot {
        let mut slot = self.sched.slots.get(index);
        for _ in 0..SETTLE_TRIES {
            let seq = self.sched.slots.field::<u32>(index, offset_of!(SchedSlot, seq));
            if slot.seq & 1 == 0 && seq == slot.seq {
                return slot;
            }
            std::hint::spin_loop();
            slot = self.sched.slots.get(index);
        }
        slot
    }

    /// Frees the slot of a dead thread. The kernel takes it when `tid` is 0 and not before, so that comes last; a live
    /// thread of the same number is not found here as long as it says [`DEAD`].
    fn free(&self, index: usize, tid: u32) {
        self.sched.slots.set(index, SchedSlot { tid, state: DEAD, ..SchedSlot::default() });
        self.sched.used.put::<u8>(index / USED_CHUNK as usize, index % USED_CHUNK as usize, 0);
        self.sched.slots.put::<u32>(index, offset_of!(SchedSlot, tid), 0);
    }
}

//! The threads' slots. Only here are they written.
//!
//! A thread's slot is written by the CPU it leaves or enters, and by the one that wakes it. The scheduler's locks
//! order these, except that a wake-up may run while the thread is still leaving: then it finds it on the CPU, and
//! writes `early_ns` only.

use agent_common::abi::drops::DropReason;
use agent_common::abi::offcpu::QUANTUM_NS;
use agent_common::abi::sched::{
    DEAD, DEAD_RING, DeadRing, FLAG_WAIT_USER, NO_CALL, PROBES, STATES, SchedSlot, State, USED_CHUNK,
    UsedChunk,
};
use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_get_smp_processor_id, bpf_probe_read_kernel_str_bytes};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;

use crate::drops;
use crate::kernel::task::Task;

/// User space sizes it to `pid_max` up to this: 32,768 × 384 B = 12 MiB.
const SLOTS_MAX: u32 = 32_768;

#[map]
static SCHED_SLOTS: Array<SchedSlot> = Array::with_max_entries(SLOTS_MAX, BPF_F_MMAPABLE);

#[map]
static SCHED_USED: Array<UsedChunk> = Array::with_max_entries(SLOTS_MAX / USED_CHUNK, BPF_F_MMAPABLE);

/// One ring a CPU; user space sets the number.
#[map]
static SCHED_DEAD: Array<DeadRing> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Slots − 1, a power of two minus one; set at load.
#[unsafe(no_mangle)]
static SCHED_MASK: Global<u32> = Global::new(0);

/// A slot of a live thread.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    at: *mut SchedSlot,
}

macro_rules! get {
    ($slot:expr, $field:ident) => {
        // SAFETY: a slot of the array; volatile, since user space and another CPU look on.
        unsafe { (&raw const (*$slot.at).$field).read_volatile() }
    };
}

macro_rules! set {
    ($slot:expr, $field:ident, $value:expr) => {{
        let value = $value;
        // SAFETY: as above.
        unsafe { (&raw mut (*$slot.at).$field).write_volatile(value) }
    }};
}

impl Slot {
    /// The slot of a thread, if it has one. First at its number: that is where it is but for a few.
    #[inline(always)]
    pub(crate) fn of(tid: u32) -> Option<Self> {
        let first = Self { at: SCHED_SLOTS.get_ptr_mut(tid & SCHED_MASK.load())? };
        // Read once each: a dead one may be cleared away meanwhile.
        let (held, dead) = (get!(first, tid), get!(first, state) == DEAD);
        if dead || (held != tid && held != 0) {
            return Self::further(tid);
        }
        (held == tid).then_some(first)
    }

    /// Another thread, or one with this number that is dead, is in the first place, or was when this thread came: a place that was
    /// given back is free, and says [`DEAD`].
    #[inline(always)]
    fn further(tid: u32) -> Option<Self> {
        for probe in 1..PROBES {
            let slot = Self { at: SCHED_SLOTS.get_ptr_mut((tid + probe) & SCHED_MASK.load())? };
            if get!(slot, tid) == tid && get!(slot, state) != DEAD {
                return Some(slot);
            }
        }
        None
    }

    /// A free slot for a thread that has none. Two CPUs that claim one slot at once for two threads whose numbers
    /// differ by the number of slots: the later wins, the other thread claims again at its next event.
    #[inline(always)]
    pub(crate) fn claim(task: Task, tid: u32, state: State, now: u64, flags: u16) -> Option<Self> {
        for probe in 0..PROBES {
            let index = (tid + probe) & SCHED_MASK.load();
            let slot = Self { at: SCHED_SLOTS.get_ptr_mut(index)? };
            if get!(slot, tid) != 0 {
                continue;
            }
            set!(slot, tgid, task.tgid());
            set!(slot, since_ns, now);
            set!(slot, born_ns, now);
            set!(slot, nr, NO_CALL);
            set!(slot, word, 0);
            set!(slot, flags, flags);
            // SAFETY: no arguments.
            set!(slot, debt_ns, u64::from(unsafe { bpf_get_prandom_u32() }) % QUANTUM_NS);
            set!(slot, comm, task.comm());
            // Both at last: in between those who look for another thread behind this place would stop here.
            set!(slot, state, state as u8);
            set!(slot, tid, tid);
            if let Some(chunk) = SCHED_USED.get_ptr_mut(index / USED_CHUNK) {
                // SAFETY: within the chunk.
                unsafe {
                    (&raw mut (*chunk).used[(index % USED_CHUNK) as usize]).write_volatile(1);
                }
            }
            return Some(slot);
        }
        drops::count(DropReason::SchedSlotsFull);
        None
    }

    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        get!(self, tid)
    }

    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        get!(self, tgid)
    }

    #[inline(always)]
    pub(crate) fn comm(self) -> [u8; agent_common::abi::COMM_LEN] {
        get!(self, comm)
    }

    /// When the present state began.
    #[inline(always)]
    pub(crate) fn since(self) -> u64 {
        get!(self, since_ns)
    }

    #[inline(always)]
    pub(crate) fn state(self) -> u8 {
        get!(self, state)
    }

    /// Ends the present state and begins another.
    #[inline(always)]
    pub(crate) fn change(self, state: u8, now: u64) {
        let seq = get!(self, seq) | 1;
        set!(self, seq, seq);
        let (since, old) = (get!(self, since_ns), get!(self, state));
        // The clocks of two CPUs may differ by some ns.
        if now > since {
            // SAFETY: masked to the array's length.
            unsafe {
                let sum = &raw mut (*self.at).ns[(old as usize) & (STATES - 1)];
                sum.write_volatile(sum.read_volatile() + (now - since));
            }
            set!(self, since_ns, now);
        }
        set!(self, state, state);
        set!(self, seq, seq.wrapping_add(1));
    }

    /// The present state was another one from its beginning.
    #[inline(always)]
    pub(crate) fn correct(self, state: u8) {
        set!(self, state, state);
    }

    /// The thread is gone for good: user space reads the slot once more and clears it.
    #[inline(always)]
    pub(crate) fn bury(self, now: u64) {
        let tid = get!(self, tid);
        self.change(DEAD, now);
        // SAFETY: no arguments.
        let Some(ring) = SCHED_DEAD.get_ptr_mut(unsafe { bpf_get_smp_processor_id() } as u32) else { return };
        // SAFETY: this CPU's ring, and interrupts are off in `sched_switch`; the index is masked.
        unsafe {
            let head = (&raw const (*ring).head).read_volatile();
            (&raw mut (*ring).slots[(head & (DEAD_RING - 1)) as usize]).write_volatile(tid);
            (&raw mut (*ring).head).write_volatile(head.wrapping_add(1));
        }
    }

    #[inline(always)]
    pub(crate) fn early(self) -> bool {
        get!(self, early_ns) != 0
    }

    #[inline(always)]
    pub(crate) fn set_early(self, now: u64) {
        set!(self, early_ns, now);
    }

    #[inline(always)]
    pub(crate) fn clear_early(self) {
        set!(self, early_ns, 0);
    }

    #[inline(always)]
    pub(crate) fn count_voluntary(self) {
        set!(self, voluntary, get!(self, voluntary) + 1);
    }

    #[inline(always)]
    pub(crate) fn count_preempted(self) {
        set!(self, preempted, get!(self, preempted) + 1);
    }

    /// What it does in the kernel, a [`State`]; 0: nothing known.
    #[inline(always)]
    pub(crate) fn context(self) -> u8 {
        get!(self, context)
    }

    /// Sets what it does in the kernel.
    #[inline(always)]
    pub(crate) fn set_context(self, state: u8) {
        set!(self, context, state);
    }

    /// Blocked time since the last mark.
    #[inline(always)]
    pub(crate) fn debt(self) -> u64 {
        get!(self, debt_ns)
    }

    #[inline(always)]
    pub(crate) fn set_debt(self, ns: u64) {
        set!(self, debt_ns, ns);
    }

    /// Time of waiting for a CPU that nobody has been charged with.
    #[inline(always)]
    pub(crate) fn queued(self) -> u64 {
        get!(self, queued_ns)
    }

    #[inline(always)]
    pub(crate) fn set_queued(self, ns: u64) {
        set!(self, queued_ns, ns);
    }

    #[inline(always)]
    pub(crate) fn nr(self) -> u16 {
        get!(self, nr)
    }

    #[inline(always)]
    pub(crate) fn arg(self) -> u64 {
        get!(self, arg)
    }

    /// Who owns the lock it waits for, as the lock says.
    #[inline(always)]
    pub(crate) fn owner(self) -> u32 {
        get!(self, owner)
    }

    /// The last futex word that it waited for.
    #[inline(always)]
    pub(crate) fn word(self) -> u64 {
        get!(self, word)
    }

    #[inline(always)]
    pub(crate) fn set_word(self, word: u64) {
        set!(self, word, word);
    }

    #[inline(always)]
    pub(crate) fn set_owner(self, tid: u32) {
        set!(self, owner, tid);
    }

    /// The user stack of the wait with this number is wanted.
    #[inline(always)]
    pub(crate) fn want_user(self, wait: u32) {
        set!(self, wait, wait);
        set!(self, flags, get!(self, flags) | FLAG_WAIT_USER);
    }

    #[inline(always)]
    pub(crate) fn wants_user(self) -> bool {
        get!(self, flags) & FLAG_WAIT_USER != 0
    }

    /// The wait whose user stack is wanted, from now on no more.
    #[inline(always)]
    pub(crate) fn take_wanted(self) -> Option<u32> {
        if !self.wants_user() {
            return None;
        }
        set!(self, flags, get!(self, flags) & !FLAG_WAIT_USER);
        Some(get!(self, wait))
    }

    #[inline(always)]
    pub(crate) fn set_call(self, nr: u16, arg: u64, flags: u16) {
        set!(self, nr, nr);
        set!(self, arg, arg);
        set!(self, flags, flags);
    }

    #[inline(always)]
    pub(crate) fn flags(self) -> u16 {
        get!(self, flags)
    }

    /// The last descriptor, the kind of its file, and when that was looked up.
    #[inline(always)]
    pub(crate) fn file(self) -> (u32, u8, u64) {
        (get!(self, fd), get!(self, file_kind), get!(self, file_ns))
    }

    #[inline(always)]
    pub(crate) fn set_file(self, fd: u32, kind: u8, now: u64) {
        set!(self, fd, fd);
        set!(self, file_kind, kind);
        set!(self, file_ns, now);
    }

    /// Takes a name over, from kernel memory.
    #[inline(always)]
    pub(crate) fn rename(self, name: *const u8) {
        let mut comm = [0u8; agent_common::abi::COMM_LEN];
        // SAFETY: the helper checks the address.
        if unsafe { bpf_probe_read_kernel_str_bytes(name, &mut comm) }.is_ok() {
            set!(self, comm, comm);
        }
    }
}

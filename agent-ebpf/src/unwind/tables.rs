//! The tables: who has which mappings, and which rule is in force at an address.

use core::arch::asm;

use agent_common::abi::unwind::{
    MAPPING_STEPS, MAPPINGS, Mapping, PAGE_BITS, PAGES, PROCESSES, Page, ProcessMaps, ROW_STEPS, RULE_BITS,
    Row, Rule, SLAB_ROWS, SLABS, WIDE_RULES, WideRule,
};
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_RB_FORCE_WAKEUP};
use aya_ebpf::btf_maps::{self, ArrayOfMaps};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};

#[map]
static UNWIND_PROCS: HashMap<u32, ProcessMaps> = HashMap::with_max_entries(PROCESSES, 0);

#[map]
static UNWIND_MAPS: Array<Mapping> = Array::with_max_entries(MAPPINGS, BPF_F_MMAPABLE);

#[map]
static UNWIND_PAGES: Array<Page> = Array::with_max_entries(PAGES, BPF_F_MMAPABLE);

#[map]
static UNWIND_RULES: Array<WideRule> = Array::with_max_entries(WIDE_RULES, BPF_F_MMAPABLE);

/// One value, so that a row is found by plain loads.
type Slab = btf_maps::Array<[u32; SLAB_ROWS as usize], 1, { BPF_F_MMAPABLE as usize }>;

/// Slabs are made when they are needed.
#[btf_map]
static ROW_SLABS: ArrayOfMaps<Slab, { SLABS as usize }> = ArrayOfMaps::new();

/// `value` if `a` ≤ `b`, 0 otherwise; both below 2^63. Without a branch, of which the verifier would follow both sides
/// at each step of a search; in assembly, since the compiler makes a branch of everything else.
#[inline(always)]
fn if_le(a: u64, b: u64, value: u64) -> u64 {
    let mut mask = a;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "{mask} -= {b}",
            "{mask} += -1",
            "{mask} s>>= 63",
            "{mask} &= {value}",
            mask = inout(reg) mask,
            b = in(reg) b,
            value = in(reg) value,
            options(nomem, nostack, pure),
        );
    }
    mask
}

/// Processes that user space should look at now, not when it polls next: a script of 50 ms is over by then. When it is
/// full, the poll does.
#[map]
static UNWIND_WANTED: RingBuf = RingBuf::with_byte_size(4096, 0);

/// When this CPU last asked.
#[map]
static WANTED_AT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// A CPU asks at most so often, ns: to read the mappings costs 100 µs, and what is too short-lived for the next poll is walked from
/// a copy.
const WANTED_NS: u64 = 50_000_000;

/// Asks user space to look at the mappings of a process.
#[inline(always)]
pub(crate) fn want(tgid: u32, now: u64) {
    let Some(last) = WANTED_AT.get_ptr_mut(0) else { return };
    // SAFETY: a per-CPU slot; two programs that write it at once ask once more or less.
    unsafe {
        if now.wrapping_sub(*last) < WANTED_NS {
            return;
        }
        *last = now;
    }
    let _ = UNWIND_WANTED.output::<u32>(tgid, u64::from(BPF_RB_FORCE_WAKEUP));
}

/// The mappings of a process, and its interpreter.
#[inline(always)]
pub(super) fn process(tgid: u32) -> Option<ProcessMaps> {
    let maps = UNWIND_PROCS.get_ptr(tgid)?;
    // SAFETY: a map value; user space replaces it as a whole, so at worst its parts are of different moments, and what
    // is found by them is checked.
    let maps = unsafe { maps.read_volatile() };
    (maps.count != 0).then_some(maps)
}

/// A forked child has its parent's mappings until user space knows better.
#[inline(always)]
pub(crate) fn inherit_process(parent: u32, child: u32) {
    if let Some(maps) = UNWIND_PROCS.get_ptr(parent) {
        // SAFETY: as above.
        let maps = unsafe { maps.read_volatile() };
        // No room: its stacks are taken by frame pointers, and say so.
        let _ = UNWIND_PROCS.insert(child, maps, 0);
    }
}

/// After exec it has others.
#[inline(always)]
pub(crate) fn forget_process(tgid: u32) {
    let _ = UNWIND_PROCS.remove(tgid);
}

/// The last of `count` mappings from `first` on that begins at `at` or below.
#[inline(always)]
pub(super) fn mapping(first: u32, count: u32, at: u64) -> Option<&'static Mapping> {
    let (mut place, mut left) = (u64::from(first), u64::from(count));
    for _ in 0..MAPPING_STEPS {
        if left <= 1 {
            break;
        }
        let half = left >> 1;
        let probe = UNWIND_MAPS.get((place + half) as u32)?;
        place += if_le(probe.start, at, half);
        left -= half;
    }
    UNWIND_MAPS.get(place as u32)
}

/// The rule in force at `vaddr` of the file whose page 0 is `pages`.
#[inline(always)]
pub(super) fn rule(pages: u32, vaddr: u64) -> Rule {
    let Some(page) = UNWIND_PAGES.get(pages.wrapping_add((vaddr >> PAGE_BITS) as u32)) else {
        return Rule::GAP;
    };
    let (first, mut left) = (page.first, u64::from(page.count));
    if left == 0 {
        return Rule::GAP;
    }
    // On the stack, written where the compiler must not look: a constant 0 would be merged with a global that is 0 in the
    // object, and that the loader makes another number.
    let mut only = 0u32;
    // SAFETY: a local variable.
    unsafe { (&raw mut only).write_volatile(0) };
    let Some(slab) = ROW_SLABS.get_value(first / SLAB_ROWS, &only) else { return Rule::GAP };
    let key = (vaddr << RULE_BITS | ((1 << RULE_BITS) - 1)) & u64::from(u32::MAX);
    let mut place = u64::from(first);
    for _ in 0..ROW_STEPS {
        if left <= 1 {
            break;
        }
        let half = left >> 1;
        place += if_le(row(slab, place + half), key, half);
        left -= half;
    }
    Row(row(slab, place) as u32).rule()
}

#[inline(always)]
fn row(slab: &[u32; SLAB_ROWS as usize], place: u64) -> u64 {
    u64::from(slab[(place & u64::from(SLAB_ROWS - 1)) as usize])
}

#[inline(always)]
pub(super) fn wide(index: u32) -> Option<&'static WideRule> {
    UNWIND_RULES.get(index)
}

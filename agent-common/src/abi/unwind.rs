//! Unwinding user stacks without frame pointers: what the kernel side looks up for each frame.
//!
//! `UNWIND_PROCS` (tgid → [`ProcessMaps`]) → `UNWIND_MAPS` ([`Mapping`], by start address) → `UNWIND_PAGES` ([`Page`], one a
//! 4 KiB of code) → `ROW_SLABS` (rows, by address) → CFA, return address and rbp of the caller.

use crate::assert_abi;

/// Bits of an address within a page of code.
pub const PAGE_BITS: u32 = 12;
/// Rows of a page at most: one a byte of code.
pub const PAGE_ROWS: u32 = 1 << PAGE_BITS;
/// Steps of a binary search that finds one of [`PAGE_ROWS`].
pub const ROW_STEPS: u32 = PAGE_BITS;

/// Rows of a slab: 512 KiB. Memory for tables grows and shrinks by this.
pub const SLAB_ROWS: u32 = 1 << 17;
/// Slabs at most: 24 MiB of rows.
pub const SLABS: u32 = 48;
/// Pages of all tables at most: 8 B each, 1 MiB, which are 512 MiB of code.
pub const PAGES: u32 = 131_072;
/// Mappings of all processes at most: 32 B each, 1 MiB.
pub const MAPPINGS: u32 = 32_768;
/// Mappings of one process at most.
pub const PROCESS_MAPPINGS: u32 = 2048;
/// Steps of a binary search that finds one of [`PROCESS_MAPPINGS`].
pub const MAPPING_STEPS: u32 = 11;
/// Processes at most: 88 B each, 352 KiB.
pub const PROCESSES: u32 = 4096;
/// With a number in `UNWIND_WANTED`: it runs another program since a moment ago. Thread-group ids end below (`PID_MAX_LIMIT`).
pub const WANTED_EXECUTED: u32 = 1 << 31;
/// Distinct rules that do not fit into a row: 16 B each, 64 KiB.
pub const WIDE_RULES: u32 = 4096;

/// Where the mappings of a process lie in `UNWIND_MAPS`, sorted by address, and its interpreter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProcessMaps {
    /// First of them.
    pub first: u32,
    /// How many; none: frame pointers only.
    pub count: u32,
    /// Address of CPython's list of interpreters; 0: it is no Python process.
    pub python: u64,
    /// Index in `PYTHON_LAYOUTS`.
    pub layout: u32,
    /// Padding.
    pub pad: u32,
}
assert_abi!(ProcessMaps, size = 24, align = 8, fields = [u32, u32, u64, u32, u32]);

/// An executable mapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub end: u64,
    /// Address in the process less address in the file's own address space.
    pub bias: u64,
    /// Index in `UNWIND_PAGES` of the page of file address 0 (wraps: the table may begin higher up). Every page from
    /// `start` to `end` is there.
    pub pages: u32,
    /// What there is: one of the `MAPPED_*`.
    pub kind: u32,
}
assert_abi!(Mapping, size = 32, align = 8, fields = [u64, u64, u64, u32, u32]);

/// A file with a table.
pub const MAPPED_TABLE: u32 = 0;
/// A file without unwind information: frame pointers.
pub const MAPPED_BARE: u32 = 1;
/// Anonymous memory: generated code, frame pointers.
pub const MAPPED_JIT: u32 = 2;
/// A file whose table is not loaded now.
pub const MAPPED_PENDING: u32 = 3;

/// Rows of one page of code. The first row is the one in force at its first byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Page {
    /// Slab × [`SLAB_ROWS`] + place in the slab; all rows of a page lie in one slab.
    pub first: u32,
    /// Rows; 0: no unwind information here.
    pub count: u32,
}
assert_abi!(Page, size = 8, align = 4, fields = [u32, u32]);

/// From which address within a page on (upper [`PAGE_BITS`]) which [`Rule`] (lower 20 bits) is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Row(pub u32);

/// Bits of a rule.
pub const RULE_BITS: u32 = 20;

impl Row {
    /// A row of the byte `at` of a page.
    #[must_use]
    pub const fn new(at: u32, rule: Rule) -> Self {
        Self(at << RULE_BITS | rule.0)
    }

    /// The rule.
    #[must_use]
    #[inline(always)]
    pub const fn rule(self) -> Rule {
        Rule(self.0 & ((1 << RULE_BITS) - 1))
    }
}

/// How to find the caller's frame. The return address always lies at CFA − 8, and the caller's rsp is the CFA.
///
/// Two bits of kind, then twelve of CFA offset in words, then six: where rbp was saved, in words below the CFA (0: not).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Rule(pub u32);

/// CFA = rsp + offset.
pub const KIND_RSP: u32 = 0;
/// CFA = rbp + offset.
pub const KIND_RBP: u32 = 1;
/// One of the `SPECIAL_*`.
pub const KIND_SPECIAL: u32 = 2;
/// The lower 18 bits are an index in `UNWIND_RULES`.
pub const KIND_WIDE: u32 = 3;

/// Code of no function that is described.
pub const SPECIAL_GAP: u32 = 0;
/// The outermost frame: there is no caller.
pub const SPECIAL_END: u32 = 1;
/// The frame of a signal handler's caller: the kernel has put all registers on the stack.
pub const SPECIAL_SIGNAL: u32 = 2;
/// Described, but in a way that is not followed here.
pub const SPECIAL_UNSUPPORTED: u32 = 3;
/// An entry of a lazy PLT, of 16 bytes: CFA = rsp + 8, and 8 more from the byte on that the lower six bits say.
pub const SPECIAL_PLT: u32 = 4;

impl Rule {
    /// No description.
    pub const GAP: Self = Self::special(SPECIAL_GAP, 0);
    /// The outermost frame.
    pub const END: Self = Self::special(SPECIAL_END, 0);
    /// A signal frame.
    pub const SIGNAL: Self = Self::special(SPECIAL_SIGNAL, 0);
    /// Not followed.
    pub const UNSUPPORTED: Self = Self::special(SPECIAL_UNSUPPORTED, 0);

    const fn new(kind: u32, middle: u32, low: u32) -> Self {
        Self(kind << 18 | middle << 6 | low)
    }

    /// A special rule.
    #[must_use]
    pub const fn special(what: u32, low: u32) -> Self {
        Self::new(KIND_SPECIAL, what, low)
    }

    /// CFA = rsp or rbp (`kind`) + `offset`, with rbp saved `rbp_below` bytes below it (0: not saved). `None` where that
    /// does not fit: then it is a [`WideRule`].
    #[must_use]
    pub const fn narrow(kind: u32, offset: i64, rbp_below: i64) -> Option<Self> {
        // The slot right below the CFA is the return address.
        let rbp_fits = rbp_below == 0 || rbp_below >= 16 && rbp_below < 64 * 8 && rbp_below % 8 == 0;
        if !rbp_fits || offset < 8 || offset >= 4096 * 8 || offset % 8 != 0 {
            return None;
        }
        Some(Self::new(kind, offset as u32 / 8, rbp_below as u32 / 8))
    }

    /// Entry `index` of `UNWIND_RULES`.
    #[must_use]
    pub const fn wide(index: u32) -> Self {
        Self(KIND_WIDE << 18 | index)
    }

    /// Kind.
    #[must_use]
    #[inline(always)]
    pub const fn kind(self) -> u32 {
        self.0 >> 18
    }

    /// CFA offset in words, or which special rule.
    #[must_use]
    #[inline(always)]
    pub const fn middle(self) -> u32 {
        self.0 >> 6 & 0xfff
    }

    /// Words below the CFA where rbp was saved.
    #[must_use]
    #[inline(always)]
    pub const fn low(self) -> u32 {
        self.0 & 0x3f
    }

    /// Index of a wide rule.
    #[must_use]
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self.0 & 0x3ffff
    }
}

/// A rule that does not fit into a row: CFA = base + `offset`, or what lies there, + `add`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct WideRule {
    /// [`KIND_RSP`] or [`KIND_RBP`].
    pub base: u8,
    /// 1: the word at base + `offset` is read.
    pub deref: u8,
    /// Where rbp was saved: one of `RBP_*`.
    pub rbp: u8,
    /// Padding.
    pub pad: u8,
    /// Added to the base.
    pub offset: i32,
    /// Added to what was read.
    pub add: i32,
    /// Added to what [`Self::rbp`] says.
    pub rbp_offset: i32,
}
assert_abi!(WideRule, size = 16, align = 4, fields = [u8, u8, u8, u8, i32, i32, i32]);

/// rbp is unchanged.
pub const RBP_SAME: u8 = 0;
/// At CFA + offset.
pub const RBP_AT_CFA: u8 = 1;
/// At rbp + offset.
pub const RBP_AT_RBP: u8 = 2;
/// At rsp + offset.
pub const RBP_AT_RSP: u8 = 3;

/// Where `uc_mcontext.gregs` of `struct ucontext` (user ABI of x86-64) has a register; in a signal frame rsp points to the
/// context.
pub mod signal_frame {
    /// rbp
    pub const RBP: u64 = 120;
    /// rsp
    pub const RSP: u64 = 160;
    /// rip
    pub const RIP: u64 = 168;
}

/// How the walk up a user stack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// There is no user stack: a kernel thread.
    None = 0,
    /// At the outermost frame, by unwind tables alone.
    Complete = 1,
    /// At the outermost frame, frame pointers having been followed where there was no table.
    FramePointers = 2,
    /// The deepest [`MAX_FRAMES`](super::oncpu::MAX_FRAMES) frames were taken; there are more.
    Truncated = 3,
    /// The process' mappings were not known yet: frame pointers only.
    NoProcess = 4,
    /// An address in no known mapping.
    NoMapping = 5,
    /// A file whose table was not loaded, yet or any more.
    Pending = 6,
    /// Code without unwind information, and its frame pointers led nowhere.
    NoTable = 7,
    /// Generated code, and its frame pointers led nowhere.
    Jit = 8,
    /// A description that is not followed.
    Unsupported = 9,
    /// The stack could not be read there (not resident, or not a stack).
    Fault = 10,
    /// The caller's frame would not lie above the callee's.
    Astray = 11,
    /// A 32-bit process: frame pointers only.
    Compat = 12,
    /// This kernel cannot walk by tables (no `bpf_loop`, before 5.17): frame pointers only.
    NoTables = 13,
}

impl Verdict {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::None,
        Self::Complete,
        Self::FramePointers,
        Self::Truncated,
        Self::NoProcess,
        Self::NoMapping,
        Self::Pending,
        Self::NoTable,
        Self::Jit,
        Self::Unsupported,
        Self::Fault,
        Self::Astray,
        Self::Compat,
        Self::NoTables,
    ];

    /// The verdict of a number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Stable identifier used in reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Complete => "complete",
            Self::FramePointers => "frame_pointers",
            Self::Truncated => "truncated",
            Self::NoProcess => "no_process",
            Self::NoMapping => "no_mapping",
            Self::Pending => "pending",
            Self::NoTable => "no_table",
            Self::Jit => "jit",
            Self::Unsupported => "unsupported",
            Self::Fault => "fault",
            Self::Astray => "astray",
            Self::Compat => "compat",
            Self::NoTables => "no_bpf_loop",
        }
    }

    /// Whether the stack of a verdict of this number was taken by the kernel's own helper, by frame pointers.
    #[must_use]
    #[inline(always)]
    pub const fn by_kernel(number: u8) -> bool {
        number == Self::NoProcess as u8 || number == Self::Compat as u8 || number == Self::NoTables as u8
    }

    /// Whether the outermost frame is there.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        matches!(self, Self::Complete | Self::FramePointers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_comes_out_of_its_row_as_it_went_in() {
        let rule = Rule::narrow(KIND_RBP, 32_760, 504).expect("it fits");
        let row = Row::new(4095, rule);
        assert_eq!(row.rule(), rule);
        assert_eq!((rule.kind(), rule.middle(), rule.low()), (KIND_RBP, 4095, 63));
        assert_eq!(row.0 >> RULE_BITS, 4095);
        assert_eq!(Rule::wide(WIDE_RULES - 1).index(), WIDE_RULES - 1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let narrow = |offset, rbp| Rule::narrow(KIND_RSP, offset, rbp);
        assert_eq!(narrow(32_768, 0), None);
        assert_eq!(narrow(12, 0), None);
        assert_eq!(narrow(0, 0), None);
        assert_eq!(narrow(16, 8), None);
        assert_eq!(narrow(16, 512), None);
        assert_eq!(narrow(16, -16), None);
    }

    #[test]
    fn verdicts_have_the_numbers_of_their_places() {
        for (number, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, number);
            assert_eq!(Verdict::of(number as u8), Some(verdict));
        }
        assert_eq!(Verdict::of(14), None);
    }
}

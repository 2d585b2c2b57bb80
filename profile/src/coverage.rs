//! How many frames got a name, and why the others did not.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use agent_common::text::cleaned;

/// A part of a program's debug info that is in another file, which was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotRead {
    /// What several programs have in common, put into a file of its own by `dwz`.
    Supplement,
    /// Split DWARF (`-gsplit-dwarf`): the `.dwo` files, or the `.dwp` of all of them.
    SplitDwarf,
}

impl NotRead {
    /// What was not found, in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Supplement => "its dwz supplement was not found",
            Self::SplitDwarf => "its .dwo or .dwp was not found",
        }
    }
}

/// Why a frame has no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unnamed {
    /// No mapping of the process covers the address: the code was built without frame pointers and the walk
    /// went astray, or the library has been unloaded since. A run of such addresses counts once.
    Unmapped,
    /// The process exited before its mappings were read. A run of such addresses counts once.
    ProcessGone,
    /// The kernel refused to show the process' mappings.
    ProcessDenied,
    /// Anonymous executable memory and no perf map that names it (JIT without `--perf-basic-prof` or agent).
    Anonymous,
    /// The mapped file could not be opened any more (deleted or replaced, and not observed in time).
    FileGone,
    /// The file has no symbol for the address (stripped).
    Stripped,
    /// The file is not a readable ELF file.
    NotElf,
    /// The file, or the process, is on a file system that does not answer (FUSE, NFS). It is left alone until it does.
    NoAnswer,
    /// The file, or all files of its user, took more memory or time than they may.
    OverBudget,
    /// The path leads to a device, a FIFO or an interface of the kernel: it was not opened.
    NotAFile,
    /// Kernel addresses are hidden from us (`kernel.kptr_restrict`, lockdown, missing `CAP_SYSLOG`).
    KernelHidden,
    /// `/proc/kallsyms` cannot be read.
    KernelUnreadable,
    /// The address is in no kernel symbol.
    KernelUnknown,
    /// The symbolizer failed on it; see the log.
    Failed,
    /// A Python function whose code object could not be read in time, or is none.
    PythonCode,
}

impl Unnamed {
    /// All of them.
    pub(crate) const ALL: [Self; 15] = [
        Self::Unmapped,
        Self::ProcessGone,
        Self::ProcessDenied,
        Self::Anonymous,
        Self::FileGone,
        Self::Stripped,
        Self::NotElf,
        Self::NoAnswer,
        Self::OverBudget,
        Self::NotAFile,
        Self::KernelHidden,
        Self::KernelUnreadable,
        Self::KernelUnknown,
        Self::Failed,
        Self::PythonCode,
    ];

    /// The reason in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unmapped => "broken stacks",
            Self::ProcessGone => "exited too early",
            Self::ProcessDenied => "mappings denied",
            Self::Anonymous => "JIT without perf map",
            Self::FileGone => "file gone",
            Self::Stripped => "stripped",
            Self::NotElf => "not an ELF file",
            Self::NoAnswer => "file system does not answer",
            Self::OverBudget => "over budget",
            Self::NotAFile => "not a regular file",
            Self::KernelHidden => "hidden by kptr_restrict",
            Self::KernelUnreadable => "/proc/kallsyms unreadable",
            Self::KernelUnknown => "unknown kernel address",
            Self::Failed => "symbolizer failed",
            Self::PythonCode => "Python code not read in time",
        }
    }
}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Frames of a profile by outcome. Each frame of each sample counts once, whatever the
/// sample's weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameCoverage {
    /// All frames, kernel and user.
    pub frames: u64,
    /// Frames with a name.
    pub named: u64,
    /// Kernel frames.
    pub kernel_frames: u64,
    /// Kernel frames with a name.
    pub kernel_named: u64,
    /// Stacks with Python frames.
    #[serde(default)]
    pub python_stacks: u64,
    /// Of those, stacks whose Python frames do not fit the calls of the interpreter among their native frames: what native
    /// functions lie between Python's is not certain.
    #[serde(default)]
    pub python_misfits: u64,
    /// Frames without a name, by reason. The values add up to `frames - named`.
    pub unnamed: BTreeMap<Unnamed, u64>,
    /// Frames whose inlined functions are missing, or have no names, since a part of the debug info was not found: by what
    /// was not found and by the program or library.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_read: BTreeMap<NotRead, BTreeMap<String, u64>>,
}

/// Most programs in [`NameCoverage::not_read`], of each kind.
const MAX_NOT_READ: usize = 256;
/// Of these, shown.
const SHOWN_NOT_READ: usize = 3;

impl NameCoverage {
    /// Counts one frame.
    pub(crate) fn count(&mut self, kernel: bool, reason: Option<Unnamed>) {
        self.frames += 1;
        self.kernel_frames += u64::from(kernel);
        match reason {
            None => {
                self.named += 1;
                self.kernel_named += u64::from(kernel);
            }
            Some(reason) => *self.unnamed.entry(reason).or_default() += 1,
        }
    }

    /// Counts a frame of `module` whose inlined functions are not known.
    pub(crate) fn count_not_read(&mut self, what: NotRead, module: &str) {
        // A path is its owner's words.
        self.add_not_read(what, &cleaned(module), 1);
    }

    fn add_not_read(&mut self, what: NotRead, module: &str, count: u64) {
        let modules = self.not_read.entry(what).or_default();
        if let Some(known) = modules.get_mut(module) {
            *known += count;
        } else if modules.len() < MAX_NOT_READ {
            modules.insert(module.to_owned(), count);
        }
    }

    /// Counts a stack with Python frames.
    pub(crate) fn count_python(&mut self, fits: bool) {
        self.python_stacks += 1;
        self.python_misfits += u64::from(!fits);
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.named += other.named;
        self.kernel_frames += other.kernel_frames;
        self.kernel_named += other.kernel_named;
        self.python_stacks += other.python_stacks;
        self.python_misfits += other.python_misfits;
        for (reason, count) in &other.unnamed {
            *self.unnamed.entry(*reason).or_default() += count;
        }
        for (what, modules) in &other.not_read {
            for (module, count) in modules {
                self.add_not_read(*what, module, *count);
            }
        }
    }

    /// Share of frames with a name, 0–100; 100 when there are no frames.
    #[must_use]
    pub fn named_pct(&self) -> f64 {
        pct(self.named, self.frames)
    }

    /// Share of kernel frames with a name, 0–100; 100 when there are no kernel frames.
    #[must_use]
    pub fn kernel_named_pct(&self) -> f64 {
        pct(self.kernel_named, self.kernel_frames)
    }
}

/// `part` of `whole` in per cent; nothing missing of nothing is 100.
fn pct(part: u64, whole: u64) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Per cent with one decimal, rounded down: 99.99 must not read as 100.
fn floor1(pct: f64) -> f64 {
    (pct * 10.0).floor() / 10.0
}

impl fmt::Display for NameCoverage {
    /// `symbolized 98.1% (kernel 100.0%); unnamed: 120 stripped, 3 broken stacks`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "symbolized {:.1}%", floor1(self.named_pct()))?;
        if self.kernel_frames > 0 {
            write!(f, " (kernel {:.1}%)", floor1(self.kernel_named_pct()))?;
        }
        let mut reasons: Vec<_> = self.unnamed.iter().collect();
        reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(**count), **reason));
        for (i, (reason, count)) in reasons.iter().enumerate() {
            write!(f, "{}{count} {reason}", if i == 0 { "; unnamed: " } else { ", " })?;
        }
        if self.python_misfits > 0 {
            write!(f, "; {} of {} Python stacks out of step", self.python_misfits, self.python_stacks)?;
        }
        for (what, modules) in &self.not_read {
            let mut names: Vec<_> = modules.iter().collect();
            names.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
            let shown: Vec<&str> = names.iter().take(SHOWN_NOT_READ).map(|(name, _)| name.as_str()).collect();
            write!(f, "; inlined functions missing in {}", shown.join(", "))?;
            if names.len() > shown.len() {
                write!(f, " and {} more", names.len() - shown.len())?;
            }
            write!(f, " ({})", what.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_are_shown_with_the_largest_reason_first() {
        let mut coverage = NameCoverage::default();
        coverage.count(true, None);
        coverage.count(false, Some(Unnamed::Unmapped));
        coverage.count(false, Some(Unnamed::Stripped));
        coverage.count(false, Some(Unnamed::Stripped));
        assert_eq!(
            coverage.to_string(),
            "symbolized 25.0% (kernel 100.0%); unnamed: 2 stripped, 1 broken stacks"
        );
        assert_eq!(coverage.unnamed.values().sum::<u64>(), coverage.frames - coverage.named);
    }

    #[test]
    fn programs_without_a_part_of_their_debug_info_are_named() {
        let mut coverage = NameCoverage::default();
        for module in ["/bin/d", "/bin/a", "/bin/c", "/bin/b", "/bin/b"] {
            coverage.count_not_read(NotRead::SplitDwarf, module);
        }
        let mut sum = NameCoverage::default();
        sum.add(&coverage);
        assert_eq!(
            sum.to_string(),
            "symbolized 100.0%; inlined functions missing in /bin/b, /bin/a, /bin/c and 1 more (its .dwo or .dwp was not found)"
        );
        for number in 0..2 * MAX_NOT_READ {
            sum.count_not_read(NotRead::Supplement, &number.to_string());
        }
        assert_eq!(sum.not_read[&NotRead::Supplement].len(), MAX_NOT_READ);
    }

    #[test]
    fn a_share_just_below_all_does_not_read_as_all() {
        let coverage = NameCoverage { frames: 100_000, named: 99_999, ..NameCoverage::default() };
        assert_eq!(coverage.to_string(), "symbolized 99.9%");
    }

    #[test]
    fn no_frames_is_not_a_failure() {
        assert_eq!(NameCoverage::default().to_string(), "symbolized 100.0%");
    }

    #[test]
    fn reasons_are_words_in_json() {
        let mut coverage = NameCoverage::default();
        coverage.count(true, Some(Unnamed::KernelHidden));
        let json = serde_json::to_string(&coverage).unwrap();
        assert!(json.contains(r#""unnamed":{"kernel_hidden":1}"#), "{json}");
    }
}

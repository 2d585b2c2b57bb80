//! What a block covers, as counts by name: a later version may have more of them.

use std::collections::BTreeMap;

use agent_common::wire::report::Coverage;

use super::{Block, Looked};
use crate::coverage::{NameCoverage, Unnamed};

/// Counts by name.
pub type Counters = BTreeMap<String, u64>;

/// Samples whose stacks were cut since there were too many stacks.
pub const CUT_SAMPLES: &str = "cut samples";
/// Waits whose stacks were cut.
pub const CUT_WAITS: &str = "cut waits";

impl Block {
    /// What the probes covered in its time. `some`: of processes that were chosen, for which how their stacks were unwound is not
    /// known by itself.
    #[must_use]
    pub fn coverage(&self, some: bool) -> Coverage {
        let count = |name: &str| self.counters.get(name).copied().unwrap_or_default();
        let named = |what: &str| {
            let found =
                self.counters.iter().filter_map(|(name, count)| Some((name.strip_prefix(what)?, *count)));
            found.map(|(name, count)| (name.to_owned(), count)).collect()
        };
        let of_all = |what: &str| if some { BTreeMap::new() } else { named(what) };
        Coverage {
            expected: count("expected"),
            captured: count("captured"),
            lost: named("lost "),
            unwound: of_all("unwound "),
            pythons: of_all("python "),
            ..Coverage::default()
        }
    }
}

impl Block {
    /// How many frames of what was looked at in this way have a name.
    #[must_use]
    pub fn names(&self, looked: Looked) -> NameCoverage {
        take_names(&self.counters, looked)
    }
}

/// Counts what is above zero.
pub(super) fn count(counters: &mut Counters, name: String, more: u64) {
    if more > 0 {
        let known = counters.entry(name).or_default();
        *known = known.saturating_add(more);
    }
}

/// Adds a coverage of names to counters.
pub(super) fn put_names(counters: &mut Counters, looked: Looked, names: &NameCoverage) {
    let looked = looked.name();
    for (what, more) in fields(names) {
        count(counters, format!("{looked} {what}"), more);
    }
    for (reason, more) in &names.unnamed {
        count(counters, format!("{looked} unnamed {reason}"), *more);
    }
}

/// The coverage of names in counters.
pub(super) fn take_names(counters: &Counters, looked: Looked) -> NameCoverage {
    let looked = looked.name();
    let of = |what: &str| counters.get(&format!("{looked} {what}")).copied().unwrap_or_default();
    let unnamed = Unnamed::ALL.into_iter().filter_map(|reason| {
        let count = of(&format!("unnamed {reason}"));
        (count > 0).then_some((reason, count))
    });
    NameCoverage {
        frames: of("frames"),
        named: of("named frames"),
        kernel_frames: of("kernel frames"),
        kernel_named: of("named kernel frames"),
        python_stacks: of("Python stacks"),
        python_misfits: of("Python stacks out of step"),
        unnamed: unnamed.collect(),
        not_read: BTreeMap::new(),
    }
}

fn fields(names: &NameCoverage) -> [(&'static str, u64); 6] {
    [
        ("frames", names.frames),
        ("named frames", names.named),
        ("kernel frames", names.kernel_frames),
        ("named kernel frames", names.kernel_named),
        ("Python stacks", names.python_stacks),
        ("Python stacks out of step", names.python_misfits),
    ]
}

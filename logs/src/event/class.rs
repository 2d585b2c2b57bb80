//! What a class of events is made of. The classes are in `classes/`, one table a subject.

use agent_common::wire::finding::Class as Finding;

use crate::Severity;

/// A class of events.
#[derive(Debug)]
pub struct Class {
    /// Its name: stable, lower case, words joined by `-`.
    pub name: &'static str,
    /// How grave an event of it is.
    pub severity: Severity,
    /// What it means and what to do, for the reference page.
    pub doc: &'static str,
    /// The findings of ours that such an event may explain.
    pub explains: &'static [Finding],
    /// Which lines are such an event; any of them.
    pub(super) rules: &'static [Rule],
    /// Lines as kernels or systemd write them, and the subject found in each.
    pub(super) examples: &'static [(&'static str, &'static str)],
    /// Lines that look alike and are no such event.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests read them"))]
    pub(super) near: &'static [&'static str],
}

/// How a line is known.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) source: Source,
    /// Part of each such line, or one of several with `|` between them: what the fast search looks for.
    pub(super) needle: &'static str,
    /// What the line must match. The names of its groups say what the subject is: see [`super::subject`].
    pub(super) pattern: &'static str,
}

/// Who must have written a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The kernel, one line.
    Kernel,
    /// The kernel, the first or a telling line of a trace. A line joins an open trace of a smaller rank.
    Trace(u8),
    /// The kernel, the first line of a trace that no other line joins.
    Alone,
    /// A systemd unit whose name begins so; only root can start such a unit.
    Unit(&'static str),
    /// PID 1, with this message id.
    Init(&'static str),
}

pub(super) const fn kernel(needle: &'static str, pattern: &'static str) -> Rule {
    Rule { source: Source::Kernel, needle, pattern }
}

pub(super) const fn trace(rank: u8, needle: &'static str, pattern: &'static str) -> Rule {
    Rule { source: Source::Trace(rank), needle, pattern }
}

pub(super) const fn alone(needle: &'static str, pattern: &'static str) -> Rule {
    Rule { source: Source::Alone, needle, pattern }
}

pub(super) const fn unit(name: &'static str, needle: &'static str, pattern: &'static str) -> Rule {
    Rule { source: Source::Unit(name), needle, pattern }
}

pub(super) const fn init(id: &'static str, pattern: &'static str) -> Rule {
    Rule { source: Source::Init(id), needle: "", pattern }
}

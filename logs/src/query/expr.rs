//! What lines match, as a tree.

use super::{Pattern, Phrase};
use crate::Severity;

/// Labels of streams: a query's `unit=x` means the label, that of another name the field.
pub const LABELS: [&str; 9] =
    ["host", "source", "file", "unit", "container", "pod", "namespace", "comm", "stream"];

/// What lines match.
#[derive(Debug, Clone)]
pub enum Expr {
    /// All of these match; of none: every line.
    All(Vec<Self>),
    /// One of these matches; of none: no line.
    Any(Vec<Self>),
    /// This does not match.
    Not(Box<Self>),
    /// The line's severity is one of these: bit `1 << severity`.
    Severities(u16),
    /// The line is of this process.
    Pid(u32),
    /// The stream's label. One that the stream does not have is empty.
    Label {
        /// Its name.
        name: String,
        /// What it has to be.
        test: Test,
    },
    /// A field of the line.
    Field {
        /// Its name.
        name: String,
        /// What it has to be.
        test: Test,
    },
    /// The message or a field's value has these words.
    Text(Phrase),
    /// The message or a field's value matches.
    Matches(Pattern),
}

/// What a value has to be.
#[derive(Debug, Clone)]
pub enum Test {
    /// This.
    Is(String),
    /// Matched by this, anywhere.
    Matches(Box<Pattern>),
    /// Anything, but there.
    Present,
}

impl Test {
    pub(super) fn of(&self, value: &[u8]) -> bool {
        match self {
            Self::Is(wanted) => wanted.as_bytes() == value,
            Self::Matches(pattern) => pattern.matches(value),
            Self::Present => true,
        }
    }

    /// Of a label, which is empty if there is none.
    pub(super) fn of_label(&self, value: Option<&str>) -> bool {
        match self {
            Self::Present => value.is_some(),
            _ => self.of(value.unwrap_or_default().as_bytes()),
        }
    }
}

impl Expr {
    /// Lines at least as grave. What does not say how grave it is counts as less than all.
    #[must_use]
    pub fn at_least(severity: Severity) -> Self {
        Self::Severities(((1_u32 << (severity as u32 + 1)) - 1) as u16)
    }

    /// The lines that match both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::All(mut all) => {
                all.push(other);
                Self::All(all)
            }
            one => Self::All(vec![one, other]),
        }
    }

    /// Whether it says something of a stream's label.
    #[must_use]
    pub fn names_label(&self, label: &str) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.names_label(label)),
            Self::Not(part) => part.names_label(label),
            Self::Label { name, .. } => name == label,
            _ => false,
        }
    }

    /// Brings what costs less before what costs more, as a line that the first refuses is not looked at by the others.
    pub(super) fn cheap_first(&mut self) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter_mut().for_each(Self::cheap_first);
                parts.sort_by_key(Self::cost);
            }
            Self::Not(part) => part.cheap_first(),
            _ => {}
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Self::Label { .. } => 0,
            Self::Severities(_) => 1,
            Self::Pid(_) => 2,
            Self::Field { test: Test::Is(_) | Test::Present, .. } => 4,
            Self::Field { .. } => 8,
            Self::Text(phrase) => phrase.cost(),
            Self::Matches(pattern) => pattern.cost(),
            Self::Not(part) => part.cost(),
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::cost).fold(0, u32::saturating_add),
        }
    }
}

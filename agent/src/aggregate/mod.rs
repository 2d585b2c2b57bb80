//! Windows → tables, reports, points. Pure: no I/O, no clock.
//!
//! `usage` adds up what each process used; [`syscalls`], [`report`] and [`points`] show it. Totals stay exact: what
//! is not shown by itself is in a row `other`.

mod coverage;
mod detail;
pub mod groups;
mod place;
mod points;
mod report;
mod stacks;
mod syscalls;
#[cfg(test)]
pub(crate) mod testing;
mod usage;

pub use coverage::{coverage, pythons, unwound};
pub use place::places;
pub use points::{PointsOptions, points};
pub use report::{ReportOptions, report};
pub use stacks::{Mode, StackOptions, Stacks, reason, stacks, stacks_of_waits};
pub use syscalls::syscalls;
pub use usage::{Bare, Usage, rank, rank_with, usage};

use std::sync::Arc;

use agent_common::units::DurNs;

use crate::window::Window;

/// Length of all windows together.
#[must_use]
pub fn span(windows: &[Arc<Window>]) -> DurNs {
    DurNs(windows.iter().map(|window| window.span().0).sum())
}

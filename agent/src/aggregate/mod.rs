//! Windows → tables, reports, points. Pure: no I/O, no clock.
//!
//! [`diagnosis::usage::usage`] adds up what each process used; [`syscalls`], [`report`] and [`points`] show it. Totals stay exact: what
//! is not shown by itself is in a row `other`.

mod block;
mod coverage;
mod detail;
mod place;
mod points;
mod report;
mod stacks;
mod syscalls;

pub use block::{BLOCK, COLUMN, MAX_BLOCK_NODES, Picked, add, new_block, pick, pick_of, samples_of};
pub use coverage::{coverage, pythons, unwound};
pub use place::places;
pub use points::{PointsOptions, points};
pub use report::{ReportOptions, report, report_after};
pub use stacks::{StackOptions, Stacks, stacks, stacks_of_waits};
pub use syscalls::syscalls;

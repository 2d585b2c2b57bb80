//! Where a window's contents come from: one file a feature.

mod delta;
pub mod host;
pub mod in_flight;
pub mod oncpu;
pub mod process;
pub mod syscalls;
pub mod task;

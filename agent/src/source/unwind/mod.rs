//! Keeps the kernel side supplied with the mappings of processes and the unwind tables of their files.

mod copied;
mod extents;
mod files;
mod handle;
mod process;
mod processes;
mod python;
mod queue;
mod tables;
mod walk;
mod worker;

pub use handle::{StackCopy, Unwinding, Walked};
pub use walk::Copied;

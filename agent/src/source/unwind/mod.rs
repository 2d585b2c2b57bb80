//! Keeps the kernel side supplied with the mappings of processes and the unwind tables of their files.

mod extents;
mod files;
mod handle;
mod process;
mod processes;
mod python;
mod tables;
mod walk;
mod worker;
mod young;

pub use handle::{Unwinding, Walked, Young};
pub use walk::Copied;

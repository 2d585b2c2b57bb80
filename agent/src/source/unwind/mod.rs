//! Keeps the kernel side supplied with the mappings of processes and the unwind tables of their files.

mod extents;
mod process;
mod python;
mod tables;
mod walk;
mod worker;

pub use walk::Copied;
pub use worker::{Unwinding, Walked, Young};

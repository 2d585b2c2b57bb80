//! Where a window's contents come from: one file a feature.

mod delta;
pub mod host;
pub mod task;

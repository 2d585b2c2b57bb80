//! Where a window's contents come from: one file a feature.

pub mod host;
pub mod task;

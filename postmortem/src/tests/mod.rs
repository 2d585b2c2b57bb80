//! Cases and decoys.

mod scenes;

//! Addresses → names → folded stacks → SVG.

pub mod sample;

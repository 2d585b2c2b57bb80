//! Why a process ended badly. Pure: facts in, a post-mortem out.

pub mod facts;

pub use facts::Facts;

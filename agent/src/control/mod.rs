//! How commands reach what was observed: the daemon's socket, or an observer of their own. Both end in [`Answers`].

pub mod answer;
pub mod board;
pub mod client;
pub mod pid;
pub mod postmortems;
pub mod protocol;
pub mod server;
pub mod socket;
#[cfg(test)]
mod tests;

pub use answer::{Answers, Namer};
pub use board::AlertBoard;
pub use client::{Client, ClientError};
pub use postmortems::{Kept, PostMortems, Which};

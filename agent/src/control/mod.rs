//! How commands reach what was observed: the daemon's socket, or an observer of their own. Both end in [`Answers`].

pub mod answer;
pub mod board;
pub mod client;
pub mod pid;
pub mod protocol;
pub mod server;
#[cfg(test)]
mod tests;

pub use answer::{Answers, Namer};
pub use board::AlertBoard;
pub use client::{Client, ClientError};

use agent_common::units::MonoNs;

/// `CLOCK_MONOTONIC`, the clock of windows and samples.
///
/// # Panics
/// On a system without that clock.
#[must_use]
pub fn mono_now() -> MonoNs {
    let now = nix::time::ClockId::CLOCK_MONOTONIC.now().map(std::time::Duration::from);
    // SANITY: CLOCK_MONOTONIC exists on every Linux.
    MonoNs(now.expect("CLOCK_MONOTONIC").as_nanos() as u64)
}

//! The unprivileged half of the agent: it has the network, and nothing of the host's.
//!
//! [`process`] takes windows, alerts and reports from the privileged half over a socket pair; [`spool`] keeps windows on
//! disk; [`sink`] sends them over MQTT; [`export`] sends metrics by remote write; [`webhook`] posts alerts. All in one the server part runs here, too. It does not
//! depend on the `agent` crate.

pub mod export;
pub mod process;
pub mod sink;
pub mod spool;
pub mod webhook;

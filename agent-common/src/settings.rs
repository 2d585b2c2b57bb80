//! Settings that one process of s7mpa hands to another, or that several of its crates share.

mod broker;
pub mod relay;
pub mod server;
mod subnet;

pub use broker::{BrokerAccess, Content};
pub use subnet::Subnet;

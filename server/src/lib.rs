//! The server part of s7mpa: broker, ingest, store. It needs no privileges.

pub mod broker;
pub mod mqtt;
pub mod store;

//! Where windows go: the spool on disk, and MQTT out of it.

pub mod mqtt;
pub mod spool;

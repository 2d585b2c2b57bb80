//! Collector ↔ server messages. Metrics travel as InfluxDB line protocol, everything else as JSON.

mod class;
mod clean;
pub mod finding;
pub mod head;
pub mod line;
mod place;
pub mod postmortem;
pub mod registry;
pub mod report;
pub mod silence;
pub mod stored;
pub mod topic;

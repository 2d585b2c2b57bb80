//! What programs push: read from their protocols, held against limits, and handed to the store.
//!
//! [`influx()`] and [`remote()`] make a [`Parsed`] of a body: a batch of good samples, and a [`Report`] of what was refused. One bad
//! line costs itself alone. [`Pusher`] writes the batches of all requests that wait in one transaction.

mod influx;
mod limits;
mod queue;
mod remote;
mod report;
mod stats;

pub use influx::{Precision, influx};
pub use limits::{MAX_LABELS, MAX_NAME_BYTES, MAX_SAMPLES, MAX_VALUE_BYTES, Times};
pub use queue::{PushError, Pusher};
pub use remote::remote;
pub use report::{Parsed, Reason, Report};
pub use stats::PushStats;

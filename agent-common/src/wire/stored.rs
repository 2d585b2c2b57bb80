//! The end-to-end acknowledgement: what the store has.

use serde::{Deserialize, Serialize};

/// Payload of `s7mpa/v1/<host>/stored` (retained): windows of one stream that are in the store.
///
/// Ranges are inclusive, ascending and disjoint. An ingester that owns the store reports from the first number
/// it ever stored; one of many on a shared subscription reports what it wrote itself. The collector takes the
/// union, so a lost message only means that a window is sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The stream ([`super::head::WindowHead::stream`]).
    pub stream: String,
    /// Highest number up to which nothing is missing (0: none).
    pub contiguous: u64,
    /// What is stored, newest ranges first kept when the list is cut to 64.
    pub ranges: Vec<(u64, u64)>,
}

//! Head of a metrics window: who sent it, in which stream, with which number.

use serde::{Deserialize, Serialize};

use crate::units::UnixNs;

/// Identity of a window. It travels as the first line of the metrics payload, measurement `s7mpa_window`
/// (tags `host`, `stream`; fields `seq`, `points`, `span_ns`; time = end of the window).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowHead {
    /// Host name, as in the topic.
    pub host: String,
    /// The collector's spool, 16 hexadecimal digits made when the spool directory is made: numbers count per stream.
    pub stream: String,
    /// 1, 2, 3 … without a gap within a stream.
    pub seq: u64,
    /// Points (lines) that follow this one.
    pub points: u64,
    /// Length of the window, ns.
    pub span_ns: u64,
    /// End of the window.
    pub end: UnixNs,
}

//! PromQL as Prometheus 3 means it, over any [`Reader`]. Pure: no clock, no files, no network.

mod labels;
mod matcher;
mod reader;

pub use labels::Labels;
pub use matcher::{Matcher, Operator};
pub use reader::{ReadError, Reader, STALE, Sample, Series, SeriesIter, Span, is_stale};

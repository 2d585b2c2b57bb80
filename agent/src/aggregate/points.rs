//! A window as points of the metrics registry ([`agent_common::wire::registry`]).

mod host;
mod process;
mod resources;

use agent_common::wire::line::{FieldValue, Point};
use diagnosis::window::Window;

/// What points are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointsOptions {
    /// Host name, the tag of every point.
    pub host: String,
    /// Most processes with points of their own: those that did something, and the largest of the others; the rest is summed as
    /// `other`. Each costs about 800 bytes a window on the wire, and its series in the store.
    pub top_n: usize,
    /// Processes that are shown in any case, idle or not, and the only ones with several syscalls.
    pub few: usize,
    /// Syscalls with points of their own, for each of these; the rest is summed as `other`.
    pub top_syscalls: usize,
}

impl PointsOptions {
    /// The defaults for a host: 2,000 processes, 5 syscalls of 100 of them.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), top_n: 2_000, few: 100, top_syscalls: 5 }
    }
}

/// Points of one window, all with the time of its end. Summed over all rows, each counter is exact.
#[must_use]
pub fn points(window: &Window, options: &PointsOptions) -> Vec<Point> {
    let mut points = host::points(window, options);
    points.extend(resources::points(window, options));
    points.extend(process::points(window, options));
    points
}

/// A point with the tag that all have.
fn point(measurement: &'static str, window: &Window, options: &PointsOptions) -> Point {
    Point::new(measurement, window.end_unix).tag("host", options.host.as_str())
}

/// Fields that may be absent.
trait Optional {
    fn maybe(self, key: &'static str, value: Option<impl Into<FieldValue>>) -> Self;
}

impl Optional for Point {
    fn maybe(self, key: &'static str, value: Option<impl Into<FieldValue>>) -> Self {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests;

//! Waits until an exporter is in a state.

use std::time::{Duration, Instant};

use agent_common::pair::ExportFigures;
use relay::export::Gauge;

/// Far beyond what a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) async fn until(gauge: &Gauge, what: &str, is: impl Fn(&ExportFigures) -> bool) {
    let begun = Instant::now();
    while !is(&gauge.figures()) {
        assert!(begun.elapsed() < PATIENCE, "not reached: {what}: {:?}", gauge.figures());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

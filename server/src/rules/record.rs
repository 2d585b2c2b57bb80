//! What a group gave at one moment, as a window of the group's own stream.

use std::collections::BTreeMap;

use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use promql::{Labels, NAME, Sample};

use crate::store::{RECORDED, Store, StoreError, Window};

/// A group's stream of windows.
#[derive(Debug)]
pub(super) struct Stream {
    /// 16 hexadecimal digits.
    name: String,
    /// Number of the next window; nothing: the store was not asked yet.
    next: Option<u64>,
}

impl Stream {
    /// The same for each start of the program.
    pub(super) fn new(file: &str, group: &str) -> Self {
        Self { name: format!("{:016x}", digest([file, group].into_iter())), next: None }
    }

    /// Writes the samples. What is no number, or not finite, the store does not hold.
    pub(super) fn write(
        &mut self,
        store: &dyn Store,
        host: &str,
        at_ms: i64,
        interval_ms: i64,
        recorded: &BTreeMap<Labels, Sample>,
    ) -> Result<(), StoreError> {
        let seq = match self.next {
            Some(next) => next,
            None => store.stored(host, &self.name)?.to_set().highest() + 1,
        };
        let end = UnixNs(at_ms.max(0).unsigned_abs().saturating_mul(1_000_000));
        let points: Vec<Point> = recorded
            .iter()
            .filter(|(_, sample)| sample.value.is_finite())
            .map(|(labels, sample)| point(labels, sample.value, end))
            .collect();
        let head = WindowHead {
            host: host.to_owned(),
            stream: self.name.clone(),
            seq,
            points: points.len() as u64,
            span_ns: interval_ms.unsigned_abs().saturating_mul(1_000_000),
            end,
        };
        store.write(&[Window::from_points(head, &points)])?;
        self.next = Some(seq + 1);
        Ok(())
    }
}

fn point(labels: &Labels, value: f64, end: UnixNs) -> Point {
    let tags = labels.iter().filter(|(name, _)| ***name != *NAME);
    let tags = tags.map(|(name, value)| (name.to_string().into(), value.to_string()));
    Point { tags: tags.collect(), ..Point::new(RECORDED, end) }.field(labels.get(NAME).to_owned(), value)
}

/// FNV-1a: the same in each version of this program.
pub(super) fn digest<'a>(texts: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = texts.flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

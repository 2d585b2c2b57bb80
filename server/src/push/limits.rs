//! What a series and a sample may be.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use promql::NAME;

use super::report::Reason;

/// Most samples of one request.
pub const MAX_SAMPLES: u64 = 100_000;
/// Most labels of a series. `node_exporter` and Telegraf have some ten at most, Kubernetes thirty.
pub const MAX_LABELS: usize = 40;
/// Longest name of a metric or a label, bytes.
pub const MAX_NAME_BYTES: usize = 512;
/// Longest value of a label, bytes.
pub const MAX_VALUE_BYTES: usize = 2_048;
/// What names of our own metrics begin with: they come from the agents alone.
const OWN: &str = "s7mpa_";
/// How far in the future a sample may be.
const MAX_AHEAD: Duration = Duration::from_hours(1);

/// Name and value of a label.
pub(super) type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Times that are taken, Unix ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// Of samples that say no time.
    pub now_ms: i64,
    taken: RangeInclusive<i64>,
}

impl Times {
    /// What retention would keep, and an hour from now on.
    pub fn new(now_ms: i64, max_age: Duration) -> Self {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let first = now_ms.saturating_sub(ms(max_age)).max(0);
        Self { now_ms, taken: first..=now_ms.saturating_add(ms(MAX_AHEAD)) }
    }

    pub(super) fn check(&self, at_ms: i64) -> Result<(), (Reason, String)> {
        if self.taken.contains(&at_ms) {
            return Ok(());
        }
        let time = agent_common::text::utc_ms(at_ms);
        let why = if at_ms > *self.taken.end() {
            "more than an hour in the future"
        } else {
            "older than what is kept"
        };
        Err((Reason::Time, format!("its time, {time}, is {why}: check the precision and the clock")))
    }
}

/// Whether a metric may be called so.
pub(super) fn check_metric(name: &str) -> Result<(), (Reason, String)> {
    if name.is_empty() {
        return Err((Reason::Labels, "it has no name".to_owned()));
    }
    if name.len() > MAX_NAME_BYTES {
        let what = format!("its name has {} bytes, and {MAX_NAME_BYTES} are allowed", name.len());
        return Err((Reason::Labels, what));
    }
    if name.starts_with(OWN) {
        let what =
            format!("`{name}`: names that begin with {OWN} are those of the agents, which send by MQTT");
        return Err((Reason::Name, what));
    }
    Ok(())
}

/// Whether a series may have these labels, which are without the metric's name.
pub(super) fn check_labels(labels: &[Label<'_>]) -> Result<(), (Reason, String)> {
    let refuse = |what: String| Err((Reason::Labels, what));
    if labels.len() > MAX_LABELS {
        return refuse(format!("it has {} labels, and {MAX_LABELS} are allowed", labels.len()));
    }
    for (at, (name, value)) in labels.iter().enumerate() {
        if name.is_empty() || *name == NAME {
            return refuse(format!("a label cannot be called `{name}`"));
        }
        if name.len() > MAX_NAME_BYTES {
            return refuse(format!(
                "a label's name has {} bytes, and {MAX_NAME_BYTES} are allowed",
                name.len()
            ));
        }
        if value.len() > MAX_VALUE_BYTES {
            let bytes = value.len();
            return refuse(format!(
                "the label `{name}` has {bytes} bytes, and {MAX_VALUE_BYTES} are allowed"
            ));
        }
        if labels[..at].iter().any(|(before, _)| before == name) {
            return refuse(format!("the label `{name}` is there twice"));
        }
    }
    Ok(())
}

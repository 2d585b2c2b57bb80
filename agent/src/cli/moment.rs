//! Moments as people write them.

use std::time::Duration;

use agent_common::text::{unix_ms, utc};
use agent_common::units::UnixNs;

use crate::clock;

/// Forms that are taken, for messages.
const FORMS: &str = "write it as now, 5m (ago), 14:03, 'yesterday 14:03', '2026-11-29 14:03:05' (UTC), 2026-11-29T14:03:05Z or as \
                     Unix seconds";
const DAY_NS: u64 = 86_400_000_000_000;

/// Reads a moment. Without a zone it is UTC, as all times are that this program prints.
pub(super) fn moment(text: &str) -> Result<UnixNs, String> {
    parse(text.trim(), clock::unix()).ok_or_else(|| format!("`{text}` is no moment; {FORMS}"))
}

fn parse(text: &str, now: UnixNs) -> Option<UnixNs> {
    if text == "now" {
        return Some(now);
    }
    if let Some(ago) = super::duration(text).ok().filter(|_| !text.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Some(UnixNs(now.0.saturating_sub(nanos(ago))));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok().map(|since| UnixNs(nanos(since)));
    }
    let (day, clock) = match text.split_once([' ', 'T']) {
        Some((day, clock)) => (day, clock),
        None if text.contains(':') => ("today", text),
        None => (text, "00:00"),
    };
    let date = |at: u64| utc(at)[.."2026-11-29".len()].to_owned();
    let date = match day {
        "today" => date(now.0),
        "yesterday" => date(now.0.checked_sub(DAY_NS)?),
        _ => padded(day, '-'),
    };
    let (clock, zone) = clock.split_at(clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len()));
    let seconds = if clock.matches(':').count() == 1 { ":00" } else { "" };
    let zone = if zone.is_empty() { "Z" } else { zone };
    let ms = unix_ms(&format!("{date}T{}{seconds}{zone}", padded(clock, ':')))?;
    u64::try_from(ms).ok()?.checked_mul(1_000_000).map(UnixNs)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// `9:05` as `09:05`.
fn padded(text: &str, between: char) -> String {
    let parts: Vec<String> = text.split(between).map(|part| format!("{part:0>2}")).collect();
    parts.join(&between.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-29 14:03:05 UTC.
    const NOW: UnixNs = UnixNs(1_795_960_985_000_000_000);

    #[test]
    fn moments_are_what_people_write() {
        let before = |seconds: u64| NOW.0 - seconds * 1_000_000_000;
        let midnight = 14 * 3600 + 3 * 60 + 5;
        for (text, want) in [
            ("now", NOW.0),
            ("5m", before(300)),
            ("1h30m", before(5400)),
            ("1795960985", NOW.0),
            ("1795960985.5", NOW.0 + 500_000_000),
            ("14:03", before(5)),
            ("today 14:03:05", NOW.0),
            ("yesterday 14:03:05", before(86_400)),
            ("yesterday", before(86_400 + midnight)),
            ("9:03", before(5 * 3600 + 5)),
            ("2026-11-29", before(midnight)),
            ("2026-11-29 14:03", before(5)),
            ("2026-11-29T14:03:05Z", NOW.0),
            ("2026-11-29T14:03:05.25Z", NOW.0 + 250_000_000),
            ("2026-11-29T15:03:05+01:00", NOW.0),
            ("2026-11-29T09:33:05-04:30", NOW.0),
        ] {
            assert_eq!(parse(text, NOW), Some(UnixNs(want)), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_with_the_forms_that_are() {
        for text in [
            "",
            "soon",
            "25:00",
            "2026-13-01",
            "2026-02-30",
            "14:03+1",
            "14:03+24:00",
            "-5",
            "1e300",
            "T",
            "日本 14:03",
            "1:2:3:4",
        ] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
        assert!(moment("soon").unwrap_err().contains("yesterday 14:03"));
    }
}

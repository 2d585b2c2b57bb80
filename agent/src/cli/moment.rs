//! Moments as people write them.

use std::time::{Duration, SystemTime};

use agent_common::units::UnixNs;
use time::{Date, Month, PrimitiveDateTime, Time};

/// Forms that are taken, for messages.
const FORMS: &str = "write it as now, 5m (ago), 14:03, 'yesterday 14:03', '2026-11-29 14:03:05' (UTC), 2026-11-29T14:03:05Z or as \
                     Unix seconds";

/// The moment now.
pub(super) fn now() -> UnixNs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixNs(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Reads a moment. Without a zone it is UTC, as all times are that this program prints.
pub(super) fn moment(text: &str) -> Result<UnixNs, String> {
    parse(text.trim(), now()).ok_or_else(|| format!("`{text}` is no moment; {FORMS}"))
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
    let today = time::OffsetDateTime::from_unix_timestamp_nanos(now.0.into()).ok()?.date();
    let (day, clock) = match text.split_once([' ', 'T']) {
        Some((day, clock)) => (day, clock),
        None if text.contains(':') => ("today", text),
        None => (text, "00:00"),
    };
    let date = match day {
        "today" => today,
        "yesterday" => today.previous_day()?,
        _ => date(day)?,
    };
    let (clock, east_s) = zone(clock)?;
    let at = PrimitiveDateTime::new(date, time_of_day(clock)?).assume_utc().unix_timestamp_nanos();
    u64::try_from(at - i128::from(east_s) * 1_000_000_000).ok().map(UnixNs)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// `2026-11-29`
fn date(text: &str) -> Option<Date> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month = Month::try_from(parts.next()?.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year, month, parts.next()?.parse().ok()?).ok()
}

/// `14:03`, `14:03:05`, `14:03:05.25`
fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.splitn(3, ':');
    let (hour, minute) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let Some(seconds) = parts.next() else { return Time::from_hms(hour, minute, 0).ok() };
    let (second, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let nanos = format!("{part:0<9}").get(..9)?.parse().ok()?;
    Time::from_hms_nano(hour, minute, second.parse().ok()?, nanos).ok()
}

/// A time of day without its zone, and how far east of UTC that is, in seconds.
fn zone(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(sign) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let (hours, minutes) = text[sign + 1..].split_once(':')?;
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    let east = i64::from(hours) * 3600 + i64::from(minutes) * 60;
    (hours < 24 && minutes < 60)
        .then_some((&text[..sign], if text.as_bytes()[sign] == b'-' { -east } else { east }))
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

//! Text for people: amounts, times, errors, and foreign words made harmless. Pure.

mod hostile;
mod rfc3339;

use std::error::Error;
use std::time::Duration;

pub use hostile::{clean, clean_json, clean_output, cleaned, is_hostile, make_clean};
pub use rfc3339::{unix_ms, unix_ns};

/// An error with its causes on one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        next = cause.source();
        let cause = cause.to_string();
        // Some libraries repeat the cause in their own text.
        if text.ends_with(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

/// `1.2 MiB`: three digits and a unit.
#[must_use]
pub fn bytes(n: u64) -> String {
    scaled(n as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"], " ")
}

/// `1.23 M`: three digits and a power of 1000.
#[must_use]
pub fn count(n: u64) -> String {
    if n < 10_000 { n.to_string() } else { scaled(n as f64, 1000.0, &["", "k", "M", "G", "T"], "") }
}

/// `12.3ms`: three digits and a unit.
#[must_use]
pub fn nanos(n: u64) -> String {
    match n {
        0..60_000_000_000 => scaled(n as f64, 1000.0, &["ns", "µs", "ms", "s"], ""),
        60_000_000_000..3_600_000_000_000 => format!("{:.1}min", n as f64 / 6e10),
        3_600_000_000_000..172_800_000_000_000 => format!("{:.1}h", n as f64 / 3.6e12),
        _ => format!("{:.1}d", n as f64 / 8.64e13),
    }
}

fn scaled(mut value: f64, step: f64, units: &[&str], gap: &str) -> String {
    let mut at = 0;
    // 999.5 would print as 1000.
    while value >= step - 0.5 && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    let unit = units[at];
    match value {
        _ if at == 0 => format!("{value:.0}{gap}{unit}"),
        ..9.995 => format!("{value:.2}{gap}{unit}"),
        ..99.95 => format!("{value:.1}{gap}{unit}"),
        _ => format!("{value:.0}{gap}{unit}"),
    }
}

/// `10s`, `2.5s`, `3m20s`.
#[must_use]
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        let text = format!("{seconds:.1}");
        return format!("{}s", text.strip_suffix(".0").unwrap_or(&text));
    }
    let whole = time.as_secs();
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, _) => format!("{hours}h{minutes}m"),
    }
}

/// `2026-11-22T21:22:43Z` of nanoseconds since the epoch.
#[must_use]
pub fn utc(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The same of milliseconds, with them; before 1970 it is 1970.
pub fn utc_ms(unix_ms: i64) -> String {
    let ms = unix_ms.max(0).cast_unsigned();
    let text = utc(ms.saturating_mul(1_000_000));
    format!("{}.{:03}Z", text.trim_end_matches('Z'), ms % 1000)
}

/// Year, month and day of a day since the epoch: the civil calendar, counted from March in eras of 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (year + era * 400 + u64::from(month <= 2), month, of_year - (153 * march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1000), "1000 B");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(1_234_567), "1.23M");
        assert_eq!(nanos(999), "999ns");
        assert_eq!(nanos(12_345_678), "12.3ms");
        assert_eq!(nanos(90_000_000_000), "1.5min");
        assert_eq!(nanos(u64::MAX), "213504.0d");
    }

    #[test]
    fn times_are_those_of_date() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_709_164_800_000_000_000), "2024-02-29T00:00:00Z");
        assert_eq!(utc(1_735_689_599_999_999_999), "2024-12-31T23:59:59Z");
    }

    #[test]
    fn spans_are_short() {
        let of = |seconds| span(Duration::from_secs_f64(seconds));
        assert_eq!(
            [of(10.0), of(2.5), of(300.0), of(90.0), of(7_260.0)],
            ["10s", "2.5s", "5m", "1m30s", "2h1m"]
        );
    }

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Layer(&'static str, #[source] Option<Box<Layer>>);
        let layers = Layer("top", Some(Layer("outer: inner", Some(Layer("inner", None).into())).into()));
        assert_eq!(chain(&layers), "top: outer: inner");
    }
}

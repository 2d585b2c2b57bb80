//! Numbers as text.

use crate::date::{DAY_SECONDS, Date};

/// A float as Prometheus writes it: the shortest text that reads as the same value, without exponent.
pub fn plain(value: f64) -> String {
    special(value).map_or_else(|| value.to_string(), str::to_owned)
}

fn special(value: f64) -> Option<&'static str> {
    match value {
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ if value.is_nan() => Some("NaN"),
        _ => None,
    }
}

/// The shortest text that reads as the same value; with an exponent below 1e-4 and from 1e6 on, as Go prints floats.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() || (1e-4..1e6).contains(&size) {
        return plain(value);
    }
    with_exponent(&format!("{value:e}"))
}

/// So many digits after the point.
pub(crate) fn fixed(value: f64, digits: usize) -> String {
    special(value).map_or_else(|| format!("{value:.digits$}"), str::to_owned)
}

/// One digit before the point, so many after it, and an exponent.
pub(crate) fn scientific(value: f64, digits: usize) -> String {
    special(value).map_or_else(|| with_exponent(&format!("{value:.digits$e}")), str::to_owned)
}

/// Unix time in seconds as `2015-06-23 13:19:44.128 +0000 UTC`.
pub(crate) fn timestamp(seconds: f64) -> String {
    if !seconds.is_finite() || seconds.abs() > 1e11 {
        return general(seconds, 4);
    }
    let ns = (seconds * 1e9) as i64;
    let (whole, rest) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let Date { year, month, day } = Date::of(whole);
    let of_day = whole.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = format!(".{rest:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} +0000 UTC")
}

/// So many digits in all, without zeros at the end; with an exponent where that is shorter.
pub fn general(value: f64, digits: usize) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i64 {
        return with_exponent(&format!("{}e{exponent}", without_zeros(mantissa)));
    }
    let after_point = (digits as i64 - 1 - exponent).max(0) as usize;
    without_zeros(&format!("{value:.after_point$}")).to_owned()
}

/// `1.5e7` as `1.5e+07`.
fn with_exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Four digits and a prefix: `1.235M`; of 1024, `2ki`.
pub(crate) fn humanized(value: f64, base: f64) -> String {
    let binary = base > 1000.0;
    let (mut scaled, mut prefix) = (value, String::new());
    if value != 0.0 && value.is_finite() {
        if value.abs() >= 1.0 {
            for letter in "kMGTPEZY".chars() {
                if scaled.abs() < base {
                    break;
                }
                scaled /= base;
                prefix = if binary { format!("{letter}i") } else { letter.to_string() };
            }
        } else if !binary {
            (scaled, prefix) = small(value);
        }
    }
    format!("{}{prefix}", general(scaled, 4))
}

/// A value below 1 with its prefix: 0.001 as 1 and `m`.
fn small(value: f64) -> (f64, String) {
    let (mut scaled, mut prefix) = (value, String::new());
    for letter in "munpfazy".chars() {
        if scaled.abs() >= 1.0 {
            break;
        }
        scaled *= 1000.0;
        prefix = letter.to_string();
    }
    (scaled, prefix)
}

/// Seconds as `1d 2h 3m 4s`; less than one as `1.5ms`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds == 0.0 {
        return if seconds == 0.0 { "0s".to_owned() } else { general(seconds, 4) };
    }
    if seconds.abs() < 1.0 {
        let (scaled, prefix) = small(seconds);
        return format!("{}{prefix}s", general(scaled, 4));
    }
    let (sign, size) = if seconds < 0.0 { ("-", -seconds) } else { ("", seconds) };
    let whole = size as u64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    if days > 0 {
        format!("{sign}{days}d {hours}h {minutes}m {rest}s")
    } else if hours > 0 {
        format!("{sign}{hours}h {minutes}m {rest}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m {rest}s")
    } else {
        format!("{sign}{}s", general(size, 4))
    }
}

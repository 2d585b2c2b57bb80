//! Texts of settings and flags to values. An error says what would be right.

use std::time::Duration;

/// `500ms`, `10s`, `5m`, `2h`, `7d`, and sums of them (`1h30m`). Not zero.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write it as 500ms, 10s, 5m, 2h, 7d or 1h30m");
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(wrong)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let factor = match &after[..letters] {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let part = Duration::try_from_secs_f64(number * factor).map_err(|_| wrong())?;
        sum = sum.checked_add(part).ok_or_else(wrong)?;
        rest = after[letters..].trim_start();
    }
    if sum.is_zero() {
        return Err(format!("`{text}` is no time at all; write a duration above zero, such as 10s"));
    }
    Ok(sum)
}

/// `512`, `64KiB`, `16MiB`, `2GiB`; `KB`, `MB`, `GB` are powers of 1000.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write it as 512KiB, 64MiB or 2GiB");
    let (number, unit) = split_number(text.trim()).ok_or_else(wrong)?;
    let factor = match unit.trim() {
        "" | "B" => 1.0,
        "KiB" | "K" => 1024.0,
        "MiB" | "M" => 1024.0 * 1024.0,
        "GiB" | "G" => 1024.0 * 1024.0 * 1024.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return Err(wrong()),
    };
    Ok((number * factor) as u64)
}

/// A leading decimal number and what follows it.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_add_up() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "10", "s", "10 parsecs", "-1s", "1e400s", "0s", "99999999999999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_binary_unless_said_otherwise() {
        assert_eq!(parse_bytes("64MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("1 GB"), Ok(1_000_000_000));
        assert_eq!(parse_bytes("512"), Ok(512));
        assert!(parse_bytes("lots").is_err());
    }

    #[test]
    fn spans_read_as_they_are_written() {
        for text in ["10s", "2.5s", "5m", "1m30s"] {
            assert_eq!(agent_common::text::span(parse_duration(text).unwrap()), text);
        }
    }
}

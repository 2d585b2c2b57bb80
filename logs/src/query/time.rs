//! Times in queries.

/// Seconds since 1970 with up to nine decimals, or RFC 3339 (`2026-11-30T18:00:00.5+01:00`); in ns. Years 1970 to 2553.
pub(super) fn parse(text: &str) -> Option<u64> {
    if let Some((date, time)) = text.split_once(['T', 't']) {
        return date_and_time(date, time);
    }
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    digits(seconds, 1..=11)?.checked_mul(1_000_000_000)?.checked_add(nanoseconds(decimals)?)
}

fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let right = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if right { text.parse().ok() } else { None }
}

fn nanoseconds(decimals: &str) -> Option<u64> {
    if decimals.is_empty() {
        return Some(0);
    }
    Some(digits(decimals, 1..=9)? * 10_u64.pow(9 - decimals.len() as u32))
}

fn date_and_time(date: &str, time: &str) -> Option<u64> {
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day) = (digits(year, 4..=4)?, digits(month, 2..=2)?, digits(day, 2..=2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(month.checked_sub(1)? as usize)?;
    if parts.next().is_some() || year < 1970 || day == 0 || day > length {
        return None;
    }
    let (before, leaps) = (year - 1, |year: u64| year / 4 - year / 100 + year / 400);
    let days = (year - 1970) * 365 + leaps(before) - leaps(1969)
        + lengths[..month as usize - 1].iter().sum::<u64>()
        + day
        - 1;
    let (time, offset) = if let Some(time) = time.strip_suffix(['Z', 'z']) {
        (time, 0)
    } else {
        let at = time.rfind(['+', '-'])?;
        let (hours, minutes) = time[at + 1..].split_once(':')?;
        let minutes = digits(hours, 2..=2).filter(|hours| *hours < 24)? * 60
            + digits(minutes, 2..=2).filter(|minutes| *minutes < 60)?;
        let sign = if time[at..].starts_with('-') { -1 } else { 1 };
        (&time[..at], sign * minutes as i64 * 60)
    };
    let (time, decimals) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = time.split(':');
    let mut part = |below: u64| digits(parts.next()?, 2..=2).filter(|value| *value < below);
    // A leap second is 60.
    let (hour, minute, second) = (part(24)?, part(60)?, part(61)?);
    if parts.next().is_some() {
        return None;
    }
    let seconds = (days * 86_400 + hour * 3600 + minute * 60 + second) as i64 - offset;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanoseconds(decimals)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_ways() {
        for (text, ms) in [
            ("0", 0),
            ("1796061600", 1_796_061_600_000),
            ("1.5", 1_500),
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-30T18:00:00Z", 1_796_061_600_000),
            ("2026-11-30T19:00:00.25+01:00", 1_796_061_600_250),
            ("2026-11-30t12:30:00-05:30", 1_796_061_600_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000),
        ] {
            assert_eq!(parse(text), Some(ms * 1_000_000), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "x",
            "-1",
            "1.x",
            "1.0000000001",
            "999999999999",
            "2026-11-30",
            "2026-11-30T18:00:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00+1:00",
            "9999-01-01T00:00:00Z",
            "T",
            "TZ",
            "2026-01-01Tä+",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

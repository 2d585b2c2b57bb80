//! The time at the start of a line.

use agent_common::units::UnixNs;

use crate::Severity;

/// How far ahead of the clock a line's time may be. Beyond it the line is not believed: a file would seem to be silent until then.
const MAX_AHEAD_NS: u64 = 24 * 3600 * SECOND;
/// The same backwards: hosts without a clock begin in 1970. 2000-01-01.
const MIN_S: i64 = 946_684_800;
const SECOND: u64 = 1_000_000_000;
const DAY_S: i64 = 86_400;
/// Where an access log's time may begin: behind address, names and a user.
const MAX_BEFORE_BRACKET: usize = 160;
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
const WEEKDAYS: &[u8; 21] = b"MonTueWedThuFriSatSun";

/// The clock when a line was read, for lines that do not say their year or their zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// When it was read.
    pub now: UnixNs,
    /// Local time minus UTC, in seconds, at that time.
    pub utc_offset_s: i32,
}

/// A time that a line begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The time.
    pub at: UnixNs,
    /// Where it ends in the line, with its bracket.
    pub end: usize,
    /// What stands within it: the letter of glog, the sign of redis.
    pub severity: Option<Severity>,
}

/// The time that a line begins with, in one of the common forms: ISO 8601, `2026/11/30 12:00:00`, `30 Nov 2026 12:00:00`,
/// `Nov 30 12:00:00`, `Mon Nov 30 12:00:00 2026`, glog's, redis's, seconds to nanoseconds since 1970, a time of today; and the one in
/// brackets of an access log. None also where it cannot be right.
#[must_use]
pub fn leading(line: &[u8], clock: &Clock) -> Option<Stamp> {
    let open = usize::from(matches!(line.first(), Some(b'[' | b'(')));
    let mut scan = Scan { bytes: line, at: open };
    let (seconds, nanos, severity) = match line.get(open)? {
        b'0'..=b'9' => match numeric(&mut scan, clock) {
            Some(found) => found,
            None => return access(line, clock),
        },
        b'I' | b'W' | b'E' | b'F' | b'D' if line.get(open + 1).is_some_and(u8::is_ascii_digit) => {
            glog(&mut scan, clock)?
        }
        b'A'..=b'Z' => named(&mut scan, clock)?,
        _ => return access(line, clock),
    };
    if open == 1 {
        // `[2026-11-30 12:00:00] text`; in `[2026-11-30 12:00:00 ERROR]` the bracket has more.
        scan.eat(if line[0] == b'[' { b']' } else { b')' });
    } else if scan.peek().is_some_and(|next| next.is_ascii_alphanumeric()) {
        return None;
    }
    Some(Stamp { at: believed(seconds, nanos, clock)?, end: scan.at, severity })
}

/// ISO 8601 from the start on: time, and where it ends.
pub(super) fn iso(line: &[u8], clock: &Clock) -> Option<(UnixNs, usize)> {
    let mut scan = Scan { bytes: line, at: 0 };
    let year = scan.digits(4)?;
    let (seconds, nanos) = dashed(&mut scan, year, clock)?;
    Some((believed(seconds, nanos, clock)?, scan.at))
}

/// `Nov 30 12:00:00` from the start on, of the year that it is next to now in: time, and where it ends.
pub(super) fn bsd(line: &[u8], clock: &Clock) -> Option<(UnixNs, usize)> {
    let mut scan = Scan { bytes: line, at: 0 };
    let month = scan.name(MONTHS)?;
    let (seconds, nanos) = month_day(&mut scan, month, clock)?;
    Some((believed(seconds, nanos, clock)?, scan.at))
}

type Found = (i64, u32, Option<Severity>);

fn numeric(scan: &mut Scan<'_>, clock: &Clock) -> Option<Found> {
    let start = scan.at;
    let run = scan.rest().iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    let after = scan.rest().get(run).copied();
    match (run, after) {
        (4, Some(b'-')) => {
            let year = scan.digits(4)?;
            dashed(scan, year, clock).map(|(seconds, nanos)| (seconds, nanos, None))
        }
        (4, Some(b'/')) => {
            let year = scan.digits(4)?;
            let (month, day) = (scan.after(b'/')?.digits(2)?, scan.after(b'/')?.digits(2)?);
            let seconds = days(year, month, day)? * DAY_S;
            scan.after(b' ')?;
            let (of_day, nanos) = scan.clock_time()?;
            Some((seconds + of_day - scan.zone(clock), nanos, None))
        }
        (1 | 2, Some(b' ' | b'-' | b'/')) => {
            day_first(scan, clock).map(|(seconds, nanos)| (seconds, nanos, None))
        }
        (2, Some(b':')) if scan.rest().get(5) == Some(&b':') => {
            // A time of today, or of yesterday if that would be ahead.
            let (of_day, nanos) = scan.clock_time()?;
            let now = (clock.now.0 / SECOND) as i64 + i64::from(clock.utc_offset_s);
            let today = now - now.rem_euclid(DAY_S) + of_day;
            let local = if today > now + 3600 { today - DAY_S } else { today };
            Some((local - i64::from(clock.utc_offset_s), nanos, None))
        }
        (1..=7, Some(b':')) => redis(scan, run, clock),
        (10, after) if !after.is_some_and(|byte| byte.is_ascii_alphanumeric()) => {
            let seconds = number(&scan.rest()[..10])?;
            scan.at = start + 10;
            let nanos = scan.fraction();
            Some((seconds, nanos, None))
        }
        (13 | 16 | 19, after) if !after.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'.') => {
            let all = &scan.rest()[..run];
            let digits = number(&all[10..])? as u32;
            scan.at = start + run;
            let scale = 10u32.pow(19 - run as u32);
            Some((number(&all[..10])?, digits.checked_mul(scale)?, None))
        }
        _ => None,
    }
}

/// What follows the year of `2026-11-30T12:00:00.123+01:00`.
fn dashed(scan: &mut Scan<'_>, year: u32, clock: &Clock) -> Option<(i64, u32)> {
    let (month, day) = (scan.after(b'-')?.digits(2)?, scan.after(b'-')?.digits(2)?);
    let seconds = days(year, month, day)? * DAY_S;
    if !(scan.eat(b'T') || scan.eat(b' ') || scan.eat(b't') || scan.eat(b'_')) {
        return None;
    }
    let (of_day, nanos) = scan.clock_time()?;
    Some((seconds + of_day - scan.zone(clock), nanos))
}

/// `30 Nov 2026 12:00:00`, `30/Nov/2026:12:00:00 +0000`, `30-Nov-2026 12:00:00`.
fn day_first(scan: &mut Scan<'_>, clock: &Clock) -> Option<(i64, u32)> {
    let day = scan.one_or_two()?;
    let between = scan.next()?;
    let month = scan.name(MONTHS)?;
    let year = scan.after(between)?.digits(4)?;
    let seconds = days(year, month, day)? * DAY_S;
    if !(scan.eat(b' ') || scan.eat(b':')) {
        return None;
    }
    let (of_day, nanos) = scan.clock_time()?;
    Some((seconds + of_day - scan.zone(clock), nanos))
}

/// `1234:M 30 Nov 2026 12:00:00.123 * text`.
fn redis(scan: &mut Scan<'_>, run: usize, clock: &Clock) -> Option<Found> {
    scan.at += run + 1;
    if !matches!(scan.next()?, b'M' | b'S' | b'C' | b'X') {
        return None;
    }
    scan.after(b' ')?;
    let (seconds, nanos) = day_first(scan, clock)?;
    let severity = match scan.after(b' ')?.next()? {
        b'.' => Severity::Debug,
        b'-' => Severity::Info,
        b'*' => Severity::Notice,
        b'#' => Severity::Warning,
        _ => return None,
    };
    Some((seconds, nanos, Some(severity)))
}

/// `E1130 12:00:00.123456  1234 file.cc:12] text`.
fn glog(scan: &mut Scan<'_>, clock: &Clock) -> Option<Found> {
    let severity = match scan.next()? {
        b'I' => Severity::Info,
        b'W' => Severity::Warning,
        b'E' => Severity::Error,
        b'F' => Severity::Critical,
        _ => Severity::Debug,
    };
    let (month, day) = (scan.digits(2)?, scan.digits(2)?);
    scan.after(b' ')?;
    let (of_day, nanos) = scan.clock_time()?;
    Some((near_now(month, day, of_day, clock)?, nanos, Some(severity)))
}

/// `Nov 30 12:00:00`, or with a weekday and a year.
fn named(scan: &mut Scan<'_>, clock: &Clock) -> Option<Found> {
    if scan.name(WEEKDAYS).is_none() {
        let month = scan.name(MONTHS)?;
        let (seconds, nanos) = month_day(scan, month, clock)?;
        return Some((seconds, nanos, None));
    }
    if scan.eat(b',') {
        let (seconds, nanos) = day_first(scan.after(b' ')?, clock)?;
        return Some((seconds, nanos, None));
    }
    let month = scan.after(b' ')?.name(MONTHS)?;
    let start = scan.at;
    let (near, nanos) = month_day(scan, month, clock)?;
    let year = scan.eat(b' ').then(|| scan.digits(4)).flatten();
    let Some(year) = year else { return Some((near, nanos, None)) };
    let end = scan.at;
    scan.at = start;
    let day = scan.padded_day()?;
    let (of_day, nanos) = scan.after(b' ')?.clock_time()?;
    scan.at = end;
    Some((days(year, month, day)? * DAY_S + of_day - i64::from(clock.utc_offset_s), nanos, None))
}

/// What follows a month's name: ` 30 12:00:00`.
fn month_day(scan: &mut Scan<'_>, month: u32, clock: &Clock) -> Option<(i64, u32)> {
    let day = scan.padded_day()?;
    let (of_day, nanos) = scan.after(b' ')?.clock_time()?;
    Some((near_now(month, day, of_day, clock)?, nanos))
}

/// `192.0.2.1 - - [30/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1`.
fn access(line: &[u8], clock: &Clock) -> Option<Stamp> {
    let bracket = memchr::memchr(b'[', &line[..line.len().min(MAX_BEFORE_BRACKET)])?;
    let mut scan = Scan { bytes: line, at: bracket + 1 };
    if scan.rest().get(2) != Some(&b'/') {
        return None;
    }
    let (seconds, nanos) = day_first(&mut scan, clock)?;
    let end = if scan.eat(b']') { scan.at } else { return None };
    Some(Stamp { at: believed(seconds, nanos, clock)?, end, severity: None })
}

fn believed(seconds: i64, nanos: u32, clock: &Clock) -> Option<UnixNs> {
    let at = u64::try_from(seconds).ok()?.checked_mul(SECOND)?.checked_add(u64::from(nanos))?;
    (seconds >= MIN_S && at <= clock.now.0.saturating_add(MAX_AHEAD_NS)).then_some(UnixNs(at))
}

/// A local time without its year: the latest that is not ahead by more than a day.
fn near_now(month: u32, day: u32, of_day: i64, clock: &Clock) -> Option<i64> {
    let now = (clock.now.0 / SECOND) as i64;
    let year = year_of((now + i64::from(clock.utc_offset_s)).div_euclid(DAY_S));
    // A 29th of February may be 8 years ago (1896 to 1904, and 2096 to 2104).
    (0..=9).find_map(|back| {
        let at =
            days((year + 1).checked_sub(back)?, month, day)? * DAY_S + of_day - i64::from(clock.utc_offset_s);
        (at <= now + DAY_S).then_some(at)
    })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; none if there is no such date.
fn days(year: u32, month: u32, day: u32) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if day == 0 || day > last || year < 1970 {
        return None;
    }
    // A year that begins in March has its odd day last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before = y / 4 - y / 100 + y / 400;
    Some(i64::from(y) * 365 + i64::from(before + (153 * m + 2) / 5 + day - 1) - 719_468)
}

fn year_of(days: i64) -> u32 {
    let guess = 1970 + (days / 366).max(0) as u32;
    (guess..guess + 3 + guess / 300)
        .rev()
        .find(|year| self::days(*year, 1, 1).is_some_and(|first| first <= days))
        .unwrap_or(1970)
}

/// A number of at most 18 digits.
fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at.min(self.bytes.len())..]
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn after(&mut self, byte: u8) -> Option<&mut Self> {
        self.eat(byte).then_some(self)
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let digits = self.rest().get(..count)?;
        let number = number(digits)?;
        self.at += count;
        Some(number as u32)
    }

    fn one_or_two(&mut self) -> Option<u32> {
        self.digits(2).or_else(|| self.digits(1))
    }

    /// ` 3`, `  3`, ` 13` or ` 03`.
    fn padded_day(&mut self) -> Option<u32> {
        self.after(b' ')?;
        self.eat(b' ');
        self.one_or_two()
    }

    /// The number, from 1, of the name of three letters.
    fn name(&mut self, names: &[u8]) -> Option<u32> {
        let name = self.rest().get(..3)?;
        let index = names.chunks_exact(3).position(|known| known == name)?;
        self.at += 3;
        Some(index as u32 + 1)
    }

    /// `12:00:00.123456`, the fraction with `.` or `,` or none.
    fn clock_time(&mut self) -> Option<(i64, u32)> {
        let hour = self.digits(2)?;
        let minute = self.after(b':')?.digits(2)?;
        let second = self.after(b':')?.digits(2)?;
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        Some((i64::from(hour * 3600 + minute * 60 + second), self.fraction()))
    }

    /// Nanoseconds; 0 if there are none. Digits beyond the ninth are passed over.
    fn fraction(&mut self) -> u32 {
        let rest = self.rest();
        if !matches!(rest.first(), Some(b'.' | b',')) || !rest.get(1).is_some_and(u8::is_ascii_digit) {
            return 0;
        }
        let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit());
        let (mut nanos, mut unit) = (0, 100_000_000);
        let mut count = 0;
        for digit in digits {
            nanos += u32::from(digit - b'0') * unit;
            unit /= 10;
            count += 1;
        }
        self.at += 1 + count;
        nanos
    }

    /// Seconds east of UTC; where the line has no zone, those of the clock.
    fn zone(&mut self, clock: &Clock) -> i64 {
        let start = self.at;
        if self.eat(b'Z') || self.eat(b'z') {
            return 0;
        }
        self.eat(b' ');
        let rest = self.rest();
        if rest.starts_with(b"UTC") || rest.starts_with(b"GMT") {
            self.at += 3;
            return 0;
        }
        if let Some(sign @ (b'+' | b'-')) = self.next()
            && let Some(hour) = self.digits(2)
        {
            self.eat(b':');
            let minute = self.digits(2).unwrap_or(0);
            if hour <= 14 && minute < 60 && !self.peek().is_some_and(|next| next.is_ascii_alphanumeric()) {
                let east = i64::from(hour * 3600 + minute * 60);
                return if sign == b'-' { -east } else { east };
            }
        }
        self.at = start;
        i64::from(clock.utc_offset_s)
    }
}

#[cfg(test)]
#[path = "time_tests.rs"]
mod tests;

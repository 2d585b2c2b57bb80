//! What a request asks for: parameters in its address.

use agent_common::units::UnixNs;
use axum::extract::Request;
use axum::http::StatusCode;

use crate::activity::Interval;
use crate::api::problem::Problem;
use crate::api::prometheus::{now_ms, time};

/// Length of an interval that is not said, ms.
const DEFAULT_MS: i64 = 10_000;
/// Longest interval: what a question about it would read has a bound.
const MAX_MS: i64 = 24 * 3_600_000;
/// Most values of a parameter that may be repeated.
const MAX_REPEATED: usize = 100;
/// Most elements of an answer.
const MAX_ELEMENTS: usize = 10_000;

/// The parameters.
pub(super) struct Ask(Vec<(String, String)>);

/// A part of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl Ask {
    pub(super) fn of(request: &Request) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of a parameter that may be repeated.
    pub(super) fn all(&self, name: &str) -> Result<Vec<String>, Problem> {
        let found = self.0.iter().filter(|(own, value)| own == name && !value.is_empty());
        let found: Vec<String> = found.map(|(_, value)| value.clone()).collect();
        if found.len() > MAX_REPEATED {
            let detail = format!("{name}: there are more than {MAX_REPEATED} of them");
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        Ok(found)
    }

    /// A parameter that is `true` or `false`; no, if it is not said.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        Ok(self.parsed(name, "true or false")?.unwrap_or(false))
    }

    /// A parameter that is a length of time, ms.
    pub(super) fn length(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let found = promql::milliseconds(text).filter(|ms| *ms > 0);
        found.map(Some).ok_or_else(|| wrong(name, text, "a length of time such as 30s or 5m"))
    }

    /// A parameter that is a number, or whatever else can be read.
    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| wrong(name, text, what))
    }

    /// The interval: `from` and `to`, or `at` with `duration`; the last ten seconds if nothing is said.
    pub(super) fn interval(&self) -> Result<Interval, Problem> {
        self.interval_of(DEFAULT_MS, MAX_MS)
    }

    /// The same of other lengths: that of an interval that is not said, and the longest.
    pub(super) fn interval_of(&self, default_ms: i64, max_ms: i64) -> Result<Interval, Problem> {
        let now = now_ms();
        let length = self.length("duration")?.unwrap_or(default_ms);
        let to = self.time("to", now)?.or(self.time("at", now)?);
        let from = self.time("from", now)?;
        let to_ms = to.unwrap_or_else(|| {
            from.filter(|_| self.get("duration").is_some()).map_or(now, |from| from.saturating_add(length))
        });
        let interval = Interval { from_ms: from.unwrap_or(to_ms.saturating_sub(length)), to_ms };
        bounded("from", interval, max_ms)
    }

    /// The interval to compare with: `before_from` and `before_to`; the one before it, of the same length, if nothing is said.
    pub(super) fn before(&self, after: Interval) -> Result<Interval, Problem> {
        let now = now_ms();
        let to_ms = self.time("before_to", now)?.unwrap_or(after.from_ms);
        let length = after.to_ms - after.from_ms;
        let interval = Interval {
            from_ms: self.time("before_from", now)?.unwrap_or(to_ms.saturating_sub(length)),
            to_ms,
        };
        bounded("before_from", interval, MAX_MS)
    }

    /// The interval of a graph to compare with, if one is said: `base_from` and `base_to`; with one of them alone, of the same length.
    pub(super) fn base(&self, after: Interval, max_ms: i64) -> Result<Option<Interval>, Problem> {
        let now = now_ms();
        let length = after.to_ms - after.from_ms;
        let interval = match (self.time("base_from", now)?, self.time("base_to", now)?) {
            (None, None) => return Ok(None),
            (Some(from_ms), Some(to_ms)) => Interval { from_ms, to_ms },
            (Some(from_ms), None) => Interval { from_ms, to_ms: from_ms.saturating_add(length) },
            (None, Some(to_ms)) => Interval { from_ms: to_ms.saturating_sub(length), to_ms },
        };
        bounded("base_from", interval, max_ms).map(Some)
    }

    /// A time, Unix ms: RFC 3339, Unix seconds, `now`, or before it (`-5m`, `now-5m`).
    pub(super) fn time(&self, name: &str, now_ms: i64) -> Result<Option<i64>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let what = "a time: RFC 3339, Unix seconds, now, or before now, such as -5m";
        moment(text, now_ms).map(Some).ok_or_else(|| wrong(name, text, what))
    }

    /// When the process began that is meant, Unix ms, where that is said.
    pub(super) fn start_ms(&self) -> Result<Option<u64>, Problem> {
        self.parsed("start_ms", "a whole number of milliseconds")
    }

    /// Length of the parts that an interval is divided into, ms: as long that there are `usual` of them if nothing is said, and as
    /// that there are no more than `most`; never below `least_ms`, of which the usual one is a multiple.
    pub(super) fn step(
        &self,
        interval: Interval,
        least_ms: i64,
        usual: i64,
        most: i64,
    ) -> Result<i64, Problem> {
        let length = interval.to_ms - interval.from_ms;
        let step = self.length("step")?.unwrap_or((length / usual / least_ms + 1) * least_ms);
        if step < least_ms || length / step > most {
            let least_s = least_ms / 1_000;
            let detail =
                format!("step: it is less than {least_s} s, or the interval has more than {most} of them");
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        Ok(step)
    }

    /// Which part of a list.
    pub(super) fn page(&self, default: usize) -> Result<Page, Problem> {
        let limit = self.parsed("limit", "a whole number")?.unwrap_or(default);
        if !(1..=MAX_ELEMENTS).contains(&limit) {
            return Err(wrong(
                "limit",
                &limit.to_string(),
                &format!("a number between 1 and {MAX_ELEMENTS}"),
            ));
        }
        Ok(Page { offset: self.parsed("offset", "a whole number")?.unwrap_or(0), limit })
    }
}

impl Page {
    /// That part of it.
    pub(super) fn of<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.offset).take(self.limit).collect()
    }
}

fn moment(text: &str, now_ms: i64) -> Option<i64> {
    if let Some(back) = text.strip_prefix("now").unwrap_or(text).strip_prefix('-') {
        // `-5` alone would be five seconds before 1970.
        return promql::milliseconds(back).map(|ms| now_ms.saturating_sub(ms));
    }
    if text == "now" {
        return Some(now_ms);
    }
    // A time that an interval can be made of.
    time(text).filter(|ms| ms.unsigned_abs() < 1 << 52)
}

fn bounded(name: &str, interval: Interval, max_ms: i64) -> Result<Interval, Problem> {
    let length = interval.to_ms.saturating_sub(interval.from_ms);
    if length <= 0 {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("{name}: the interval ends before it begins"),
        ));
    }
    if length > max_ms {
        let detail = if max_ms == MAX_MS {
            format!("{name}: the interval is longer than a day; PromQL answers for longer ones")
        } else {
            format!("{name}: the interval is longer than {} hours", max_ms / 3_600_000)
        };
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    Ok(interval)
}

/// A process ID of an address.
pub(super) fn process_id(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| wrong("pid", text, "a process ID"))
}

/// A time that was asked for, as it is kept.
pub(super) fn ns(ms: i64) -> UnixNs {
    UnixNs(ms.max(0).cast_unsigned().saturating_mul(1_000_000))
}

/// A time as answers have it.
pub(super) fn utc(at: UnixNs) -> String {
    agent_common::text::utc_ms((at.0 / 1_000_000) as i64)
}

/// A parameter that is not what it should be.
pub(super) fn wrong(name: &str, value: &str, what: &str) -> Problem {
    let value = agent_common::text::clean(value);
    Problem::new(StatusCode::BAD_REQUEST, format!("{name}: `{value}` is not {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &str) -> Ask {
        Ask(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    #[test]
    fn times_are_absolute_or_before_now() {
        let cases = [
            ("now", Some(100_000)),
            ("now-10s", Some(90_000)),
            ("-1m", Some(40_000)),
            ("4.5", Some(4_500)),
            ("1970-01-01T00:00:04Z", Some(4_000)),
            ("-", None),
            ("-5", None),
            ("yesterday", None),
            ("1e300", None),
        ];
        for (text, expected) in cases {
            assert_eq!(moment(text, 100_000), expected, "{text}");
        }
    }

    #[test]
    fn intervals_are_said_in_several_ways_and_bounded() {
        let of =
            |query: &str| ask(query).interval().map(|one| (one.from_ms, one.to_ms)).map_err(|e| e.detail);
        assert_eq!(of("from=10&to=20"), Ok((10_000, 20_000)));
        assert_eq!(of("at=20&duration=5s"), Ok((15_000, 20_000)));
        assert_eq!(of("at=20"), Ok((10_000, 20_000)));
        assert_eq!(of("from=10&duration=1m"), Ok((10_000, 70_000)));
        assert!(of("from=20&to=10").unwrap_err().contains("ends before"));
        assert!(of("from=0&to=90000").unwrap_err().contains("longer than a day"));
        assert!(
            of("at=99999999999&duration=290000000y").is_err() && of("from=5&duration=290000000y").is_err()
        );
        assert!(of("at=99999999999").is_ok(), "whatever its date is");
        assert_eq!(of("to=x").unwrap_err().split(" is not ").next(), Some("to: `x`"));
        let (from, to) = of("").unwrap();
        assert_eq!(to - from, DEFAULT_MS);
        let after = Interval { from_ms: 60_000, to_ms: 70_000 };
        assert_eq!(ask("").before(after).unwrap(), Interval { from_ms: 50_000, to_ms: 60_000 });
        assert_eq!(ask("before_to=20").before(after).unwrap(), Interval { from_ms: 10_000, to_ms: 20_000 });
    }
}

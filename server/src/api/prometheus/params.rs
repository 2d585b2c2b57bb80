//! Parameters of requests: in the address, or as a form.

use std::time::Duration;

use agent_common::text;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use promql::{Matcher, Memo, Query, Span};

use super::Failure;

/// Largest form, bytes.
const MAX_BODY_BYTES: usize = 1 << 20;
/// How long a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Earliest and latest time of a span that has no end, ms, and how Prometheus writes them.
const MIN_TIME: (i64, &str) = (-(1 << 52), "-292273086-05-16T16:47:06Z");
const MAX_TIME: (i64, &str) = (1 << 52, "292277025-08-18T07:12:54.999999999Z");
/// Selectors that are kept, and the longest of them.
const MAX_KNOWN: usize = 32;
const MAX_KNOWN_BYTES: usize = 1 << 10;

fn of_query(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned()
}

/// The parameters of a request, those of the form first.
#[derive(Debug)]
pub(in crate::api) struct Params(Vec<(String, String)>);

impl Params {
    pub(in crate::api) async fn read(request: Request) -> Result<Self, Failure> {
        let mut all = Vec::new();
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if parts.method == Method::POST && kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect());
            let form = match body.await {
                Ok(Ok(form)) => form.to_bytes(),
                Ok(Err(_)) => {
                    let message = format!("the form was cut off, or has more than {MAX_BODY_BYTES} bytes");
                    return Err(Failure {
                        status: StatusCode::PAYLOAD_TOO_LARGE,
                        ..Failure::bad_data(message)
                    });
                }
                Err(_) => {
                    let late = Failure::timeout("the form did not come in time");
                    return Err(Failure { status: StatusCode::REQUEST_TIMEOUT, ..late });
                }
            };
            all.extend(form_urlencoded::parse(&form).into_owned());
        }
        all.extend(of_query(&parts.uri));
        Ok(Self(all))
    }

    /// Those of the address alone.
    pub(in crate::api) fn of_query(request: &Request) -> Self {
        Self(of_query(request.uri()).collect())
    }

    /// A parameter that is there and not empty.
    pub(in crate::api) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A time, Unix ms.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let why = || Failure::parameter(name, format!("cannot parse {text:?} to a valid timestamp"));
        time(text).map(Some).ok_or_else(why)
    }

    /// A time that must be there.
    pub(super) fn required_time(&self, name: &str) -> Result<i64, Failure> {
        let empty = || Failure::parameter(name, "cannot parse \"\" to a valid timestamp");
        self.time(name)?.ok_or_else(empty)
    }

    /// A length of time, ms.
    pub(super) fn duration(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let why = || Failure::parameter(name, format!("cannot parse {text:?} to a valid duration"));
        duration(text).map(Some).ok_or_else(why)
    }

    /// How long the request lets its query take.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, Failure> {
        let ms = self.duration("timeout")?;
        Ok(ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
    }

    /// Most results that the request takes.
    pub(super) fn limit(&self) -> Result<usize, Failure> {
        let Some(text) = self.get("limit") else { return Ok(usize::MAX) };
        match text.parse() {
            Ok(0) => Ok(usize::MAX),
            Ok(limit) => Ok(limit),
            Err(_) => Err(Failure::parameter("limit", "limit must be a non-negative number")),
        }
    }

    /// The span of a request about names: all of time, if it says nothing.
    pub(super) fn span(&self) -> Result<Span, Failure> {
        let from_ms = self.time("start")?.unwrap_or(MIN_TIME.0);
        let to_ms = self.time("end")?.unwrap_or(MAX_TIME.0);
        if to_ms < from_ms {
            return Err(Failure::parameter("end", "end timestamp must not be before start time"));
        }
        Ok(Span { from_ms, to_ms })
    }

    /// The conditions of each `match[]`.
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Failure> {
        let mut all = Vec::new();
        for (_, text) in self.0.iter().filter(|(name, _)| name == "match[]") {
            all.extend(selector(text).map_err(|e| Failure::parameter("match[]", e))?);
        }
        Ok(all)
    }
}

/// Unix time in ms of seconds or of RFC 3339.
pub(in crate::api) fn time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        // What is far out of range is an error of the query, with its own text.
        return seconds.is_finite().then_some((seconds * 1_000.0).round() as i64);
    }
    let bounds = [MIN_TIME, MAX_TIME].into_iter().find(|(_, name)| *name == text);
    bounds.map(|(ms, _)| ms).or_else(|| text::unix_ms(text))
}

/// Milliseconds of a length of time: seconds (`15`, `0.5`) or units (`15s`, `1m30s`).
fn duration(text: &str) -> Option<i64> {
    let Ok(seconds) = text.parse::<f64>() else { return promql::milliseconds(text) };
    let ms = (seconds * 1_000.0).round();
    (ms.abs() < 9e15).then_some(ms as i64)
}

/// The conditions of a selector of series; of one with `or` between them, several sets.
///
/// To compile its expressions takes longer than to answer for a second, and pages ask with the same ones each second: the last ones
/// are kept.
pub fn selector(text: &str) -> Result<Vec<Vec<Matcher>>, String> {
    static KNOWN: Memo<Vec<Vec<Matcher>>> = Memo::new(MAX_KNOWN, MAX_KNOWN_BYTES);
    KNOWN.of(text, || {
        let query = Query::parse(text).map_err(|error| error.to_string())?;
        let (span, options) = (Span { from_ms: 0, to_ms: 0 }, promql::Options::default());
        let sets: Vec<Vec<Matcher>> =
            query.selectors(span, &options).iter().map(|selection| selection.matchers.to_vec()).collect();
        if sets.is_empty() || !is_selector(text) {
            return Err("it must be a selector of series, such as up{host=\"h\"}".to_owned());
        }
        Ok(sets)
    })
}

/// Whether a query, which is well formed, is a name, conditions in braces, or both, and nothing more.
fn is_selector(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let rest = text.trim().trim_start_matches(name).trim_start();
    if rest.is_empty() {
        return true;
    }
    let Some(rest) = rest.strip_prefix('{') else { return false };
    let mut quote = None;
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '}') => return at + 1 == rest.len(),
            (None, '"' | '\'' | '`') => quote = Some(c),
            (Some('"' | '\''), '\\') => drop(chars.next()),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        let cases = [
            ("4", Some(4_000)),
            ("1700000000.0125", Some(1_700_000_000_013)),
            ("1970-01-01T00:00:04Z", Some(4_000)),
            (MAX_TIME.1, Some(MAX_TIME.0)),
            ("now", None),
            ("NaN", None),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn lengths_of_time_are_seconds_or_units() {
        let cases = [
            ("15", 15_000),
            ("0.25", 250),
            ("1e3", 1_000_000),
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("-5", -5_000),
        ];
        for (text, ms) in cases {
            assert_eq!(duration(text), Some(ms), "{text}");
        }
        for text in
            ["", "s", "5x", "30s1m", "1m1m", "1.5m", "NaN", "inf", "1e300", "99999999999y", "1 m", "-5m"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn only_selectors_are_selectors() {
        for text in ["up", " up { a = \"}\" } ", "{__name__=~'a\\'}', b!=`}`}", "a:b{}"] {
            assert!(is_selector(text), "{text}");
        }
        for text in
            ["rate(up[5m])", "up[5m]", "up offset 5m", "up{a=\"b\"} + 1", "up + up", "{a=\"b\"", "-up"]
        {
            assert!(!is_selector(text), "{text}");
        }
    }
}

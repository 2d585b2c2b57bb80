//! Which series, labels and values there are.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use promql::{Labels, Reader};

use super::params::Params;
use super::query::cut;
use super::{Answered, Failure, json, respond};
use crate::api::work::{End, Work};

/// The series that fulfil one `match[]` or another.
pub(super) async fn series(State(work): State<Work>, request: Request) -> Response<Body> {
    respond(try_series(&work, request).await)
}

/// All names of labels.
pub(super) async fn labels(State(work): State<Work>, request: Request) -> Response<Body> {
    respond(names(&work, request, None).await)
}

/// All values of a label.
pub(super) async fn values(
    State(work): State<Work>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    respond(names(&work, request, Some(unescape(&name))).await)
}

async fn try_series(work: &Work, request: Request) -> Result<Answered, Failure> {
    let params = Params::read(request).await?;
    let (span, sets, limit) = (params.span()?, params.selectors()?, params.limit()?);
    if sets.is_empty() {
        return Err(Failure::bad_data("no match[] parameter provided"));
    }
    let ask = move |reader: &dyn Reader, end: &End| {
        let mut all: BTreeSet<Labels> = BTreeSet::new();
        for matchers in &sets {
            check(end)?;
            all.extend(reader.series(matchers, span)?);
        }
        let all = all.into_iter().collect();
        Ok(listed(all, limit, json::label_sets))
    };
    work.run(params.timeout()?, ask).await
}

/// Names of labels, or values of the one that is named.
async fn names(work: &Work, request: Request, label: Option<String>) -> Result<Answered, Failure> {
    let params = Params::read(request).await?;
    let (span, mut sets, limit) = (params.span()?, params.selectors()?, params.limit()?);
    if label.as_deref() == Some("") {
        return Err(Failure::bad_data("invalid label name: \"\""));
    }
    if sets.is_empty() {
        sets.push(Vec::new());
    }
    let ask = move |reader: &dyn Reader, end: &End| {
        let mut all: BTreeSet<String> = BTreeSet::new();
        for matchers in &sets {
            check(end)?;
            all.extend(match &label {
                Some(label) => reader.label_values(label, matchers, span)?,
                None => reader.label_names(matchers, span)?,
            });
        }
        Ok(listed(all.into_iter().collect(), limit, json::texts))
    };
    work.run(params.timeout()?, ask).await
}

fn check(end: &End) -> Result<(), Failure> {
    if end.is_over() { Err(Failure::timeout("the query took too long")) } else { Ok(()) }
}

fn listed<T>(mut all: Vec<T>, limit: usize, json: impl Fn(&[T]) -> String) -> Answered {
    let more = cut(&mut all, limit);
    let warnings = if more { vec!["results truncated due to limit".to_owned()] } else { Vec::new() };
    Answered { data: json(&all), warnings, infos: Vec::new() }
}

/// The name that Grafana wrote as `U__…` because it has characters that no label had before Prometheus 3: `__` is `_`,
/// `_2e_` the character of that number. What is not written so is the name itself.
fn unescape(name: &str) -> String {
    let escaped = || -> Option<String> {
        let mut rest = name.strip_prefix("U__")?;
        let mut out = String::new();
        while let Some((plain, tail)) = rest.split_once('_') {
            out.push_str(plain);
            if let Some(tail) = tail.strip_prefix('_') {
                out.push('_');
                rest = tail;
                continue;
            }
            let (code, tail) = tail.split_once('_')?;
            out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
            rest = tail;
        }
        out.push_str(rest);
        Some(out)
    };
    escaped().unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn names_of_prometheus_3_are_unescaped() {
        let cases = [
            ("host", "host"),
            ("__name__", "__name__"),
            ("U__a_2e_b__c", "a.b_c"),
            ("U___1F600_", "😀"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_2e", "U__a_2e"),
            ("U__a_110000_", "U__a_110000_"),
        ];
        for (name, expected) in cases {
            assert_eq!(unescape(name), expected);
        }
    }
}

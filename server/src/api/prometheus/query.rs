//! `query` and `query_range`.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use promql::{Answer, Options, Query, Span};

use super::params::Params;
use super::{Answered, Failure, json, respond};
use crate::api::work::{End, Work};
use crate::clock::now_ms;

/// The value at one moment.
pub(super) async fn instant(State(work): State<Work>, request: Request) -> Response<Body> {
    respond(try_instant(&work, request).await)
}

/// The values over a range.
pub(super) async fn range(State(work): State<Work>, request: Request) -> Response<Body> {
    respond(try_range(&work, request).await)
}

async fn try_instant(work: &Work, request: Request) -> Result<Answered, Failure> {
    let params = Params::read(request).await?;
    let at_ms = params.time("time")?.unwrap_or_else(now_ms);
    let (query, lookback_ms, limit) = (query(work, &params)?, lookback(work, &params)?, params.limit()?);
    let ask = move |reader: &dyn promql::Reader, end: &End| {
        let expired = || end.is_over();
        let options = options(lookback_ms, &expired);
        Ok(answered(query.instant(reader, at_ms, &options)?, limit))
    };
    work.run(params.timeout()?, ask).await
}

async fn try_range(work: &Work, request: Request) -> Result<Answered, Failure> {
    let params = Params::read(request).await?;
    let span = Span { from_ms: params.required_time("start")?, to_ms: params.required_time("end")? };
    if span.to_ms < span.from_ms {
        return Err(Failure::parameter("end", "end timestamp must not be before start time"));
    }
    let empty = || Failure::parameter("step", "cannot parse \"\" to a valid duration");
    let step_ms = params.duration("step")?.ok_or_else(empty)?;
    if step_ms <= 0 {
        let what = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Failure::parameter("step", what));
    }
    let (query, lookback_ms, limit) = (query(work, &params)?, lookback(work, &params)?, params.limit()?);
    let ask = move |reader: &dyn promql::Reader, end: &End| {
        let expired = || end.is_over();
        let options = options(lookback_ms, &expired);
        Ok(answered(query.range(reader, span, step_ms, &options)?, limit))
    };
    work.run(params.timeout()?, ask).await
}

fn query(work: &Work, params: &Params) -> Result<Query, Failure> {
    work.parse(params.get("query").unwrap_or_default()).map_err(|e| Failure::parameter("query", e))
}

fn lookback(work: &Work, params: &Params) -> Result<i64, Failure> {
    Ok(params.duration("lookback_delta")?.filter(|ms| *ms > 0).unwrap_or_else(|| work.lookback_ms()))
}

fn options(lookback_ms: i64, expired: &dyn Fn() -> bool) -> Options<'_> {
    Options { lookback_ms, expired: Some(expired), ..Options::default() }
}

fn answered(mut answer: Answer, limit: usize) -> Answered {
    let more = match &mut answer.value {
        promql::Value::Vector(elements) => cut(elements, limit),
        promql::Value::Matrix(series) => cut(series, limit),
        promql::Value::Scalar(_) | promql::Value::String { .. } => false,
    };
    if more {
        answer.warnings.push("results truncated due to limit".to_owned());
    }
    Answered { data: json::value(&answer.value), warnings: answer.warnings, infos: answer.infos }
}

/// Leaves so many; says whether there were more.
pub(super) fn cut<T>(all: &mut Vec<T>, limit: usize) -> bool {
    let more = all.len() > limit;
    all.truncate(limit);
    more
}

//! `POST hosts/{host}/live/flamegraph`, `…/live/report`: what a process of this host does now, out of the collector's memory.
//!
//! It changes nothing. But it takes the host's time, and shows what is kept nowhere: so it takes the role of an operator, is in
//! the audit log, and only a few are answered at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_common::pair::{Live, LiveFailure, LiveFailureKind, LiveSpan, MAX_AHEAD_S, MAX_PAST_S};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Response, StatusCode};
use profile::block;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Shared;
use super::ask::{Ask, wrong};
use super::flamegraph::{self, About, Shape};
use crate::access::Role;
use crate::api::problem::{Answer, Problem, respond, uncached};
use crate::api::routes::{Need, Routes};

/// Questions at the same time. More are sent away.
const MAX_AT_ONCE: usize = 2;
/// Questions a minute, whoever asks.
const MAX_A_MINUTE: usize = 20;
/// Seconds, unless they are said.
const SECONDS: u32 = 10;
/// Longest wait beyond the seconds that are asked for: names of a large program take some.
const LATE: Duration = Duration::from_secs(20);

/// What keeps questions few.
#[derive(Debug)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    recent: Mutex<VecDeque<Instant>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_AT_ONCE)), recent: Mutex::default() }
    }
}

impl Gate {
    /// A place for a question.
    fn enter(&self, now: Instant) -> Result<OwnedSemaphorePermit, Problem> {
        let busy = |what: String, seconds: u64| Problem {
            retry_after_s: Some(seconds),
            ..Problem::new(StatusCode::TOO_MANY_REQUESTS, what)
        };
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| busy(format!("{MAX_AT_ONCE} live questions are being answered"), 5))?;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|at| now.duration_since(*at) < Duration::from_mins(1));
        if recent.len() >= MAX_A_MINUTE {
            let rest = recent.front().map_or(60, |at| 60 - now.duration_since(*at).as_secs().min(59));
            return Err(busy(format!("more than {MAX_A_MINUTE} live questions a minute"), rest));
        }
        recent.push_back(now);
        Ok(place)
    }
}

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    const ASK: Need = Need::Change(Role::Operator);
    routes.at(&[Method::POST], "/api/s7mpa/v1/hosts/{host}/live/flamegraph", ASK, graph).at(
        &[Method::POST],
        "/api/s7mpa/v1/hosts/{host}/live/report",
        ASK,
        report,
    )
}

async fn graph(State(shared): State<Shared>, Path(host): Path<String>, request: Request) -> Response<Body> {
    let ask = Ask::of(&request);
    let answer = async {
        let (shape, pid, span) = (Shape::of(&ask)?, pid(&ask)?, span(&ask)?);
        let (bytes, place) = ask_collector(&shared, &host, Live::Stacks { pid, span }).await?;
        let (hosts, format) = (vec![host.clone()], shape.format);
        let work = move || {
            let block = block::unpack(&bytes).map_err(|error| bad_answer(&error))?;
            let about = About::new(&block, (block.from, block.to()), hosts, true);
            let made = flamegraph::made(&shape, &block, None, &about);
            drop(place);
            made
        };
        let made = tokio::task::spawn_blocking(work).await;
        Ok(flamegraph::answer(format, made.map_err(|error| Problem::broken(&error))??))
    };
    respond(answer.await)
}

async fn report(State(shared): State<Shared>, Path(host): Path<String>, request: Request) -> Response<Body> {
    respond(try_report(&shared, &host, &Ask::of(&request)).await)
}

async fn try_report(shared: &Shared, host: &str, ask: &Ask) -> Answer {
    let live = Live::Report { pid: pid(ask)?, span: span(ask)? };
    let (bytes, _place) = ask_collector(shared, host, live).await?;
    let report: Value = serde_json::from_slice(&bytes).map_err(|error| bad_answer(&error))?;
    uncached(&json!({ "host": host, "report": report }))
}

/// What the collector answers, and the place of the question: it is one of the few at a time until the answer is made of it.
async fn ask_collector(
    shared: &Shared,
    host: &str,
    live: Live,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), Problem> {
    let collector = shared.work.collector().filter(|collector| *collector.host == *host);
    let collector = collector.ok_or_else(|| {
        let detail = "only the host that this server runs beside can be asked about this moment";
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    let place = shared.gate.enter(Instant::now())?;
    let wait = match live.span() {
        LiveSpan::Past(_) => LATE,
        LiveSpan::Ahead(seconds) => LATE + Duration::from_secs(seconds.into()),
    };
    let answer = collector.ask(live, wait).await.map_err(|LiveFailure { kind, why }| {
        let status = match kind {
            LiveFailureKind::NoProcess | LiveFailureKind::NoData => StatusCode::NOT_FOUND,
            LiveFailureKind::Busy => StatusCode::TOO_MANY_REQUESTS,
            LiveFailureKind::Refused => StatusCode::BAD_REQUEST,
            LiveFailureKind::Broken => StatusCode::SERVICE_UNAVAILABLE,
        };
        let retry_after_s = (kind == LiveFailureKind::Busy).then_some(5);
        Problem { retry_after_s, ..Problem::new(status, agent_common::text::clean(&why)) }
    })?;
    Ok((answer, place))
}

fn pid(ask: &Ask) -> Result<u32, Problem> {
    let found = ask.parsed::<u32>("pid", "a process ID")?.filter(|pid| *pid != 0);
    found.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "pid: say which process"))
}

/// `seconds`: of the past, or with `ahead=true` of those that come.
fn span(ask: &Ask) -> Result<LiveSpan, Problem> {
    let seconds = ask.parsed("seconds", "a whole number")?.unwrap_or(SECONDS);
    let span = if ask.flag("ahead")? { LiveSpan::Ahead(seconds) } else { LiveSpan::Past(seconds) };
    if span.is_bounded() {
        return Ok(span);
    }
    let what = format!("between 1 and {MAX_PAST_S}, or ahead between 1 and {MAX_AHEAD_S}");
    Err(wrong("seconds", &seconds.to_string(), &what))
}

/// The collector is of this program: an answer that cannot be read is a fault, and the log says which.
fn bad_answer(error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem { status: StatusCode::BAD_GATEWAY, ..Problem::broken(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_once_and_so_many_a_minute() {
        let gate = Gate::default();
        let now = Instant::now();
        let first = gate.enter(now).unwrap();
        let second = gate.enter(now).unwrap();
        let refused = gate.enter(now).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.retry_after_s), (429, Some(5)));
        drop((first, second));
        for _ in 2..MAX_A_MINUTE {
            drop(gate.enter(now).unwrap());
        }
        let later = now + Duration::from_secs(20);
        assert_eq!(gate.enter(later).unwrap_err().retry_after_s, Some(40));
        assert!(gate.enter(now + Duration::from_mins(1)).is_ok());
    }
}

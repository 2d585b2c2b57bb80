//! What processes did in an interval, and who changed: `GET hosts/{host}/processes`, `…/processes/{pid}`, `…/changes`.

use agent_common::text;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Response, StatusCode};
use serde_json::json;

use super::Shared;
use super::ask::{Ask, process_id};
use crate::access::Role;
use crate::activity::{self, Interval};
use crate::api::problem::{Problem, ok, respond};
use crate::api::routes::{Need, Routes};

/// Processes of an answer, unless it asks for another number.
const PROCESSES: usize = 2_000;
/// Changes likewise.
const CHANGES: usize = 100;
/// Least change that is told, ns a second: a thousandth of a thread.
const LEAST_CHANGE_NS_PER_S: f64 = 1e6;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    const READ: Need = Need::Read(Role::Viewer);
    routes
        .kept(&[Method::GET], "/api/s7mpa/v1/hosts/{host}/processes", READ, list)
        .kept(&[Method::GET], "/api/s7mpa/v1/hosts/{host}/processes/{pid}", READ, one)
        .kept(&[Method::GET], "/api/s7mpa/v1/hosts/{host}/changes", READ, changes)
}

async fn list(State(shared): State<Shared>, Path(host): Path<String>, request: Request) -> Response<Body> {
    let ask = Ask::of(&request);
    let answer = async {
        let (interval, page) = (ask.interval()?, ask.page(PROCESSES)?);
        let name = host.clone();
        let found =
            shared.work.run(None, move |reader, _| Ok(activity::processes(reader, &name, None, interval)?));
        let all = found.await?;
        let total = all.len();
        let body = json!({ "host": host, "total": total, "processes": page.of(all) });
        ok(&with_interval(body, "", interval))
    };
    respond(answer.await)
}

/// A process and its system calls. `start_ms` tells it from another that had its PID.
async fn one(
    State(shared): State<Shared>,
    Path((host, pid)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    let ask = Ask::of(&request);
    let answer = async {
        let interval = ask.interval()?;
        let (start_ms, pid) = (ask.start_ms()?, process_id(&pid)?);
        let name = host.clone();
        let (processes, syscalls) = shared
            .work
            .run(None, move |reader, _| {
                let processes = activity::processes(reader, &name, Some(pid), interval)?;
                Ok((processes, activity::syscalls(reader, &name, pid, start_ms, interval)?))
            })
            .await?;
        let is_meant = |start: u64| start_ms.is_none_or(|meant| meant == start);
        let process =
            processes.into_iter().filter(|process| is_meant(process.start_ms)).max_by_key(|one| one.start_ms);
        let none =
            || Problem::new(StatusCode::NOT_FOUND, format!("no window of this interval has process {pid}"));
        let body = json!({ "process": process.ok_or_else(none)?, "syscalls": syscalls });
        ok(&with_interval(body, "", interval))
    };
    respond(answer.await)
}

async fn changes(State(shared): State<Shared>, Path(host): Path<String>, request: Request) -> Response<Body> {
    let ask = Ask::of(&request);
    let answer = async {
        let after = ask.interval()?;
        let (before, page) = (ask.before(after)?, ask.page(CHANGES)?);
        let name = host.clone();
        let found = shared.work.run(None, move |reader, _| {
            Ok(activity::changes(reader, &name, before, after, LEAST_CHANGE_NS_PER_S)?)
        });
        let all = found.await?;
        let body = json!({ "host": host, "total": all.len(), "changes": page.of(all) });
        ok(&with_interval(with_interval(body, "", after), "before_", before))
    };
    respond(answer.await)
}

fn with_interval(mut body: serde_json::Value, prefix: &str, interval: Interval) -> serde_json::Value {
    body[format!("{prefix}from")] = text::utc_ms(interval.from_ms).into();
    body[format!("{prefix}to")] = text::utc_ms(interval.to_ms).into();
    body[format!("{prefix}span_s")] = interval.seconds().into();
    body
}

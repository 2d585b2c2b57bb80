//! `GET hosts/{host}/states`, `…/processes/{pid}/states`: where threads spent their time, over time.

use agent_common::text;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Response};
use serde_json::json;

use super::Shared;
use super::ask::{Ask, process_id};
use crate::access::Role;
use crate::activity::{self, Whose};
use crate::api::problem::{Answer, ok, respond};
use crate::api::routes::{Need, Routes};

/// Length of an interval that is not said, ms.
const DEFAULT_MS: i64 = 5 * 60_000;
/// Longest interval: a day.
const MAX_MS: i64 = 24 * 3_600_000;
/// Most parts of an answer, and those of one that does not say a step.
const MAX_PARTS: i64 = 3_600;
const PARTS: i64 = 600;
/// Shortest step, ms: windows are a second long.
const LEAST_STEP_MS: i64 = 1_000;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    const READ: Need = Need::Read(Role::Viewer);
    routes.kept(&[Method::GET], "/api/s7mpa/v1/hosts/{host}/states", READ, of_host).kept(
        &[Method::GET],
        "/api/s7mpa/v1/hosts/{host}/processes/{pid}/states",
        READ,
        of_process,
    )
}

async fn of_host(State(shared): State<Shared>, Path(host): Path<String>, request: Request) -> Response<Body> {
    respond(states(&shared, host, Whose::Host, &Ask::of(&request)).await)
}

async fn of_process(
    State(shared): State<Shared>,
    Path((host, pid)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    let ask = Ask::of(&request);
    let answer = async {
        let start_ms = ask.start_ms()?;
        states(&shared, host, Whose::Process(process_id(&pid)?, start_ms), &ask).await
    };
    respond(answer.await)
}

async fn states(shared: &Shared, host: String, whose: Whose, ask: &Ask) -> Answer {
    let interval = ask.interval_of(DEFAULT_MS, MAX_MS)?;
    let step = ask.step(interval, LEAST_STEP_MS, PARTS, MAX_PARTS)?;
    let name = host.clone();
    let found = shared
        .work
        .run(None, move |reader, _| Ok(activity::states(reader, &name, whose, interval, step)?))
        .await?;
    ok(&json!({
        "host": host,
        "from": text::utc_ms(interval.from_ms),
        "to": text::utc_ms(interval.to_ms),
        "step_s": step as f64 / 1e3,
        "windows": found.windows,
        "states": found.states,
    }))
}

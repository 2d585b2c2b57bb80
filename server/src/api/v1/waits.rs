//! `GET waits`: who waits for whom in an interval, down to the root.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response};
use profile::block::Looked;
use serde_json::json;

use super::Shared;
use super::ask::{Ask, utc, wrong};
use super::flamegraph::{none_kept, none_of_that_time, selection};
use crate::access::Role;
use crate::activity::{self, Waits};
use crate::api::problem::{Answer, ok, respond};
use crate::api::routes::{Need, Routes};
use crate::store::profiles::{By, Selection};

/// Length of an interval that is not said, ms.
const DEFAULT_MS: i64 = 60_000;
/// Longest interval: a day.
const MAX_MS: i64 = 24 * 3_600_000;
/// Edges of an answer, unless it asks for another number.
const EDGES: usize = 500;
/// Ways to the root of an answer.
const MAX_CHAINS: usize = 50;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.kept(&[Method::GET], "/api/s7mpa/v1/waits", Need::Read(Role::Viewer), list)
}

async fn list(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(try_list(&shared, &Ask::of(&request)).await)
}

async fn try_list(shared: &Shared, ask: &Ask) -> Answer {
    let by = match ask.get("by") {
        None | Some("comm") => By::Comm,
        Some("process") => By::Process,
        Some(other) => return Err(wrong("by", other, "comm or process")),
    };
    let (idle, page) = (ask.flag("idle")?, ask.page(EDGES)?);
    let selection = selection(ask, ask.interval_of(DEFAULT_MS, MAX_MS)?)?;
    let selection = Selection { by, looked: vec![Looked::Wait], ..selection };
    let found = shared
        .work
        .profiles(move |reader, end| {
            let merged = reader.merged_until(&selection, &|| end.is_over())?;
            match merged.span {
                None => none_of_that_time(reader).map(Err),
                Some(span) => {
                    let total = merged.block.total(Looked::Wait);
                    Ok(Ok((activity::waits(&merged.block, !idle), span, merged.hosts, total)))
                }
            }
        })
        .await?;
    let (Waits { edges, chains }, (from, to), hosts, (waits, waited_ns)) = found.ok_or_else(none_kept)??;
    let chains: Vec<_> = chains.into_iter().take(MAX_CHAINS).collect();
    ok(&json!({
        "from": utc(from),
        "to": utc(to),
        "span_s": to.0.saturating_sub(from.0) as f64 / 1e9,
        "hosts": hosts,
        "looked_at": { "waits": waits, "waited_ns": waited_ns },
        "total": edges.len(),
        "edges": page.of(edges),
        "chains": chains,
        "not_covered": activity::not_covered(),
    }))
}

//! `GET server`: what this server is, has stored, and keeps.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Response};
use serde_json::{Value, json};

use super::Shared;
use super::ask::utc;
use crate::access::Role;
use crate::api::problem::{ok, respond};
use crate::api::routes::{Need, Routes};
use crate::store::embedded::{self, Info};

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.kept(&[Method::GET], "/api/s7mpa/v1/server", Need::Read(Role::Viewer), server)
}

async fn server(State(shared): State<Shared>) -> Response<Body> {
    let answer = async {
        // A database elsewhere has no such figures.
        let info = shared.work.stored(embedded::Reader::info).await.ok();
        let summary = shared.health.summary();
        let groups = shared.work.rules();
        let failed = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.error.is_some()).count();
        ok(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "store": info.as_ref().map(store),
            "hosts": info.as_ref().map(hosts),
            "rules": { "groups": groups.len(), "failed": failed },
            "silences": shared.silences.all().len(),
            "ingest": summary["ingest"],
            "retention": summary["retention"],
        }))
    };
    respond(answer.await)
}

fn store(info: &Info) -> Value {
    let deleted: serde_json::Map<String, Value> =
        info.deleted.iter().map(|(what, count)| (what.clone(), json!(count))).collect();
    json!({
        "kind": "embedded",
        "file_bytes": info.file_bytes,
        "free_bytes": info.free_bytes,
        "log_bytes": info.log_bytes,
        "series": info.series,
        "version": info.version,
        "deleted": deleted,
    })
}

fn hosts(info: &Info) -> Vec<Value> {
    let part = |part: &embedded::Held| {
        json!({
            "host": part.host,
            "step_s": part.step_s,
            "from": utc(part.from),
            "to": utc(part.to),
            "windows": part.windows,
            "samples": part.samples,
            "bytes": part.bytes,
        })
    };
    info.parts.iter().map(part).collect()
}

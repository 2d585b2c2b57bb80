//! `GET server`: what this server is, has stored, and keeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Response};
use serde_json::{Value, json};

use super::Shared;
use super::ask::utc;
use crate::access::{Role, now};
use crate::api::problem::{ok, respond};
use crate::api::routes::{Need, Routes};
use crate::store::embedded::{self, Info};

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.at(&[Method::GET], "/api/s7mpa/v1/server", Need::Read(Role::Viewer), server)
}

/// How long its figures are said again: to count all rows of a large store takes a while.
const LIFE: Duration = Duration::from_mins(1);

/// What the store had when it was counted last.
pub(super) type Counted = tokio::sync::Mutex<Option<(Instant, Arc<Info>)>>;

async fn server(State(shared): State<Shared>) -> Response<Body> {
    let answer = async {
        let info = counted(&shared).await;
        let groups = shared.work.rules();
        let failed = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.error.is_some()).count();
        let silences = shared.health.silences().all().iter().filter(|silence| silence.until > now()).count();
        ok(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "store": info.as_deref().map(store),
            "hosts": info.as_deref().map(hosts),
            "rules": { "groups": groups.len(), "failed": failed },
            "silences": silences,
            "ingest": shared.health.ingested(),
            "retention": shared.health.retention(),
        }))
    };
    respond(answer.await)
}

/// `None`: they cannot be had; a database elsewhere has none.
async fn counted(shared: &Shared) -> Option<Arc<Info>> {
    let mut known = shared.stored.lock().await;
    if let Some((_, info)) = known.as_ref().filter(|(at, _)| at.elapsed() < LIFE) {
        return Some(Arc::clone(info));
    }
    let info = Arc::new(shared.work.stored(embedded::Reader::info).await.ok()?);
    *known = Some((Instant::now(), Arc::clone(&info)));
    Some(info)
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

//! What clients ask before they ask for data.

use std::collections::BTreeMap;

use agent_common::wire::registry::{self, Kind, Unit};
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::params::Params;
use super::query::cut;
use super::{Answered, Failure, respond};

/// The version of Prometheus whose language and API this is: Grafana chooses functions by it.
const PROMETHEUS: &str = "3.5.0";

/// Versions. Without `features`: Grafana would take us for Mimir.
pub(super) async fn build() -> Response<Body> {
    let info = json!({
        "version": PROMETHEUS,
        "revision": concat!("s7mpa-", env!("CARGO_PKG_VERSION")),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    });
    respond(Ok(Answered::new(info.to_string())))
}

/// Kind, meaning and unit of metrics.
pub(super) async fn metadata(request: Request) -> Response<Body> {
    let read = async {
        let params = Params::read(request).await?;
        Ok::<_, Failure>((params.get("metric").map(str::to_owned), params.limit()?))
    };
    respond(read.await.map(|(metric, limit)| {
        let mut all: Vec<(String, serde_json::Value)> = known().into_iter().collect();
        all.retain(|(name, _)| metric.as_ref().is_none_or(|metric| metric == name));
        cut(&mut all, limit);
        Answered::new(serde_json::Value::from_iter(all).to_string())
    }))
}

/// What the registry says, as metrics.
fn known() -> BTreeMap<String, serde_json::Value> {
    let mut all = BTreeMap::new();
    for measurement in registry::measurements() {
        for field in measurement.fields.iter().filter(|field| field.unit != Unit::Letter) {
            let name = format!("{}_{}", measurement.name, field.name);
            let unit = if matches!(field.unit, Unit::Count | Unit::Ratio | Unit::Flag) {
                ""
            } else {
                field.unit.name()
            };
            let entry = |kind: &str, help: String| json!([{ "type": kind, "help": help, "unit": unit }]);
            if field.kind == Kind::Counter {
                all.insert(format!("{name}_total"), entry("counter", field.meaning.to_owned()));
                all.insert(name, entry("gauge", format!("{} The amount of one window.", field.meaning)));
            } else {
                all.insert(name, entry("gauge", field.meaning.to_owned()));
            }
        }
    }
    all
}

/// There are none.
pub(super) async fn no_exemplars() -> Response<Body> {
    respond(Ok(Answered::new("[]".to_owned())))
}

/// It answers.
pub(super) async fn healthy() -> Response<Body> {
    text(StatusCode::OK, "OK\n")
}

/// Prometheus's words: Grafana looks for them to tell it from Mimir.
pub(in crate::api) async fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

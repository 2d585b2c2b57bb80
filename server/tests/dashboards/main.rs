//! The Grafana dashboards in `deploy/grafana`: made from one table, and each of their queries run against real stores.

mod grafana;
mod panels;
#[path = "../influx/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use agent_common::wire::registry::{self, Origin, Unit};
use promql::{Options as QueryOptions, Query, Value};
use serde_json::Value as Json;
use server::store::embedded::{self, EmbeddedStore, Reader};
use server::store::influx::{Api, InfluxStore, Options};
use server::store::{Store, Window};

use self::grafana::{Source, dashboard, query};
use self::panels::{Line, ROWS};
use self::servers::{Database, eventually, now_ns};

const SECOND: u64 = 1_000_000_000;
/// Windows of the made-up hosts.
const WINDOWS: u64 = 120;
const HOSTS: [&str; 2] = ["a", "b"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/dashboards")
}

fn lines() -> impl Iterator<Item = &'static Line> {
    ROWS.iter().flat_map(|row| row.panels).flat_map(|panel| panel.lines)
}

/// A window with a point of every measurement there is, of two CPUs, devices, processes and so on.
fn window(host: &str, begin: u64, seq: u64) -> Window {
    let end = UnixNs(begin + seq * SECOND);
    let mut points = Vec::new();
    for measurement in registry::measurements().filter(|measurement| measurement.origin == Origin::Window) {
        for nth in 0..2_u64 {
            let mut point = Point::new(measurement.name, end).tag("host", host);
            for tag in measurement.tags.iter().filter(|tag| tag.name != "host") {
                let value = match (tag.name, nth) {
                    ("cpu", 0) => "all".to_owned(),
                    (name, nth) => format!("{name}{nth}"),
                };
                point = point.tag(tag.name, value);
            }
            for field in measurement.fields {
                let amount = 1000 * (nth + 1) + seq;
                point = match field.unit {
                    Unit::Letter => point.field(field.name, "S"),
                    Unit::Flag => point.field(field.name, true),
                    Unit::Pct | Unit::Ratio => point.field(field.name, amount as f64 / 7.0),
                    Unit::Ns | Unit::Bytes | Unit::Count => point.field(field.name, amount),
                };
            }
            points.push(point);
            // One row of its kind: it has no tags to tell two apart.
            if measurement.tags.len() == 1 {
                break;
            }
        }
    }
    let count = points.len() as u64;
    let stream = "0123456789abcdef".to_owned();
    let head = WindowHead { host: host.to_owned(), stream, seq, points: count, span_ns: SECOND, end };
    Window::from_points(head, &points)
}

fn write(store: &dyn Store, begin: u64) {
    for host in HOSTS {
        let windows: Vec<Window> = (1..=WINDOWS).map(|seq| window(host, begin, seq)).collect();
        store.write(&windows).expect("written");
    }
}

/// A query as Grafana sends it, with its variables filled in.
fn filled(query: &str) -> String {
    query
        .replace("$__rate_interval_ms", "60000")
        .replace("$__rate_interval", "60s")
        .replace("$__interval_ms", "10000")
        .replace("$__interval", "10s")
        .replace("$host", ".*")
        .replace("$timeFilter", "time > now() - 1h")
}

#[test]
fn the_committed_dashboards_are_those_of_the_table() {
    for source in [Source::Prometheus, Source::Influx] {
        let dashboard = dashboard(source);
        let path = directory().join(format!("{}.json", dashboard["uid"].as_str().expect("an id")));
        let text = serde_json::to_string_pretty(&dashboard).expect("JSON") + "\n";
        if std::env::var_os("S7MPA_UPDATE").is_some() {
            std::fs::write(&path, &text).expect("written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{}: stale: S7MPA_UPDATE=1 cargo test -p server --test dashboards",
            path.display()
        );
    }
}

/// Series and values of an instant query of VictoriaMetrics.
fn asked(database: &Database, query: &str, at_ms: i64) -> BTreeMap<String, f64> {
    let at = format!("{}.{:03}", at_ms / 1000, at_ms % 1000);
    let text = database.get("/api/v1/query", &[("query", query), ("time", &at), ("nocache", "1")]);
    let answer: Json = serde_json::from_str(&text).expect("JSON");
    let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}"));
    let one = |series: &Json| {
        let labels: BTreeMap<&String, &Json> = series["metric"].as_object().expect("labels").iter().collect();
        let value = series["value"][1].as_str().and_then(|text| text.parse().ok()).expect("a number");
        (format!("{labels:?}"), value)
    };
    series.iter().map(one).collect()
}

#[test]
fn every_query_has_the_same_answer_from_the_embedded_store_and_victoria_metrics() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join(embedded::FILE);
    let begin = now_ns() / SECOND * SECOND - 600 * SECOND;
    let store = EmbeddedStore::open(dir.path(), embedded::Options::default()).expect("a store");
    write(&store, begin);
    let database = Database::victoria_metrics(dir.path(), &[]);
    let api = Api::V2 { org: "o".into(), bucket: "b".into(), token: None };
    write(&InfluxStore::open(Options::new(database.url(), api)).expect("settings"), begin);
    database.get("/internal/force_flush", &[]);
    let at_ms = ((begin + WINDOWS * SECOND) / 1_000_000) as i64;
    eventually("VictoriaMetrics has all", || {
        let counted = asked(&database, "count(count_over_time(s7mpa_host_load1[10m]) == 120)", at_ms);
        counted.values().next() == Some(&(HOSTS.len() as f64))
    });
    let reader = Reader::open(&path).expect("a reader");
    let view = reader.view().expect("a view");
    for line in lines() {
        let text = filled(&query(line, Source::Prometheus));
        let parsed = Query::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let answer = parsed.instant(&view, at_ms, &QueryOptions::default());
        let answer = answer.unwrap_or_else(|error| panic!("{text}: {error}"));
        let Value::Vector(elements) = answer.value else { panic!("{text}: no vector") };
        assert!(!elements.is_empty(), "{text}: no answer");
        let theirs = asked(&database, &text, at_ms);
        assert_eq!(elements.len(), theirs.len(), "{text}: {theirs:?}");
        let mut ours: Vec<f64> = elements.iter().map(|element| element.sample.value).collect();
        let mut theirs: Vec<f64> = theirs.into_values().collect();
        ours.sort_by(f64::total_cmp);
        theirs.sort_by(f64::total_cmp);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() <= 1e-9 * theirs.abs(), "{text}: {ours} and {theirs}");
        }
    }
}

#[test]
fn every_influxql_query_has_an_answer_from_influxdb() {
    let dir = tempfile::tempdir().expect("tempdir");
    let database = Database::influxdb(dir.path());
    let begin = now_ns() / SECOND * SECOND - 600 * SECOND;
    let api = Api::V1 { db: "s7mpa".into(), login: None };
    write(&InfluxStore::open(Options::new(database.url(), api)).expect("settings"), begin);
    for line in lines() {
        let text = filled(&query(line, Source::Influx));
        let answer = database.get("/query", &[("db", "s7mpa"), ("q", &text)]);
        let answer: Json = serde_json::from_str(&answer).expect("JSON");
        let series = answer["results"][0]["series"].as_array();
        let series = series.unwrap_or_else(|| panic!("{text}: {answer}"));
        let hosts = series.iter().filter(|series| series["tags"]["host"] == HOSTS[0]).count();
        assert!(hosts > 0 && series.len() > hosts, "{text}: {answer}");
        let values = series.iter().flat_map(|series| series["values"].as_array().expect("values"));
        assert!(values.clone().count() >= 2 * (WINDOWS as usize / 10), "{text}: {answer}");
        assert!(
            values.clone().all(|pair| pair[1].as_f64().is_some_and(|value| value > 0.0)),
            "{text}: {answer}"
        );
    }
}

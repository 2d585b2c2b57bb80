//! Our own API: what it answers, held against its description.

use std::collections::BTreeSet;
use std::time::SystemTime;

use agent_common::wire::finding::AlertState;
use agent_common::wire::finding::testing::alert;
use server::store::Note;

use super::*;

const BASE: &str = "/api/s7mpa/v1";

/// An API over the same store, which also has a window of the host as a whole.
pub(super) async fn with_host() -> Setup {
    let setup = Setup::new().await;
    let end = UnixNs((T0_S + 50) * 1_000_000_000);
    let point = Point::new("s7mpa_host", end).tag("host", "h").field("load1", 0.5).field("uptime_ns", 7_u64);
    let stream = "fedcba9876543210".to_owned();
    let head = WindowHead { host: "h".into(), stream, seq: 1, points: 1, span_ns: 1_000_000_000, end };
    let store = EmbeddedStore::open(setup.dir.path(), embedded::Options::default()).expect("store");
    store.write(&[Window::from_points(head, &[point])]).expect("written");
    setup
}

/// The description.
pub(super) async fn document(setup: &Setup) -> Value {
    let answer = setup.get(&format!("{BASE}/openapi.json")).send().await.expect("an answer");
    serde_json::from_str(&answer.text().await.expect("text")).expect("JSON")
}

/// What is wrong with a value by its schema; empty: nothing. As much of JSON Schema as the description uses.
fn faults(document: &Value, schema: &Value, value: &Value, at: &str, all: &mut Vec<String>) {
    const KNOWN: [&str; 12] = [
        "$ref",
        "additionalProperties",
        "description",
        "enum",
        "format",
        "items",
        "maximum",
        "minimum",
        "oneOf",
        "properties",
        "required",
        "type",
    ];
    for key in schema.as_object().expect("a schema").keys() {
        assert!(KNOWN.contains(&key.as_str()), "this check does not know `{key}`");
    }
    if let Some(name) = schema["$ref"].as_str() {
        let found =
            document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is not there"));
        return faults(document, found, value, at, all);
    }
    if let Some(schemas) = schema["oneOf"].as_array() {
        let fits = |schema: &&Value| {
            let mut own = Vec::new();
            faults(document, schema, value, at, &mut own);
            own.is_empty()
        };
        if schemas.iter().filter(fits).count() != 1 {
            all.push(format!("{at}: not one of its forms"));
        }
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        all.push(format!("{at}: {value} is not among {words:?}"));
    }
    let is = |kind: &str| match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("this check does not know the type {other}"),
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if !fits {
        all.push(format!("{at}: {value} is no {}", schema["type"]));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (nth, one) in values.iter().enumerate() {
            faults(document, items, one, &format!("{at}[{nth}]"), all);
        }
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            all.push(format!("{at}: without {name}"));
        }
    }
    for (name, one) in fields {
        let at = format!("{at}.{name}");
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(own), _) => faults(document, own, one, &at, all),
            (None, Some(Value::Bool(false))) => all.push(format!("{at}: not described")),
            (None, Some(others)) if others.is_object() => faults(document, others, one, &at, all),
            _ => {}
        }
    }
}

/// What is wrong with the parameters of a path by its description; empty: nothing.
fn wrong_parameters(described: &Value, path: &str) -> Vec<String> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let parameters = described["parameters"].as_array().expect("parameters");
    let mut all = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
        let found = parameters.iter().find(|one| one["name"] == *name && one["in"] == "query");
        let Some(found) = found else {
            all.push(format!("{name}: not described"));
            continue;
        };
        let mut schema = &found["schema"];
        if schema["type"] == "array" {
            schema = &schema["items"];
        }
        // What is no number, no truth and no list is text.
        let is_text = !schema["type"].is_string() || schema["type"] == "string";
        let read = serde_json::from_str(&value).ok().filter(|_| !is_text);
        faults(described, schema, &read.unwrap_or_else(|| json!(value)), &name, &mut all);
    }
    all
}

/// Sends it, and holds the answer against the description of its path, and of a request that succeeds the parameters.
pub(super) async fn checked(setup: &Setup, document: &Value, template: &str, path: &str) -> (u16, Value) {
    let answer = setup.get(&format!("{BASE}{path}")).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
    let body: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
    let described = &document["paths"][format!("{BASE}{template}")]["get"];
    if status == 200 {
        assert_eq!(wrong_parameters(described, path), [""; 0], "{path}");
    }
    let responses = &described["responses"];
    let schema = &responses[status.to_string()]["content"][&kind]["schema"];
    assert!(schema.is_object(), "{path}: an answer {status} of type {kind} is not described");
    let mut all = Vec::new();
    faults(document, schema, &body, "answer", &mut all);
    assert_eq!(all, [""; 0], "{path}: {body}");
    (status, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_with_its_role() {
    let setup = Setup::new().await;
    let document = document(&setup).await;
    let routes = setup.api.routes().iter().filter(|route| route.path.starts_with(BASE));
    let there: BTreeSet<(String, String, String)> = routes
        .map(|route| {
            let role = match route.need {
                server::api::Need::Nothing => "none".to_owned(),
                server::api::Need::Read(role) | server::api::Need::Change(role) => role.to_string(),
                server::api::Need::Write => "writer".to_owned(),
            };
            (route.path.to_owned(), route.method.as_str().to_lowercase(), role)
        })
        .collect();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, of) in methods.as_object().expect("methods") {
            let role = of["x-role"].as_str().unwrap_or_else(|| panic!("{method} {path} says no role"));
            described.insert((path.clone(), method.clone(), role.to_owned()));
            for place in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let named = |one: &Value| one["name"] == place && one["in"] == "path";
                assert!(
                    of["parameters"].as_array().expect("parameters").iter().any(named),
                    "{path}: {place}"
                );
            }
        }
    }
    assert_eq!(there, described);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_described_and_say_what_the_store_has() {
    let setup = with_host().await;
    let document = document(&setup).await;
    let ask = async |template: &str, path: &str| checked(&setup, &document, template, path).await;
    let (_, hosts) = ask("/hosts", "/hosts").await;
    assert_eq!((&hosts["hosts"][0]["host"], &hosts["hosts"][0]["silent"]), (&json!("h"), &json!(true)));

    let minute = format!("from={T0_S}&to={}", T0_S + 60);
    let (_, host) = ask("/hosts/{host}", &format!("/hosts/h?{minute}")).await;
    assert!(host["measurements"]["s7mpa_host"][0]["values"]["load1"].is_number(), "{host}");
    let (_, all) = ask("/hosts/{host}/processes", &format!("/hosts/h/processes?{minute}")).await;
    assert_eq!((&all["total"], &all["span_s"]), (&json!(2), &json!(60.0)));
    let first = &all["processes"][0];
    let (pid, start) = (&first["pid"], &first["start_ms"]);
    let (_, page) =
        ask("/hosts/{host}/processes", &format!("/hosts/h/processes?{minute}&limit=1&offset=1")).await;
    assert_eq!((&page["total"], page["processes"].as_array().map(Vec::len)), (&json!(2), Some(1)));
    let (_, one) =
        ask("/hosts/{host}/processes/{pid}", &format!("/hosts/h/processes/{pid}?{minute}&start_ms={start}"))
            .await;
    assert_eq!(one["process"], *first);
    let none = ask("/hosts/{host}/processes/{pid}", &format!("/hosts/h/processes/99?{minute}")).await;
    assert_eq!(none.0, 404);
    let (_, changes) =
        ask("/hosts/{host}/changes", &format!("/hosts/h/changes?from={}&duration=10s", T0_S + 50)).await;
    assert_eq!(changes["before_to"], changes["from"]);
    assert_eq!(ask("/session", "/session").await.1["by"], "owner");
    for (template, wrong) in [
        ("/hosts/{host}", "/hosts/h?from=yesterday-ish"),
        ("/hosts/{host}", "/hosts/h?from=0&to=100000000"),
        ("/hosts/{host}/processes", "/hosts/h/processes?limit=0"),
        ("/hosts/{host}/processes/{pid}", "/hosts/h/processes/seven"),
        ("/alerts", "/alerts?state=odd"),
    ] {
        let (status, problem) = ask(template, wrong).await;
        assert_eq!(status, 400, "{wrong}");
        assert!(
            problem["detail"].as_str().expect("text").contains('`') || wrong.contains("to=100"),
            "{problem}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_there_once_as_it_is_now() {
    let setup = Setup::new().await;
    let document = document(&setup).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let of = |id: &str, state, at| {
        let mut alert = alert(id, state);
        (alert.host, alert.at_unix_ns) = ("h".to_owned(), at);
        Note::alert("h", &serde_json::to_vec(&alert).expect("JSON")).expect("an alert")
    };
    let second = 1_000_000_000;
    let notes = [
        of("a", AlertState::Open, now - 3 * second),
        of("b", AlertState::Open, now - 2 * second),
        of("a", AlertState::Resolved, now - second),
    ];
    let store = EmbeddedStore::open(setup.dir.path(), embedded::Options::default()).expect("store");
    store.keep(&notes).expect("kept");
    let ids = async |query: &str| {
        let (_, all) = checked(&setup, &document, "/alerts", &format!("/alerts{query}")).await;
        let alerts = all["alerts"].as_array().expect("alerts").clone();
        alerts
            .iter()
            .map(|alert| {
                format!("{}:{}", alert["id"].as_str().unwrap_or("?"), alert["state"].as_str().unwrap_or("?"))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, ["a:resolved", "b:open"], "the newest first");
    assert_eq!(ids("?state=open").await, ["b:open"]);
    assert_eq!(ids("?host=other").await, [""; 0]);
    assert_eq!(ids("?to=-1h").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_client_has_is_not_sent_again_and_a_large_one_is_packed() {
    let setup = Setup::new().await;
    let path = format!("{BASE}/openapi.json");
    let first = setup.get(&path).header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(first.headers()["content-encoding"], "gzip");
    let tag = first.headers()["etag"].clone();
    let plain = setup.get(&path).send().await.expect("an answer");
    assert!(plain.headers().get("content-encoding").is_none());
    let packed = first.bytes().await.expect("bytes");
    let plain = plain.bytes().await.expect("bytes");
    assert_eq!(packed[..2], [0x1f, 0x8b], "gzip's mark");
    assert!(packed.len() < plain.len(), "{} and {}", packed.len(), plain.len());
    let again = setup.get(&path).header("if-none-match", tag).send().await.expect("an answer");
    assert_eq!(again.status().as_u16(), 304);
    assert_eq!(again.bytes().await.expect("nothing").len(), 0);
}

//! Prometheus's API over real HTTP.

mod access;
mod attacks;
mod flamegraph;
mod guard;
mod history;
mod lines;
mod live;
mod metrics;
mod people;
mod rules;
mod tls;
mod v1;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use promql::{Labels, Matcher, ReadError, Sample, Series, SeriesIter, Span};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use server::access::Role;
use server::api::{Api, Embedded, Health, Options, Route, Source};
use server::config::Http;
use server::store::embedded::{self, EmbeddedStore, FILE, Reader};
use server::store::{Store as _, StoreError, Window};
use tempfile::TempDir;

/// 2023-11-14 22:13:20.
const T0_S: u64 = 1_700_000_000;

/// An API over a store of two processes and a hundred seconds; the first window ends one second after [`T0_S`].
struct Setup {
    dir: TempDir,
    api: Api,
    token: String,
    client: Client,
}

impl Setup {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let store = EmbeddedStore::open(dir.path(), embedded::Options::default()).expect("store");
        let windows: Vec<Window> = (1..=100).map(window).collect();
        store.write(&windows).expect("write");
        let source = Arc::new(Embedded::new(dir.path().join(FILE)));
        Self::over(dir, source).await
    }

    async fn over(dir: TempDir, source: Arc<dyn Source>) -> Self {
        Self::with(dir, loopback(), source).await
    }

    async fn with(dir: TempDir, http: Http, source: Arc<dyn Source>) -> Self {
        Self::of(dir, http, source, Health::default()).await
    }

    async fn of(dir: TempDir, http: Http, source: Arc<dyn Source>, health: Health) -> Self {
        let api = Api::start(options(&dir, http), source, health).await.expect("the API");
        let token = std::fs::read_to_string(&api.token_file).expect("the token");
        Self { dir, api, token, client: Client::new() }
    }

    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.api.address))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.bare(Method::GET, path).bearer_auth(&self.token)
    }

    /// A token of this role.
    fn token_of(&self, role: Role) -> String {
        let made = self.api.access.create_token(&format!("test-{role}"), role, None, server::access::now());
        made.expect("a token")
    }

    fn json(&self, path: &str, body: &Value) -> RequestBuilder {
        self.bare(Method::POST, path).header("content-type", "application/json").body(body.to_string())
    }

    /// The cookie that a one-use link is exchanged for.
    async fn cookie(&self, role: Role) -> String {
        let link = self.api.access.make_link(role, server::access::now()).expect("a link");
        let answer = self.json(LOGIN, &json!({ "link": link })).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        cookie_of(&answer)
    }

    fn post(&self, path: &str, form: &str) -> RequestBuilder {
        self.bare(Method::POST, path)
            .bearer_auth(&self.token)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned())
    }
}

fn loopback() -> Http {
    Http { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..Http::default() }
}

const LOGIN: &str = "/api/s7mpa/v1/login";
const SESSION: &str = "/api/s7mpa/v1/session";

/// A store of nothing.
fn empty() -> (TempDir, Arc<dyn Source>) {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = EmbeddedStore::open(dir.path(), embedded::Options::default()).expect("store");
    store.close().expect("an end");
    let source = Arc::new(Embedded::new(dir.path().join(FILE)));
    (dir, source)
}

fn options(dir: &TempDir, http: Http) -> Options {
    Options { http, state_dir: dir.path().to_owned(), runtime_dir: dir.path().join("run") }
}

/// Name and value of the cookie that an answer sets.
fn cookie_of(answer: &reqwest::Response) -> String {
    let set = answer.headers().get("set-cookie").expect("a cookie").to_str().expect("text");
    set.split(';').next().expect("a first part").to_owned()
}

/// A path of a route, with something in its places.
fn path_of(route: &Route) -> String {
    route.path.replace("{name}", "host").replace("{id}", "9999").replace("{host}", "h").replace("{pid}", "7")
}

/// The client has types of its own.
fn method_of(route: &Route) -> Method {
    Method::from_bytes(route.method.as_str().as_bytes()).expect("a method")
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

/// Sends it and reads the answer's JSON.
async fn ask(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
}

/// The data of an answer that is a success.
async fn data(request: RequestBuilder) -> Value {
    let (status, mut answer) = ask(request).await;
    assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!("success")), "{answer}");
    answer["data"].take()
}

fn window(seq: u64) -> Window {
    let end = UnixNs((T0_S + seq) * 1_000_000_000);
    let points: Vec<Point> = [("7", "web"), ("8", "db")]
        .into_iter()
        .map(|(pid, comm)| {
            Point::new("s7mpa_process", end)
                .tag("host", "h")
                .tag("pid", pid)
                .tag("start", "1")
                .tag("comm", comm)
                .field("user_ns", 250_u64)
                .field("rss_bytes", seq)
                .field("state", "S")
        })
        .collect();
    let head = WindowHead {
        host: "h".into(),
        stream: "0123456789abcdef".into(),
        seq,
        points: 2,
        span_ns: 1_000_000_000,
        end,
    };
    Window::from_points(head, &points)
}

#[tokio::test]
async fn queries_are_answered_as_prometheus_does() {
    let setup = Setup::new().await;
    // What Grafana sends to see whether a data source works.
    let two = json!({ "resultType": "scalar", "result": [4, "2"] });
    assert_eq!(data(setup.post("/api/v1/query", "query=1%2B1&time=4")).await, two);
    assert_eq!(data(setup.get("/api/v1/query?query=1%2B1&time=1970-01-01T00:00:04Z")).await, two);
    let text = data(setup.get("/api/v1/query?query=\"a\"&time=4.5")).await;
    assert_eq!(text, json!({ "resultType": "string", "result": [4.5, "a"] }));

    let at = T0_S + 100;
    let web = json!({ "__name__": "s7mpa_process_rss_bytes", "comm": "web", "host": "h", "pid": "7", "start": "1" });
    let found =
        data(setup.get(&format!("/api/v1/query?query=s7mpa_process_rss_bytes{{pid=\"7\"}}&time={at}"))).await;
    let vector = json!({ "resultType": "vector", "result": [{ "metric": web, "value": [at, "100"] }] });
    assert_eq!(found, vector);

    // 250 ns a second of each process, in any form that a step may have.
    for step in ["10", "10s", "0m10s", "1e1"] {
        let query = format!(
            "query=sum(rate(s7mpa_process_user_ns_total[20s]))&start={}&end={}&step={step}",
            T0_S + 50,
            T0_S + 70
        );
        let expected = json!({ "resultType": "matrix", "result": [{ "metric": {}, "values": [
            [T0_S + 50, "500"], [T0_S + 60, "500"], [T0_S + 70, "500"]] }] });
        assert_eq!(data(setup.get(&format!("/api/v1/query_range?{query}"))).await, expected);
        assert_eq!(data(setup.post("/api/v1/query_range", &query)).await, expected);
    }
    let sum = data(setup.get(&format!(
        "/api/v1/query?query=increase(s7mpa_process_user_ns_total{{pid=\"7\"}}[1h])&time={at}"
    )))
    .await;
    assert_eq!(sum["result"].as_array().map(Vec::len), Some(1), "{sum}");
    let amounts = data(setup.get(&format!(
        "/api/v1/query?query=sum_over_time(s7mpa_process_user_ns{{pid=\"7\"}}[1h])&time={at}"
    )))
    .await;
    assert_eq!(amounts["result"][0]["value"][1], json!("25000"), "the exact sum");
    let (_, infos) =
        ask(setup.get(&format!("/api/v1/query?query=rate(s7mpa_process_rss_bytes[1m])&time={at}"))).await;
    assert_eq!(infos["infos"].as_array().map(Vec::len), Some(1), "{infos}");
    let (_, cut) =
        ask(setup.get(&format!("/api/v1/query?query=s7mpa_process_rss_bytes&limit=1&time={at}"))).await;
    assert_eq!(cut["data"]["result"].as_array().map(Vec::len), Some(1));
    assert_eq!(cut["warnings"], json!(["results truncated due to limit"]));
}

#[tokio::test]
async fn series_labels_and_values_are_listed() {
    let setup = Setup::new().await;
    let series = data(setup.get("/api/v1/series?match[]=s7mpa_process_rss_bytes&match[]={pid=\"7\"}")).await;
    let names: Vec<_> = series
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["__name__"].as_str().expect("a name"), one["pid"].as_str().expect("a pid")))
        .collect();
    let expected = [
        ("s7mpa_process_rss_bytes", "8"),
        ("s7mpa_process_rss_bytes", "7"),
        ("s7mpa_process_user_ns", "7"),
        ("s7mpa_process_user_ns_total", "7"),
    ];
    assert_eq!(names, expected);
    assert_eq!(data(setup.post("/api/v1/series", "match[]=own_metric")).await, json!([]));
    let labels = json!(["__name__", "comm", "host", "pid", "start"]);
    assert_eq!(data(setup.get("/api/v1/labels")).await, labels);
    assert_eq!(data(setup.post("/api/v1/labels", "match[]={pid=\"7\"}&start=0")).await, labels);
    assert_eq!(data(setup.get("/api/v1/labels?end=1600000000")).await, json!([]));
    let values = "/api/v1/label/comm/values";
    assert_eq!(data(setup.get(values)).await, json!(["db", "web"]));
    assert_eq!(data(setup.get(&format!("{values}?match[]={{pid=\"8\"}}"))).await, json!(["db"]));
    assert_eq!(data(setup.get("/api/v1/label/U__pid/values?limit=1")).await, json!(["7"]));
    assert_eq!(
        data(setup.get("/api/v1/label/__name__/values")).await,
        json!(["s7mpa_process_rss_bytes", "s7mpa_process_user_ns", "s7mpa_process_user_ns_total"])
    );
}

#[tokio::test]
async fn what_grafana_asks_besides_is_there() {
    let setup = Setup::new().await;
    let build = data(setup.get("/api/v1/status/buildinfo")).await;
    assert!(build["version"].as_str().is_some_and(|version| version.starts_with("3.")), "{build}");
    assert_eq!(build.get("features"), None, "it would be taken for Mimir");
    let metadata = data(setup.get("/api/v1/metadata?metric=s7mpa_process_user_ns_total")).await;
    assert_eq!(metadata["s7mpa_process_user_ns_total"][0]["type"], json!("counter"), "{metadata}");
    assert!(data(setup.get("/api/v1/metadata")).await.as_object().is_some_and(|all| all.len() > 100));
    assert_eq!(data(setup.post("/api/v1/query_exemplars", "query=up")).await, json!([]));
    assert_eq!(data(setup.get("/api/v1/rules")).await, json!({ "groups": [] }));
    assert_eq!(data(setup.get("/api/v1/alerts")).await, json!({ "alerts": [] }));
    let missing = setup.get("/api/v1/rules/test/test").send().await.expect("an answer");
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert!(missing.text().await.expect("a body").contains("page not found"));
    let healthy = setup.get("/-/healthy").send().await.expect("an answer");
    assert_eq!(healthy.status(), StatusCode::OK);
}

#[tokio::test]
async fn errors_have_the_status_and_kind_that_clients_know() {
    let setup = Setup::new().await;
    let range = "/api/v1/query_range?query=s7mpa_process_rss_bytes";
    let many = "query=s7mpa_process_rss_bytes%20%2B%20on(host)%20s7mpa_process_rss_bytes&time=1700000050";
    for (path, status, kind) in [
        ("/api/v1/query?query=sum(".to_owned(), 400, "bad_data"),
        ("/api/v1/query".to_owned(), 400, "bad_data"),
        ("/api/v1/query?query=up&time=soon".to_owned(), 400, "bad_data"),
        ("/api/v1/query?query=up&time=1e300".to_owned(), 400, "bad_data"),
        ("/api/v1/query?query=up&timeout=x".to_owned(), 400, "bad_data"),
        ("/api/v1/query?query=up&limit=-1".to_owned(), 400, "bad_data"),
        (format!("/api/v1/query?{many}"), 422, "execution"),
        (format!("{range}&start=10&end=5&step=1"), 400, "bad_data"),
        (format!("{range}&start=10&end=50"), 400, "bad_data"),
        (format!("{range}&start=10&end=50&step=0"), 400, "bad_data"),
        (format!("{range}&start=10&end=50&step=-5"), 400, "bad_data"),
        (format!("{range}&end=50&step=5"), 400, "bad_data"),
        (format!("{range}&start=0&end=11000&step=1"), 400, "bad_data"),
        ("/api/v1/series".to_owned(), 400, "bad_data"),
        ("/api/v1/series?match[]=rate(up[5m])".to_owned(), 400, "bad_data"),
        ("/api/v1/series?match[]={".to_owned(), 400, "bad_data"),
        ("/api/v1/labels?start=5&end=1".to_owned(), 400, "bad_data"),
    ] {
        let (got, answer) = ask(setup.get(&path)).await;
        assert_eq!((got.as_u16(), &answer["errorType"]), (status, &json!(kind)), "{path}: {answer}");
        assert_eq!(answer["status"], json!("error"));
        assert!(answer["error"].as_str().is_some_and(|error| !error.is_empty()), "{path}: {answer}");
    }
    data(setup.get(&format!("{range}&start=0&end=10999&step=1"))).await;
    let (status, _) = ask(setup.post("/api/v1/query", &format!("query={}", "1%2B".repeat(400_000)))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let wrong = setup.bare(Method::DELETE, "/api/v1/query").bearer_auth(&setup.token);
    assert_eq!(wrong.send().await.expect("an answer").status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// A store that takes a millisecond for each of its series, and has many.
#[derive(Debug)]
struct Slow;

impl Source for Slow {
    fn read(&self, _: &dyn Fn() -> bool, with: &mut dyn FnMut(&dyn promql::Reader)) -> Result<(), ReadError> {
        with(self);
        Ok(())
    }

    fn stored(&self, _: &mut dyn FnMut(&Reader) -> Result<(), StoreError>) -> Result<(), ReadError> {
        Err(nothing_stored())
    }
}

/// What a store of series alone says of the rest.
fn nothing_stored() -> ReadError {
    ReadError { message: "series alone".to_owned() }
}

impl promql::Reader for Slow {
    fn select(&self, _: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        Ok(Box::new((0..4_000).map(move |number| {
            std::thread::sleep(Duration::from_millis(1));
            let mut labels = Labels::default();
            labels.set("number", format!("{number}"));
            Ok(Series { labels, samples: vec![Sample { at_ms: span.to_ms, value: 1.0 }] })
        })))
    }

    fn series(&self, _: &[Matcher], _: Span) -> Result<Vec<Labels>, ReadError> {
        Err(ReadError { message: "it is away".into() })
    }
}

#[tokio::test]
async fn a_query_ends_with_its_time_and_a_store_that_fails_is_told_apart() {
    let setup = Setup::over(tempfile::tempdir().expect("tempdir"), Arc::new(Slow)).await;
    let (status, answer) = ask(setup.get("/api/v1/query?query=up&timeout=50ms")).await;
    assert_eq!((status.as_u16(), &answer["errorType"]), (503, &json!("timeout")), "{answer}");
    let (status, answer) = ask(setup.get("/api/v1/labels")).await;
    assert_eq!((status.as_u16(), &answer["errorType"]), (500, &json!("internal")), "{answer}");
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("it is away")), "{answer}");
}

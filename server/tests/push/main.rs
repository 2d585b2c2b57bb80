//! What programs push, over real HTTP into a real store, and what PromQL then says of it.

mod attacks;
mod influx;
mod prometheus;
mod remote;
mod senders;
mod survive;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use promql::STALE;
use remote_write::{Label, NAME, Sample, TimeSeries, WriteRequest};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use server::access::Role;
use server::api::{Api, Embedded, Health, Options};
use server::config::Http;
use server::push::Pusher;
use server::store::embedded::{self, EmbeddedStore, FILE};
use server::store::{PushLimits, Store as _};
use tempfile::TempDir;

/// How long samples are kept.
const MAX_AGE: Duration = Duration::from_hours(24 * 90);

/// An API that takes what is pushed.
struct Setup {
    dir: TempDir,
    api: Api,
    store: Arc<EmbeddedStore>,
    pusher: Pusher,
    /// Of role `writer`, and of the owner.
    writer: String,
    owner: String,
    client: Client,
}

/// An answer: status, headers, body.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Setup {
    async fn new() -> Self {
        Self::with(embedded::Options::default()).await
    }

    async fn limited(max_series: u64, new_series_per_minute: u32) -> Self {
        let push = PushLimits { max_series, new_series_per_minute };
        Self::with(embedded::Options { push, ..embedded::Options::default() }).await
    }

    async fn with(options: embedded::Options) -> Self {
        Self::at(tempfile::tempdir().expect("tempdir"), options).await
    }

    async fn at(dir: TempDir, options: embedded::Options) -> Self {
        let store = Arc::new(EmbeddedStore::open(dir.path(), options).expect("store"));
        let pusher = Pusher::start(Arc::clone(&store) as _, MAX_AGE).expect("a thread");
        let health = Health::default();
        health.push_to(pusher.clone());
        let http = Http { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..Http::default() };
        let options = Options { http, state_dir: dir.path().to_owned(), runtime_dir: dir.path().join("run") };
        let source = Arc::new(Embedded::new(dir.path().join(FILE)));
        let api = Api::start(options, source, health).await.expect("the API");
        let owner = std::fs::read_to_string(&api.token_file).expect("the token");
        let name = format!("telegraf-{}", api.access.tokens().expect("tokens").len());
        let writer = api.access.create_token(&name, Role::Writer, None, server::access::now());
        Self { dir, store, pusher, writer: writer.expect("a token"), owner, client: Client::new(), api }
    }

    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.api.address))
    }

    /// A request as a writer's.
    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.bare(Method::POST, path).header("authorization", format!("Token {}", self.writer)).body(body)
    }

    /// Pushes lines, times in ms.
    async fn lines(&self, body: &str) -> Answer {
        answer(self.post("/api/v2/write?org=o&bucket=b&precision=ms", body.to_owned())).await
    }

    /// Pushes series by remote write.
    async fn series(&self, timeseries: Vec<TimeSeries>) -> Answer {
        let body = WriteRequest { timeseries, metadata: Vec::new() }.encode_body();
        answer(self.remote(body)).await
    }

    fn remote(&self, body: Vec<u8>) -> RequestBuilder {
        self.post("/api/v1/write", body)
            .header("content-type", remote_write::CONTENT_TYPE)
            .header("content-encoding", remote_write::CONTENT_ENCODING)
    }

    /// Labels and values of a query at a time, sorted.
    async fn ask(&self, query: &str, at_ms: i64) -> Vec<(String, f64)> {
        let at = format!("{}.{:03}", at_ms / 1000, at_ms % 1000);
        let request = self.bare(Method::GET, "/api/v1/query").query(&[("query", query), ("time", &at)]);
        let answer = answer(request.bearer_auth(&self.owner)).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let json: Value = serde_json::from_str(&answer.body).expect("JSON");
        let one = |element: &Value| {
            let value = element["value"][1].as_str().and_then(|value| value.parse().ok()).expect("a number");
            (element["metric"].to_string(), value)
        };
        let mut all: Vec<_> = json["data"]["result"].as_array().expect("a vector").iter().map(one).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The only value of a query.
    async fn value(&self, query: &str, at_ms: i64) -> f64 {
        let all = self.ask(query, at_ms).await;
        assert_eq!(all.len(), 1, "{query}: {all:?}");
        all[0].1
    }

    /// A value of `/metrics`.
    async fn metric(&self, name: &str) -> f64 {
        let page = answer(self.bare(Method::GET, "/metrics").bearer_auth(&self.owner)).await.body;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} is not in\n{page}"))
    }
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.text().await.expect("text") }
}

/// Lines as a body.
fn joined(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().concat()
}

/// Now, to the second.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
    i64::try_from(now.as_secs()).expect("a time") * 1000
}

/// A series of remote write; values are of the given times.
fn one(name: &str, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let labels = labels.iter().map(|(name, value)| Label::new(*name, *value)).chain([Label::new(NAME, name)]);
    let samples = samples.iter().map(|(timestamp, value)| Sample { value: *value, timestamp: *timestamp });
    TimeSeries::new(labels.collect(), samples.collect())
}

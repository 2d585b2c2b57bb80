//! The API over a database elsewhere, and what it says when that does not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use server::api::{Api, Health, Options};
use server::config::{Http, QueryLanguage};
use server::store::elsewhere::Elsewhere;
use server::store::influx::{self, Api as Way};

use crate::Stores;
use crate::servers::free_port;

/// Sends a GET with the owner's token; status and JSON.
async fn get(api: &Api, path: &str) -> (u16, serde_json::Value) {
    let token = std::fs::read_to_string(&api.token_file).expect("the token");
    let request = reqwest::Client::new().get(format!("http://{}{path}", api.address)).bearer_auth(token);
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
}

async fn start(dir: &std::path::Path, store: Elsewhere) -> Api {
    std::fs::create_dir_all(dir).expect("a directory");
    let http = Http { listen: ([127, 0, 0, 1], 0).into(), ..Http::default() };
    let options = Options { http, state_dir: dir.to_owned(), runtime_dir: dir.join("run") };
    Api::start(options, Arc::new(store), Health::default()).await.expect("the API")
}

#[test]
fn prometheus_s_api_is_answered_from_a_database_elsewhere() {
    let mut stores = Stores::new();
    let dir = tempfile::tempdir().expect("tempdir");
    let at = stores.begin + 299;
    for (name, store) in std::mem::take(&mut stores.elsewhere) {
        let state = dir.path().join(name);
        stores.runtime.block_on(async {
            let api = start(&state, store).await;
            let query = "sum(rate(s7mpa_host_forks_total[1m]))";
            let (status, answer) = get(&api, &format!("/api/v1/query?query={query}&time={at}")).await;
            assert_eq!((status, &answer["status"]), (200, &"success".into()), "{name}: {answer}");
            let value: f64 =
                answer["data"]["result"][0]["value"][1].as_str().expect("a value").parse().expect("a number");
            // 0, 1, 2, 3, 4 and again, on two hosts.
            assert!((value - 4.0).abs() < 0.1, "{name}: {value}");
            let (_, answer) = get(
                &api,
                &format!("/api/v1/label/host/values?match[]=s7mpa_host_load1&start={}&end={at}", at - 100),
            )
            .await;
            assert_eq!(answer["data"], serde_json::json!(["a", "b"]), "{name}: {answer}");
            let (status, answer) = get(&api, "/api/s7mpa/v1/alerts").await;
            assert!(status >= 400 && answer.to_string().contains("embedded store alone"), "{name}: {answer}");
            assert_eq!(get(&api, "/metrics").await.0, 200);
        });
    }
}

#[test]
fn a_database_that_is_not_there_or_does_not_answer_is_named() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let way = || Way::V1 { db: "db".into(), login: Some(("me".into(), influx::Secret::new("hush"))) };
    let open = |url: String, language| {
        Elsewhere::open(influx::Options::new(url, way()), language, runtime.handle().clone())
            .expect("settings")
    };
    let port = free_port();
    let gone = open(format!("http://127.0.0.1:{port}"), QueryLanguage::Auto);
    let error = gone.view(&|| false).expect_err("nobody").to_string();
    assert!(error.contains("connection refused") && !error.contains("hush"), "{error}");
    let flux = open(format!("http://127.0.0.1:{port}"), QueryLanguage::Flux);
    assert!(flux.view(&|| false).expect_err("no bucket").to_string().contains("influx2"));
    // It takes the request, and says nothing: the query's own end counts.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let silent = open(format!("http://{}", listener.local_addr().expect("an address")), QueryLanguage::Auto);
    let begun = Instant::now();
    let error =
        silent.view(&|| begun.elapsed() > Duration::from_millis(300)).expect_err("silence").to_string();
    assert!(error.contains("time is over"), "{error}");
}

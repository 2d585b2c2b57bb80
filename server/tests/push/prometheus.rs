//! A real Prometheus that scrapes itself and writes here. `cargo xtask test` fetches it and names it in `S7MPA_PROMETHEUS`.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

/// Far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_mins(2);
/// Scrapes that are compared.
const SCRAPES: f64 = 25.0;

/// A program that does not outlive its test.
pub(crate) struct Program(pub(crate) Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Free now; nobody else is likely to take it in between.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port()
}

/// A directory that the test runner names; nothing: it is not to be had, and need not be.
pub(crate) fn fetched(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        let why = format!("{variable} is not set: `cargo xtask test` fetches what it names");
        assert!(std::env::var_os("REQUIRE_BPF").is_none(), "{why}");
        eprintln!("not run: {why}");
    }
    found
}

/// Waits until something is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Which targets the job has; Prometheus looks at the file.
fn targets(dir: &TempDir, json: &str) {
    let (new, file) = (dir.path().join("new"), dir.path().join("targets.json"));
    std::fs::write(&new, json).and_then(|()| std::fs::rename(&new, file)).expect("the targets");
}

fn start(setup: &Setup, dir: &TempDir, port: u16) -> Program {
    let program = fetched("S7MPA_PROMETHEUS").expect("it is there").join("prometheus");
    let config = format!(
        "global: {{scrape_interval: 200ms, evaluation_interval: 200ms, external_labels: {{replica: one}}}}\n\
         rule_files: [rules.yml]\n\
         scrape_configs:\n\
         - {{job_name: own, file_sd_configs: [{{files: [targets.json]}}]}}\n\
         - {{job_name: nobody, static_configs: [{{targets: ['127.0.0.1:1']}}]}}\n\
         remote_write:\n\
         - url: http://{}/api/v1/write\n  \
           authorization: {{credentials: {}}}\n  \
           queue_config: {{batch_send_deadline: 200ms}}\n",
        setup.api.address, setup.writer
    );
    std::fs::write(dir.path().join("prometheus.yml"), config).expect("the configuration");
    targets(dir, &format!("[{{\"targets\": [\"127.0.0.1:{port}\"]}}]"));
    let rules = "groups: [{name: g, rules: [{record: 'job:up:sum', expr: 'sum by (job) (up)'}, {alert: Down, expr: up == 0}]}]";
    std::fs::write(dir.path().join("rules.yml"), rules).expect("the rules");
    let child = Command::new(&program)
        .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--log.level=warn")
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    Program(child)
}

/// Labels and values of an instant query, or of a range, at a Prometheus; its external label is taken off ours.
fn read(json: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for element in json["data"]["result"].as_array().into_iter().flatten() {
        let mut labels = element["metric"].clone();
        labels.as_object_mut().expect("labels").remove("replica");
        let values = if element["values"].is_null() { &element["value"] } else { &element["values"] };
        all.insert(labels.to_string(), values.to_string());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_sends_has_here_the_answers_that_it_has_there() {
    if fetched("S7MPA_PROMETHEUS").is_none() {
        return;
    }
    let (setup, dir, port) = (Setup::new().await, tempfile::tempdir().expect("tempdir"), free_port());
    let _running = start(&setup, &dir, port);
    let samples = "count_over_time(up{job=\"own\"}[5m]) or vector(0)";
    until("its samples arrive", || async {
        setup.ask(samples, now_ms() + 1000).await.iter().any(|(_, value)| *value >= SCRAPES)
    })
    .await;
    // The newest second may be on its way still.
    let at = now_ms() - 2_000;
    until("all of a second ago has arrived", || async {
        let newest = setup.ask("timestamp(up{job=\"own\"})", now_ms() + 1000).await;
        newest.iter().any(|(_, time)| *time * 1e3 >= (at + 3_000) as f64)
    })
    .await;
    let moment = format!("{}.{:03}", at / 1000, (at + 77) % 1000);
    let (mut compared, mut values) = (0, 0);
    for query in [
        "up",
        "rate(prometheus_http_requests_total[3s])",
        "increase(process_cpu_seconds_total[3s])",
        "sum by (code) (prometheus_http_requests_total)",
        "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[3s])))",
        "go_memstats_alloc_bytes",
        "count_over_time(up[3s])",
        "job:up:sum",
        "ALERTS",
        "topk(3, scrape_samples_scraped)",
        "{__name__=~\"go_gc_duration_seconds.*\"}",
        "count({job=\"own\"})",
        "changes(prometheus_tsdb_head_samples_appended_total[3s]) > 0",
        "absent(nobody)",
    ] {
        for range in [false, true] {
            let form = if range {
                let begin = format!("{}.{:03}", (at - 2_000) / 1000, (at + 77) % 1000);
                vec![
                    ("query", query.to_owned()),
                    ("start", begin),
                    ("end", moment.clone()),
                    ("step", "0.5".to_owned()),
                ]
            } else {
                vec![("query", query.to_owned()), ("time", moment.clone())]
            };
            let path = if range { "query_range" } else { "query" };
            let theirs = setup.client.post(format!("http://127.0.0.1:{port}/api/v1/{path}")).form(&form);
            let theirs: Value = serde_json::from_str(&answer(theirs).await.body).expect("JSON");
            let ours =
                setup.bare(Method::POST, &format!("/api/v1/{path}")).bearer_auth(&setup.owner).form(&form);
            let ours: Value = serde_json::from_str(&answer(ours).await.body).expect("JSON");
            assert_eq!(
                (&theirs["status"], &ours["status"]),
                (&"success".into(), &"success".into()),
                "{query}"
            );
            let (theirs, ours) = (read(&theirs), read(&ours));
            assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>(), "{query}");
            for (labels, expected) in &theirs {
                assert!(same(expected, &ours[labels]), "{query} {labels}\n{expected}\n{}", ours[labels]);
            }
            compared += 1;
            values += theirs.len();
        }
    }
    println!("{compared} answers, {values} series the same");
    assert!(compared == 28 && values > 100, "{values} series");

    // A target that is gone has ended here as there, and not only after five minutes.
    targets(&dir, "[]");
    until("the target has ended", || async {
        setup.ask("up{job=\"own\"}", now_ms() + 1000).await.is_empty()
    })
    .await;
    for reason in ["malformed", "time", "labels", "name", "request_size", "series", "new_series"] {
        let name = format!("s7mpa_server_push_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(setup.metric(&name).await.to_bits(), 0f64.to_bits(), "{name}");
    }
}

/// Numbers of both, in the text of JSON: equal but for rounding.
fn same(theirs: &str, ours: &str) -> bool {
    let numbers = |text: &str| -> Vec<f64> {
        text.split(|c: char| "[],\"".contains(c)).filter_map(|part| part.parse().ok()).collect()
    };
    let (theirs, ours) = (numbers(theirs), numbers(ours));
    theirs.len() == ours.len()
        && theirs.iter().zip(&ours).all(|(a, b)| {
            a.to_bits() == b.to_bits()
                || (a.is_nan() && b.is_nan())
                || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        })
}

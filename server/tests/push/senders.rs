//! Programs and libraries that people send with.

use std::process::{Command, Stdio};

use server::store::influx::{Api as InfluxApi, InfluxStore, Options as InfluxOptions, Secret};
use server::store::{Store, StoreError, Window};

use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;

use super::prometheus::{Program, fetched, free_port, until};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_influxdb_1_and_2_write_here_as_there() {
    let setup = Setup::new().await;
    let now = now_ms();
    let window = move |seq: u64| {
        let end = UnixNs(now.unsigned_abs() * 1_000_000 - (10 - seq) * 1_000_000_000);
        let points = [Point::new("disk", end).tag("host", "a b").field("free", seq).field("full", false)];
        let head = WindowHead {
            host: "a b".into(),
            stream: "0123456789abcdef".into(),
            seq,
            points: 1,
            span_ns: 1,
            end,
        };
        Window::from_points(head, &points)
    };
    let (url, token) = (format!("http://{}", setup.api.address), setup.writer.clone());
    let written = tokio::task::spawn_blocking(move || -> Result<(), StoreError> {
        let secret = || Some(Secret::new(&*token));
        let two = InfluxApi::V2 { org: "o".into(), bucket: "b".into(), token: secret() };
        InfluxStore::open(InfluxOptions::new(&*url, two))?.write(&[window(1), window(2)])?;
        let login = secret().map(|secret| ("me".to_owned(), secret));
        let one = InfluxApi::V1 { db: "telegraf".into(), login };
        InfluxStore::open(InfluxOptions::new(&*url, one))?.write(&[window(3)]).map(drop)
    });
    written.await.expect("the thread").expect("written");
    let labels = r#"{"__name__":"disk_free","db":"telegraf","host":"a b"}"#;
    assert_eq!(setup.ask("disk_free{db!=\"\"}", now).await, [(labels.to_owned(), 3.0)]);
    assert_eq!(setup.value("disk_free{db=\"\"}", now).await.to_bits(), 2f64.to_bits());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_writes_in_a_line() {
    let setup = Setup::new().await;
    let url = format!("http://{}/write?db=home", setup.api.address);
    let curl = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-u", &format!("x:{}", setup.writer)])
        .args(["--data-binary", "temperature,room=kitchen celsius=21.5", &url])
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "204", "{}", String::from_utf8_lossy(&curl.stderr));
    let value = setup.value("temperature_celsius{room=\"kitchen\"}", now_ms() + 1000).await;
    assert_eq!(value.to_bits(), 21.5f64.to_bits());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vmagent_passes_on_what_it_is_given() {
    let Some(tools) = fetched("S7MPA_TOOLS") else { return };
    let (setup, dir, port) = (Setup::new().await, tempfile::tempdir().expect("tempdir"), free_port());
    let child = Command::new(tools.join("usr/bin/vmagent"))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .arg(format!("-remoteWrite.tmpDataPath={}", dir.path().display()))
        .arg(format!("-remoteWrite.url=http://{}/api/v1/write", setup.api.address))
        .arg(format!("-remoteWrite.bearerToken={}", setup.writer))
        .args(["-remoteWrite.flushInterval=100ms", "-loggerLevel=ERROR"])
        .stdin(Stdio::null())
        .spawn()
        .expect("vmagent");
    let _vmagent = Program(child);
    let url = format!("http://127.0.0.1:{port}/write");
    let (client, now) = (&setup.client, now_ms());
    let body = joined((0..100).map(|n| format!("load,host=h{n} one={n},five=0.5 {now}000000\n")));
    until("vmagent takes it", || async {
        let sent = client.post(&url).body(body.clone()).send().await;
        sent.is_ok_and(|sent| sent.status().is_success())
    })
    .await;
    until("it has arrived", || async { setup.ask("load_one", now).await.len() == 100 }).await;
    assert_eq!(setup.value("sum(load_one)", now).await.to_bits(), 4_950f64.to_bits());
    assert_eq!(setup.value("load_five{host=\"h7\"}", now).await.to_bits(), 0.5f64.to_bits());
}

/// A store that takes nothing that is pushed.
#[derive(Debug)]
struct Elsewhere;

impl Store for Elsewhere {
    fn write(&self, _: &[Window]) -> Result<server::store::Written, StoreError> {
        Err(StoreError::Closed)
    }

    fn keep(&self, _: &[server::store::Note]) -> Result<u64, StoreError> {
        Err(StoreError::Closed)
    }

    fn stored(&self, _: &str, _: &str) -> Result<agent_common::wire::stored::Stored, StoreError> {
        Err(StoreError::Closed)
    }

    fn streams(&self) -> Result<Vec<(String, String)>, StoreError> {
        Err(StoreError::Closed)
    }

    fn health(&self) -> Result<server::store::Health, StoreError> {
        Err(StoreError::Closed)
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_store_that_is_closed_or_elsewhere_is_told_apart() {
    let mut setup = Setup::new().await;
    setup.store.close().expect("closed");
    let later = setup.lines("m a=1").await;
    assert!(later.status == 503 && later.headers.contains_key("retry-after"), "{}", later.body);
    let later = setup.series(vec![one("up", &[], &[(now_ms(), 1.0)])]).await;
    assert!(later.status == 503 && later.headers.contains_key("retry-after"), "{}", later.body);
    let failures = setup.metric("s7mpa_server_push_failures_total").await;
    assert_eq!(failures.to_bits(), 2f64.to_bits());

    let health = Health::default();
    let options = |dir: &TempDir| Options {
        http: Http { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..Http::default() },
        state_dir: dir.path().to_owned(),
        runtime_dir: dir.path().join("other"),
    };
    let source = Arc::new(Embedded::new(setup.dir.path().join(FILE)));
    setup.api = Api::start(options(&setup.dir), source, health.clone()).await.expect("the API");
    let opening = setup.lines("m a=1").await;
    assert!(opening.status == 503 && opening.body.contains("being opened"), "{}", opening.body);
    health.push_to(Pusher::start(Arc::new(Elsewhere), MAX_AGE).expect("a thread"));
    let elsewhere = setup.lines("m a=1").await;
    assert!(
        elsewhere.status == 501 && elsewhere.body.contains("send them to that database"),
        "{}",
        elsewhere.body
    );
}

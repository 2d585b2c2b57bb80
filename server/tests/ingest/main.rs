//! The ingester against real brokers, with what a network may bring.

mod notes;
mod refused;

#[path = "../common/mosquitto.rs"]
mod mosquitto;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agent_common::units::UnixNs;
use agent_common::wire::finding::{Alert, AlertState, Finding, Subject};
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::{self, Point};
use agent_common::wire::stored::Stored;
use agent_common::wire::topic;
use link::{Event, FailureKind, Link, Message, Options};
use mosquitto::{Mosquitto, PATIENCE, eventually, free_port};
use server::broker::{self, Broker, BrokerError};
use server::config::{Influx2, QueryLanguage, StoreConfig};
use server::ingest::{self, Ingest, IngestStats};
use server::store::embedded::{self, EmbeddedStore, FILE, Reader};
use server::store::{MAX_NOTE_BYTES, Store};
use server::{Config, Server};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

const STREAM: &str = "0123456789abcdef";
const TOPIC: &str = "s7mpa/v1/h/metrics";

fn runtime() -> Runtime {
    Runtime::new().expect("runtime")
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}

/// A window of host `h` with three points.
fn payload(seq: u64) -> Vec<u8> {
    payload_at(seq, now_ns())
}

/// The same, which ends then.
fn payload_at(seq: u64, end: u64) -> Vec<u8> {
    let head = WindowHead {
        host: "h".into(),
        stream: STREAM.into(),
        seq,
        points: 3,
        span_ns: 1_000_000_000,
        end: UnixNs(end),
    };
    let mut points = vec![head.to_point()];
    points.extend((0..3_u64).map(|n| Point::new("m", UnixNs(end)).tag("n", n.to_string()).field("v", seq)));
    line::encode(&points).into_bytes()
}

/// A window of host `h` with so many bytes of points.
fn large(seq: u64, bytes: usize) -> Vec<u8> {
    let mut out = payload(seq);
    let line = String::from_utf8(out.clone()).expect("text").lines().nth(1).expect("a point").to_owned();
    while out.len() < bytes {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out
}

/// A server that runs in this process.
struct Running {
    ingest: Ingest,
    store: Arc<dyn Store>,
    options: Options,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn embedded(dir: &Path) -> Self {
        let config = Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            state_dir: dir.join("state"),
            runtime_dir: dir.join("run"),
            ..Config::default()
        };
        let server = Server::start(config).await.expect("server");
        let mut options =
            Options::new(format!("mqtt://{}", server.broker_address().expect("embedded")), "publisher");
        options.broker.user = Some(broker::USER.into());
        options.broker.password = server.broker_password_file().map(Into::into);
        let (ingest, store) = (server.ingest().clone(), Arc::clone(server.store()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            server.run(async { drop(stopped.await) }).await.expect("server runs");
        });
        Self { ingest, store, options, stop, task }.ready().await
    }

    /// An ingester with its own store behind a broker.
    async fn behind(broker: Options, dir: &Path, name: &str, group: Option<&str>) -> Self {
        let store: Arc<dyn Store> =
            Arc::new(EmbeddedStore::open(&dir.join(name), embedded::Options::default()).expect("store"));
        let options = Options { client_id: name.into(), clean_session: group.is_some(), ..broker.clone() };
        let options = ingest::Options { group: group.map(Into::into), ..ingest::Options::new(options) };
        let ingest = Ingest::new(options, Arc::clone(&store));
        let (stop, stopped) = oneshot::channel();
        let running = ingest.clone();
        let task = tokio::spawn(async move { running.run(async { drop(stopped.await) }).await });
        Self { ingest, store, options: broker, stop, task }.ready().await
    }

    /// Waits until its own status comes back: then its subscriptions stand.
    async fn ready(self) -> Self {
        until("connected", || self.ingest.stats().connected).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self
    }

    async fn stop(self) -> IngestStats {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("it ends");
        self.ingest.stats()
    }
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A client that publishes and sees its acknowledgements.
struct Publisher(Link);

impl Publisher {
    async fn connect(options: &Options) -> Self {
        let mut link = Link::open(options).expect("link");
        loop {
            match link.next().await {
                Event::Connected { .. } => return Self(link),
                Event::Closed(failure) => panic!("{failure}"),
                _ => {}
            }
        }
    }

    /// Publishes and waits for the broker to have all of it.
    async fn publish(&mut self, messages: impl IntoIterator<Item = (String, Vec<u8>)>) {
        let mut open = 0;
        for (topic, payload) in messages {
            self.0.publish(Message { topic, payload, retain: false }).expect("room");
            open += 1;
            while open >= 50 {
                open -= self.acked().await;
            }
        }
        while open > 0 {
            open -= self.acked().await;
        }
    }

    async fn acked(&mut self) -> u64 {
        match self.0.next().await {
            Event::Acked(_) => 1,
            Event::Closed(failure) => panic!("{failure}"),
            _ => 0,
        }
    }
}

fn metrics(payload: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    (TOPIC.into(), payload.into())
}

#[test]
fn duplicates_do_no_harm_and_are_counted() {
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        let windows: Vec<_> = (1..=20).map(payload).collect();
        for _ in 0..3 {
            publisher.publish(windows.iter().map(|w| metrics(w.clone()))).await;
            until("all of them handled", || server.ingest.stats().waiting == 0).await;
        }
        until("stored", || server.store.stored("h", STREAM).expect("stored").contiguous == 20).await;
        let stats = server.stop().await;
        assert_eq!((stats.stored, stats.points), (20, 60), "{stats:?}");
    });
}

/// With a poll task that waits for its consumer, and a consumer that waits to acknowledge, rumqttc hung at message
/// 1,090 of 4,000.
#[test]
fn a_flood_does_not_lock_acknowledging_against_receiving() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = Mosquitto::start(dir.path(), "");
    runtime().block_on(async {
        let server = Running::behind(Options::new(broker.url(), "p"), dir.path(), "ingest", None).await;
        let mut publisher = Publisher::connect(&server.options).await;
        publisher.publish((1..=4000).map(|n| metrics(payload(n)))).await;
        until("all stored", || server.ingest.stats().stored == 4000).await;
        let stats = server.stop().await;
        assert_eq!((stats.duplicates, stats.shed), (0, 0), "{stats:?}");
    });
}

/// What waits for the store is bounded; the rest stays with the broker and comes later.
#[test]
fn a_backlog_is_bounded_and_nothing_of_it_is_lost() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = Mosquitto::start(dir.path(), "max_inflight_messages 1000");
    runtime().block_on(async {
        let store =
            EmbeddedStore::open(&dir.path().join("state"), embedded::Options::default()).expect("store");
        let lock = rusqlite::Connection::open(store.path()).expect("database");
        lock.busy_timeout(Duration::from_secs(5)).expect("time-out");
        let store: Arc<dyn Store> = Arc::new(store);
        let link = Options { clean_session: false, ..Options::new(broker.url(), "ingest") };
        let options = ingest::Options { backlog_bytes: 20_000, ..ingest::Options::new(link) };
        let ingest = Ingest::new(options, Arc::clone(&store));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn({
            let ingest = ingest.clone();
            async move { ingest.run(async { drop(stopped.await) }).await }
        });
        until("connected", || ingest.stats().connected).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        lock.execute_batch("BEGIN IMMEDIATE").expect("lock");
        let mut publisher = Publisher::connect(&Options::new(broker.url(), "p")).await;
        publisher.publish((1..=500).map(|n| metrics(payload(n)))).await;
        until("a backlog", || ingest.stats().shed > 0).await;
        assert!(ingest.stats().waiting * 200 < 40_000, "{:?}", ingest.stats());
        lock.execute_batch("COMMIT").expect("unlock");
        until("all stored", || store.stored("h", STREAM).expect("stored").contiguous == 500).await;
        stop.send(()).expect("it runs");
        task.await.expect("it ends");
        assert!(ingest.stats().store_error.is_none());
    });
}

#[test]
fn two_ingesters_share_the_work() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mosquitto = Mosquitto::start(dir.path(), "");
    runtime().block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let embedded = Broker::start(address, dir.path()).expect("broker");
        let mut options = Options::new(embedded.url(), "p");
        options.broker.user = Some(broker::USER.into());
        options.broker.password = Some(embedded.password_file.clone().into());
        for (name, options) in [("mosquitto", Options::new(mosquitto.url(), "p")), ("rumqttd", options)] {
            let dir = dir.path().join(name);
            let a = Running::behind(options.clone(), &dir, "a", Some("s7mpa")).await;
            let b = Running::behind(options.clone(), &dir, "b", Some("s7mpa")).await;
            let mut publisher = Publisher::connect(&options).await;
            publisher.publish((1..=200).map(|n| metrics(payload(n)))).await;
            until("all stored", || a.ingest.stats().stored + b.ingest.stats().stored == 200).await;
            let numbers = |r: &Running| -> BTreeSet<u64> {
                let stored = r.store.stored("h", STREAM).expect("stored");
                stored.to_set().ranges().iter().flat_map(|&(from, to)| from..=to).collect()
            };
            let (of_a, of_b) = (numbers(&a), numbers(&b));
            assert!(of_a.len() >= 50 && of_b.len() >= 50, "{name}: {} and {}", of_a.len(), of_b.len());
            assert!(of_a.is_disjoint(&of_b), "{name}");
            a.stop().await;
            b.stop().await;
        }
    });
}

#[test]
fn the_authorities_of_a_database_elsewhere_are_read_from_the_named_file() {
    let config = Config {
        store: StoreConfig::Influx2(Influx2 {
            query: QueryLanguage::Auto,
            url: "https://localhost:1".into(),
            org: String::new(),
            bucket: String::new(),
            token: None,
            ca_file: Some("/no/such/file".into()),
        }),
        ..Config::default()
    };
    let error = runtime().block_on(Server::start(config)).expect_err("no such file");
    assert!(error.to_string().contains("cannot read the authorities in /no/such/file"), "{error}");
}

#[test]
fn collectors_learn_what_is_stored_and_status_is_kept() {
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        let status = ("s7mpa/v1/h/status".to_owned(), b"{\"state\":\"online\"}".to_vec());
        publisher.publish([metrics(payload(1)), metrics(payload(2)), metrics(payload(4)), status]).await;
        until("stored", || server.ingest.stats().stored == 3).await;
        until("status", || server.ingest.stats().hosts.contains_key("h")).await;
        // Retained: it is there for who comes later.
        publisher.0.subscribe("s7mpa/v1/h/stored").expect("room");
        loop {
            match publisher.0.next().await {
                Event::Received(message) => {
                    let stored: Stored = serde_json::from_slice(message.payload()).expect("JSON");
                    if stored.ranges == [(1, 2), (4, 4)] {
                        assert_eq!((stored.stream.as_str(), stored.contiguous), (STREAM, 2));
                        break;
                    }
                }
                Event::Closed(failure) => panic!("{failure}"),
                _ => {}
            }
        }
        let stats = server.stop().await;
        let stream = stats.streams[&format!("h/{STREAM}")];
        assert_eq!((stream.contiguous, stream.highest, stream.missing), (2, 4, 1));
        assert_eq!(stats.hosts["h"].json, "{\"state\":\"online\"}");
    });
}

#[test]
fn a_port_in_use_is_named_and_the_password_is_private() {
    let dir = tempfile::tempdir().expect("tempdir");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let broker = Broker::start(address, dir.path()).expect("broker");
    assert_eq!(broker.address, address);
    let mode = std::fs::metadata(&broker.password_file).expect("password file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&broker.password_file).expect("password").len(), 32);
    let error = Broker::start(address, dir.path()).expect_err("in use");
    assert!(matches!(error, BrokerError::PortInUse { .. }));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    eventually("still listening", || std::net::TcpStream::connect(address).is_ok());
}

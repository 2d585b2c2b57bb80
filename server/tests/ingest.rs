//! The ingester against real brokers, with what a network may bring.

#[path = "common/mosquitto.rs"]
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
use mosquitto::{Mosquitto, PATIENCE, eventually, free_port};
use server::broker::{self, Broker, BrokerError};
use server::config::{Influx2, StoreConfig};
use server::ingest::{self, Ingest, IngestStats};
use server::mqtt::{Event, FailureKind, Link, Message, Options};
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

/// A window of host `h` with three points.
fn payload(seq: u64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let head = WindowHead {
        host: "h".into(),
        stream: STREAM.into(),
        seq,
        points: 3,
        span_ns: 1_000_000_000,
        end: UnixNs(now),
    };
    let mut points = vec![head.to_point()];
    points.extend((0..3_u64).map(|n| Point::new("m", UnixNs(now)).tag("n", n.to_string()).field("v", seq)));
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
        options.user = Some(broker::USER.into());
        options.password_file = server.broker_password_file();
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
fn what_is_no_window_is_rejected_by_reason_and_the_stream_goes_on() {
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        let head = |text: &str| metrics(format!("s7mpa_window,host=h,stream={STREAM} {text} 5\n"));
        let mut messages = vec![metrics(payload(1))];
        messages.extend([metrics(""), metrics([0xff, 0xfe, 0x00, 0x80]), metrics(vec![0x80; 256 << 10])]);
        messages.extend([metrics("{\"json\":true}"), metrics(vec![b'x'; 256 << 10])]);
        messages.extend([metrics("cpu,host=h usage=1 5\n"), head("seq=0i,points=0i,span_ns=1i")]);
        messages.push(head("points=0i,span_ns=1i"));
        messages.push(("s7mpa/v1/another/metrics".into(), payload(2)));
        messages.push(metrics(payload(2)));
        publisher.publish(messages).await;
        until("both good windows stored", || server.ingest.stats().stored == 2).await;
        let stats = server.stop().await;
        let r = stats.rejected;
        assert_eq!((r.empty, r.binary, r.malformed, r.head, r.wrong_host), (1, 2, 2, 3, 1), "{stats:?}");
        assert_eq!((r.total(), stats.received, stats.points), (9, 11, 6), "{stats:?}");
        assert_eq!(stats.streams[&format!("h/{STREAM}")].contiguous, 2);
    });
}

/// rumqttd drops a link whose acknowledgements do not come in the order of its messages: what is rejected at once must
/// not overtake a window that waits for the store. Without a spool that sends again, what was lost would be seen.
#[test]
fn bursts_of_large_and_bad_messages_leave_the_embedded_brokers_link_alone() {
    const BURSTS: u64 = 20;
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        for burst in 0..BURSTS {
            let good = |n: u64| metrics(large(burst * 3 + n, 256 << 10));
            publisher
                .publish([
                    good(1),
                    metrics(vec![b'x'; 256 << 10]),
                    metrics(vec![0x80; 1 << 20]),
                    good(2),
                    ("s7mpa/v1/h/status".to_owned(), b"{}".to_vec()),
                    metrics(vec![b'x'; 5 << 20]),
                    good(3),
                    metrics(""),
                ])
                .await;
            until("the burst is stored", || server.ingest.stats().stored == burst * 3 + 3).await;
        }
        until("all rejected", || server.ingest.stats().rejected.total() == 4 * BURSTS).await;
        let stats = server.stop().await;
        assert_eq!((stats.connections, stats.received, stats.duplicates), (1, 7 * BURSTS, 0), "{stats:?}");
    });
}

#[test]
fn a_malformed_line_costs_itself_and_is_counted() {
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        let mut window = payload(1);
        window.extend_from_slice(b"this is no line\n");
        publisher.publish([metrics(window)]).await;
        until("stored", || server.ingest.stats().stored == 1).await;
        let stats = server.stop().await;
        assert_eq!((stats.points, stats.malformed_lines, stats.rejected.total()), (3, 1, 0));
    });
}

/// Mosquitto lets 64 MiB through. An ingester with a packet limit would break the connection there, get the message
/// again, and never get past it.
#[test]
fn sixty_four_mebibytes_are_rejected_and_the_stream_goes_on() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = Mosquitto::start(dir.path(), "");
    runtime().block_on(async {
        let server = Running::behind(Options::new(broker.url(), "p"), dir.path(), "ingest", None).await;
        let mut publisher = Publisher::connect(&server.options).await;
        publisher.publish([metrics(payload(1)), metrics(vec![b'x'; 64 << 20]), metrics(payload(2))]).await;
        until("both good windows stored", || server.ingest.stats().stored == 2).await;
        let stats = server.stop().await;
        assert_eq!((stats.rejected.too_large, stats.connections), (1, 1), "{stats:?}");
    });
}

/// The embedded broker throws out who sends too much, before it has read it.
#[test]
fn the_embedded_broker_refuses_sixty_four_mebibytes_from_one_counts_it_and_serves_the_others() {
    tracing_subscriber::registry().with(broker::refusals()).try_init().expect("the only subscriber here");
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut good = Publisher::connect(&server.options).await;
        let mut bad =
            Publisher::connect(&Options { client_id: "bad".into(), ..server.options.clone() }).await;
        bad.0
            .publish(Message { topic: TOPIC.into(), payload: vec![b'x'; 64 << 20], retain: false })
            .expect("room");
        good.publish([metrics(payload(1))]).await;
        loop {
            if let Event::Closed(failure) = bad.0.next().await {
                assert_eq!(failure.kind, FailureKind::Closed, "{failure}");
                break;
            }
        }
        good.publish([metrics(payload(2))]).await;
        until("both good windows stored", || server.ingest.stats().stored == 2).await;
        // Behind a small packet in one read, too: another form of the same error.
        for _ in 0..2 {
            let mut bad =
                Publisher::connect(&Options { client_id: "worse".into(), ..server.options.clone() }).await;
            for payload in [Vec::new(), vec![b'x'; 64 << 20]] {
                bad.0.publish(Message { topic: TOPIC.into(), payload, retain: false }).expect("room");
            }
            while !matches!(bad.0.next().await, Event::Closed(_)) {}
        }
        until("all counted", || server.ingest.stats().refused_by_broker == 3).await;
        assert_eq!(server.stop().await.connections, 1);
    });
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
        options.user = Some(broker::USER.into());
        options.password_file = Some(embedded.password_file.clone());
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

fn alert(id: &str, state: AlertState, at: u64) -> Alert {
    let subject = Subject { kind: "process".into(), pid: Some(42), comm: Some("a b,c".into()) };
    let finding = Finding {
        rule: "cpu".into(),
        class: "cpu-user".into(),
        subject,
        culprit: None,
        lost_ns_per_s: 900_000_000,
        share_pct: 90.0,
        confidence: 0.5,
        evidence: Vec::new(),
        stacks: Vec::new(),
        alternatives: Vec::new(),
        caused: Vec::new(),
        advice: "look".into(),
    };
    Alert { id: id.into(), host: "h".into(), state, opened_unix_ns: 1, at_unix_ns: at, finding }
}

/// Alerts come again after each reconnect (they are retained), reports too.
#[test]
fn alerts_and_the_latest_report_are_stored_once_and_read_back() {
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
        let states = [AlertState::Open, AlertState::Update, AlertState::Resolved];
        let life: Vec<Alert> = (0_u64..).zip(states).map(|(n, state)| alert("a", state, now + n)).collect();
        let message =
            |alert: &Alert| (topic::alert("h", &alert.id), serde_json::to_vec(alert).expect("JSON"));
        let report =
            |n: u32| ("s7mpa/v1/h/report".to_owned(), format!("{{\"host\":\"h\",\"n\":{n}}}").into_bytes());
        let mut messages = vec![report(1), metrics(payload(1))];
        for _ in 0..2 {
            messages.extend(life.iter().map(message));
            // Clears the retained one.
            messages.push((topic::alert("h", "a"), Vec::new()));
        }
        messages.extend([
            (topic::alert("another", "a"), message(&life[0]).1),
            (topic::alert("h", "b"), b"{}".to_vec()),
            (topic::alert("h", "c"), vec![0xff; 100]),
            (topic::alert("h", "d"), vec![b' '; MAX_NOTE_BYTES + 1]),
            ("s7mpa/v1/h/report".to_owned(), b"{\"host\":\"i\"}".to_vec()),
            report(2),
        ]);
        publisher.publish(messages).await;
        let reader = Reader::open(&dir.path().join("state").join(FILE)).expect("reader");
        let latest = || reader.report("h").expect("report").map(|(_, json)| json);
        until("the last report", || latest().as_deref() == Some("{\"host\":\"h\",\"n\":2}")).await;
        let read = |host, from| reader.alerts(host, UnixNs(from), UnixNs(u64::MAX), 10).expect("alerts");
        assert_eq!(read(None, now), life);
        assert_eq!(read(Some("h"), now + 1), life[1..]);
        assert_eq!(read(Some("i"), now), []);
        assert_eq!(reader.alerts(None, UnixNs(0), UnixNs(u64::MAX), 1).expect("alerts"), life[2..]);
        assert_eq!(reader.reporting_hosts().expect("hosts"), ["h"]);
        let stats = server.stop().await;
        let r = stats.rejected;
        assert_eq!(
            (r.wrong_host, r.malformed, r.binary, r.too_large, r.total()),
            (2, 1, 1, 1, 5),
            "{stats:?}"
        );
        assert_eq!(stats.notes, 5, "three steps of the alert, two reports: {stats:?}");
        assert_eq!((stats.connections, stats.stored), (1, 1), "{stats:?}");
    });
}

#[test]
fn the_authorities_of_a_database_elsewhere_are_read_from_the_named_file() {
    let config = Config {
        store: StoreConfig::Influx2(Influx2 {
            url: "https://localhost:1".into(),
            org: String::new(),
            bucket: String::new(),
            token_file: None,
            ca_file: Some("/no/such/file".into()),
        }),
        ..Config::default()
    };
    let error = runtime().block_on(Server::start(config)).expect_err("no such file");
    assert!(error.to_string().contains("cannot read the authorities in /no/such/file"), "{error}");
}

#[test]
fn collectors_are_told_what_is_stored_and_status_is_kept() {
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

//! The whole way of a window: spool → MQTT → broker → ingest → store, with what can go wrong on it.

use std::path::Path;
use std::time::{Duration, Instant};

use link::{Event, Link};
use relay::sink::{Delivery, MqttConfig};
use rusqlite::Connection;
use server::config::{Influx1, QueryLanguage, StoreConfig};

use crate::common::{Child, ServerSpec, Sink, say, start_sink, stored_windows, window};
use crate::databases::Database;
use crate::mosquitto::{Mosquitto, eventually};

/// How long the broker stays away. `S7MPA_OUTAGE_S=60` for the long version.
fn outage() -> Duration {
    let seconds = std::env::var("S7MPA_OUTAGE_S").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// Publishes windows from two hosts while `what` runs; returns how many.
fn under_load(sinks: &[Sink], what: impl FnOnce()) -> u64 {
    std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let load = scope.spawn(move || {
            let mut published = 0;
            // Ten times the real pace.
            while stopped.recv_timeout(Duration::from_millis(100)).is_err() {
                for sink in sinks {
                    sink.publish_window(window(100));
                    published += 1;
                }
            }
            published
        });
        what();
        stop.send(()).expect("the load runs");
        load.join().expect("load")
    })
}

fn two_sinks(dir: &Path, config: impl Fn(&str) -> MqttConfig) -> [Sink; 2] {
    ["web-1", "web-2"].map(|host| start_sink(config(host), dir))
}

/// All windows acknowledged, none dropped, each in the store exactly once.
fn all_there(dir: &Path, sinks: [Sink; 2], server: Child, published: u64, name: &str) {
    eventually("all windows acknowledged", || {
        sinks.iter().map(|s| s.stats().acked).sum::<u64>() == published
    });
    let mut resent = 0;
    for sink in sinks {
        let stats = sink.close(Duration::from_secs(5)).expect("close");
        let fell_out = stats.spool.dropped.total();
        assert_eq!((stats.spool.windows, fell_out), (0, 0), "{stats:?}");
        resent += stats.resent;
    }
    let figures = server.stop();
    assert_eq!(stored_windows(dir), published);
    say(&format!(
        "{name}: {published} windows, each stored once ({resent} sent again, {} duplicates refused)",
        figures["duplicates"]
    ));
}

#[test]
fn every_window_of_a_quiet_time_is_stored_once_and_fast() {
    let dir = tempfile::tempdir().expect("tempdir");
    let server = Child::start(&ServerSpec::embedded(dir.path()));
    let sink = start_sink(server.sink_config("web-1"), dir.path());
    for _ in 0..100 {
        sink.publish_window(window(300));
        std::thread::sleep(Duration::from_millis(50));
    }
    eventually("all windows acknowledged", || sink.stats().acked == 100);
    let stats = sink.close(Duration::from_secs(5)).expect("close");
    assert_eq!((stats.spool.windows, stats.spool.dropped.total()), (0, 0));
    let latency = &server.stop()["latency"];
    say(&format!("end of the window → stored, embedded defaults, 300 processes: {latency}"));
    assert!(latency["p99_ns"].as_u64().expect("p99") <= 1_000_000_000, "{latency}");
    assert_eq!(stored_windows(dir.path()), 100);
}

#[test]
fn a_mosquitto_that_is_killed_and_comes_back_costs_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut broker = Mosquitto::start(dir.path(), "");
    let server = Child::start(&ServerSpec::external(dir.path(), &broker));
    let sinks = two_sinks(dir.path(), |host| server.sink_config(host));
    let published = under_load(&sinks, || {
        std::thread::sleep(Duration::from_secs(1));
        broker.kill();
        std::thread::sleep(outage());
        assert!(sinks[0].stats().error_kind.as_deref() == Some("refused"), "{:?}", sinks[0].stats());
        broker.start_again();
        std::thread::sleep(Duration::from_secs(1));
    });
    all_there(dir.path(), sinks, server, published, "mosquitto killed");
}

#[test]
fn broker_ingester_and_store_that_die_together_cost_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let spec = ServerSpec::embedded(dir.path());
    let mut server = Some(Child::start(&spec));
    let config = |host: &str| server.as_ref().expect("it runs").sink_config(host);
    let sinks = two_sinks(dir.path(), config);
    let published = under_load(&sinks, || {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            server.take().expect("it runs").kill();
            std::thread::sleep(outage() / 4);
            server = Some(Child::start(&spec));
        }
        std::thread::sleep(Duration::from_secs(1));
    });
    all_there(dir.path(), sinks, server.expect("it runs"), published, "embedded server killed three times");
}

#[test]
fn an_ingester_that_is_killed_in_the_middle_costs_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = Mosquitto::start(dir.path(), "");
    let spec = ServerSpec::external(dir.path(), &broker);
    let mut server = Some(Child::start(&spec));
    let sinks = two_sinks(dir.path(), |host| server.as_ref().expect("it runs").sink_config(host));
    let published = under_load(&sinks, || {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            server.take().expect("it runs").kill();
            server = Some(Child::start(&spec));
        }
        std::thread::sleep(Duration::from_secs(1));
    });
    all_there(dir.path(), sinks, server.expect("it runs"), published, "ingester killed three times");
}

#[test]
fn a_store_that_takes_nothing_for_a_while_costs_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let server = Child::start(&ServerSpec::embedded(dir.path()));
    let sinks = two_sinks(dir.path(), |host| server.sink_config(host));
    let published = under_load(&sinks, || {
        std::thread::sleep(Duration::from_secs(1));
        // Another connection holds the database's write lock.
        let database = dir.path().join("state").join(server::store::embedded::FILE);
        let other = Connection::open(database).expect("database");
        other.busy_timeout(Duration::from_secs(10)).expect("time-out");
        other.execute_batch("BEGIN IMMEDIATE").expect("lock");
        let before = sinks[0].stats().acked;
        std::thread::sleep(outage().max(Duration::from_secs(3)));
        // One write may have been under way.
        assert!(sinks[0].stats().acked <= before + 32, "the store was not away");
        other.execute_batch("COMMIT").expect("unlock");
        std::thread::sleep(Duration::from_secs(1));
    });
    all_there(dir.path(), sinks, server, published, "store locked");
}

#[test]
fn a_database_that_is_killed_and_comes_back_costs_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut database = Database::influxdb(dir.path());
    let mut spec = ServerSpec::embedded(dir.path());
    spec.config.store = StoreConfig::Influx1(Influx1 {
        query: QueryLanguage::Auto,
        url: database.url(),
        db: "s7mpa".into(),
        user: None,
        password: None,
        ca_file: None,
    });
    let server = Child::start(&spec);
    let sinks = two_sinks(dir.path(), |host| server.sink_config(host));
    let published = under_load(&sinks, || {
        std::thread::sleep(Duration::from_secs(1));
        database.kill();
        std::thread::sleep(outage());
        database.start_again();
        std::thread::sleep(Duration::from_secs(1));
    });
    eventually("all windows acknowledged", || {
        sinks.iter().map(|s| s.stats().acked).sum::<u64>() == published
    });
    for sink in sinks {
        sink.close(Duration::from_secs(5)).expect("close");
    }
    server.stop();
    for host in ["web-1", "web-2"] {
        let query = format!("SELECT count(seq), max(seq) FROM s7mpa_window WHERE host = '{host}'");
        let answer: serde_json::Value =
            serde_json::from_str(&database.get("/query", &[("db", "s7mpa"), ("q", &query)])).expect("JSON");
        let row = &answer["results"][0]["series"][0]["values"][0];
        assert_eq!(
            (row[1].as_u64(), row[2].as_u64()),
            (Some(published / 2), Some(published / 2)),
            "{answer}"
        );
    }
    say(&format!("influxdb killed: {published} windows, each in the database once"));
}

/// The embedded broker evicts the oldest messages of a slow subscriber without a word.
#[test]
fn what_the_embedded_broker_evicts_is_sent_again() {
    const EACH: u64 = 250;
    let dir = tempfile::tempdir().expect("tempdir");
    let spec = ServerSpec { store_delay: Duration::from_millis(300), ..ServerSpec::embedded(dir.path()) };
    let server = Child::start(&spec);
    let mut hosts = Vec::new();
    for host in ["a", "b", "c", "d"] {
        // Twice what the broker's 16 MiB hold may be on its way.
        let config = MqttConfig { window: 200, window_bytes: 8 << 20, ..server.sink_config(host) };
        hosts.push(start_sink(config, dir.path()));
    }
    for sink in &hosts {
        // Not more at once than the hand-off takes.
        for n in 0..EACH {
            sink.publish_window(window(300));
            eventually("the spool took it", || sink.stats().spool.appended > n);
        }
    }
    eventually("all windows acknowledged", || hosts.iter().map(|s| s.stats().acked).sum::<u64>() == 4 * EACH);
    let mut resent = 0;
    for sink in hosts {
        let stats = sink.close(Duration::from_secs(5)).expect("close");
        assert_eq!(stats.spool.dropped.total(), 0, "{stats:?}");
        resent += stats.resent;
    }
    let figures = server.stop();
    assert_eq!(stored_windows(dir.path()), 4 * EACH);
    say(&format!(
        "slow store, 4 publishers, 48 MB: complete ({resent} sent again, {} duplicates)",
        figures["duplicates"]
    ));
}

#[test]
fn closing_at_once_sends_what_is_queued() {
    let dir = tempfile::tempdir().expect("tempdir");
    let server = Child::start(&ServerSpec::embedded(dir.path()));
    let sink = start_sink(server.sink_config("web-1"), dir.path());
    eventually("connected", || sink.stats().connected);
    for _ in 0..50 {
        sink.publish_window(window(100));
    }
    let stats = sink.close(Duration::from_secs(20)).expect("close");
    assert_eq!((stats.acked, stats.spool.windows), (50, 0), "{stats:?}");
    server.stop();
    assert_eq!(stored_windows(dir.path()), 50);
}

#[test]
fn what_was_not_sent_before_the_end_is_sent_after_the_next_start() {
    let dir = tempfile::tempdir().expect("tempdir");
    let spec = ServerSpec::embedded(dir.path());
    let server = Child::start(&spec);
    let config = server.sink_config("web-1");
    server.kill();
    for round in 1..=3 {
        let sink = start_sink(config.clone(), dir.path());
        for _ in 0..10 {
            sink.publish_window(window(10));
        }
        let begun = Instant::now();
        let stats = sink.close(Duration::from_secs(30)).expect("close");
        assert_eq!((stats.acked, stats.spool.windows), (0, 10 * round));
        assert!(begun.elapsed() < Duration::from_secs(10), "without a broker there is nothing to wait for");
    }
    let server = Child::start(&spec);
    let sink = start_sink(config, dir.path());
    eventually("all windows acknowledged", || sink.stats().acked == 30);
    assert_eq!(sink.close(Duration::from_secs(5)).expect("close").spool.next_seq, 31);
    server.stop();
    assert_eq!(stored_windows(dir.path()), 30);
}

/// Another program's consumer, such as Telegraf, sends no acknowledgement: the relay relies on the broker's.
#[test]
fn delivery_to_the_broker_needs_no_ingester() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut broker = Mosquitto::start(dir.path(), "");
    let config = MqttConfig {
        delivery: Delivery::Broker,
        backoff_most: Duration::from_secs(1),
        ..MqttConfig::new("web-1", broker.url())
    };
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(async {
        // A consumer with a persistent session, which is not connected while the windows are sent.
        let mut options = link::Options::new(broker.url(), "consumer");
        options.clean_session = false;
        let mut consumer = Link::open(&options).expect("link");
        consumer.subscribe("s7mpa/v1/+/metrics").expect("room");
        while !matches!(consumer.next().await, Event::Subscribed { refused: false }) {}
        consumer.disconnect().await;

        let sink = start_sink(config, dir.path());
        for _ in 0..20 {
            sink.publish_window(window(10));
        }
        eventually("all windows acknowledged", || sink.stats().acked == 20);
        // Let the broker save its queue, then take it away once.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        broker.kill();
        for _ in 0..20 {
            sink.publish_window(window(10));
        }
        broker.start_again();
        eventually("all windows acknowledged", || sink.stats().acked == 40);
        sink.close(Duration::from_secs(5)).expect("close");

        let mut consumer = Link::open(&options).expect("link");
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 40 {
            match consumer.next().await {
                Event::Received(message) => {
                    let window = server::store::Window::from_payload(message.payload()).expect("a window");
                    seen.insert(window.head.seq);
                }
                Event::Closed(failure) => panic!("{failure}"),
                _ => {}
            }
        }
        assert_eq!(seen, (1..=40).collect());
    });
}

/// rumqttc's own publish waits while the broker is away (its first trap); the collector must not.
#[test]
fn a_broker_that_hangs_does_not_hold_the_collector() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = Mosquitto::start(dir.path(), "");
    let server = Child::start(&ServerSpec::external(dir.path(), &broker));
    let sink = start_sink(server.sink_config("web-1"), dir.path());
    eventually("connected", || sink.stats().connected);
    let pid = nix::unistd::Pid::from_raw(broker.process_id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("stop");
    let mut longest = Duration::ZERO;
    for n in 0..300 {
        let window = window(300);
        let begun = Instant::now();
        sink.publish_window(window);
        for _ in 0..2 {
            sink.publish(agent_common::wire::topic::Channel::Event, format!("{{\"n\":{n}}}"), false, None);
        }
        longest = longest.max(begun.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).expect("go on");
    assert!(longest < Duration::from_millis(200), "handing over took {longest:?}");
    let stats = sink.stats();
    assert!(
        stats.dropped_messages > 0,
        "600 events do not fit into 256 places and 64 on their way: {stats:?}"
    );
    eventually("all windows acknowledged", || sink.stats().acked == 300);
    say(&format!("hanging broker: longest hand-over {longest:?}"));
}

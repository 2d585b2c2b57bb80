//! The whole way of a profile: spool → MQTT → broker → ingest → store, beside that of the windows.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::time::Duration;

use agent_common::pair::{NewWindow, Stream};
use agent_common::units::{BootNs, DurNs, UnixNs};
use agent_common::wire::finding::{AlertState, testing};
use profile::block::{Block, Builder, Group, Looked, MAX_MESSAGE, pack};
use profile::testing::example;
use relay::sink::{Delivery, MqttConfig};
use server::store::profiles::{FILE, Options, ProfileStore, Reader, Selection};

use crate::common::{Child, ServerSpec, Sink, now, start_sink, window};
use crate::mosquitto::{Mosquitto, eventually};

const BROKER: &str = "S7MPA_TEST_RELAY_BROKER";
const DIR: &str = "S7MPA_TEST_RELAY_DIR";
/// What the spool of profiles counts in.
const PROFILES: &str = "fedcba9876543210";
const ALERTS: u64 = 50;
const MINUTE: u64 = 60_000_000_000;

/// A minute of a host that ended so many minutes ago.
fn block(ago: u64) -> Block {
    let from = now().0 / MINUTE * MINUTE - (ago + 1) * MINUTE;
    let mut builder = Builder::new(UnixNs(from), DurNs(MINUTE / 6), 6, 97, usize::MAX);
    builder.add(Looked::Cpu, (ago % 6) as u32, &example(), |thread| Group {
        tgid: thread.tgid,
        start: BootNs(1),
        comm: thread.process_name().clone(),
        cgroup: "/".into(),
        container: "".into(),
    });
    builder.finish()
}

fn publish(sink: &Sink, seq: u64, block: &Block) {
    let body = pack(block, MAX_MESSAGE).remove(0);
    let window = NewWindow { end: block.to(), span: DurNs(MINUTE), points: 1, body };
    (**sink).publish_window(Stream::Profile, PROFILES, seq, window);
}

fn id(n: u64) -> String {
    format!("cpu-user/process/{n}/1700000000")
}

fn reader(dir: &Path) -> Reader {
    Reader::open(&dir.join("state").join(FILE)).expect("reader")
}

fn evidence(dir: &Path) -> u64 {
    let reader = reader(dir);
    (0..ALERTS)
        .filter(|n| reader.evidence(&id(*n)).expect("read").is_some_and(|found| !found.block.is_empty()))
        .count() as u64
}

#[test]
fn profiles_arrive_once_beside_windows_whatever_dies() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = Mosquitto::start(dir.path(), "");
    let spec = ServerSpec::external(dir.path(), &broker);
    let mut server = Some(Child::start(&spec));
    let sink = start_sink(server.as_ref().expect("it runs").sink_config("web-1"), dir.path());
    for n in 0..30 {
        publish(&sink, n + 1, &block(n));
        sink.publish_window(window(10));
        if n % 10 == 5 {
            server.take().expect("it runs").kill();
            server = Some(Child::start(&spec));
        }
    }
    eventually("all profiles acknowledged", || sink.stats().profiles.acked == 30);
    eventually("all windows acknowledged", || sink.stats().acked == 30);
    let stats = sink.close(Duration::from_secs(5)).expect("close");
    assert_eq!((stats.profiles.windows, stats.profiles.dropped.total(), stats.spool.windows), (0, 0, 0));
    server.take().expect("it runs").stop();
    let merged = reader(dir.path()).merged(&Selection::new(UnixNs(0), now())).expect("merged");
    // Each once: the example has seven samples.
    assert_eq!((merged.rows, merged.block.total(Looked::Cpu).0), (30, 30 * 7));
}

#[test]
fn profiles_wait_in_their_spool_while_no_server_takes_them() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = Mosquitto::start(dir.path(), "");
    let spec = ServerSpec::external(dir.path(), &broker);
    let config = MqttConfig {
        resend_after: Duration::from_secs(1),
        ..MqttConfig::new("web-1", broker.url().as_str())
    };
    let sink = start_sink(config, dir.path());
    eventually("connected", || sink.stats().connected);
    (0..20).for_each(|n| publish(&sink, n + 1, &block(n)));
    eventually("they are spooled", || sink.stats().profiles.windows == 20);
    let stats = sink.stats();
    assert_eq!((stats.profiles.acked, stats.profiles.dropped.total()), (0, 0));
    let server = Child::start(&spec);
    eventually("all profiles acknowledged", || sink.stats().profiles.acked == 20);
    sink.close(Duration::from_secs(5)).expect("close");
    server.stop();
}

/// Body of the child: a relay that hands over alerts with their evidence, and goes on until it is killed.
#[test]
fn relay_child() {
    let (Some(url), Some(dir)) = (std::env::var_os(BROKER), std::env::var_os(DIR).map(PathBuf::from)) else {
        return;
    };
    let url = url.into_string().expect("a URL");
    let config = MqttConfig {
        delivery: Delivery::Store,
        resend_after: Duration::from_secs(1),
        backoff_most: Duration::from_secs(1),
        ..MqttConfig::new("web-1", url.as_str())
    };
    let sink = start_sink(config, &dir);
    if sink.stats().profiles.next_seq <= 1 {
        for n in 0..ALERTS {
            publish(&sink, 2 * n + 1, &Block { alerts: vec![id(n)], ..block(n) });
            publish(&sink, 2 * n + 2, &block(n));
            let alert = serde_json::to_vec(&testing::alert(&id(n), AlertState::Open)).expect("JSON");
            sink.publish_alert(&id(n), alert, true, None);
        }
    }
    println!("\nhanded over");
    std::thread::sleep(Duration::from_mins(5));
}

fn relay(dir: &Path, broker: &Mosquitto) -> Process {
    let mut process = Command::new(std::env::current_exe().expect("this test"))
        .args(["profiles::relay_child", "--exact", "--nocapture", "--test-threads=1"])
        .env(BROKER, broker.url())
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("child starts");
    let mut lines = BufReader::new(process.stdout.take().expect("output")).lines();
    while lines.next().expect("more").expect("text") != "handed over" {}
    process
}

#[test]
fn evidence_of_fifty_alerts_is_there_after_a_kill_a_second_later_and_after_retention() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = Mosquitto::start(dir.path(), "");
    // No server yet: what a killed relay has not on its disk is lost.
    let mut killed = relay(dir.path(), &broker);
    std::thread::sleep(Duration::from_secs(1));
    killed.kill().expect("killed");
    killed.wait().expect("ended");
    let server = Child::start(&ServerSpec::external(dir.path(), &broker));
    let mut second = relay(dir.path(), &broker);
    eventually("evidence of each alert is stored", || evidence(dir.path()) == ALERTS);
    second.kill().expect("killed");
    second.wait().expect("ended");
    server.kill();
    let rows = || reader(dir.path()).merged(&Selection::new(UnixNs(0), now())).expect("merged").rows;
    assert!(rows() > 0);
    // No room for anything else.
    let options = Options { max_bytes: 0, ..Options::default() };
    let store = ProfileStore::open(&dir.path().join("state"), options).expect("store");
    store.settle().expect("settled");
    assert_eq!((evidence(dir.path()), rows()), (ALERTS, 0));
}

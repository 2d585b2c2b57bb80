//! The whole way of a window: spool → MQTT → broker → ingest → store, with what can go wrong on it.
//!
//! Server parts that are killed are child processes: this test binary, called again for [`child`].

mod common;

use std::time::Duration;

use agent::sink::mqtt::MqttSink;
use common::{Child, ServerSpec, eventually, stored_windows, window};

/// A child process serves until it is killed. Without a specification in the environment there is nothing to do.
#[test]
fn child() {
    common::serve_if_child();
}

fn sink(server: &Child, dir: &std::path::Path, host: &str) -> MqttSink {
    common::start_sink(server.sink_config(host), dir)
}

#[test]
fn every_window_of_a_quiet_day_is_stored_once_and_let_go() {
    let dir = tempfile::tempdir().expect("tempdir");
    let server = Child::start(&ServerSpec::embedded(dir.path()));
    let sink = sink(&server, dir.path(), "web-1");
    for _ in 0..20 {
        sink.publish_window(window(300));
        std::thread::sleep(Duration::from_millis(50));
    }
    eventually("all windows acknowledged", || sink.stats().acked == 20);
    let stats = sink.close(Duration::from_secs(5)).expect("close");
    assert_eq!((stats.spool.windows, stats.spool.dropped.total(), stats.dropped_hand_off), (0, 0, 0));
    let status = server.stop();
    println!("latency: {}", status["latency"]);
    assert_eq!(stored_windows(dir.path()), 20);
}

//! The InfluxDB store against real servers: Debian's VictoriaMetrics for the v2 API, InfluxDB 1.6.7 for the v1 API.
//! No real InfluxDB 2 or 3 is packaged anywhere these tests could fetch it from.

mod servers;
mod trouble;

use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use server::store::influx::{Api, InfluxStore, Options, Secret};
use server::store::{Note, Store, StoreError, Window};

use servers::{Database, eventually, now_ns};

const STREAM: &str = "0123456789abcdef";
const SECOND: u64 = 1_000_000_000;

fn v2(url: impl Into<String>) -> Options {
    let token = Some(Secret::new("very-secret\n"));
    Options::new(url, Api::V2 { org: "o".into(), bucket: "b".into(), token })
}

fn v1(url: impl Into<String>) -> Options {
    Options::new(url, Api::V1 { db: "s7 \"mpa\"".into(), login: None })
}

fn open(options: Options) -> InfluxStore {
    InfluxStore::open(options).expect("settings")
}

/// Window `seq` ends `seq` seconds after `begin`, with 4 processes of 2 fields.
fn window(host: &str, begin: u64, seq: u64) -> Window {
    let end = UnixNs(begin + seq * SECOND);
    let points: Vec<Point> = (0..4_u32)
        .map(|pid| {
            Point::new("proc", end)
                .tag("host", host)
                .tag("pid", pid.to_string())
                .tag("comm", "a b,c=d")
                .field("cpu_ns", seq * 10 + u64::from(pid))
                .field("share", seq as f64 / 4.0)
        })
        .collect();
    let head = WindowHead { host: host.into(), stream: STREAM.into(), seq, points: 4, span_ns: SECOND, end };
    Window::from_points(head, &points)
}

fn windows(host: &str, begin: u64, count: u64) -> Vec<Window> {
    (1..=count).map(|seq| window(host, begin, seq)).collect()
}

/// Values of a metric of process 3, by time in ms, as VictoriaMetrics has them.
fn exported(database: &Database, metric: &str, host: &str) -> Vec<(u64, f64)> {
    database.get("/internal/force_flush", &[]);
    let text =
        database.get("/api/v1/export", &[("match[]", &format!("{metric}{{host=\"{host}\",pid=\"3\"}}"))]);
    let mut samples = Vec::new();
    for line in text.lines() {
        let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(json["metric"]["comm"], "a b,c=d");
        let list = |key: &str| json[key].as_array().expect("a list").clone();
        for (time, value) in list("timestamps").iter().zip(list("values")) {
            samples.push((time.as_u64().expect("ms"), value.as_f64().expect("a number")));
        }
    }
    samples.sort_by_key(|(time, _)| *time);
    samples
}

fn expected(begin: u64, count: u64) -> Vec<(u64, f64)> {
    (1..=count).map(|seq| ((begin + seq * SECOND) / 1_000_000, (seq * 10 + 3) as f64)).collect()
}

#[test]
fn victoria_metrics_takes_windows_through_influxdb2_and_has_each_once() {
    let dir = tempfile::tempdir().expect("tempdir");
    let database = Database::victoria_metrics(dir.path(), &[]);
    let store = open(v2(database.url()));
    let begin = now_ns() - 3_600 * SECOND;
    let all = windows("h", begin, 100);
    let written = store.write(&all[..60]).expect("write");
    assert_eq!((written.windows, written.points, written.samples, written.refused), (60, 240, 480, 0));
    let written = store.write(&all).expect("write");
    assert_eq!((written.windows, written.duplicates), (40, 60));
    assert_eq!(exported(&database, "proc_cpu_ns", "h"), expected(begin, 100));
    assert_eq!(store.stored("h", STREAM).expect("stored").contiguous, 100);
    assert_eq!(store.stored("h", "other").expect("stored").contiguous, 0);
    let health = store.health().expect("health");
    assert_eq!(health.dropped, []);
    assert_eq!(health.summary, format!("{}, bucket b", database.url()));
    store.close().expect("close");
    assert!(matches!(store.write(&all), Err(StoreError::Closed)));
}

#[test]
fn alerts_are_points_of_their_own_measurement() {
    let dir = tempfile::tempdir().expect("tempdir");
    let database = Database::victoria_metrics(dir.path(), &[]);
    let store = open(v2(database.url()));
    let at = now_ns();
    let json = serde_json::json!({
        "id": "cpu-user/process/42/1", "host": "h", "state": "open", "opened_unix_ns": at, "at_unix_ns": at,
        "finding": {
            "rule": "cpu", "class": "cpu-user", "subject": {"kind": "process", "pid": 42, "comm": "a b,c=d"},
            "culprit": null, "lost_ns_per_s": 900, "share_pct": 90.0, "confidence": 1.0, "evidence": [], "advice": ""
        }
    });
    let alert = Note::alert("h", json.to_string().as_bytes()).expect("an alert");
    let report = Note::report("h", b"{\"host\":\"h\"}", UnixNs(at)).expect("a report");
    // Twice: the same point.
    for _ in 0..2 {
        assert_eq!(store.keep(&[alert.clone(), report.clone()]).expect("keep"), 1);
    }
    let mut text = String::new();
    eventually("it is there", || {
        database.get("/internal/force_flush", &[]);
        text = database.get("/api/v1/export", &[("match[]", "alert_lost_ns_per_s")]);
        !text.is_empty()
    });
    let found: serde_json::Value = serde_json::from_str(text.trim()).expect("one line of JSON");
    let metric = &found["metric"];
    assert_eq!(
        (&metric["host"], &metric["pid"], &metric["comm"]),
        (&"h".into(), &"42".into(), &"a b,c=d".into())
    );
    assert_eq!((&metric["class"], &metric["state"]), (&"cpu-user".into(), &"open".into()));
    assert_eq!(found["values"][0], 900);
}

#[test]
fn a_path_in_front_of_the_v2_api_is_kept() {
    let dir = tempfile::tempdir().expect("tempdir");
    let database = Database::victoria_metrics(dir.path(), &[]);
    let begin = now_ns() - 3_600 * SECOND;
    open(v2(format!("{}/influx/", database.url()))).write(&windows("h", begin, 5)).expect("write");
    assert_eq!(exported(&database, "proc_cpu_ns", "h"), expected(begin, 5));
    // And it is the path that was used: one that is not there is refused.
    let error =
        open(v2(format!("{}/nowhere", database.url()))).write(&windows("h", begin, 1)).expect_err("no API");
    assert!(error.to_string().contains("no write API there"), "{error}");
}

#[test]
fn many_windows_go_in_batches() {
    let dir = tempfile::tempdir().expect("tempdir");
    let database = Database::victoria_metrics(dir.path(), &[]);
    let begin = now_ns() - 7_200 * SECOND;
    // 12,500 lines, three requests.
    let written = open(v2(database.url())).write(&windows("h", begin, 2_500)).expect("write");
    assert_eq!((written.windows, written.points), (2_500, 10_000));
    assert_eq!(exported(&database, "proc_cpu_ns", "h"), expected(begin, 2_500));
}

#[test]
fn windows_written_again_after_a_restart_of_both_sides_are_there_once() {
    let dir = tempfile::tempdir().expect("tempdir");
    // Without deduplication VictoriaMetrics keeps both copies of an equal sample in its raw export.
    let mut database = Database::victoria_metrics(dir.path(), &["-dedup.minScrapeInterval=1ms"]);
    let store = open(v2(database.url()));
    let begin = now_ns() - 3_600 * SECOND;
    store.write(&windows("h", begin, 10)).expect("write");
    database.get("/internal/force_flush", &[]);
    database.kill();
    // The first attempt may find the old connection lost.
    store.write(&windows("h", begin, 20)).expect_err("it is down");
    let error = store.write(&windows("h", begin, 20)).expect_err("it is down");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("connection refused"), "{error}");
    let wait = error.retry_after().expect("again");
    assert!(wait.as_millis() >= 250 && wait.as_secs() <= 60, "{wait:?}");
    database.start_again();
    // The ingester is another one too: it does not know what was stored.
    let store = open(v2(database.url()));
    assert_eq!(store.write(&windows("h", begin, 20)).expect("write").windows, 20);
    assert_eq!(exported(&database, "proc_cpu_ns", "h"), expected(begin, 20));
}

#[test]
fn what_victoria_metrics_drops_silently_is_seen_in_its_health() {
    let dir = tempfile::tempdir().expect("tempdir");
    let database = Database::victoria_metrics(dir.path(), &["-retentionPeriod=1"]);
    let store = open(v2(database.url()));
    store.write(&windows("h", now_ns() - 3_600 * SECOND, 3)).expect("write");
    assert_eq!(store.health().expect("health").dropped, []);
    let long_ago = now_ns() - 100 * 86_400 * SECOND;
    let written = store.write(&windows("old", long_ago, 3)).expect("it answers 204");
    assert_eq!((written.windows, written.refused), (3, 0));
    // Its counters run some seconds behind.
    eventually("the drops are counted", || {
        let dropped = store.health().expect("health").dropped;
        // 3 windows of 4 points of 2 fields, and 3 heads of 3 fields.
        dropped.iter().any(|(name, count)| name.starts_with("vm_rows_ignored_total") && *count == 33)
    });
}

fn influxql(database: &Database, query: &str) -> serde_json::Value {
    let text = database.get("/query", &[("db", "s7 \"mpa\""), ("q", query)]);
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn influxdb_1_gets_its_database_and_has_each_window_once() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut database = Database::influxdb(dir.path());
    let store = open(v1(database.url()));
    let begin = now_ns() - 3_600 * SECOND;
    assert_eq!(store.write(&windows("h", begin, 30)).expect("write").windows, 30);
    database.kill();
    let error = store.write(&windows("h", begin, 40)).expect_err("it is down");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    database.start_again();
    eventually("it takes windows again", || store.write(&windows("h", begin, 40)).is_ok());
    // Another ingester sends everything again.
    let written = open(v1(database.url())).write(&windows("h", begin, 40)).expect("write");
    assert_eq!((written.windows, written.refused), (40, 0));
    let count = influxql(
        &database,
        "SELECT count(cpu_ns), sum(cpu_ns) FROM proc WHERE pid = '3' AND comm = 'a b,c=d'",
    );
    let row = &count["results"][0]["series"][0]["values"][0];
    assert_eq!((row[1].as_u64(), row[2].as_u64()), (Some(40), Some((1..=40).map(|seq| seq * 10 + 3).sum())));
    let heads = influxql(&database, "SELECT count(seq) FROM s7mpa_window WHERE host = 'h'");
    assert_eq!(heads["results"][0]["series"][0]["values"][0][1].as_u64(), Some(40));
    assert!(store.health().expect("health").summary.ends_with("database s7 \"mpa\""));
}

#[test]
fn points_that_influxdb_will_never_take_are_counted_and_do_not_stop_the_rest() {
    let dir = tempfile::tempdir().expect("tempdir");
    let database = Database::influxdb(dir.path());
    let store = open(v1(database.url()));
    let begin = now_ns() - 3_600 * SECOND;
    store.write(&windows("h", begin, 1)).expect("write");
    let mut odd = window("h", begin, 2);
    odd.lines = odd.lines.replace("pid=2 cpu_ns=22i", "pid=2 cpu_ns=\"text\"");
    odd.lines = odd.lines.replacen("cpu_ns=22i", "cpu_ns=\"text\"", 1);
    let written = store.write(&[odd, window("h", begin, 3)]).expect("write");
    assert_eq!((written.windows, written.refused), (2, 1));
    let refusal = written.refusal.expect("its words");
    assert!(refusal.contains("field type conflict"), "{refusal}");
    let count = influxql(&database, "SELECT count(cpu_ns) FROM proc");
    assert_eq!(count["results"][0]["series"][0]["values"][0][1].as_u64(), Some(11));
}

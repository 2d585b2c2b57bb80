//! The embedded store: what is acknowledged is there, once, whatever happens.

mod backup;
mod export;
mod forget;
mod limits;
mod reports;
mod upkeep;
mod view;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::{FieldValue, Point};
use server::store::embedded::{Counts, EmbeddedStore, FILE, Options, Reader, Selection};
use server::store::{Store, StoreError, Window};

/// 2023-11-14 22:13:20, a multiple of 20 s.
const T0: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open(dir, Options::default()).expect("open the store")
}

/// Window `seq` ends `seq` seconds after [`T0`]; its points say so in their values.
fn window(host: &str, seq: u64) -> Window {
    let end = UnixNs(T0 + seq * SECOND);
    let points: Vec<Point> = (0..5_u32)
        .map(|pid| {
            Point::new("s7mpa_process", end)
                .tag("host", host)
                .tag("pid", pid.to_string())
                .field("cpu_ns", seq * 1_000 + u64::from(pid))
                .field("share", seq as f64 / 8.0)
                .field("state", if seq.is_multiple_of(2) { "R" } else { "S" })
        })
        .collect();
    let head = WindowHead {
        host: host.into(),
        stream: "0123456789abcdef".into(),
        seq,
        points: 5,
        span_ns: SECOND,
        end,
    };
    Window::from_points(head, &points)
}

fn select(field: &str, tags: &[(&str, &str)]) -> Selection {
    Selection {
        measurement: "s7mpa_process".into(),
        field: field.into(),
        tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        from: UnixNs(T0),
        to: UnixNs(T0 + 1_000_000 * SECOND),
    }
}

/// Every window from 1 to `last` is there exactly once, with its values.
fn assert_exactly(reader: &Reader, host: &str, last: u64) {
    let found = reader.query(&select("cpu_ns", &[("host", host), ("pid", "3")])).expect("query");
    assert_eq!(found.len(), 1);
    let expected: Vec<_> =
        (1..=last).map(|seq| (T0 + seq * SECOND, FieldValue::from(seq * 1_000 + 3))).collect();
    let got: Vec<_> = found[0].samples.iter().map(|s| (s.time.0, s.value.clone())).collect();
    assert_eq!(got, expected);
}

/// Files of version 1 had no alerts.
#[test]
fn a_file_of_the_first_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    store.write(&[window("h", 1)]).expect("write");
    store.close().expect("close");
    let conn = rusqlite::Connection::open(dir.path().join(FILE)).expect("open");
    conn.execute_batch(
        "DROP TABLE alert; DROP TABLE report; DROP TABLE kept_report; DROP TABLE kept_bytes; DROP TABLE chunk; DROP TABLE total;
         DROP INDEX slot_last; DROP INDEX slot_part; DROP INDEX slot_step; ALTER TABLE slot DROP COLUMN layout;
         ALTER TABLE slot DROP COLUMN part; ALTER TABLE slot DROP COLUMN step; ALTER TABLE slot DROP COLUMN summed;
         ALTER TABLE series DROP COLUMN fields; UPDATE head SET id = seq; PRAGMA user_version=1",
    )
    .expect("as it was");
    drop(conn);
    let store = open(dir.path());
    assert_eq!(store.keep(&[reports::note("h", reports::now(), "{}")]).expect("keep"), 1);
    let reader = store.reader().expect("reader");
    assert_eq!(reader.report("h").expect("report").expect("a report").json, "{}");
    assert_exactly(&reader, "h", 1);
}

#[test]
fn windows_are_stored_once_and_read_back() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    let written = store.write(&[window("h", 1), window("h", 2), window("h", 2)]).expect("write");
    assert_eq!((written.windows, written.duplicates, written.points, written.samples), (2, 1, 10, 30));
    let written = store.write(&[window("h", 2), window("h", 3), window("i", 1)]).expect("write");
    assert_eq!((written.windows, written.duplicates), (2, 1));
    assert_eq!(store.stored("h", "0123456789abcdef").expect("stored").ranges, [(1, 3)]);
    assert_eq!(store.stored("h", "other").expect("stored").contiguous, 0);
    assert_eq!(store.streams().expect("streams").len(), 2);

    let reader = store.reader().expect("reader");
    assert_exactly(&reader, "h", 3);
    let counts = reader.counts().expect("counts");
    assert_eq!(counts, Counts { windows: 4, points: 20, samples: 60, head_windows: 4 });
    let states = reader.query(&select("state", &[("host", "h")])).expect("query");
    assert_eq!(states.len(), 5);
    assert_eq!(states[0].samples[1].value, FieldValue::Text("R".into()));
    assert_eq!(reader.query(&select("nothing", &[])).expect("query"), []);
    assert_eq!(reader.measurements().expect("measurements"), ["s7mpa_process"]);
    assert_eq!(reader.series("s7mpa_process").expect("series").len(), 10);
}

#[test]
fn what_was_stored_is_known_after_a_restart() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    store.write(&[window("h", 1), window("h", 3)]).expect("write");
    store.close().expect("close");
    assert!(matches!(store.write(&[window("h", 4)]), Err(StoreError::Closed)));

    let store = open(dir.path());
    let stored = store.stored("h", "0123456789abcdef").expect("stored");
    assert_eq!((stored.contiguous, stored.ranges), (1, vec![(1, 1), (3, 3)]));
    let written = store.write(&[window("h", 3), window("h", 2)]).expect("write");
    assert_eq!((written.windows, written.duplicates), (1, 1));
    assert_exactly(&store.reader().expect("reader"), "h", 3);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join(FILE);
    std::fs::write(
        &path,
        b"this is a text, not a database, and it is longer than a hundred bytes so that SQLite looks \
                            at its header and finds none",
    )
    .expect("write");
    let error = EmbeddedStore::open(dir.path(), Options::default()).expect_err("no database");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains(FILE), "{error}");
}

/// A window ten seconds after the one before, so that a slot has sixty.
fn sparse(host: &str, seq: u64) -> Window {
    let mut window = window(host, seq);
    let (old, new) = (T0 + seq * SECOND, T0 + seq * 10 * SECOND);
    window.head.end = UnixNs(new);
    window.lines = window.lines.replace(&old.to_string(), &new.to_string());
    window
}

/// With text in it that does not compress: about 300 bytes.
fn noisy(host: &str, seq: u64) -> Window {
    let mut window = sparse(host, seq);
    let mut state = seq;
    let mut lines = String::new();
    for line in window.lines.lines() {
        let mut noise = String::new();
        for _ in 0..6 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            write!(noise, "{:012x}", state >> 16).expect("write to a String");
        }
        lines += &line.replace("share=", &format!("noise=\"{noise}\",share="));
        lines.push('\n');
    }
    window.lines = lines;
    window
}

/// Every one of these windows is there exactly once, with its values.
fn assert_sparse(reader: &Reader, host: &str, windows: impl Iterator<Item = u64>) {
    let found = reader.query(&select("cpu_ns", &[("host", host), ("pid", "3")])).expect("query");
    let expected: Vec<_> =
        windows.map(|seq| (T0 + seq * 10 * SECOND, FieldValue::from(seq * 1_000 + 3))).collect();
    let got: Vec<_> = found.iter().flat_map(|s| &s.samples).map(|s| (s.time.0, s.value.clone())).collect();
    assert_eq!(got.len(), expected.len());
    assert_eq!(got, expected);
}

#[test]
fn rolled_windows_are_read_as_before_and_by_another_connection_at_once() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    let reader = Reader::open(&dir.path().join(FILE)).expect("reader");
    for seq in 1..=400 {
        store.write(&[sparse("h", seq), sparse("i", seq)]).expect("write");
        if seq % 37 == 0 {
            assert_sparse(&reader, "h", 1..=seq);
            assert_sparse(&reader, "i", 1..=seq);
        }
    }
    let counts = reader.counts().expect("counts");
    assert_eq!((counts.windows, counts.points, counts.samples), (800, 4_000, 12_000));
    assert!(counts.head_windows < 240, "{counts:?}");
    // Floats and texts too, and only the time that was asked for.
    let mut selection = select("share", &[("host", "h"), ("pid", "0")]);
    (selection.from, selection.to) = (UnixNs(T0 + 1_000 * SECOND), UnixNs(T0 + 2_000 * SECOND));
    let samples = reader.query(&selection).expect("query").remove(0).samples;
    let shares: Vec<_> = samples.iter().map(|s| s.value.clone()).collect();
    assert_eq!(shares, (100..200).map(|seq| FieldValue::Float(f64::from(seq) / 8.0)).collect::<Vec<_>>());
    let states =
        reader.query(&select("state", &[("host", "h"), ("pid", "0")])).expect("query").remove(0).samples;
    let text = |seq: u64| FieldValue::Text(if seq.is_multiple_of(2) { "R".into() } else { "S".into() });
    assert_eq!(
        states.into_iter().map(|s| s.value).collect::<Vec<_>>(),
        (1..=400).map(text).collect::<Vec<_>>()
    );
    let steps = reader.query_steps(&selection, DurNs(100 * SECOND)).expect("query").remove(0).1;
    assert_eq!(steps.len(), 10);
    assert_eq!((steps[0].count, steps[0].min, steps[0].max, steps[0].last), (10, 12.5, 13.625, 13.625));
}

#[test]
fn windows_that_come_late_and_in_disorder_are_there_once_and_in_order() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    // Live windows from 200 on; between them, backwards, those that a spool held back.
    let mut late: Vec<u64> = (1..200).rev().collect();
    for seq in 200..=500 {
        let mut batch = vec![sparse("h", seq)];
        batch.extend(late.pop().map(|seq| sparse("h", seq)));
        batch.extend(late.first().map(|seq| sparse("h", *seq)));
        store.write(&batch).expect("write");
    }
    for seq in late {
        store.write(&[sparse("h", seq)]).expect("write");
    }
    let reader = store.reader().expect("reader");
    assert_sparse(&reader, "h", 1..=500);
    assert_eq!(reader.counts().expect("counts").windows, 500);
    assert_eq!(store.stored("h", "0123456789abcdef").expect("stored").contiguous, 500);
}

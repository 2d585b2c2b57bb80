//! The embedded store: what is acknowledged is there, once, whatever happens.

use std::path::Path;

use agent_common::units::UnixNs;
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

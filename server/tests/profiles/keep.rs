//! What becomes of older profiles: longer columns, retention, pins and evidence.

use std::time::Duration;

use agent_common::units::UnixNs;
use agent_common::wire::finding::{AlertState, testing};
use profile::block::Block;
use server::store::profiles::{Options, ProfileStore, Reader};

use crate::common::{HOUR, MINUTE, between, epoch_before, expected, merged, message, minute};

fn rows(reader: &Reader, from: u64, to: u64) -> u64 {
    reader.merged(&between(from, to)).expect("merged").rows
}

/// Writes blocks of `web-1`, numbered from `seq`.
fn write(store: &ProfileStore, seq: u64, blocks: &[Block]) {
    for (block, seq) in blocks.iter().zip(seq..) {
        store.write(&[message("web-1", seq, block.clone())]).expect("written");
    }
}

fn file_size(dir: &std::path::Path) -> u64 {
    std::fs::metadata(dir.join(server::store::profiles::FILE)).expect("file").len()
}

#[test]
fn older_counts_have_longer_columns_and_the_same_sums() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(48));
    let options = Options {
        minutes_after: Duration::from_hours(2),
        ten_minutes_after: Duration::from_hours(4),
        ..Options::default()
    };
    let store = ProfileStore::open(dir.path(), options).expect("store");
    let blocks: Vec<Block> = (0..8 * 60).map(|n| minute(start + n * MINUTE, n + 1)).collect();
    write(&store, 1, &blocks);
    store.settle().expect("settled");
    let reader = store.reader().expect("reader");
    let end = start + 8 * HOUR;
    // The first hours have a row an hour, then six an hour, the last ones one a minute.
    assert_eq!(rows(&reader, start, start + 2 * HOUR), 2);
    assert_eq!(rows(&reader, start + 4 * HOUR + 30 * MINUTE, start + 5 * HOUR), 3);
    assert_eq!(rows(&reader, end - HOUR, end), 60);
    for (from, to) in [
        (start, end),
        (start + HOUR, start + 2 * HOUR),
        (start + 10 * MINUTE, start + 20 * MINUTE),
        (start + 4 * HOUR + 31 * MINUTE, start + 4 * HOUR + 37 * MINUTE),
        (end - 90 * MINUTE, end - 89 * MINUTE),
        (start + 50 * MINUTE, end - 17 * MINUTE),
    ] {
        let found = merged(&reader, &between(from, to));
        assert_eq!(found, expected(&blocks, |at, _| (from..to).contains(&at)), "{from} {to}");
    }
    // What comes later than it should is counted with the rest.
    let late = minute(start + 5 * MINUTE, 1000);
    store.write(&[message("web-2", 1, late.clone())]).expect("written");
    store.settle().expect("settled");
    let both: Vec<Block> = blocks[..60].iter().cloned().chain([late]).collect();
    assert_eq!(merged(&reader, &between(start, start + HOUR)), expected(&both, |_, _| true));
}

#[test]
fn retention_drops_epochs_and_leaves_what_alerts_have_pinned() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(72));
    let options = Options { max_age: Duration::from_hours(12), ..Options::default() };
    let store = ProfileStore::open(dir.path(), options).expect("store");
    let first: Vec<Block> = (0..120).map(|n| minute(start + n * MINUTE, n + 1)).collect();
    write(&store, 1, &first);
    let at = start + 50 * MINUTE;
    // One alert with its evidence, another one of which only the alert came.
    let mut evidence = minute(at - MINUTE, 7);
    evidence.alerts = vec!["cpu-user/process/42/1".to_owned()];
    // First as it was before it had all names.
    let early = Block { alerts: evidence.alerts.clone(), ..minute(at - MINUTE, 8) };
    for (seq, block) in [(121, early), (132, evidence.clone())] {
        store.write(&[message("web-1", seq, block)]).expect("written");
    }
    assert!(
        store.health().expect("health").counts.contains(&("evidence", 1)),
        "the second instead of the first"
    );
    let mut alert = testing::alert("disk/1", AlertState::Open);
    (alert.host, alert.opened_unix_ns) = ("web-1".to_owned(), start + 90 * MINUTE);
    store.pin(&alert).expect("pinned");
    alert.host = "web-9".to_owned();
    store.pin(&alert).expect("another host's");
    // A day later.
    let later = start + 24 * HOUR;
    let second: Vec<Block> = (0..10).map(|n| minute(later + n * MINUTE, 500 + n)).collect();
    write(&store, 122, &second);
    store.settle().expect("settled");
    let reader = store.reader().expect("reader");
    let pinned = |from: u64, to: u64| merged(&reader, &between(from, to));
    let expect = |from: u64, to: u64| expected(&first, |at, _| (from..to).contains(&at));
    // Ten minutes before, five after.
    for (from, to) in [(at - 10 * MINUTE, at + 5 * MINUTE), (start + 80 * MINUTE, start + 95 * MINUTE)] {
        assert_eq!(pinned(from, to), expect(from, to));
        assert!(!pinned(from, to).is_empty());
    }
    assert!(pinned(start, at - 15 * MINUTE).is_empty(), "the rest went");
    assert!(pinned(start + 96 * MINUTE, start + 120 * MINUTE).is_empty());
    assert_eq!(pinned(later, later + HOUR), expected(&second, |_, _| true));
    let found = reader.evidence("cpu-user/process/42/1").expect("read").expect("evidence");
    assert_eq!((found.host.as_str(), found.block), ("web-1", evidence));
    assert_eq!(reader.evidence("disk/1").expect("read"), None);
    assert_eq!(reader.alerts().expect("alerts"), ["cpu-user/process/42/1"]);
    let health = store.health().expect("health");
    assert!(health.dropped.iter().any(|(what, count)| what == "samples by retention" && *count > 0));
    // Thirty days after the alert they go, too.
    let month = start + 31 * 24 * HOUR;
    let options = Options { pinned: Duration::from_hours(1), ..Options::default() };
    drop(store);
    let store = ProfileStore::open(dir.path(), options).expect("store");
    // The clock of this host is not there yet: nothing goes before its time.
    write(&store, 200, &[minute(month, 1)]);
    store.settle().expect("settled");
    assert!(reader.evidence("cpu-user/process/42/1").expect("read").is_some());
}

#[test]
fn evidence_of_fifty_alerts_stays_fifty_times_after_retention() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(72));
    let options = Options { max_age: Duration::from_hours(12), ..Options::default() };
    let store = ProfileStore::open(dir.path(), options).expect("store");
    let ids: Vec<String> = (0..50).map(|n| format!("cpu-user/process/{n}/1")).collect();
    for (id, n) in ids.iter().zip(0..) {
        let mut evidence = minute(start + n * MINUTE, n + 1);
        evidence.alerts = vec![id.clone()];
        store
            .write(&[
                message("web-1", 2 * n + 1, evidence),
                message("web-1", 2 * n + 2, minute(start + n * MINUTE, n)),
            ])
            .expect("written");
    }
    write(&store, 1000, &[minute(start + 24 * HOUR, 1)]);
    store.settle().expect("settled");
    let reader = Reader::open(store.path()).expect("reader");
    for (id, n) in ids.iter().zip(0..) {
        let found = reader.evidence(id).expect("read").expect("evidence").block;
        assert_eq!(found.from, UnixNs(start + n * MINUTE));
        assert!(!found.is_empty());
    }
    assert_eq!(reader.alerts().expect("alerts").len(), 50);
}

#[test]
fn evidence_has_a_quarter_of_the_room_and_the_newest_stays() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(12));
    let id = |n: u64| format!("cpu-user/process/{n}/1");
    let all = 600;
    let evidence = |n: u64| Block { alerts: vec![id(n)], ..minute(start + n * MINUTE, n + 1) };
    // What all of them take, packed.
    let used = |store: &ProfileStore| {
        let counts = store.health().expect("health").counts;
        counts.iter().find(|(what, _)| *what == "used_bytes").expect("used").1
    };
    let whole = {
        let dir = tempfile::tempdir().expect("tempdir");
        let store = ProfileStore::open(dir.path(), Options::default()).expect("store");
        let empty = used(&store);
        for n in 0..all {
            store.write(&[message("web-1", n + 1, evidence(n))]).expect("written");
        }
        used(&store) - empty
    };
    let options = Options { max_bytes: 2 * whole, ..Options::default() };
    let store = ProfileStore::open(dir.path(), options).expect("store");
    for n in 0..all {
        store.write(&[message("web-1", n + 1, evidence(n))]).expect("written");
    }
    // What is kept is looked at as blocks come.
    write(&store, 1000, &[minute(start + all * MINUTE, 1)]);
    store.settle().expect("settled");
    let reader = Reader::open(store.path()).expect("reader");
    let kept = reader.alerts().expect("alerts").len() as u64;
    assert!(kept > 0 && kept < all, "{kept} of {all}");
    assert!(reader.evidence(&id(all - 1)).expect("read").is_some(), "the newest");
    assert!(reader.evidence(&id(0)).expect("read").is_none(), "the oldest");
    let dropped = store.health().expect("health").dropped;
    let gone = |(what, count): &(String, u64)| what == "evidence by size" && *count == all - kept;
    assert!(dropped.iter().any(gone), "{dropped:?}");
}

#[test]
fn the_file_stays_below_its_bound() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(72));
    let options = Options { max_bytes: 600 << 10, ..Options::default() };
    let store = ProfileStore::open(dir.path(), options).expect("store");
    for hour in 0..24_u64 {
        let blocks: Vec<Block> =
            (0..40).map(|n| minute(start + hour * HOUR + n * MINUTE, hour * 60 + n + 1)).collect();
        write(&store, hour * 60 + 1, &blocks);
    }
    store.settle().expect("settled");
    let health = store.health().expect("health");
    let used = health.counts.iter().find(|(what, _)| *what == "used_bytes").expect("used").1;
    assert!(used <= 600 << 10, "{used} bytes");
    assert!(file_size(dir.path()) < 4 << 20);
    assert!(health.dropped.iter().any(|(what, count)| what == "samples by size" && *count > 0));
    let reader = store.reader().expect("reader");
    let (oldest, newest) = reader.reach().expect("reach").expect("some");
    assert!(oldest.0 >= start + 6 * HOUR && newest.0 == start + 23 * HOUR + 40 * MINUTE);
}

#[test]
fn a_host_that_is_forgotten_goes_with_its_evidence_and_the_others_stay() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(2));
    let store = ProfileStore::open(dir.path(), Options::default()).expect("store");
    let blocks: Vec<Block> = (0..30).map(|n| minute(start + n * MINUTE, n + 1)).collect();
    for (n, block) in blocks.iter().enumerate() {
        let of = |host: &str| message(host, n as u64 + 1, block.clone());
        store.write(&[of("gone"), of("web-1")]).expect("written");
    }
    for (host, alert) in [("gone", "a/1"), ("web-1", "b/1")] {
        let evidence = Block { alerts: vec![alert.to_owned()], ..minute(start, 9) };
        store.write(&[message(host, 99, evidence)]).expect("written");
    }
    let path = dir.path().join(server::store::profiles::FILE);
    let samples: u64 = server::store::profiles::forget(&path, "gone").expect("forgotten");
    assert!(samples > 0);
    assert_eq!(server::store::profiles::forget(&path, "gone").expect("again"), 0);
    let reader = store.reader().expect("reader");
    assert_eq!(reader.alerts().expect("alerts"), ["b/1"]);
    assert_eq!(merged(&reader, &between(start, start + HOUR)), expected(&blocks, |_, _| true));
}

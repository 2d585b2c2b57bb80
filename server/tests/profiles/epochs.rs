//! A dictionary that is full before its six hours are over is followed by another one.

use std::time::Duration;

use agent_common::wire::finding::{AlertState, testing};
use profile::block::{Block, Looked};
use server::store::profiles::{Options, ProfileStore};

use crate::common::{HOUR, MINUTE, between, epoch_before, expected, merged, message, minute};

/// A minute in which no function has been seen before.
fn new_minute(from: u64, seed: u64) -> Block {
    let mut block = minute(from, seed);
    for frame in &mut block.trie.frames {
        frame.name = format!("{}_of_{seed}", frame.name).into();
    }
    block
}

/// Minutes in a row.
fn minutes(start: u64, count: u64) -> Vec<Block> {
    (0..count).map(|n| new_minute(start + n * MINUTE, n + 1)).collect()
}

/// Room in a dictionary for so many of these minutes.
fn room_for(minutes: usize) -> usize {
    minutes * (1..=100).map(|seed| new_minute(0, seed).trie.nodes.len()).max().expect("some")
}

fn count(store: &ProfileStore, what: &str) -> u64 {
    let health = store.health().expect("health");
    let counts = health.counts.iter().find(|(name, _)| *name == what);
    let dropped = health.dropped.iter().find(|(name, _)| name == what);
    counts.map(|(_, count)| *count).or(dropped.map(|(_, count)| *count)).unwrap_or_default()
}

#[test]
fn a_full_dictionary_is_followed_by_another_and_nothing_is_cut() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(48));
    let options = Options {
        minutes_after: Duration::from_hours(2),
        ten_minutes_after: Duration::from_hours(8),
        max_nodes: room_for(14),
        ..Options::default()
    };
    let store = ProfileStore::open(dir.path(), options).expect("store");
    let mut blocks = minutes(start, 54);
    for (batch, nth) in blocks.chunks(5).zip(0..) {
        let messages: Vec<_> = batch
            .iter()
            .zip(nth * 5 + 1..)
            .map(|(block, seq)| message("web-1", seq, block.clone()))
            .collect();
        store.write(&messages).expect("written");
    }
    assert_eq!((count(&store, "epochs"), count(&store, "cut samples")), (4, 0));
    // Of another host, late: it belongs to the first, which is full and knows its stacks.
    blocks.push(blocks[3].clone());
    store.write(&[message("web-2", 1, blocks[3].clone())]).expect("written");
    assert_eq!((count(&store, "epochs"), count(&store, "cut samples")), (4, 0));

    let reader = store.reader().expect("reader");
    let equal = |from: u64, to: u64| {
        let found = merged(&reader, &between(from, to));
        assert_eq!(found, expected(&blocks, |at, _| (from..to).contains(&at)), "{from} {to}");
        assert!(!found.is_empty());
    };
    equal(start, start + HOUR);
    (0..53).for_each(|n| equal(start + n * MINUTE, start + (n + 2) * MINUTE));
    // In columns of a minute, then of ten: an epoch begins within a row, and within a column.
    for (age, step) in [(6, 1), (12, 10)] {
        let later = minute(start + age * HOUR, 1);
        store.write(&[message("web-3", age, later)]).expect("written");
        store.settle().expect("settled");
        (0..54 / step).for_each(|n| equal(start + n * step * MINUTE, start + (n + 1) * step * MINUTE));
        equal(start, start + HOUR);
    }
    let rows = reader.merged(&between(start, start + HOUR)).expect("merged").rows;
    assert_eq!(rows, 5, "an hour of each epoch and host");
}

#[test]
fn there_are_few_epochs_in_six_hours_and_retention_drops_them() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(72));
    let options = Options { max_age: Duration::from_hours(12), max_nodes: room_for(3), ..Options::default() };
    let store = ProfileStore::open(dir.path(), options).expect("store");
    let blocks = minutes(start, 7 * 60);
    for (block, seq) in blocks.iter().zip(1..) {
        store.write(&[message("web-1", seq, block.clone())]).expect("written");
    }
    assert_eq!(count(&store, "epochs"), 12, "six in six hours");
    assert!(count(&store, "cut samples") > 0);
    let reader = store.reader().expect("reader");
    let kept = reader.merged(&between(start, start + 7 * HOUR)).expect("merged").block;
    for looked in Looked::ALL {
        let all = blocks.iter().map(|block| block.total(looked));
        let all = all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert_eq!(kept.total(looked), all, "no weight is lost");
    }
    // Of the last one whatever came while it had room is whole.
    let whole = (start + 6 * HOUR, start + 6 * HOUR + 15 * MINUTE);
    let found = merged(&reader, &between(whole.0, whole.1));
    assert_eq!(found, expected(&blocks, |at, _| (whole.0..whole.1).contains(&at)));

    let mut alert = testing::alert("disk/1", AlertState::Open);
    let at = start + 10 * MINUTE;
    (alert.host, alert.opened_unix_ns) = ("web-1".to_owned(), at);
    store.pin(&alert).expect("pinned");
    let later = minute(start + 25 * HOUR, 1);
    store.write(&[message("web-1", 1000, later)]).expect("written");
    store.settle().expect("settled");
    assert_eq!(count(&store, "epochs"), 1);
    let pinned = merged(&reader, &between(at - 10 * MINUTE, at + 5 * MINUTE));
    assert_eq!(pinned, expected(&blocks, |time, _| (start..at + 5 * MINUTE).contains(&time)));
}

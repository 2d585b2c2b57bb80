//! The store of profiles: what was written is read back as one graph, whatever happened in between.

mod common;
mod epochs;
mod keep;
mod survive;

use std::time::Duration;

use agent_common::units::UnixNs;
use profile::block::{Block, MAX_MESSAGE, pack};
use server::store::profiles::{By, FILE, Message, Options, ProfileStore};
use server::store::{BodyError, HeadedError, MessageError, StoreError};

use common::{HOUR, MINUTE, SECOND, between, epoch_before, expected, folded, merged, message, minute};

fn open(dir: &std::path::Path) -> ProfileStore {
    ProfileStore::open(dir, Options::default()).expect("store")
}

/// Two hours over the border of an epoch.
fn two_hours(border: u64) -> Vec<Block> {
    (0..120).map(|n| minute(border - HOUR + n * MINUTE, n + 1)).collect()
}

#[test]
fn the_merge_of_minutes_is_the_graph_of_their_samples_across_epochs() {
    let dir = tempfile::tempdir().expect("tempdir");
    let border = epoch_before(Duration::from_hours(12));
    let blocks = two_hours(border);
    let store = open(dir.path());
    // As messages arrive: packed, several at once.
    let messages: Vec<Message> = blocks
        .iter()
        .zip(1..)
        .map(|(block, seq)| {
            let message = message("web-1", seq, block.clone());
            let packed = pack(&message.block, MAX_MESSAGE).remove(0);
            Message::from_payload(&Message::payload(&message.head, &packed)).expect("a message")
        })
        .collect();
    for batch in messages.chunks(7) {
        assert_eq!(store.write(batch).expect("written").blocks, batch.len() as u64);
    }
    let again = store.write(&messages[..5]).expect("written");
    assert_eq!((again.blocks, again.duplicates), (0, 5));
    assert_eq!(store.stored("web-1", common::STREAM).expect("stored").contiguous, 120);

    let reader = store.reader().expect("reader");
    for (from, to) in [
        (border - HOUR, border + HOUR),
        (border - HOUR, border),
        (border - 30 * MINUTE, border + 30 * MINUTE),
        (border + 10 * SECOND, border + 20 * SECOND),
        (border - 7 * MINUTE - 30 * SECOND, border + 50 * SECOND),
    ] {
        let found = merged(&reader, &between(from, to));
        assert_eq!(found, expected(&blocks, |start, _| (from..to).contains(&start)), "{from} {to}");
        assert!(!found.is_empty());
    }
    // Shorter than a column: the one that it is in.
    let moment = border + 13 * SECOND;
    let found = merged(&reader, &between(moment, moment + SECOND));
    assert_eq!(found, expected(&blocks, |start, _| start == border + 10 * SECOND));
    let all = reader.merged(&between(border - HOUR, border + HOUR)).expect("merged");
    assert_eq!(all.span, Some((UnixNs(border - HOUR), UnixNs(border + HOUR))));
    assert_eq!((all.rows, all.block.counters["expected"], all.block.rate_hz), (120, 120 * 1164, 97));
    let nothing = reader.merged(&between(border + 2 * HOUR, border + 3 * HOUR)).expect("merged");
    assert!(nothing.block.is_empty() && nothing.span.is_none());
    assert_eq!(reader.reach().expect("reach"), Some((UnixNs(border - HOUR), UnixNs(border + HOUR))));
}

#[test]
fn hosts_processes_and_places_can_be_selected() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(6));
    let store = open(dir.path());
    let (one, two) = (minute(start, 1), minute(start, 2));
    store.write(&[message("web-1", 1, one.clone()), message("web-2", 1, two.clone())]).expect("written");
    let reader = store.reader().expect("reader");
    assert_eq!(reader.hosts().expect("hosts"), ["web-1", "web-2"]);
    let both = [one.clone(), two.clone()];
    let all = between(start, start + MINUTE);
    assert_eq!(merged(&reader, &all), expected(&both, |_, _| true));
    let mut of_host = all.clone();
    of_host.hosts = vec!["web-2".to_owned()];
    assert_eq!(merged(&reader, &of_host), expected(&[two], |_, _| true));
    let mut of_pid = all.clone();
    of_pid.pids = vec![103, 104];
    assert_eq!(merged(&reader, &of_pid), expected(&both, |_, group| [103, 104].contains(&group.tgid)));
    let mut of_comm = all.clone();
    of_comm.comms = vec!["server-3".to_owned()];
    assert_eq!(merged(&reader, &of_comm), expected(&both, |_, group| &*group.comm == "server-3"));
    for place in ["even.service", "/system.slice/even.service"] {
        let mut of_place = all.clone();
        of_place.places = vec![place.to_owned()];
        assert_eq!(merged(&reader, &of_place), expected(&both, |_, group| group.tgid % 2 == 0));
    }
    let mut of_container = all.clone();
    of_container.places = vec!["c0ffee01".to_owned()];
    assert_eq!(merged(&reader, &of_container), expected(&both, |_, group| group.tgid == 105));
    let mut together = all.clone();
    together.by = By::Comm;
    let together = reader.merged(&together).expect("merged").block;
    assert!(together.groups.iter().all(|group| group.tgid == 0));
    assert_eq!(
        together.total(profile::block::Looked::Wait),
        reader.merged(&all).expect("merged").block.total(profile::block::Looked::Wait)
    );
    let mut columns = all;
    columns.columns = 6;
    let columns = reader.merged(&columns).expect("merged").block;
    assert_eq!(columns.columns, 6);
    assert_eq!(folded(&columns), expected(&both, |_, _| true));
    let first = columns.only(|_, entry| entry.column == 0);
    assert_eq!(folded(&first), expected(&both, |at, _| at == start));
}

#[test]
fn too_many_stacks_are_cut_and_the_weight_stays() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(6));
    let options = Options { max_nodes: 30, ..Options::default() };
    let store = ProfileStore::open(dir.path(), options).expect("store");
    let block = minute(start, 1);
    store.write(&[message("web-1", 1, block.clone())]).expect("written");
    let kept = store.reader().expect("reader").merged(&between(start, start + MINUTE)).expect("merged").block;
    for looked in profile::block::Looked::ALL {
        assert_eq!(kept.total(looked), block.total(looked));
    }
    assert!(kept.trie.nodes.len() <= 30 && block.trie.nodes.len() > 100);
    let health = store.health().expect("health");
    assert!(health.dropped.iter().any(|(what, count)| what == "cut samples" && *count > 0), "{health:?}");
    assert!(kept.counters["cut samples"] > 0);
}

#[test]
fn what_is_no_block_is_refused() {
    let block = minute(epoch_before(Duration::ZERO), 1);
    let one = message("web-1", 1, block.clone());
    let packed = pack(&block, MAX_MESSAGE).remove(0);
    let good = Message::payload(&one.head, &packed);
    assert_eq!(Message::from_payload(&good).expect("a message"), one);
    assert!(matches!(Message::from_payload(b""), Err(MessageError::Head(HeadedError::NoHead))));
    assert!(matches!(Message::from_payload(&[0; 5000]), Err(MessageError::Head(HeadedError::NoHead))));
    assert!(matches!(Message::from_payload(b"m a=1i 5\nxx"), Err(MessageError::Head(HeadedError::Head(_)))));
    let large = Message::payload(&one.head, &vec![0; MAX_MESSAGE + 1]);
    let why = |payload: &[u8]| match Message::from_payload(payload) {
        Err(MessageError::Body(head, why)) if *head == one.head => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(&large), BodyError::TooLarge);
    assert!(matches!(why(&good[..good.len() - 1]), BodyError::Damaged(_)));
}

#[test]
fn a_foreign_or_newer_database_is_left_alone() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join(FILE);
    let conn = rusqlite::Connection::open(&path).expect("database");
    conn.execute_batch("CREATE TABLE theirs(x); INSERT INTO theirs VALUES (7)").expect("table");
    let refused = ProfileStore::open(dir.path(), Options::default());
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })));
    conn.execute_batch("DROP TABLE theirs").expect("dropped");
    drop(conn);
    open(dir.path()).close().expect("closed");
    let conn = rusqlite::Connection::open(&path).expect("database");
    conn.pragma_update(None, "user_version", 99).expect("version");
    let refused = ProfileStore::open(dir.path(), Options::default());
    assert!(refused.is_err_and(|error| error.to_string().contains("version 99")));
}

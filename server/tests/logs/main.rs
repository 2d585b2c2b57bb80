//! The store of log lines: each line once, whatever comes twice, and all of them found.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::head::WindowHead;
use logs::block::{Builder, Codec};
use logs::message::Part;
use logs::query::Query;
use logs::{Record, Severity, Stream};
use server::store::logs::{Asked, FILE, FILTERS_FILE, LogStore, Message, Options, Reader, forget};
use server::store::{BodyError, HeadedError, MessageError};

const SPOOL: &str = "0123456789abcdef";

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}

fn record(at: u64, position: u64, message: impl Into<String>) -> Record {
    let severity = if position.is_multiple_of(10) { Severity::Error } else { Severity::Info };
    let fields = vec![("nth".to_owned(), position.to_string())];
    Record { at: UnixNs(at), severity, pid: 7, start_ns: 1, position, message: message.into(), fields }
}

fn part(host: &str, unit: &str, source: u64, records: &[Record]) -> Part {
    let mut codec = Codec::new();
    let mut builder =
        Builder::new(Stream::new([("host", host), ("source", "file"), ("unit", unit)])).expect("labels");
    for record in records {
        builder.push(record).expect("it fits");
    }
    Part { source, block: builder.finish(&mut codec).expect("compressed").expect("lines") }
}

fn message(host: &str, seq: u64, parts: Vec<Part>) -> Message {
    let head = WindowHead {
        host: host.to_owned(),
        stream: SPOOL.to_owned(),
        seq,
        points: 1,
        span_ns: 0,
        end: UnixNs(now_ns()),
    };
    let lines = logs::message::Message { parts, lost: Vec::new() };
    Message::from_payload(&Message::payload(&head, &lines)).expect("a message")
}

fn open(dir: &Path) -> LogStore {
    LogStore::open(dir, Options::default()).expect("store")
}

fn asked(query: &str) -> Asked {
    Asked::new(Query::parse(query).expect(query), None)
}

/// The lines that match, oldest first.
fn found(reader: &Reader, asked: &Asked) -> Vec<String> {
    let mut lines = Vec::new();
    let mut emit = |hit: logs::query::Hit| {
        lines.push(hit.record.message);
        ControlFlow::Continue(())
    };
    reader.search(asked, 100_000, &|| false, &mut emit).expect("searched");
    lines.reverse();
    lines
}

/// Messages of ten lines each, of two units in turn, and all their lines.
fn many(from: u64, count: u64) -> (Vec<Message>, Vec<String>) {
    let mut all = Vec::new();
    let messages = (0..count).map(|nth| {
        let records: Vec<Record> = (0..10)
            .map(|line| {
                let position = nth * 10 + line + 1;
                let text = format!("request {position} took {} ms at node{}", position % 997, position % 13);
                all.push(text.clone());
                record(from + position * 1_000_000, position, text)
            })
            .collect();
        message("web-1", nth + 1, vec![part("web-1", ["a", "b"][nth as usize % 2], 5, &records)])
    });
    (messages.collect(), all)
}

#[test]
fn lines_are_there_once_however_often_they_come() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = now_ns() - 3_600_000_000_000;
    let (messages, all) = many(from, 50);
    let store = open(dir.path());
    let written = store.write(&messages).expect("written");
    assert_eq!((written.messages, written.lines, written.known_lines), (50, 500, 0));
    // The relay sends again what was not acknowledged to it.
    let again = store.write(&messages[40..]).expect("written");
    assert_eq!((again.messages, again.duplicates, again.lines), (0, 10, 0));
    assert_eq!(store.stored("web-1", SPOOL).expect("stored").contiguous, 50);
    drop(store);

    // A collector that was killed reads again what was not safe: other messages, in which some lines are new.
    let store = open(dir.path());
    let records: Vec<Record> = (481..=520)
        .map(|position| record(from + position * 1_000_000, position, format!("line {position}")))
        .collect();
    let resent = vec![message("web-1", 51, vec![part("web-1", "a", 5, &records)])];
    let written = store.write(&resent).expect("written");
    assert_eq!((written.lines, written.known_lines), (20, 20));
    // Of another source the same positions are other lines.
    let other = vec![message("web-1", 52, vec![part("web-1", "a", 6, &records)])];
    assert_eq!(store.write(&other).expect("written").lines, 40);

    let reader = store.reader().expect("reader");
    let lines = found(&reader, &asked(""));
    assert_eq!(lines.len(), 560);
    assert!(all.iter().all(|line| lines.iter().filter(|found| *found == line).count() == 1));
}

#[test]
fn a_message_that_comes_after_later_ones_has_new_lines() {
    let from = now_ns() - 3_600_000_000_000;
    let (messages, all) = many(from, 12);
    // Sent again by a collector that was killed: what the tenth had, and what nobody saw yet.
    let records: Vec<Record> = (91..=130)
        .map(|position| record(from + position * 1_000_000, position, format!("line {position}")))
        .collect();
    let again = message("web-1", 13, vec![part("web-1", "a", 5, &records)]);
    for order in [[3, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11], [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]] {
        for at_once in [1, 12] {
            let dir = tempfile::tempdir().expect("a directory");
            let store = open(dir.path());
            let ordered: Vec<Message> = order.iter().map(|nth: &usize| messages[*nth].clone()).collect();
            for some in ordered.chunks(at_once) {
                store.write(some).expect("written");
            }
            let written = store.write(std::slice::from_ref(&again)).expect("written");
            assert_eq!((written.lines, written.known_lines), (10, 30), "{order:?}");
            let lines = found(&store.reader().expect("reader"), &asked(""));
            assert_eq!(lines.len(), all.len() + 10, "{order:?}");
            assert!(all.iter().all(|line| lines.iter().filter(|found| *found == line).count() == 1));
        }
    }

    // The tenth message is late, and its lines came in another one meanwhile.
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    store.write(&messages[..9]).expect("written");
    store.write(&messages[10..]).expect("written");
    assert_eq!(
        store.write(&[again]).expect("written").lines,
        20,
        "the tenth's and those behind the twelfth's"
    );
    let late = store.write(&messages[9..10]).expect("written");
    assert_eq!((late.messages, late.lines, late.known_lines), (1, 0, 10));
}

#[test]
fn a_store_of_the_version_before_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = now_ns() - 3_600_000_000_000;
    let (messages, all) = many(from, 20);
    open(dir.path()).write(&messages).expect("written");
    rusqlite::Connection::open(dir.path().join("logs.db"))
        .expect("opened")
        .execute_batch(
            "DROP TABLE mark;
             CREATE TABLE mark(
                 host TEXT NOT NULL, source INTEGER NOT NULL, position INTEGER NOT NULL, at_ns INTEGER NOT NULL,
                 PRIMARY KEY(host, source)) WITHOUT ROWID;
             CREATE INDEX mark_at ON mark(at_ns);
             INSERT INTO mark VALUES ('web-1', 5, 200, 1);
             ALTER TABLE block ADD COLUMN severities INTEGER NOT NULL DEFAULT 1;
             ALTER TABLE block ADD COLUMN pid_least INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE block ADD COLUMN pid_most INTEGER NOT NULL DEFAULT 9;
             DROP INDEX block_time;
             CREATE INDEX block_time ON block(to_ns, from_ns, log, severities, pid_least, pid_most);
             PRAGMA user_version = 1;",
        )
        .expect("as version 1 had it");
    let store = open(dir.path());
    let records: Vec<Record> = (191..=210)
        .map(|position| record(from + position * 1_000_000, position, format!("line {position}")))
        .collect();
    let written =
        store.write(&[message("web-1", 21, vec![part("web-1", "a", 5, &records)])]).expect("written");
    assert_eq!((written.lines, written.known_lines), (10, 10));
    assert_eq!(found(&store.reader().expect("reader"), &asked("")).len(), all.len() + 10);
}

#[test]
fn what_is_put_together_is_found_as_before_and_with_filters() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = now_ns() - 3_600_000_000_000;
    let (messages, all) = many(from, 300);
    let store = open(dir.path());
    for batch in messages.chunks(7) {
        store.write(batch).expect("written");
    }
    let reader = store.reader().expect("reader");
    let queries = [
        "",
        "node7",
        "took -node3",
        "severity>=error",
        "nth=77",
        "unit=b node1",
        "\"request 1234\"",
        "~9{2} ms",
        "absent",
    ];
    let before: Vec<Vec<String>> = queries.iter().map(|query| found(&reader, &asked(query))).collect();
    assert_eq!(before[0], all);
    assert_eq!(before[6].len(), 1);
    let blocks = |store: &LogStore| {
        let counts = store.health().expect("health").counts;
        counts.iter().find(|(name, _)| *name == "blocks").expect("blocks").1
    };
    assert_eq!(blocks(&store), 300);
    // They are left alone until nobody who follows has still to read them: twelve seconds later.
    std::thread::sleep(Duration::from_secs(12));
    store.settle().expect("settled");
    assert!(blocks(&store) < 10, "{} blocks", blocks(&store));
    let after: Vec<Vec<String>> = queries.iter().map(|query| found(&reader, &asked(query))).collect();
    assert_eq!(after, before);
    // Without the filters all is searched.
    drop(reader);
    drop(store);
    std::fs::remove_file(dir.path().join(FILTERS_FILE)).expect("removed");
    let reader = Reader::open(&dir.path().join(FILE)).expect("reader");
    let without: Vec<Vec<String>> = queries.iter().map(|query| found(&reader, &asked(query))).collect();
    assert_eq!(without, before);
}

#[test]
fn counts_streams_and_what_came_since_fit_the_lines() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = now_ns() / 1_000_000_000 * 1_000_000_000 - 60_000_000_000;
    let (messages, all) = many(from, 100);
    let store = open(dir.path());
    let reader = store.reader().expect("reader");
    let newest = reader.newest().expect("a number");
    store.write(&messages).expect("written");
    let (hits, last) = reader.since(&asked("unit=a"), newest).expect("read");
    assert_eq!(hits.len(), all.len() / 2);
    assert!(reader.since(&asked(""), last).expect("read").0.is_empty());

    let within = Query::parse("").expect("a query").within(UnixNs(from), UnixNs(from + 2_000_000_000));
    let histogram =
        reader.histogram(&Asked::new(within, None), DurNs(1_000_000_000), &|| false).expect("counted");
    let sums: Vec<u64> = histogram.steps.iter().map(|counts| counts.iter().sum()).collect();
    // The lines are a millisecond apart, the first one after the beginning.
    assert_eq!((sums[0], sums.iter().sum::<u64>()), (999, 1000));
    assert_eq!(histogram.steps.iter().map(|counts| counts[Severity::Error as usize]).sum::<u64>(), 100);
    let streams = reader.streams(&asked("")).expect("streams");
    let units: BTreeSet<(&str, u64)> =
        streams.iter().map(|(stream, lines)| (stream.get("unit").expect("a unit"), *lines)).collect();
    assert_eq!(units, BTreeSet::from([("a", 500), ("b", 500)]));
}

#[test]
fn what_is_hostile_is_counted_and_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let records = [record(now_ns(), 1, "one")];
    let mut damaged = part("web-1", "a", 1, &records);
    let middle = damaged.block.len() / 2;
    damaged.block[middle] ^= 0x40;
    let parts = vec![
        damaged,
        // In the name of another host.
        part("db-1", "a", 2, &records),
        part("web-1", "a", 3, &records),
    ];
    let written = store.write(&[message("web-1", 1, parts)]).expect("written");
    assert_eq!((written.lines, written.damaged), (1, 2));
    let good = Message::payload(&message("web-1", 2, Vec::new()).head, &logs::message::Message::default());
    assert!(matches!(Message::from_payload(b""), Err(MessageError::Head(HeadedError::NoHead))));
    assert!(matches!(
        Message::from_payload(&good[..good.len() - 1]),
        Err(MessageError::Body(_, BodyError::Damaged(_)))
    ));
    let large = [&good[..], &vec![0; logs::message::MAX_MESSAGE + 1]].concat();
    assert!(matches!(Message::from_payload(&large), Err(MessageError::Body(_, BodyError::TooLarge))));
}

#[test]
fn old_lines_and_those_of_a_forgotten_host_go_and_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let day = 24 * 3_600_000_000_000;
    let options = Options {
        max_age: Duration::from_hours(48),
        source_age: [("file".to_owned(), Duration::from_hours(24))].into(),
        ..Options::default()
    };
    let store = LogStore::open(dir.path(), options).expect("store");
    let of =
        |age: u64, source: u64| part("web-1", "a", source, &[record(now_ns() - age, 1, format!("{age}"))]);
    let parts = vec![of(3 * day, 1), of(day + day / 2, 2), of(day / 2, 3)];
    store.write(&[message("web-1", 1, parts)]).expect("written");
    store
        .write(&[message("db-1", 1, vec![part("db-1", "a", 1, &[record(now_ns(), 1, "db")])])])
        .expect("written");
    store.settle().expect("settled");
    let reader = store.reader().expect("reader");
    assert_eq!(found(&reader, &asked("")), [format!("{}", day / 2), "db".to_owned()]);
    let dropped = store.health().expect("health").dropped;
    assert_eq!(dropped, [("lines by retention".to_owned(), 2)]);

    assert_eq!(forget(&dir.path().join(FILE), "db-1").expect("forgotten"), 1);
    assert_eq!(found(&reader, &asked("")).len(), 1);
    // What it sends again is new: nothing is remembered of it.
    let again = message("db-1", 2, vec![part("db-1", "a", 1, &[record(now_ns(), 1, "db again")])]);
    assert_eq!(store.write(&[again]).expect("written").lines, 1);
    assert_eq!(found(&reader, &asked("host=db-1")), ["db again"]);
}

#[test]
fn the_oldest_lines_go_when_there_is_no_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let store =
        LogStore::open(dir.path(), Options { max_bytes: 2 << 20, ..Options::default() }).expect("store");
    let mut state = 1_u64;
    let mut text = || {
        let word = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("{state:016x}")
        };
        (0..6).map(|_| word(&mut state)).collect::<String>()
    };
    for seq in 1..=100 {
        let records: Vec<Record> =
            (0..400).map(|line| record(now_ns(), seq * 1_000 + line, text())).collect();
        store.write(&[message("web-1", seq, vec![part("web-1", "a", 1, &records)])]).expect("written");
    }
    store.settle().expect("settled");
    let health = store.health().expect("health");
    let used = health.counts.iter().find(|(name, _)| *name == "used_bytes").expect("bytes").1;
    assert!(used <= 2 << 20, "{used} bytes");
    let gone = health.dropped.iter().find(|(why, _)| why == "lines by size").expect("some went").1;
    let there = health.counts.iter().find(|(name, _)| *name == "lines").expect("lines").1;
    assert_eq!(gone + there, 40_000);
}

//! Searching blocks finds what looking at every line finds.

mod kit;
mod naive;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use agent_common::units::{DurNs, UnixNs};
use kit::{Memory, Random, blocks, records, stream};
use logs::block::{Block, Codec};
use logs::filter::may_have_in;
use logs::query::{
    Answer, Expr, Hit, Limits, MAX_STEPS, Query, SearchError, Stop, Test, histogram, possible, search,
};
use logs::{Record, Severity, Stream};
use naive::query;

struct World {
    store: Memory,
    /// All lines, newest first, as an answer has them.
    lines: Vec<Hit>,
}

fn world(seed: u64) -> World {
    let mut random = Random(seed);
    let mut codec = Codec::new();
    let (mut made, mut lines) = (Vec::new(), Vec::new());
    for number in 0..3 {
        let stream = stream(number);
        let count = random.below(800);
        let mut records = records(&mut random, count, seed.is_multiple_of(3));
        if seed.is_multiple_of(2) {
            // All times close to each other, so that blocks overlap.
            for record in &mut records {
                record.at = UnixNs(1_000_000 + record.at.0 % 5000);
            }
        }
        made.extend(blocks(&stream, &records, 1 + random.below(150) as usize, &mut codec));
        lines.extend(records.into_iter().map(|record| Hit { stream: stream.clone(), record }));
    }
    lines.sort_by(|one, other| key(other).cmp(&key(one)));
    World { store: Memory::new(made), lines }
}

fn key(hit: &Hit) -> (UnixNs, u64, &Stream) {
    (hit.record.at, hit.record.position, &hit.stream)
}

fn found(query: &Query, store: &mut Memory, lines: usize, threads: usize) -> (Vec<Hit>, Answer) {
    store.rewind();
    let mut hits = Vec::new();
    let limits = Limits { lines, threads, over: &|| false };
    let answer = search(query, store, &limits, &mut |hit| {
        hits.push(hit);
        ControlFlow::Continue(())
    });
    (hits, answer.unwrap())
}

#[test]
fn a_search_finds_what_looking_at_every_line_finds() {
    let (mut with_hits, mut spared) = (0, 0);
    for seed in 0..12 {
        let mut world = world(seed);
        let mut random = Random(seed + 500);
        for round in 0..120 {
            let (text, naive) = query(&mut random, 2);
            let mut parsed = Query::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            if round % 3 == 0 && !world.lines.is_empty() {
                let mut time = || world.lines[random.below(world.lines.len() as u64) as usize].record.at;
                parsed = parsed.within(time(), time());
            }
            let expected: Vec<&Hit> = world
                .lines
                .iter()
                .filter(|hit| (parsed.from..parsed.to).contains(&hit.record.at))
                .filter(|hit| naive.matches(&hit.stream, &hit.record))
                .collect();
            let live = world.lines.iter().filter(|hit| parsed.matches(&hit.stream, &hit.record));
            assert!(live.eq(expected.iter().copied()), "one line at a time: {text}");
            let (hits, answer) = found(&parsed, &mut world.store, usize::MAX, 1 + round % 3);
            assert!(
                hits.iter().eq(expected.iter().copied()),
                "seed {seed}: {text}: {} of {}",
                hits.len(),
                expected.len()
            );
            assert_eq!((answer.stop, answer.lines), (Stop::Complete, hits.len()));
            assert_eq!(answer.effort.damaged, 0);
            let limit = 1 + random.below(20) as usize;
            let (first, answer) = found(&parsed, &mut world.store, limit, 2);
            assert!(first.iter().eq(expected.iter().copied().take(limit)), "newest {limit}: {text}");
            assert_eq!(answer.stop == Stop::Lines, expected.len() >= limit, "{text}");
            with_hits += usize::from(!expected.is_empty());
            spared += usize::from((answer.effort.decoded as usize) < world.store.blocks.len());
            for (bytes, filter) in &world.store.blocks {
                let block = Block::open(bytes).unwrap();
                let known = possible(&parsed, block.header(), &mut |token| may_have_in(token, filter));
                let count = parsed.lines(&block, &mut Codec::new()).unwrap().len();
                assert!(known.some || count == 0, "a block with a line is not left out: {text}");
                assert!(!known.all || count == block.header().lines as usize, "{text}");
                assert!(parsed.takes(&block.header().stream) || count == 0);
            }
        }
    }
    assert!(
        with_hits > 500 && spared > 300,
        "queries with an answer: {with_hits}, that spared blocks: {spared}"
    );
}

#[test]
fn a_histogram_counts_what_a_search_finds() {
    for seed in 0..8 {
        let mut world = world(seed);
        let (Some(newest), Some(oldest)) = (world.lines.first(), world.lines.last()) else { continue };
        let (from, to) = (oldest.record.at, UnixNs(newest.record.at.0 + 1));
        let mut random = Random(seed + 900);
        for round in 0..40 {
            let text = match round {
                0 => String::new(),
                1 => "severity>=error".to_owned(),
                2 => "unit=nginx.service".to_owned(),
                _ => query(&mut random, 1).0,
            };
            let parsed = Query::parse(&text).unwrap().within(from, to);
            let step = DurNs(((to.0 - from.0) / (1 + random.below(60))).max(1));
            let steps = (to.0 - from.0).div_ceil(step.0);
            let mut expected = vec![[0_u64; 9]; steps as usize];
            for hit in found(&parsed, &mut world.store, usize::MAX, 1).0 {
                expected[((hit.record.at.0 - from.0) / step.0) as usize][hit.record.severity as usize] += 1;
            }
            world.store.rewind();
            let limits = Limits { lines: 0, threads: 2, over: &|| false };
            let counted = histogram(&parsed, step, &mut world.store, &limits).unwrap();
            assert_eq!(counted.steps, expected, "{text}");
            assert_eq!((counted.stop, counted.back_to), (Stop::Complete, from));
        }
    }
}

#[test]
fn a_histogram_of_all_lines_decodes_no_messages_and_few_blocks() {
    let mut codec = Codec::new();
    let mut all: Vec<Record> = records(&mut Random(3), 4000, false);
    for (at, record) in all.iter_mut().enumerate() {
        record.at = UnixNs(1_000_000 + at as u64 * 10);
        record.severity = Severity::Info;
    }
    let mut store = Memory::new(blocks(&stream(0), &all, 100, &mut codec));
    let query = Query::parse("severity=info").unwrap().within(UnixNs(1_000_000), UnixNs(1_040_000));
    let limits = Limits { lines: 0, threads: 1, over: &|| false };
    let counted = histogram(&query, DurNs(10_000), &mut store, &limits).unwrap();
    assert_eq!(counted.steps.iter().map(|step| step[6]).collect::<Vec<_>>(), [1000; 4]);
    assert_eq!(counted.effort.decoded, 0);
}

#[test]
fn a_histogram_has_bounds() {
    let mut store = Memory::new(Vec::new());
    let limits = Limits { lines: 0, threads: 1, over: &|| false };
    for (query, step) in [
        (Query::default(), DurNs(1)),
        (Query::default().within(UnixNs(0), UnixNs(MAX_STEPS + 1)), DurNs(1)),
        (Query::default().within(UnixNs(0), UnixNs(100)), DurNs(0)),
        (Query::default().within(UnixNs(5), UnixNs(5)), DurNs(1)),
    ] {
        assert!(matches!(histogram(&query, step, &mut store, &limits), Err(SearchError::Steps { .. })));
    }
    let most = Query::default().within(UnixNs(0), UnixNs(MAX_STEPS));
    assert_eq!(histogram(&most, DurNs(1), &mut store, &limits).unwrap().steps.len() as u64, MAX_STEPS);
}

#[test]
fn a_search_that_runs_out_of_time_says_how_far_it_came() {
    for seed in 0..12 {
        let mut world = world(seed);
        let query = Query::parse("error OR timeout OR severity>=notice").unwrap();
        let expected: Vec<Hit> =
            world.lines.iter().filter(|hit| query.matches(&hit.stream, &hit.record)).cloned().collect();
        for budget in 0..30 {
            let asked = AtomicUsize::new(0);
            let over = || asked.fetch_add(1, Ordering::Relaxed) >= budget;
            world.store.rewind();
            let mut hits = Vec::new();
            let limits = Limits { lines: usize::MAX, threads: 1 + budget % 2, over: &over };
            let answer = search(&query, &mut world.store, &limits, &mut |hit| {
                hits.push(hit);
                ControlFlow::Continue(())
            });
            let answer = answer.unwrap();
            let right: Vec<&Hit> = expected.iter().filter(|hit| hit.record.at >= answer.back_to).collect();
            assert!(
                hits.iter().eq(right),
                "budget {budget}: all lines back to {:?}, and no other",
                answer.back_to
            );
            assert!(answer.stop == Stop::Deadline || answer.back_to == UnixNs(0));
            // The rest is found by asking for what is older.
            let rest =
                found(&query.clone().within(UnixNs(0), answer.back_to), &mut world.store, usize::MAX, 1).0;
            assert_eq!(hits.len() + rest.len(), expected.len());
        }
    }
}

#[test]
fn a_caller_may_end_a_search() {
    let mut world = world(3);
    let mut count = 0;
    let limits = Limits { lines: usize::MAX, threads: 2, over: &|| false };
    let answer = search(&Query::default(), &mut world.store, &limits, &mut |_| {
        count += 1;
        if count == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let answer = answer.unwrap();
    assert_eq!((answer.stop, answer.lines, count), (Stop::Caller, 7, 7));
    assert_eq!(found(&Query::default(), &mut world.store, 0, 1).1.lines, 0);
}

#[test]
fn a_damaged_block_is_counted_and_passed_over() {
    let mut world = world(5);
    let whole = found(&Query::default(), &mut world.store, usize::MAX, 2).0.len();
    let lines = Block::open(&world.store.blocks[2].0).unwrap().header().lines as usize;
    let last = world.store.blocks[2].0.len() - 1;
    world.store.blocks[2].0[last] ^= 1;
    let (hits, answer) = found(&Query::default(), &mut world.store, usize::MAX, 2);
    assert_eq!((hits.len(), answer.effort.damaged), (whole - lines, 1));
}

#[test]
fn only_what_may_have_a_rare_word_is_read() {
    let mut codec = Codec::new();
    let mut all = records(&mut Random(4), 20_000, false);
    for record in &mut all {
        record.message.push_str(" common");
    }
    all[7777].message.push_str(" needle_4711");
    let mut store = Memory::new(blocks(&stream(0), &all, 100, &mut codec));
    let (hits, answer) = found(&Query::parse("Needle_4711 common").unwrap(), &mut store, 10, 2);
    assert_eq!(hits.len(), 1);
    assert!(answer.effort.decoded <= 6, "{answer:?}");
    assert!(store.cells >= 200 && store.cells <= 410, "{} cells", store.cells);
    let (hits, _) = found(&Query::parse("common").unwrap(), &mut store, 100, 2);
    assert_eq!(hits.len(), 100);
    assert!(store.loaded <= 7, "{} blocks for the newest 100", store.loaded);
}

#[test]
fn queries_can_be_made_without_text() {
    let query = Query::default()
        .and(Expr::at_least(Severity::Warning))
        .and(Expr::Label { name: "unit".to_owned(), test: Test::Is("nginx.service".to_owned()) });
    assert!(query.takes(&stream(0)) && !query.takes(&stream(1)));
    let mut world = world(1);
    let expected = world.lines.iter().filter(|hit| {
        hit.record.severity <= Severity::Warning && hit.stream.get("unit") == Some("nginx.service")
    });
    let expected = expected.count();
    assert_eq!(found(&query, &mut world.store, usize::MAX, 1).0.len(), expected);
}

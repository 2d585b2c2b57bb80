//! The store as PromQL reads it, against a model that does everything the slow way.

mod model;
mod thinned;

use std::collections::BTreeMap;

use promql::{Matcher, Operator, Reader as _, Span, is_stale};
use server::store::embedded::View;

use self::model::{Bits, Model, Rng, Sent, asked, model, stream};
use super::*;

/// What a query gives in one pass; in many it gives the same.
fn select(reader: &Reader, matchers: &[Matcher], span: Span) -> Model {
    select_in(reader, matchers, span, 8)
}

/// Many are of so many bytes.
fn select_in(reader: &Reader, matchers: &[Matcher], span: Span, pass_bytes: usize) -> Model {
    let one = select_from(&reader.view().expect("view"), matchers, span);
    let many = select_from(&reader.view_in_passes(pass_bytes).expect("view"), matchers, span);
    assert_eq!(many, one, "{matchers:?} {span:?}");
    one
}

fn select_from(view: &View<'_>, matchers: &[Matcher], span: Span) -> Model {
    let mut all = Model::new();
    for series in view.select(matchers, span).expect("select") {
        let series = series.expect("series");
        let bits = series.samples.iter().map(|sample| (sample.at_ms, sample.value.to_bits())).collect();
        assert_eq!(all.insert(series.labels.clone(), bits), None, "{} comes once", series.labels);
    }
    all
}

fn matchers(rng: &mut Rng) -> Vec<Matcher> {
    let pool = [
        ("__name__", Operator::Equal, "s7mpa_process_user_ns"),
        ("__name__", Operator::Equal, "s7mpa_process_user_ns_total"),
        ("__name__", Operator::Matches, "s7mpa_.*_total|own_up"),
        ("__name__", Operator::NotMatches, ".*user.*"),
        ("__name__", Operator::NotEqual, "own_up"),
        ("__name__", Operator::Equal, "own_user_ns_total"),
        ("__name__", Operator::Equal, "s7mpa_process_state"),
        ("host", Operator::Equal, "h"),
        ("host", Operator::NotEqual, "h"),
        ("host", Operator::Matches, "h|i"),
        ("pid", Operator::Matches, "1[0-2]"),
        ("pid", Operator::Equal, ""),
        ("comm", Operator::NotMatches, "c[13]"),
        ("odd", Operator::Equal, "a,b =\"\\c"),
        ("nothing", Operator::Matches, ".*"),
    ];
    (0..rng.below(4))
        .map(|_| {
            let (label, operator, value) = pool[rng.below(pool.len() as u64) as usize];
            Matcher::new(label, operator, value).expect("a matcher")
        })
        .collect()
}

/// What a query gives is what the model says, for spans of all lengths and conditions of all kinds.
fn assert_alike(rng: &mut Rng, reader: &Reader, model: &Model, first_ms: i64) {
    let times = model.values().flatten().map(|(time, _)| *time);
    let (least, most) = (times.clone().min().unwrap_or(0).max(first_ms), times.max().unwrap_or(0));
    for round in 0..12 {
        let length = most - least + 2;
        let mut from_ms = least + (rng.below(length as u64) as i64) - 1;
        let mut to_ms = from_ms + rng.below((most - from_ms).max(1) as u64) as i64;
        if round == 0 {
            (from_ms, to_ms) = (least, most);
        }
        let span = Span { from_ms: from_ms.max(first_ms), to_ms };
        let matchers = if round < 2 { Vec::new() } else { matchers(rng) };
        let expected = asked(model, &matchers, span);
        // Each pass looks at all series and slots.
        let pass_bytes = if model.len() > 1_000 { 256 << 10 } else { 8 };
        let got = select_in(reader, &matchers, span, pass_bytes);
        let names = |model: &Model| model.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&got), names(&expected), "{matchers:?} {span:?}");
        for (labels, samples) in &expected {
            assert_eq!(&got[labels], samples, "{labels} {matchers:?} {span:?}");
        }
        // The labels alone may be more than have samples, never fewer.
        let view = reader.view().expect("view");
        let series = view.series(&matchers, span).expect("series");
        for labels in expected.keys() {
            assert!(series.contains(labels), "{labels} {matchers:?} {span:?}");
        }
        for labels in &series {
            assert!(matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.label))), "{labels}");
            assert!(model.contains_key(labels), "{labels}");
        }
    }
}

/// Windows in the order of their arrival: many late, some twice, some never.
fn arrivals(rng: &mut Rng, mut all: Vec<Sent>) -> Vec<Sent> {
    all.retain(|_| rng.below(30) > 0);
    let mut keyed: Vec<(u64, Sent)> = Vec::new();
    for one in all {
        let delay = if rng.below(10) == 0 { rng.below(3_000) * SECOND } else { rng.below(8) * SECOND };
        if rng.below(20) == 0 {
            keyed.push((one.head.end.0 + rng.below(2_000) * SECOND, one.clone()));
        }
        keyed.push((one.head.end.0 + delay, one));
    }
    keyed.sort_by_key(|(at, _)| *at);
    keyed.into_iter().map(|(_, one)| one).collect()
}

/// What was sent, each window once.
fn once(sent: &[Sent]) -> Vec<Sent> {
    let by_number: BTreeMap<_, _> =
        sent.iter().map(|one| ((one.head.stream.clone(), one.head.seq), one.clone())).collect();
    by_number.into_values().collect()
}

fn three_streams(rng: &mut Rng) -> Vec<Sent> {
    let mut all = stream(rng, "h", "0000000000000001", 0, 500);
    // The second host's spool is made anew.
    all.extend(stream(rng, "i", "0000000000000002", 100, 150));
    all.extend(stream(rng, "i", "0000000000000003", 2_400, 200));
    all
}

#[test]
fn queries_give_what_was_written_while_windows_come_late_twice_or_never() {
    for seed in 1..=4 {
        let mut rng = Rng(seed);
        let all = three_streams(&mut rng);
        let all = arrivals(&mut rng, all);
        let dir = tempfile::tempdir().expect("tempdir");
        let store = open(dir.path());
        let reader = store.reader().expect("reader");
        for (number, one) in all.iter().enumerate() {
            store.write(&[one.window()]).expect("write");
            if number % 167 == 166 {
                assert_alike(&mut rng, &reader, &model(&once(&all[..=number])), 0);
            }
        }
        let counts = reader.counts().expect("counts");
        assert!((1..counts.windows * 2 / 3).contains(&counts.head_windows), "both ways: {counts:?}");
        assert_alike(&mut rng, &reader, &model(&once(&all)), 0);
        store.close().expect("close");
        let store = open(dir.path());
        assert_alike(&mut rng, &store.reader().expect("reader"), &model(&once(&all)), 0);
    }
}

#[test]
fn running_sums_stay_as_they_were_when_retention_deletes_what_they_began_with() {
    let mut rng = Rng(77);
    let mut all = three_streams(&mut rng);
    all.sort_by_key(|one| one.head.end);
    let dir = tempfile::tempdir().expect("tempdir");
    let options = Options { max_age: Duration::from_mins(25), ..Options::default() };
    let store = EmbeddedStore::open(dir.path(), options).expect("open");
    for one in &all {
        store.write(&[one.window()]).expect("write");
    }
    let deleted = store.health().expect("health").dropped;
    assert!(
        deleted.iter().any(|(name, count)| name == "windows by retention" && *count > 100),
        "{deleted:?}"
    );
    let reader = store.reader().expect("reader");
    let last = all.last().expect("windows").head.end.0;
    let first_ms = ((last - 25 * 60 * SECOND) / 1_000_000).cast_signed() + 1;
    assert_alike(&mut rng, &reader, &model(&all), first_ms);
}

#[test]
fn a_running_sum_rises_by_each_amount_and_begins_anew_with_each_process() {
    let mut rng = Rng(5);
    let all = stream(&mut rng, "h", "0000000000000001", 0, 400);
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    for one in &all {
        store.write(&[one.window()]).expect("write");
    }
    let reader = store.reader().expect("reader");
    let span = Span { from_ms: 0, to_ms: i64::MAX };
    let named = |name: &str| [Matcher::new("__name__", Operator::Equal, name).expect("a matcher")];
    let amounts = select(&reader, &named("s7mpa_process_user_ns"), span);
    let sums = select(&reader, &named("s7mpa_process_user_ns_total"), span);
    assert!(amounts.len() > 20 && amounts.len() == sums.len(), "{} processes", amounts.len());
    for (labels, amounts) in &amounts {
        let mut labels = labels.clone();
        labels.set("__name__", "s7mpa_process_user_ns_total");
        let values = |bits: &Bits| -> Vec<(i64, f64)> {
            let values = bits.iter().map(|(time, bits)| (*time, f64::from_bits(*bits)));
            values.filter(|(_, value)| !is_stale(*value)).collect()
        };
        let sums: BTreeMap<i64, f64> = values(&sums[&labels]).into_iter().collect();
        for (time, amount) in values(amounts) {
            let before = sums.range(..time).next_back().map_or(0.0, |(_, sum)| *sum);
            assert_eq!((sums[&time] - before).to_bits(), amount.to_bits(), "{labels} at {time}");
        }
        assert!(sums.values().is_sorted(), "{labels}");
    }
}

/// A collector's clock that stood still makes two windows of one end: the later counts, in amounts and sums.
#[test]
fn of_two_windows_of_one_time_the_later_counts_once() {
    let mut rng = Rng(6);
    let mut all = stream(&mut rng, "h", "0000000000000001", 0, 300);
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    for number in 0..all.len() {
        store.write(&[all[number].window()]).expect("write");
        // Over one that is rolled, one that is part of a slot, one that is at the head.
        for (ago, seq) in [(200, 1_000), (70, 2_000), (3, 3_000)] {
            if number.is_multiple_of(23) && number >= ago {
                let old = number - ago;
                for (_, value, _) in all[old].rows.iter_mut().flat_map(|row| &mut row.fields) {
                    if let FieldValue::Int(value) = value {
                        *value += 1;
                    }
                }
                let mut again = all[old].clone();
                again.head.seq = seq + number as u64;
                store.write(&[again.window()]).expect("write");
            }
        }
    }
    // What waits at the head counts from when it is rolled.
    let far = T0 + 100_000 * SECOND;
    let mut last = stream(&mut rng, "h", "0000000000000001", 100_000, 40);
    for one in &mut last {
        one.head.seq += 5_000;
        store.write(&[one.window()]).expect("write");
    }
    let reader = store.reader().expect("reader");
    let model = asked(
        &model(&all),
        &[],
        Span { from_ms: 0, to_ms: ((far - 900 * SECOND) / 1_000_000).cast_signed() },
    );
    let end_ms = model.values().flatten().map(|(time, _)| *time).max().expect("samples");
    assert_eq!(select(&reader, &[], Span { from_ms: 0, to_ms: end_ms }), model);
}

//! The store as PromQL reads it, against a model that does everything the slow way.

use std::collections::BTreeMap;

use promql::{Labels, Matcher, Operator, Reader as _, STALE, Span, is_stale};

use super::*;

/// Times of a series as bits, to compare stale markers.
type Bits = Vec<(i64, u64)>;
type Model = BTreeMap<Labels, Bits>;
/// Stream and value by time.
type Stored<'a> = BTreeMap<u64, (&'a str, f64)>;

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A window and what is in it.
#[derive(Clone)]
struct Sent {
    head: WindowHead,
    rows: Vec<Row>,
}

#[derive(Clone)]
struct Row {
    measurement: &'static str,
    tags: Vec<(&'static str, String)>,
    /// Name, value, whether it is a counter.
    fields: Vec<(&'static str, FieldValue, bool)>,
}

impl Sent {
    fn window(&self) -> Window {
        let points: Vec<Point> = self
            .rows
            .iter()
            .map(|row| {
                let point = Point::new(row.measurement, self.head.end);
                let point =
                    row.tags.iter().fold(point, |point, (name, value)| point.tag(*name, value.as_str()));
                row.fields.iter().fold(point, |point, (name, value, _)| point.field(*name, value.clone()))
            })
            .collect();
        Window::from_points(self.head.clone(), &points)
    }
}

/// Windows of one stream: processes begin, end, begin again under the same pid, and are left out of a window.
fn stream(rng: &mut Rng, host: &str, name: &str, first_s: u64, count: u64) -> Vec<Sent> {
    let mut at = T0 + first_s * SECOND;
    let mut starts = [0_u64; 6];
    let mut all = Vec::new();
    for seq in 1..=count {
        at += match rng.below(40) {
            0 => 130 * SECOND,
            other => (5 + other % 4) * SECOND,
        } + rng.below(900_000);
        let host_tag = || ("host", host.to_owned());
        let mut rows = vec![Row {
            measurement: "s7mpa_host",
            tags: vec![host_tag()],
            fields: vec![
                ("forks", rng.below(1 << 40).into(), true),
                ("load1", (rng.below(1_000) as f64 / 100.0).into(), false),
            ],
        }];
        for (pid, start) in starts.iter_mut().enumerate() {
            match rng.below(12) {
                0 => *start = seq,
                1 | 2 => continue,
                _ => {}
            }
            // Nobody ran under this pid yet, or it ended some time ago.
            if *start == 0 || seq > *start + 40 {
                continue;
            }
            let busy = pid % 2 == 0;
            let mut fields = vec![
                ("user_ns", if busy { rng.below(1 << 30) } else { 0 }.into(), true),
                ("rss_bytes", rng.below(1 << 20).into(), false),
                ("state", "S".into(), false),
            ];
            if rng.below(3) == 0 {
                fields.push(("in_flight_age_ns", rng.below(1 << 35).into(), false));
            }
            let tags = vec![
                host_tag(),
                ("pid", format!("{}", 10 + pid)),
                ("start", start.to_string()),
                ("comm", format!("c{pid}")),
            ];
            rows.push(Row { measurement: "s7mpa_process", tags, fields });
        }
        rows.push(Row {
            measurement: "own",
            tags: vec![host_tag(), ("odd", "a,b =\"\\c".into())],
            fields: vec![
                ("up", FieldValue::Bool(rng.below(2) == 0), false),
                ("user_ns", rng.below(9).into(), false),
            ],
        });
        let head = WindowHead {
            host: host.into(),
            stream: name.into(),
            seq,
            points: rows.len() as u64,
            span_ns: SECOND,
            end: UnixNs(at),
        };
        all.push(Sent { head, rows });
    }
    all
}

fn number(value: &FieldValue) -> Option<f64> {
    match value {
        FieldValue::Int(value) => Some(*value as f64),
        FieldValue::Float(value) => Some(*value),
        FieldValue::Bool(value) => Some(f64::from(u8::from(*value))),
        FieldValue::Text(_) => None,
    }
}

/// What the store is to give of these windows, from the first to the last.
fn model(sent: &[Sent]) -> Model {
    let mut streams: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut series: BTreeMap<(Labels, bool), Stored<'_>> = BTreeMap::new();
    for one in sent {
        streams.entry(&one.head.stream).or_default().push(one.head.end.0);
        for row in &one.rows {
            for (field, value, counter) in &row.fields {
                let Some(value) = number(value) else { continue };
                let tags = row.tags.iter().map(|(name, value)| ((*name).into(), value.as_str().into()));
                let mut labels = Labels::new(tags);
                let name = format!("{}_{field}", row.measurement);
                for total in [false, true] {
                    if total && !counter {
                        continue;
                    }
                    labels.set("__name__", format!("{name}{}", if total { "_total" } else { "" }));
                    let samples = series.entry((labels.clone(), total)).or_default();
                    samples.insert(one.head.end.0, (&*one.head.stream, value));
                }
            }
        }
    }
    for ends in streams.values_mut() {
        ends.sort_unstable();
    }
    let mut model = Model::new();
    for ((labels, total), samples) in series {
        let mut out: BTreeMap<i64, f64> = BTreeMap::new();
        let ms = |ns: u64| (ns / 1_000_000).cast_signed();
        let mut sum = 0.0;
        for (time, (stream, value)) in &samples {
            let ends = &streams[stream];
            let at = ends.binary_search(time).expect("the window's end");
            if total
                && let Some(before) = at.checked_sub(1).map(|at| ends[at])
                && !samples.contains_key(&before)
                && time - before <= 60 * SECOND
            {
                // In place of the marker, where the gap is of this window alone.
                out.insert(ms(before), sum);
            }
            sum += value;
            out.insert(ms(*time), if total { sum } else { *value });
            if let Some(after) = ends.get(at + 1)
                && samples.range(time + 1..).next().is_none_or(|(next, _)| next > after)
            {
                out.insert(ms(*after), STALE);
            }
        }
        model.insert(labels, out.into_iter().map(|(time, value)| (time, value.to_bits())).collect());
    }
    model
}

/// The part of the model that a query asks for.
fn asked(model: &Model, matchers: &[Matcher], span: Span) -> Model {
    let fulfils =
        |labels: &Labels| matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.label)));
    let mut asked = Model::new();
    for (labels, samples) in model.iter().filter(|(labels, _)| fulfils(labels)) {
        let within = samples.iter().filter(|(time, _)| (span.from_ms..=span.to_ms).contains(time));
        let samples: Bits = within.copied().skip_while(|(_, bits)| *bits == STALE.to_bits()).collect();
        if !samples.is_empty() {
            asked.insert(labels.clone(), samples);
        }
    }
    asked
}

fn select(reader: &Reader, matchers: &[Matcher], span: Span) -> Model {
    let view = reader.view().expect("view");
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
        let got = select(reader, &matchers, span);
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

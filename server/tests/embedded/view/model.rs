//! What is written, and what queries must give of it: everything the slow way.

use std::collections::BTreeMap;

use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::{FieldValue, Point};
use promql::{Labels, Matcher, STALE, Span};
use server::store::Window;

use super::super::{SECOND, T0};

/// Times of a series as bits, to compare stale markers.
pub(super) type Bits = Vec<(i64, u64)>;
pub(super) type Model = BTreeMap<Labels, Bits>;
/// Stream, value and step by time.
type Stored<'a> = BTreeMap<u64, (&'a str, f64, u64)>;

pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A window and what is in it.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) head: WindowHead,
    pub(super) rows: Vec<Row>,
    /// Over which it was put together, ns.
    pub(super) step: u64,
}

#[derive(Clone)]
pub(super) struct Row {
    measurement: &'static str,
    tags: Vec<(&'static str, String)>,
    /// Name, value, whether it is a counter.
    pub(super) fields: Vec<(&'static str, FieldValue, bool)>,
}

impl Row {
    pub(super) fn leave_counters_of_processes(&mut self) {
        if self.measurement == "s7mpa_process" {
            self.fields.retain(|(_, _, counter)| *counter);
        }
    }
}

impl Sent {
    pub(super) fn window(&self) -> Window {
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

    /// Host, pid and start of its processes, and a counter of theirs.
    pub(super) fn amounts(&self, field: &str) -> Vec<(Vec<String>, i64)> {
        let processes = self.rows.iter().filter(|row| row.measurement == "s7mpa_process");
        processes
            .filter_map(|row| {
                let found = row.fields.iter().find(|(name, ..)| *name == field);
                let Some((_, FieldValue::Int(amount), _)) = found else { return None };
                Some((row.tags.iter().take(3).map(|(_, value)| value.clone()).collect(), *amount))
            })
            .collect()
    }

    /// A field of the one row of a measurement.
    pub(super) fn level(&self, measurement: &str, field: &str) -> f64 {
        let row = self.rows.iter().find(|row| row.measurement == measurement).expect("a row");
        let found = row.fields.iter().find(|(name, ..)| *name == field).expect("a field");
        number(&found.1).expect("a number")
    }
}

/// Windows of one stream: processes begin, end, begin again under the same pid, and are left out of a window.
pub(super) fn stream(rng: &mut Rng, host: &str, name: &str, first_s: u64, count: u64) -> Vec<Sent> {
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
        all.push(Sent { head, rows, step: 0 });
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

/// The windows of a stream that are in the same step become one, at the end of the last: counters add up, of the others the last
/// value is left. `step` says how long the step is that a window's end is in.
pub(super) fn put_together(sent: &[Sent], step: impl Fn(u64) -> u64) -> Vec<Sent> {
    let mut ordered: Vec<&Sent> = sent.iter().collect();
    ordered.sort_by_key(|one| (one.head.stream.clone(), one.head.end));
    let mut out: Vec<Sent> = Vec::new();
    for one in ordered {
        let step = step(one.head.end.0);
        let number = |end: u64| (end - 1).checked_div(step);
        let open = out.last_mut().filter(|last| {
            last.head.stream == one.head.stream
                && last.step == step
                && step > 0
                && number(last.head.end.0) == number(one.head.end.0)
        });
        let Some(last) = open else {
            out.push(Sent { step, ..one.clone() });
            continue;
        };
        last.head.end = one.head.end;
        for row in &one.rows {
            let same = |known: &&mut Row| known.measurement == row.measurement && known.tags == row.tags;
            let Some(known) = last.rows.iter_mut().find(same) else {
                last.rows.push(row.clone());
                continue;
            };
            for (name, value, counter) in &row.fields {
                match known.fields.iter_mut().find(|field| field.0 == *name) {
                    None => known.fields.push((name, value.clone(), *counter)),
                    Some((_, FieldValue::Int(sum), true)) => {
                        let FieldValue::Int(value) = value else { panic!("counters are integers") };
                        *sum += value;
                    }
                    Some(field) => field.1 = value.clone(),
                }
            }
        }
    }
    out
}

/// What the store is to give of these windows, from the first to the last.
pub(super) fn model(sent: &[Sent]) -> Model {
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
                    samples.insert(one.head.end.0, (&*one.head.stream, value, one.step));
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
        for (time, (stream, value, step)) in &samples {
            let ends = &streams[stream];
            let at = ends.binary_search(time).expect("the window's end");
            if total
                && let Some(before) = at.checked_sub(1).map(|at| ends[at])
                && !samples.contains_key(&before)
                && time - before <= 60 * SECOND + step
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
pub(super) fn asked(model: &Model, matchers: &[Matcher], span: Span) -> Model {
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

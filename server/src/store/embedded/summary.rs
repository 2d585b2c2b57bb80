//! What is left of the values of a step: pure.
//!
//! * Of a counter: their sum. Running sums are then what they were at the times that are kept.
//! * Of a level: the last, the least and the greatest, and their mean. A level whose name begins with `max_` is the greatest.
//! * Of a text: the last.
//! * Of what programs push, whose samples come at times of their own: the last, the least and the greatest. A stale marker is a last
//!   value, and neither least nor greatest.
//!
//! What follows from the last value, as it does for all that stood still, is not written.

use std::collections::HashMap;

use agent_common::wire::registry;

use super::builder::{Builder, Placed};
use super::chunk::Aggregate;
use super::column::Column;
use super::row::{Cell, Kind};
use super::step::Step;
use super::total;
use crate::store::PUSHED;

/// What becomes of a field's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A counter.
    Sum,
    /// A level of which the greatest counts.
    Greatest,
    /// Any other.
    Last,
    /// Pushed: how many there were is not known.
    Pushed,
}

/// The way of a field of a measurement.
pub(super) fn way(measurement: &str, field: &str) -> Way {
    match registry::field(measurement, field).map(|field| field.kind) {
        Some(registry::Kind::Counter) => Way::Sum,
        _ if measurement == PUSHED => Way::Pushed,
        _ if field.starts_with("max_") => Way::Greatest,
        _ => Way::Last,
    }
}

/// The values of some time, of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    /// How many they were.
    pub(super) count: i64,
    /// Last, least and greatest, as in a [`Column`].
    pub(super) last: u64,
    pub(super) least: u64,
    pub(super) greatest: u64,
    /// Sum of their distances from the last.
    pub(super) excess: Excess,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Excess {
    Int(i128),
    Float(f64),
}

impl Summary {
    pub(super) fn one(kind: Kind, value: u64) -> Self {
        let excess = if kind == Kind::Float { Excess::Float(0.0) } else { Excess::Int(0) };
        Self { count: 1, last: value, least: value, greatest: value, excess }
    }

    /// Takes in the values of the time after.
    fn append(&mut self, way: Way, kind: Kind, next: &Self) {
        if way == Way::Sum {
            let sum = amount(kind, self.last).saturating_add(amount(kind, next.last));
            *self = Self { count: self.count + next.count, ..Self::one(Kind::Int, sum.cast_unsigned()) };
            return;
        }
        let less = |a: u64, b: u64| match kind {
            Kind::Float => f64::from_bits(a) < f64::from_bits(b),
            _ => a.cast_signed() < b.cast_signed(),
        };
        let ended = |value: u64| kind == Kind::Float && f64::from_bits(value).is_nan();
        if less(next.least, self.least) || ended(self.least) {
            self.least = next.least;
        }
        if less(self.greatest, next.greatest) || ended(self.greatest) {
            self.greatest = next.greatest;
        }
        let last = if way == Way::Greatest { self.greatest } else { next.last };
        if way == Way::Pushed {
            self.last = last;
            return;
        }
        self.excess = match (self.excess, next.excess) {
            (Excess::Float(a), Excess::Float(b)) => {
                let from = |count: i64, old: u64| count as f64 * (f64::from_bits(old) - f64::from_bits(last));
                Excess::Float(a + b + from(self.count, self.last) + from(next.count, next.last))
            }
            (Excess::Int(a), Excess::Int(b)) => {
                let from = |count: i64, old: u64| {
                    i128::from(count) * (i128::from(old.cast_signed()) - i128::from(last.cast_signed()))
                };
                Excess::Int(a + b + from(self.count, self.last) + from(next.count, next.last))
            }
            (one, _) => one,
        };
        (self.count, self.last) = (self.count + next.count, last);
    }

    /// Their sum.
    pub(super) fn sum(&self, kind: Kind) -> f64 {
        let last = number(kind, self.last);
        let excess = match self.excess {
            Excess::Int(excess) => excess as f64,
            Excess::Float(excess) => excess,
        };
        last * self.count as f64 + excess
    }
}

/// A value as a number; a text is none.
pub(super) fn number(kind: Kind, value: u64) -> f64 {
    match kind {
        Kind::Float => f64::from_bits(value),
        Kind::Text => f64::NAN,
        _ => value.cast_signed() as f64,
    }
}

fn amount(kind: Kind, value: u64) -> i64 {
    let cell = match kind {
        Kind::Float => Cell::Float(value),
        Kind::Text => return 0,
        _ => Cell::Int(value.cast_signed()),
    };
    total::amount(cell).unwrap_or(0)
}

/// What a slot says beside the last value, of one series' field: each where it is not what follows from that.
#[derive(Debug, Default)]
pub(super) struct Beside<'a>([Option<(&'a [u32], &'a Column)>; 5]);

impl<'a> Beside<'a> {
    pub(super) fn set(&mut self, aggregate: Aggregate, places: &'a [u32], column: &'a Column) {
        self.0[aggregate as usize] = Some((places, column));
    }

    fn at(&self, aggregate: Aggregate, place: u32) -> u64 {
        let Some((places, column)) = self.0[aggregate as usize] else { return 0 };
        places.binary_search(&place).map_or(0, |at| column.values[at])
    }

    /// The summary of a value; `count` is how many there are by default.
    pub(super) fn summary(&self, kind: Kind, place: u32, value: u64, count: i64) -> Summary {
        let mut one = Summary::one(kind, value);
        one.count = count - self.at(Aggregate::Missing, place).cast_signed();
        if kind == Kind::Float {
            let stored = |aggregate| self.0[aggregate as usize].is_some();
            if stored(Aggregate::Least) {
                one.least = self.at(Aggregate::Least, place);
            }
            if stored(Aggregate::Greatest) {
                one.greatest = self.at(Aggregate::Greatest, place);
            }
            one.excess = Excess::Float(f64::from_bits(self.at(Aggregate::Excess, place)));
        } else {
            one.least = value.wrapping_sub(self.at(Aggregate::Least, place));
            one.greatest = value.wrapping_add(self.at(Aggregate::Greatest, place));
            one.excess = Excess::Int(self.at(Aggregate::Excess, place).cast_signed().into());
        }
        one
    }
}

/// Steps of times: of each, the last time and how many windows are in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) times: Vec<i64>,
    pub(super) windows: Vec<i64>,
    /// The step of each of the times that they were made of.
    of: Vec<u32>,
}

impl Steps {
    /// Of ascending times, each with its count of windows.
    pub(super) fn new(step: Step, times: &[i64], windows: impl Fn(i64) -> i64) -> Self {
        let mut steps = Self::default();
        let mut number = None;
        for time in times {
            if number.replace(step.number(*time)) == Some(step.number(*time)) {
                // SANITY: the step before was pushed.
                *steps.times.last_mut().expect("a step") = *time;
                *steps.windows.last_mut().expect("a step") += windows(*time);
            } else {
                steps.times.push(*time);
                steps.windows.push(windows(*time));
            }
            steps.of.push(steps.times.len() as u32 - 1);
        }
        steps
    }
}

/// The columns of one series over steps. `windows` has the count of windows of each time that the columns' places mean.
pub(super) fn fold(
    columns: &[Placed],
    steps: &Steps,
    windows: &[i64],
    way_of: impl Fn(u32) -> Way,
) -> Vec<Placed> {
    let mut out = Vec::new();
    for placed in columns.iter().filter(|placed| placed.aggregate == Aggregate::Value) {
        let kind = placed.column.kind;
        let explicit = |placed: &Placed| placed.explicit().into_owned();
        let beside: Vec<(Aggregate, Vec<u32>, &Column)> = columns
            .iter()
            .filter(|other| other.field == placed.field && other.aggregate != Aggregate::Value)
            .filter(|other| other.aggregate == Aggregate::Missing || other.column.kind == kind)
            .map(|other| (other.aggregate, explicit(other), &other.column))
            .collect();
        let mut all = Beside::default();
        for (aggregate, places, column) in &beside {
            all.set(*aggregate, places, column);
        }
        let way = if kind == Kind::Text { Way::Last } else { way_of(placed.field) };
        let (mut places, mut summaries): (Vec<u32>, Vec<Summary>) = (Vec::new(), Vec::new());
        for (place, value) in placed.iter() {
            let mut one = if beside.is_empty() {
                Summary { count: windows[place as usize], ..Summary::one(kind, value) }
            } else {
                all.summary(kind, place, value, windows[place as usize])
            };
            if way == Way::Sum {
                let sum = amount(kind, value).cast_unsigned();
                one = Summary { count: one.count, ..Summary::one(Kind::Int, sum) };
            }
            let step = steps.of[place as usize];
            match summaries.last_mut() {
                Some(last) if places.last() == Some(&step) => {
                    last.append(way, if way == Way::Sum { Kind::Int } else { kind }, &one);
                }
                _ => {
                    places.push(step);
                    summaries.push(one);
                }
            }
        }
        let kind = if way == Way::Sum { Kind::Int } else { kind };
        put(&mut out, placed, kind, way, (&places, &summaries), steps);
    }
    out
}

/// Writes summaries as columns.
fn put(
    out: &mut Vec<Placed>,
    of: &Placed,
    kind: Kind,
    way: Way,
    (places, summaries): (&[u32], &[Summary]),
    steps: &Steps,
) {
    let mut add = |aggregate: Aggregate, kind: Kind, values: Vec<u64>| {
        let texts = if kind == Kind::Text { of.column.texts.clone() } else { Vec::new() };
        out.push(Placed::with(of.field, aggregate, places.to_vec(), Column { kind, values, texts }));
    };
    add(Aggregate::Value, kind, summaries.iter().map(|one| one.last).collect());
    let missing =
        |(place, one): (&u32, &Summary)| (steps.windows[*place as usize] - one.count).cast_unsigned();
    let missing: Vec<u64> = places.iter().zip(summaries).map(missing).collect();
    if way != Way::Pushed && missing.iter().any(|missing| *missing != 0) {
        add(Aggregate::Missing, Kind::Int, missing);
    }
    if kind == Kind::Text {
        return;
    }
    let column = |value: &dyn Fn(&Summary) -> u64| summaries.iter().map(value).collect::<Vec<_>>();
    if summaries.iter().any(|one| one.least != one.last) {
        let least = |one: &Summary| match kind {
            Kind::Float => one.least,
            _ => one.last.wrapping_sub(one.least),
        };
        add(Aggregate::Least, kind, column(&least));
    }
    if summaries.iter().any(|one| one.greatest != one.last) {
        let greatest = |one: &Summary| match kind {
            Kind::Float => one.greatest,
            _ => one.greatest.wrapping_sub(one.last),
        };
        add(Aggregate::Greatest, kind, column(&greatest));
    }
    if way == Way::Pushed {
        return;
    }
    let excess = |one: &Summary| match one.excess {
        Excess::Float(excess) => excess.to_bits(),
        Excess::Int(excess) => {
            i64::try_from(excess).unwrap_or(if excess < 0 { i64::MIN } else { i64::MAX }).cast_unsigned()
        }
    };
    let excess = column(&excess);
    if excess.iter().any(|excess| *excess != 0 && *excess != (-0.0_f64).to_bits()) {
        add(Aggregate::Excess, kind, excess);
    }
}

/// The ways of the fields that were asked for, by measurement and id.
#[derive(Debug, Default)]
pub(super) struct Ways {
    names: HashMap<u32, String>,
    known: HashMap<String, HashMap<u32, Way>>,
}

impl Ways {
    pub(super) fn new(fields: impl Iterator<Item = (u32, String)>) -> Self {
        Self { names: fields.collect(), known: HashMap::new() }
    }

    /// Those of these fields of a measurement.
    pub(super) fn of(&mut self, measurement: &str, fields: impl Iterator<Item = u32>) -> &HashMap<u32, Way> {
        let Self { names, known } = self;
        if !known.contains_key(measurement) {
            known.insert(measurement.to_owned(), HashMap::new());
        }
        // SANITY: it is there, or was put there above.
        let known = known.get_mut(measurement).expect("a known measurement");
        for field in fields {
            let find = || names.get(&field).map_or(Way::Last, |name| way(measurement, name));
            known.entry(field).or_insert_with(find);
        }
        known
    }
}

/// The builder with the steps of another, which is in order.
pub(super) fn over_steps(
    builder: &Builder,
    step: Step,
    windows: &HashMap<i64, i64>,
    mut measurement: impl FnMut(u32) -> rusqlite::Result<Option<String>>,
    ways: &mut Ways,
) -> rusqlite::Result<(Builder, Vec<u64>)> {
    let of = |time: i64| windows.get(&time).copied().unwrap_or(1);
    let steps = Steps::new(step, builder.times(), of);
    let each: Vec<i64> = builder.times().iter().map(|time| of(*time)).collect();
    let mut series = Vec::with_capacity(builder.series().len());
    for (id, columns) in builder.series() {
        // One that retention has forgotten is in no catalogue: nobody can ask for it.
        let Some(measurement) = measurement(*id)? else { continue };
        let ways = ways.of(&measurement, columns.iter().map(|placed| placed.field));
        let way = |field: u32| ways.get(&field).copied().unwrap_or(Way::Last);
        series.push((*id, fold(columns, &steps, &each, way)));
    }
    let mut ends: Vec<i64> = Vec::new();
    for end in builder.ends() {
        match ends.last_mut() {
            Some(last) if step.number(*last) == step.number(*end) => *last = *end,
            _ => ends.push(*end),
        }
    }
    let windows = steps.windows.iter().map(|count| count.cast_unsigned()).collect();
    Ok((Builder::ordered(steps.times, ends, series), windows))
}

//! Old points: what is older than a day becomes one point in ten seconds, what is older than a week one in a minute.
//!
//! The slots of ten minutes become pieces of an hour one by one, the pieces of an hour that is over one slot, and so on: each a
//! transaction that takes less time than a write may wait. At each moment there is one resolution of each time.

use std::collections::HashMap;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::Options;
use super::builder::Builder;
use super::retain::{self, count_deleted};
use super::roll::{self, Counted, MAX_SLOT_SAMPLES, Place};
use super::slot::Slot;
use super::step::{self, Step};
use super::summary::{self, Ways};
use super::total;

/// `part` of a slot that waits for the others of its time.
const PIECE: i64 = 2;

/// A slot to be made.
struct Work {
    stream: i64,
    end_ns: i64,
    step: Step,
    part: i64,
    /// Of these.
    from: Vec<i64>,
}

/// Makes one slot, if one is due.
pub(super) fn thin(conn: &mut Connection, options: &Options, now: SystemTime) -> rusqlite::Result<bool> {
    let Some(newest) = retain::newest(conn, now)? else { return Ok(false) };
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(work) = choose(&tx, options, newest)? else { return Ok(false) };
    make(&tx, &work)?;
    tx.commit()?;
    Ok(true)
}

fn choose(tx: &Connection, options: &Options, newest: i64) -> rusqlite::Result<Option<Work>> {
    for (from, to, age) in step::ages(options) {
        if age >= options.max_age {
            break;
        }
        let before = newest.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
        let oldest: Option<(i64, i64)> = tx
            .prepare_cached(
                "SELECT stream, end_ns FROM slot WHERE step = ? AND part = 0 AND end_ns <= ? ORDER BY end_ns LIMIT 1",
            )?
            .query_row((from.ns, before), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((stream, end_ns)) = oldest {
            let from = of(tx, from, (stream, end_ns), 0)?;
            return Ok(Some(Work { stream, end_ns: to.slot_end(end_ns), step: to, part: PIECE, from }));
        }
        let over: Option<(i64, i64)> = tx
            .prepare_cached(
                "SELECT stream, end_ns FROM slot WHERE step = ? AND part = ? AND end_ns <= ? ORDER BY end_ns LIMIT 1",
            )?
            .query_row((to.ns, PIECE, before), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((stream, end_ns)) = over {
            let mut from = of(tx, to, (stream, end_ns), PIECE)?;
            // Pieces of windows that came late join those that are together already.
            let together = of(tx, to, (stream, end_ns), 0)?;
            if samples(tx, &from)? + samples(tx, &together)? < MAX_SLOT_SAMPLES as i64 {
                from.splice(0..0, together);
            }
            return Ok(Some(Work { stream, end_ns, step: to, part: 0, from }));
        }
    }
    Ok(None)
}

/// Ids of the slots of a stream and time, as many as fit into one.
fn of(tx: &Connection, step: Step, (stream, end_ns): (i64, i64), part: i64) -> rusqlite::Result<Vec<i64>> {
    tx.prepare_cached(
        "SELECT id FROM slot WHERE step = ? AND part = ? AND end_ns = ? AND stream = ? ORDER BY id",
    )?
    .query_map((step.ns, part, end_ns, stream), |row| row.get(0))?
    .collect()
}

fn samples(tx: &Connection, slots: &[i64]) -> rusqlite::Result<i64> {
    let mut statement = tx.prepare_cached("SELECT samples FROM slot WHERE id = ?")?;
    slots.iter().map(|id| statement.query_row([id], |row| row.get::<_, i64>(0))).sum()
}

fn make(tx: &Connection, work: &Work) -> rusqlite::Result<()> {
    let (mut builder, mut counted) = (Builder::default(), Counted::default());
    let mut windows: HashMap<i64, i64> = HashMap::new();
    let mut summed = true;
    roll::take_slots(tx, &work.from, &mut builder, &mut counted, |slot: &Slot| {
        for (place, time) in slot.times.0.iter().enumerate() {
            *windows.entry(*time).or_default() += slot.count(place as u32);
        }
        summed &= slot.summed;
    })?;
    builder.order();
    let before = builder.samples();
    let mut fields = tx.prepare_cached("SELECT id, name FROM field")?;
    let fields: Vec<(u32, String)> =
        fields.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let measurement = |series: u32| {
        tx.prepare_cached("SELECT measurement FROM series WHERE id = ?")?
            .query_row([series], |row| row.get::<_, String>(0))
            .optional()
    };
    let mut ways = Ways::new(fields.into_iter());
    let (steps, counts) = summary::over_steps(&builder, work.step, &windows, measurement, &mut ways)?;
    count_deleted(tx, "samples put together", before as i64 - steps.samples() as i64)?;
    if work.part == 0 {
        let series = steps.series().iter().map(|(id, _)| *id);
        total::forget_within(tx, series, work.end_ns - work.step.slot_ns, work.end_ns)?;
    }
    let Work { stream, end_ns, step, part, .. } = *work;
    let place = Place { stream, end_ns, step, part, summed };
    roll::insert(tx, place, &counted, steps, Some(counts))
}

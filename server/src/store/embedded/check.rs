//! Whether the store is sound: what SQLite says of the file, whether all stored bytes decode, and whether the running sums are
//! those of the amounts. Changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::Connection;

use super::chunk::Aggregate;
use super::row::{Item, Row};
use super::slot::{self, Slot};
use super::step::MINUTE;
use super::{Reader, catalogue, retain, total};
use crate::store::StoreError;

/// Damages named; more are counted.
const MAX_NAMED: usize = 100;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Slots, windows at the head, series and running sums that were looked at.
    pub slots: u64,
    /// See `slots`.
    pub head_windows: u64,
    /// See `slots`.
    pub series: u64,
    /// See `slots`.
    pub sums: u64,
    /// What is wrong, the first of it.
    pub damages: Vec<String>,
    /// How much is wrong.
    pub damaged: u64,
}

impl Checked {
    fn wrong(&mut self, what: String) {
        self.damaged += 1;
        if self.damages.len() < MAX_NAMED {
            self.damages.push(what);
        }
    }
}

/// Amounts by series and field.
type Amounts = BTreeMap<(u32, u32), i64>;

impl Reader {
    /// Looks at everything; `progress` is called with how many of how many slots are done.
    pub fn check(&self, mut progress: impl FnMut(u64, u64)) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        let tx = self.conn().unchecked_transaction().map_err(|e| self.error(e))?;
        let result = quick_check(&tx, &mut checked)
            .and_then(|()| series(&tx, &mut checked))
            .and_then(|()| head(&tx, &mut checked))
            .and_then(|()| slots(&tx, &mut checked, &mut progress));
        match result {
            Ok(()) => {}
            // The file itself is damaged: what SQLite said of it is known, the rest cannot be read.
            Err(error) if checked.damaged > 0 => checked.wrong(format!("the rest cannot be read: {error}")),
            Err(error) => match self.error(error) {
                error @ StoreError::Corrupt { .. } => checked.wrong(error.to_string()),
                error => return Err(error),
            },
        }
        Ok(checked)
    }
}

fn quick_check(conn: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(&format!("PRAGMA quick_check({MAX_NAMED})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        if text != "ok" {
            checked.wrong(format!("the file: {text}"));
        }
    }
    Ok(())
}

fn series(conn: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    let mut statement = conn.prepare("SELECT id, measurement, fields FROM series")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        checked.series += 1;
        let fields = row.get_ref(2)?.as_blob_or_null()?;
        if fields.is_some_and(|fields| catalogue::unpack_fields(fields).is_err()) {
            let (id, measurement): (i64, String) = (row.get(0)?, row.get(1)?);
            checked.wrong(format!("series {id} ({measurement}): its list of fields does not decode"));
        }
    }
    Ok(())
}

fn head(conn: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(
        "SELECT host, seq, samples, body FROM head JOIN stream ON stream.id = head.stream ORDER BY head.id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        checked.head_windows += 1;
        let mut samples = 0;
        let read = Row::unpack(row.get_ref(3)?.as_blob()?)
            .and_then(|window| window.read(|item| samples += i64::from(matches!(item, Item::Field(..)))));
        let name = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
            let (host, seq): (String, i64) = (row.get(0)?, row.get(1)?);
            Ok(format!("window {seq} of {host}"))
        };
        match read {
            Err(damage) => checked.wrong(format!("{}: {damage}", name(row)?)),
            Ok(()) if samples != row.get::<_, i64>(2)? => {
                checked
                    .wrong(format!("{}: it has {samples} values, not as many as were written", name(row)?));
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Slots of one time, to be compared with the running sums at its ends.
#[derive(Default)]
struct Block {
    /// Number of the first ten minutes, and of those after it.
    slots: (i64, i64),
    amounts: Amounts,
    /// Whether it can be compared: every slot decodes and has running sums, and no time is in two of them.
    sound: bool,
    times: HashSet<(i64, i64)>,
}

fn slots(
    conn: &Connection,
    checked: &mut Checked,
    progress: &mut impl FnMut(u64, u64),
) -> rusqlite::Result<()> {
    let all: i64 = conn.query_row("SELECT count(*) FROM slot", [], |row| row.get(0))?;
    let mut counters = Counters::new(conn)?;
    let mut block = Block::default();
    // Retention deletes the oldest slots one by one, not their amounts in the sums.
    let mut comparable = !retain::deleted(conn)?.iter().any(|(what, _)| what == "windows by retention");
    let ids: Vec<i64> = conn
        .prepare("SELECT id FROM slot ORDER BY end_ns, id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        let (end_ns, part, samples): (i64, i64, i64) = conn
            .prepare_cached("SELECT end_ns, part, samples FROM slot WHERE id = ?")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let end = MINUTE.slot_end(end_ns);
        let numbers = ((end - MINUTE.slot_ns) / total::SLOT_NS, end / total::SLOT_NS);
        if block.slots != numbers {
            if comparable {
                compare(conn, checked, &block)?;
            }
            comparable |= block.slots != (0, 0);
            block = Block { slots: numbers, sound: true, ..Block::default() };
        }
        read_slot(conn, checked, &mut block, &mut counters, (id, part, samples))?;
        checked.slots += 1;
        progress(checked.slots, all.cast_unsigned());
    }
    if comparable {
        compare(conn, checked, &block)?;
    }
    Ok(())
}

fn read_slot(
    conn: &Connection,
    checked: &mut Checked,
    block: &mut Block,
    counters: &mut Counters,
    (id, part, samples): (i64, i64, i64),
) -> rusqlite::Result<()> {
    let sql = format!("{} WHERE id = ?", slot::SELECT);
    let mut found = 0;
    let read = conn.prepare_cached(&sql)?.query_row([id], Slot::read).and_then(|slot| {
        // The amounts of parts are in no running sum yet.
        let summed = part != 1;
        if summed {
            block.sound &= slot.summed;
            block.sound &= slot.times.0.iter().all(|time| block.times.insert((slot.stream, *time)));
        }
        let all = ((0, 0), (u32::MAX, u32::MAX));
        slot.columns(
            conn,
            all,
            |_| true,
            |packed| {
                let (places, column) = packed.decode(slot.times.0.len())?;
                if packed.aggregate != Aggregate::Value {
                    return Ok(());
                }
                found += places.len();
                let (field, series) = packed.key;
                if summed && counters.has(series, field) {
                    let amounts = column.values.iter().filter_map(|value| total::amount(column.cell(*value)));
                    let sum = amounts.fold(0, i64::saturating_add);
                    let entry = block.amounts.entry((series, field)).or_default();
                    *entry = entry.saturating_add(sum);
                }
                Ok(())
            },
        )
    });
    let name = || -> rusqlite::Result<String> {
        conn.prepare_cached(
            "SELECT host, slot.end_ns FROM slot JOIN stream ON stream.id = slot.stream WHERE slot.id = ?",
        )?
        .query_row([id], |row| {
            let (host, end): (String, i64) = (row.get(0)?, row.get(1)?);
            Ok(format!("slot {id} of {host} up to {}", agent_common::text::utc(end.cast_unsigned())))
        })
    };
    match read {
        Ok(()) if found as i64 == samples => {}
        Ok(()) => {
            block.sound = false;
            checked.wrong(format!("{}: it has {found} values, its row says {samples}", name()?));
        }
        Err(rusqlite::Error::FromSqlConversionFailure(_, _, damage)) => {
            block.sound = false;
            checked.wrong(format!("{}: {damage}", name()?));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The amounts of a block are what running sums rise by within it.
fn compare(conn: &Connection, checked: &mut Checked, block: &Block) -> rusqlite::Result<()> {
    if !block.sound {
        return Ok(());
    }
    for ((series, field), amount) in &block.amounts {
        let sums = total::before(conn, *series, *field, block.slots.0)
            .and_then(|before| Ok((before, total::before(conn, *series, *field, block.slots.1)?)));
        checked.sums += 1;
        let from = agent_common::text::utc((block.slots.0 * total::SLOT_NS).cast_unsigned());
        match sums {
            Ok((before, after)) if after.saturating_sub(before) == *amount => {}
            Ok((before, after)) => checked.wrong(format!(
                "running sum of field {field} of series {series}: it rises by {} in the six hours from {from}, its amounts are \
                 {amount}",
                after.saturating_sub(before)
            )),
            Err(rusqlite::Error::FromSqlConversionFailure(_, _, damage)) => {
                checked.wrong(format!("running sums of series {series} from {from}: {damage}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Which fields of which series are counters.
struct Counters {
    measurements: HashMap<u32, usize>,
    known: Vec<HashSet<u32>>,
}

impl Counters {
    fn new(conn: &Connection) -> rusqlite::Result<Self> {
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let (mut measurements, mut known) = (HashMap::new(), Vec::new());
        let mut statement = conn.prepare("SELECT id, measurement FROM series")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let measurement: String = row.get(1)?;
            let number = if let Some(number) = numbers.get(&measurement) {
                *number
            } else {
                known.push(total::counter_ids(conn, &measurement)?);
                numbers.insert(measurement, known.len() - 1);
                known.len() - 1
            };
            measurements.insert(row.get(0)?, number);
        }
        Ok(Self { measurements, known })
    }

    fn has(&self, series: u32, field: u32) -> bool {
        self.measurements.get(&series).is_some_and(|number| self.known[*number].contains(&field))
    }
}

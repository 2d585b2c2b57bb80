//! Columns of numbers: times, severities, processes, positions. All that is read is checked against the header.

use std::collections::HashMap;

use super::bytes::{Input, put, unzigzag, zigzag};
use super::{BlockError, Header};
use crate::record::Severity;

/// Steps that clocks of logs have: ns, µs, ms, s.
const UNITS: [u64; 4] = [1_000_000_000, 1_000_000, 1_000, 1];

/// What a column does not agree with.
const HEADER: BlockError = BlockError::Damaged { what: "the header does not say what the lines are" };

/// Times, oldest first: the unit, then per line the time since the line before.
pub(super) fn put_times(out: &mut Vec<u8>, times: &[u64]) {
    let first = times.first().copied().unwrap_or(0);
    let unit = UNITS.into_iter().find(|unit| times.iter().all(|at| (at - first) % unit == 0)).unwrap_or(1);
    put(out, unit);
    let mut before = first;
    for at in times.iter().skip(1) {
        put(out, (at - before) / unit);
        before = *at;
    }
}

pub(super) fn read_times(raw: &[u8], header: &Header) -> Result<Vec<u64>, BlockError> {
    let mut input = Input::new(raw, "times");
    let unit = input.number()?;
    let mut at = header.t0.0;
    let mut times = Vec::with_capacity(header.lines as usize);
    times.push(at);
    for _ in 1..header.lines {
        let later = input.number()?.checked_mul(unit).and_then(|span| at.checked_add(span));
        at = later.ok_or(HEADER)?;
        times.push(at);
    }
    input.end()?;
    if at == header.t1.0 { Ok(times) } else { Err(HEADER) }
}

/// One byte if all lines have the same severity, else one a line.
pub(super) fn put_severities(out: &mut Vec<u8>, severities: &[u8], mask: u16) {
    if mask.is_power_of_two() {
        out.push(mask.trailing_zeros() as u8);
    } else {
        out.extend_from_slice(severities);
    }
}

pub(super) fn read_severities(mut raw: Vec<u8>, header: &Header) -> Result<Vec<u8>, BlockError> {
    let lines = header.lines as usize;
    if let [only] = raw[..] {
        raw.resize(lines, only);
    }
    let mut mask = 0;
    for severity in &raw {
        if usize::from(*severity) >= Severity::ALL.len() {
            return Err(BlockError::Damaged { what: "a line has an unknown severity" });
        }
        mask |= 1_u16 << severity;
    }
    if raw.len() == lines && mask == header.severities { Ok(raw) } else { Err(HEADER) }
}

/// The processes that wrote the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pids {
    /// Each process once: its id, and when it started (boot time in ns).
    pub processes: Vec<(u32, u64)>,
    /// Per line the index of its process; empty if there is but one.
    index: Vec<u16>,
}

impl Pids {
    /// Index into [`Self::processes`] of a line's process.
    #[must_use]
    pub fn of_line(&self, line: usize) -> usize {
        self.index.get(line).map_or(0, |index| usize::from(*index))
    }
}

/// Each process once, then per line its index: nothing, one or two bytes.
pub(super) fn put_pids(out: &mut Vec<u8>, processes: &[(u32, u64)]) {
    let mut known: HashMap<(u32, u64), u16> = HashMap::new();
    let mut order = Vec::new();
    let mut index = Vec::with_capacity(processes.len());
    let mut last = None;
    for process in processes.iter().copied() {
        let at = match last {
            Some((before, at)) if before == process => at,
            _ => *known.entry(process).or_insert_with(|| {
                order.push(process);
                (order.len() - 1) as u16
            }),
        };
        last = Some((process, at));
        index.push(at);
    }
    put(out, order.len() as u64);
    for (pid, start_ns) in &order {
        put(out, u64::from(*pid));
        put(out, *start_ns);
    }
    put_index(out, &index, order.len());
}

/// Per item the index of one of `count` things: nothing if there is one, else one or two bytes.
pub(super) fn put_index(out: &mut Vec<u8>, index: &[u16], count: usize) {
    match count {
        0 | 1 => {}
        2..=256 => out.extend(index.iter().map(|at| *at as u8)),
        _ => out.extend(index.iter().flat_map(|at| at.to_le_bytes())),
    }
}

/// What [`put_index`] wrote for `items` items; empty if there is one thing alone.
pub(super) fn read_index(input: &mut Input<'_>, items: usize, count: usize) -> Result<Vec<u16>, BlockError> {
    let index: Vec<u16> = match count {
        0 => return Err(BlockError::Damaged { what: "an index of nothing" }),
        1 => Vec::new(),
        2..=256 => input.take(items)?.iter().map(|at| u16::from(*at)).collect(),
        _ => input.take(items * 2)?.chunks_exact(2).map(|at| u16::from_le_bytes([at[0], at[1]])).collect(),
    };
    if index.iter().any(|at| usize::from(*at) >= count) {
        return Err(BlockError::Damaged { what: "an index is too great" });
    }
    Ok(index)
}

pub(super) fn read_pids(raw: &[u8], header: &Header) -> Result<Pids, BlockError> {
    let mut input = Input::new(raw, "processes");
    let lines = header.lines as usize;
    let count = input.at_most(lines, "processes")?;
    let mut processes = Vec::with_capacity(count);
    for _ in 0..count {
        let pid = u32::try_from(input.number()?).map_err(|_| HEADER)?;
        processes.push((pid, input.number()?));
    }
    let index = read_index(&mut input, lines, count)?;
    input.end()?;
    let pids = || processes.iter().map(|(pid, _)| *pid);
    let range = pids().min().zip(pids().max());
    if range == Some(header.pids) { Ok(Pids { processes, index }) } else { Err(HEADER) }
}

/// Positions as differences from the line before. In a file the difference is the length of that line and of what a message leaves
/// out; so it is also tried with the length taken off, and what repeats more often is kept.
pub(super) fn put_positions(out: &mut Vec<u8>, positions: &[u64], lengths: &[u32], least: u64) {
    let first = positions.first().copied().unwrap_or(least);
    put(out, first.wrapping_sub(least));
    let differences = |by_length: bool| {
        let factor = u64::from(by_length);
        positions.windows(2).zip(lengths).map(move |(pair, length)| {
            pair[1].wrapping_sub(pair[0]).wrapping_sub(factor * u64::from(*length))
        })
    };
    let repeats = |by_length: bool| {
        differences(by_length).zip(differences(by_length).skip(1)).filter(|(one, next)| one == next).count()
    };
    let by_length = repeats(true) > repeats(false);
    out.push(u8::from(by_length));
    for difference in differences(by_length) {
        put(out, zigzag(difference as i64));
    }
}

/// `length_of`: bytes of a line's message.
pub(super) fn read_positions(
    raw: &[u8],
    header: &Header,
    length_of: impl Fn(usize) -> usize,
) -> Result<Vec<u64>, BlockError> {
    let mut input = Input::new(raw, "positions");
    let mut at = header.positions.0.wrapping_add(input.number()?);
    let by_length = match input.byte()? {
        0 => false,
        1 => true,
        _ => return Err(BlockError::Damaged { what: "positions are kept in no known way" }),
    };
    let mut positions = Vec::with_capacity(header.lines as usize);
    positions.push(at);
    for line in 1..header.lines as usize {
        let length = if by_length { length_of(line - 1) as u64 } else { 0 };
        at = at.wrapping_add(unzigzag(input.number()?) as u64).wrapping_add(length);
        positions.push(at);
    }
    input.end()?;
    let range = positions.iter().min().zip(positions.iter().max());
    if range == Some((&header.positions.0, &header.positions.1)) { Ok(positions) } else { Err(HEADER) }
}

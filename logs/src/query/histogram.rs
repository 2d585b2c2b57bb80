//! How many lines match, over time and by severity.

use std::ops::ControlFlow;

use agent_common::units::{DurNs, UnixNs};

use super::engine::{Blocks, Effort, Job, Limits, Look, Round, Stop, run};
use super::possible::Possible;
use super::scan::{Scan, Scanner};
use super::{Query, SearchError};
use crate::block::{Block, BlockError, Header};
use crate::record::Severity;

/// Steps of a histogram at most: as many as a wide screen has pixels.
pub const MAX_STEPS: u64 = 4096;

/// Lines of one step, by the number of [`Severity`].
pub type Counts = [u64; Severity::ALL.len()];

/// How many lines match, over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// When the first step begins.
    pub from: UnixNs,
    /// How long each is; the last may end later than the query.
    pub step: DurNs,
    /// Lines of each step, by severity.
    pub steps: Vec<Counts>,
    /// Steps before this time lack lines.
    pub back_to: UnixNs,
    /// Why it ended.
    pub stop: Stop,
    /// What it went through.
    pub effort: Effort,
}

/// Counts the lines that match; of [`Limits`] the number of lines does not count. What the query lets be known by headers alone, or by
/// times and severities, is counted without decoding messages. The query has to have a beginning and an end.
pub fn histogram<B: Blocks>(
    query: &Query,
    step: DurNs,
    blocks: &mut B,
    limits: &Limits<'_>,
) -> Result<Histogram, SearchError<B::Error>> {
    let span = query.to.0.saturating_sub(query.from.0);
    let steps = if step.0 == 0 { 0 } else { span.div_ceil(step.0) };
    if steps == 0 || steps > MAX_STEPS {
        return Err(SearchError::Steps { steps, max: MAX_STEPS });
    }
    let look = Count { query: query.clone(), step: step.0 };
    let mut job = Total { look, steps: vec![Counts::default(); steps as usize], back_to: query.to };
    let (stop, effort) = run(blocks, limits, &mut job)?;
    let back_to = job.back_to.max(query.from).min(query.to);
    Ok(Histogram { from: query.from, step, steps: job.steps, back_to, stop, effort })
}

struct Count {
    query: Query,
    step: u64,
}

impl Count {
    fn step_of(&self, at: u64) -> usize {
        (at.saturating_sub(self.query.from.0) / self.step) as usize
    }

    /// The step and the severity of all lines of a block, if they have but one.
    fn single(&self, header: &Header) -> (Option<usize>, Option<u8>) {
        let (first, last) = (self.step_of(header.t0.0), self.step_of(header.t1.0));
        let inside = header.t0 >= self.query.from && header.t1 < self.query.to && first == last;
        let mask = header.severities;
        (inside.then_some(first), mask.is_power_of_two().then(|| mask.trailing_zeros() as u8))
    }
}

impl Look for Count {
    /// Step, severity, lines.
    type Result = Vec<(usize, u8, u64)>;

    fn query(&self) -> &Query {
        &self.query
    }

    fn look(
        &self,
        scanner: &mut Scanner,
        block: &Block<'_>,
        possible: Possible,
    ) -> Result<Self::Result, BlockError> {
        let (step, severity) = self.single(block.header());
        let mut found = None;
        if !possible.all {
            let mut scan = Scan::new(block, scanner);
            found = Some(scan.lines(&self.query)?);
            scan.end();
        }
        let count = found.as_ref().map_or(block.header().lines as usize, super::bits::Bits::count) as u64;
        if let (Some(step), Some(severity)) = (step, severity) {
            return Ok(vec![(step, severity, count)]);
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let times = if step.is_none() { block.times(&mut scanner.codec)? } else { Vec::new() };
        let severities = if severity.is_none() { block.severities(&mut scanner.codec)? } else { Vec::new() };
        let mut counts: Vec<(usize, u8, u64)> = Vec::new();
        let mut by_severity = [0_u64; Severity::ALL.len()];
        let mut current = None;
        for line in 0..block.header().lines as usize {
            if found.as_ref().is_some_and(|found| !found.has(line)) {
                continue;
            }
            let step = step.or_else(|| times.get(line).map(|at| self.step_of(*at)));
            let severity = severity.or_else(|| severities.get(line).copied()).map_or(0, usize::from);
            if step != current {
                drain(&mut by_severity, current, &mut counts);
                current = step;
            }
            if let Some(count) = by_severity.get_mut(severity) {
                *count += 1;
            }
        }
        drain(&mut by_severity, current, &mut counts);
        Ok(counts)
    }
}

fn drain(by_severity: &mut Counts, step: Option<usize>, counts: &mut Vec<(usize, u8, u64)>) {
    for (severity, count) in
        std::mem::take(by_severity).into_iter().enumerate().filter(|(_, count)| *count > 0)
    {
        counts.extend(step.map(|step| (step, severity as u8, count)));
    }
}

struct Total {
    look: Count,
    steps: Vec<Counts>,
    back_to: UnixNs,
}

impl Total {
    fn add(&mut self, step: usize, severity: u8, lines: u64) {
        if let Some(count) = self.steps.get_mut(step).and_then(|step| step.get_mut(usize::from(severity))) {
            *count += lines;
        }
    }
}

impl Job for Total {
    type Look = Count;

    fn look(&self) -> &Count {
        &self.look
    }

    fn by_header(&mut self, header: &Header, possible: Possible) -> bool {
        let single = self.look.single(header);
        if let (true, (Some(step), Some(severity))) = (possible.all, single) {
            self.add(step, severity, u64::from(header.lines));
            return true;
        }
        false
    }

    fn take(&mut self, round: Round<Vec<(usize, u8, u64)>>) -> ControlFlow<Stop> {
        for (step, severity, lines) in round.results.into_iter().flatten() {
            self.add(step, severity, lines);
        }
        self.back_to =
            round.horizon.map_or(self.look.query.from, |horizon| UnixNs(horizon.0.saturating_add(1)));
        ControlFlow::Continue(())
    }
}

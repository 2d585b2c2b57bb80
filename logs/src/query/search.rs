//! The newest lines that match.

use std::ops::ControlFlow;

use agent_common::units::UnixNs;

use super::engine::{Blocks, Effort, Job, Limits, Look, Round, Stop, run};
use super::possible::Possible;
use super::scan::{Scan, Scanner};
use super::{Query, SearchError};
use crate::block::{Block, BlockError, Header};
use crate::record::{Record, Stream};

/// Lines of an answer at most: what a page or a terminal can show.
pub const MAX_LINES_OF_ANSWER: usize = 100_000;
/// Text that waits for older blocks at most, so that lines come in order. Beyond it the oldest lines are left out, and the answer says
/// that it goes back less far.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// A line that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Where it is from.
    pub stream: Stream,
    /// The line.
    pub record: Record,
}

impl Hit {
    fn key(&self) -> (UnixNs, u64, &Stream) {
        (self.record.at, self.record.position, &self.stream)
    }

    fn bytes(&self) -> usize {
        let fields = self.record.fields.iter().map(|(name, value)| name.len() + value.len() + 48);
        self.record.message.len() + fields.sum::<usize>() + size_of::<Self>()
    }
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Lines that were handed out.
    pub lines: usize,
    /// No line at or after this is missing, but those of damaged blocks. Of lines at this very time some may be, if the answer was full.
    pub back_to: UnixNs,
    /// Why it ended.
    pub stop: Stop,
    /// What it went through.
    pub effort: Effort,
}

/// Hands out the newest lines that match, newest first; of the same time by position. `emit` may end it.
pub fn search<B: Blocks>(
    query: &Query,
    blocks: &mut B,
    limits: &Limits<'_>,
    emit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
) -> Result<Answer, SearchError<B::Error>> {
    let wanted = limits.lines.min(MAX_LINES_OF_ANSWER);
    let look = LookForLines { query: query.clone(), wanted };
    let mut job = Newest { look, waiting: Vec::new(), lines: 0, back_to: UnixNs(u64::MAX), emit };
    if wanted == 0 {
        let effort = Effort::default();
        return Ok(Answer { lines: 0, back_to: query.to, stop: Stop::Lines, effort });
    }
    let (stop, effort) = run(blocks, limits, &mut job)?;
    let back_to = job.back_to.max(query.from).min(query.to);
    Ok(Answer { lines: job.lines, back_to, stop, effort })
}

struct LookForLines {
    /// Its `from` rises when lines have to be left out.
    query: Query,
    /// Lines that are still wanted.
    wanted: usize,
}

impl Look for LookForLines {
    type Result = Vec<Hit>;

    fn query(&self) -> &Query {
        &self.query
    }

    fn look(&self, scanner: &mut Scanner, block: &Block<'_>, _: Possible) -> Result<Vec<Hit>, BlockError> {
        self.query.hits(block, self.wanted, scanner)
    }
}

impl Query {
    /// The newest lines of a block that match, newest first.
    pub fn hits(
        &self,
        block: &Block<'_>,
        wanted: usize,
        scanner: &mut Scanner,
    ) -> Result<Vec<Hit>, BlockError> {
        let mut scan = Scan::new(block, scanner);
        let found = scan.lines(self)?;
        let mut hits = Vec::new();
        if found.is_empty() {
            scan.end();
            return Ok(hits);
        }
        let lines = scan.decoded()?;
        let stream = &block.header().stream;
        for line in found.newest_first().take(wanted).filter_map(|line| lines.get(line)) {
            hits.push(Hit { stream: stream.clone(), record: line.into() });
        }
        scan.end();
        scanner.reuse(lines);
        Ok(hits)
    }
}

struct Newest<'e> {
    look: LookForLines,
    /// Lines that older blocks may have lines between, newest first.
    waiting: Vec<Hit>,
    lines: usize,
    back_to: UnixNs,
    emit: &'e mut dyn FnMut(Hit) -> ControlFlow<()>,
}

impl Newest<'_> {
    /// Leaves out the oldest lines that are too many.
    fn trim(&mut self) {
        self.waiting.sort_by(|one, other| other.key().cmp(&one.key()));
        self.waiting.truncate(self.look.wanted);
        let mut bytes = 0;
        let over = self.waiting.iter().position(|hit| {
            bytes += hit.bytes();
            bytes > MAX_WAITING_BYTES
        });
        if let Some(oldest) = over.and_then(|at| self.waiting.get(at)).map(|hit| hit.record.at) {
            self.waiting.retain(|hit| hit.record.at > oldest);
            self.look.query.from = UnixNs(oldest.0.saturating_add(1));
        }
    }
}

impl Job for Newest<'_> {
    type Look = LookForLines;

    fn look(&self) -> &LookForLines {
        &self.look
    }

    fn by_header(&mut self, _: &Header, _: Possible) -> bool {
        false
    }

    fn take(&mut self, round: Round<Vec<Hit>>) -> ControlFlow<Stop> {
        self.waiting.extend(round.results.into_iter().flatten());
        self.trim();
        let ready = match round.horizon {
            Some(horizon) => self.waiting.partition_point(|hit| hit.record.at > horizon),
            None => self.waiting.len(),
        };
        for hit in self.waiting.drain(..ready) {
            self.back_to = hit.record.at;
            self.lines += 1;
            self.look.wanted -= 1;
            if (self.emit)(hit).is_break() {
                return ControlFlow::Break(Stop::Caller);
            }
            if self.look.wanted == 0 {
                return ControlFlow::Break(Stop::Lines);
            }
        }
        // All that is newer than the horizon has been handed out.
        let after = round.horizon.map_or(UnixNs(0), |horizon| UnixNs(horizon.0.saturating_add(1)));
        self.back_to = after.max(self.look.query.from);
        ControlFlow::Continue(())
    }
}

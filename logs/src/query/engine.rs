//! Going through a store's blocks, newest first, with several threads and a deadline.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use agent_common::units::UnixNs;

use super::possible::{Possible, possible};
use super::scan::Scanner;
use super::{Query, SearchError};
use crate::block::filter::{CELL_BYTES, may_have};
use crate::block::{Block, BlockError, Header};

/// Blocks per thread that are looked at between two answers. As many are in memory at once, 1 MiB each at most as a rule.
const ROUND: usize = 8;
/// Threads of a search at most.
pub const MAX_THREADS: usize = 64;
/// Blocks whose headers and filters are tested between two looks at the deadline.
const TESTS_PER_LOOK: u64 = 64;

/// A block that may have lines of an answer.
#[derive(Debug, Clone)]
pub struct Candidate<Id> {
    /// What the store knows it by.
    pub id: Id,
    /// What is known without reading it: what [`Header::read`] said when the block was kept. Of positions and length nothing is
    /// made here.
    pub header: Header,
    /// Bytes of its filter; 0: it has none.
    pub filter_bytes: u64,
}

/// What a store has of blocks. It need not be right: a block or a filter that is damaged is counted and passed over.
pub trait Blocks {
    /// What it knows blocks by.
    type Id;
    /// What can go wrong.
    type Error: std::error::Error + 'static;

    /// The next block, by [`Header::t1`], the newest first. The store leaves out what it knows to have no answer, by time, by
    /// [`Query::takes`] or by columns of its own.
    fn next(&mut self) -> Option<Result<Candidate<Self::Id>, Self::Error>>;

    /// Reads 32 bytes of a block's filter.
    fn filter_cell(
        &mut self,
        id: &Self::Id,
        offset: u64,
        cell: &mut [u8; CELL_BYTES],
    ) -> Result<(), Self::Error>;

    /// Reads a block; nothing if it has been deleted meanwhile.
    fn load(&mut self, id: &Self::Id) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// How much a search may take.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Lines of the answer at most.
    pub lines: usize,
    /// Threads at most, the caller's included.
    pub threads: usize,
    /// Whether the time is over. It is asked before each block, by all threads.
    pub over: &'a (dyn Fn() -> bool + Sync),
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// All blocks have been searched.
    Complete,
    /// There are as many lines as were asked for.
    Lines,
    /// The time was over.
    Deadline,
    /// The caller wanted no more.
    Caller,
}

/// What a search went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effort {
    /// Blocks whose header was looked at.
    pub blocks: u64,
    /// Of those, the ones that were decoded.
    pub decoded: u64,
    /// Blocks that are damaged: their lines are missing.
    pub damaged: u64,
}

/// What a round ends with.
pub(super) struct Round<R> {
    /// Of each block that was looked at.
    pub(super) results: Vec<R>,
    /// All lines newer than this have been looked at; nothing: all lines.
    pub(super) horizon: Option<UnixNs>,
}

/// What threads do with blocks.
pub(super) trait Look: Sync {
    /// What comes out of one block.
    type Result: Send;

    /// What is searched for.
    fn query(&self) -> &Query;

    /// Looks at a block.
    fn look(
        &self,
        scanner: &mut Scanner,
        block: &Block<'_>,
        possible: Possible,
    ) -> Result<Self::Result, BlockError>;
}

/// What is done with what comes out.
pub(super) trait Job {
    /// What threads do.
    type Look: Look;

    /// The same between two rounds.
    fn look(&self) -> &Self::Look;

    /// Whether a block's header alone says enough. `possible`: what it says.
    fn by_header(&mut self, header: &Header, possible: Possible) -> bool;

    /// Takes what a round brought, and says whether there is to be another.
    fn take(&mut self, round: Round<<Self::Look as Look>::Result>) -> ControlFlow<Stop>;
}

/// What a thread takes: a block that has to be decoded.
struct Task {
    header: Header,
    possible: Possible,
    bytes: Vec<u8>,
}

/// Goes through the blocks in rounds, of one block at first: the newest lines are often in the newest block.
pub(super) fn run<B: Blocks, J: Job>(
    blocks: &mut B,
    limits: &Limits<'_>,
    job: &mut J,
) -> Result<(Stop, Effort), SearchError<B::Error>> {
    let threads = limits.threads.clamp(1, MAX_THREADS);
    let mut scanners: Vec<Scanner> = std::iter::repeat_with(Scanner::default).take(threads).collect();
    let mut effort = Effort::default();
    let mut next = blocks.next().transpose().map_err(SearchError::Store)?;
    let mut size = 1;
    loop {
        let (mut tasks, mut stopped) = (Vec::new(), false);
        while tasks.len() < size {
            let Some(candidate) = next.as_ref() else { break };
            if effort.blocks % TESTS_PER_LOOK == 0 && (limits.over)() {
                stopped = true;
                break;
            }
            effort.blocks += 1;
            if let Some(task) = task(blocks, candidate, job)? {
                tasks.push(task);
            }
            next = blocks.next().transpose().map_err(SearchError::Store)?;
        }
        let (results, unseen) = look_at(&tasks, job.look(), &mut scanners, limits.over, &mut effort);
        stopped |= unseen.is_some();
        let horizon = unseen.max(next.as_ref().map(|candidate| candidate.header.t1));
        let is_last = next.is_none() && !stopped;
        match job.take(Round { results, horizon: if is_last { None } else { horizon } }) {
            ControlFlow::Break(stop) => return Ok((stop, effort)),
            ControlFlow::Continue(()) if stopped => return Ok((Stop::Deadline, effort)),
            ControlFlow::Continue(()) if is_last => return Ok((Stop::Complete, effort)),
            ControlFlow::Continue(()) => {}
        }
        size = (size * 2).min(threads * ROUND);
    }
}

/// The block, if header and filter do not say enough.
fn task<B: Blocks, J: Job>(
    blocks: &mut B,
    candidate: &Candidate<B::Id>,
    job: &mut J,
) -> Result<Option<Task>, SearchError<B::Error>> {
    let header = &candidate.header;
    let mut known = possible(job.look().query(), header, &mut |_| true);
    if known.some && !known.all && candidate.filter_bytes > 0 {
        let mut failed = None;
        known = possible(job.look().query(), header, &mut |token| {
            let read = &mut |offset, cell: &mut _| blocks.filter_cell(&candidate.id, offset, cell);
            may_have(token, candidate.filter_bytes, read).unwrap_or_else(|error| {
                failed = Some(error);
                true
            })
        });
        if let Some(error) = failed {
            return Err(SearchError::Store(error));
        }
    }
    if !known.some || job.by_header(header, known) {
        return Ok(None);
    }
    let bytes = blocks.load(&candidate.id).map_err(SearchError::Store)?;
    Ok(bytes.map(|bytes| Task { header: header.clone(), possible: known, bytes }))
}

/// Looks at the blocks with all threads. Also the newest time of a block that none has come to.
fn look_at<L: Look>(
    tasks: &[Task],
    look: &L,
    scanners: &mut [Scanner],
    over: &(dyn Fn() -> bool + Sync),
    effort: &mut Effort,
) -> (Vec<L::Result>, Option<UnixNs>) {
    let next = AtomicUsize::new(0);
    let results = Mutex::new((Vec::new(), 0_u64, None::<UnixNs>));
    let work = |scanner: &mut Scanner| {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = if over() {
                None
            } else {
                // The store's row may be of another block than its bytes are.
                Some(Block::open(&task.bytes).and_then(|block| {
                    let known = |header: &Header| (header.t0, header.t1, header.lines);
                    if known(block.header()) != known(&task.header) {
                        return Err(BlockError::Damaged { what: "the store has another header" });
                    }
                    look.look(scanner, &block, task.possible)
                }))
            };
            let Ok(mut all) = results.lock() else { return };
            match result {
                Some(Ok(result)) => all.0.push(result),
                Some(Err(_)) => all.1 += 1,
                None => all.2 = all.2.max(Some(task.header.t1)),
            }
        }
    };
    if let ([scanner], _) | ([scanner, ..], 0 | 1) = (&mut *scanners, tasks.len()) {
        work(scanner);
    } else if let Some((own, others)) = scanners.split_first_mut() {
        std::thread::scope(|scope| {
            for scanner in others.iter_mut().take(tasks.len() - 1) {
                scope.spawn(|| work(scanner));
            }
            work(own);
        });
    }
    let (results, damaged, unseen) = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    effort.damaged += damaged;
    effort.decoded += results.len() as u64 + damaged;
    (results, unseen)
}

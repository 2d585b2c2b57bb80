//! All columns of a block, and its lines.

use std::borrow::Cow;

use agent_common::units::UnixNs;

use super::fields::Cells;
use super::{Block, BlockError, Codec, Fields, Messages, Pids};
use crate::record::{Record, Severity};

/// One line of a block. What is not UTF-8 (only a hostile block has that) reads as U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// When; Unix time.
    pub at: UnixNs,
    /// How grave.
    pub severity: Severity,
    /// Process that wrote it; 0: not known.
    pub pid: u32,
    /// When that process started, boot time in ns; 0: not known.
    pub start_ns: u64,
    /// Where it begins in its source.
    pub position: u64,
    /// The text.
    pub message: Cow<'a, str>,
    /// Further fields, in their order.
    pub fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl From<Line<'_>> for Record {
    fn from(line: Line<'_>) -> Self {
        Self {
            at: line.at,
            severity: line.severity,
            pid: line.pid,
            start_ns: line.start_ns,
            position: line.position,
            message: line.message.into_owned(),
            fields: line
                .fields
                .into_iter()
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        }
    }
}

/// A decoded block.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    times: Vec<u64>,
    severities: Vec<u8>,
    pids: Pids,
    positions: Vec<u64>,
    messages: Messages,
    fields: Fields<'a>,
    cells: Cells,
}

impl<'a> Lines<'a> {
    pub(super) fn decode(block: &Block<'a>, codec: &mut Codec) -> Result<Self, BlockError> {
        let messages = block.messages(codec, Vec::new())?;
        let fields = block.fields(codec)?;
        Self::with(block, codec, messages, fields)
    }

    /// With columns that are decoded already.
    pub(crate) fn with(
        block: &Block<'a>,
        codec: &mut Codec,
        mut messages: Messages,
        mut fields: Fields<'a>,
    ) -> Result<Self, BlockError> {
        let positions = block.positions(codec, &mut messages)?;
        fields.load(codec)?;
        let cells = fields.cells();
        let (times, severities) = (block.times(codec)?, block.severities(codec)?);
        Ok(Self { times, severities, pids: block.pids(codec)?, positions, messages, fields, cells })
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is none: never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Time and position of a line: what lines are sorted by.
    #[must_use]
    pub fn key(&self, line: usize) -> Option<(UnixNs, u64)> {
        Some((UnixNs(*self.times.get(line)?), *self.positions.get(line)?))
    }

    /// A line; the oldest is 0.
    #[must_use]
    pub fn get(&self, line: usize) -> Option<Line<'_>> {
        let (at, position) = self.key(line)?;
        let (pid, start_ns) = self.pids.processes.get(self.pids.of_line(line)).copied()?;
        let mut fields = Vec::new();
        self.fields.of_line(&self.cells, line, &mut fields);
        Some(Line {
            at,
            severity: Severity::of_number(u64::from(*self.severities.get(line)?)),
            pid,
            start_ns,
            position,
            message: String::from_utf8_lossy(self.messages.get(line)),
            fields,
        })
    }

    /// The lines, oldest first; `.rev()` for newest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Line<'_>> {
        (0..self.len()).filter_map(|line| self.get(line))
    }

    /// The memory of the messages, to be used again.
    pub(crate) fn into_spare(self) -> Vec<u8> {
        self.messages.into_spare()
    }
}

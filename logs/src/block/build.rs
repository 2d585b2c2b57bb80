//! Making a block, line by line.

use agent_common::units::UnixNs;

use super::fields::{SHARED, encode};
use super::header::stream_bytes;
use super::numbers::{put_pids, put_positions, put_severities, put_times};
use super::text::split;
use super::{
    BlockError, Codec, END, Header, MAX_FIELD_VALUES, MAX_LABELS, MAX_LINE_BYTES, MAX_LINES,
    MAX_NAMED_FIELDS, MAX_STREAM_BYTES, MAX_TEXT_BYTES, PushError,
};
use crate::record::{Record, Stream};

/// Collects the lines of one stream into a block. An empty one has no memory but its stream; a full one has its text (up to
/// 1 MiB, or one line) and 60 bytes a line, 1.5 MiB in all.
#[derive(Debug, Clone)]
pub struct Builder {
    stream: Stream,
    times: Vec<u64>,
    severities: Vec<u8>,
    processes: Vec<(u32, u64)>,
    positions: Vec<u64>,
    /// Messages, each ended by [`END`].
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Columns with a name of their own, in the order in which they were first seen.
    names: Vec<String>,
    /// Per field its column; per line the end of its fields.
    shapes: Vec<u8>,
    shape_ends: Vec<usize>,
    /// Values, each ended by [`END`]; of the shared column name and value.
    values: Vec<u8>,
    value_ends: Vec<usize>,
    text_bytes: usize,
    non_ascii: bool,
    /// The lines came by time and position so far.
    sorted: bool,
}

/// A block, and the filter of its tokens.
pub type Finished = (Vec<u8>, Vec<u8>);

/// Bytes that a record counts with.
fn bytes_of(message: &str, fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> usize {
    let fields = fields.iter().map(|(name, value)| name.as_ref().len() + value.as_ref().len());
    fields.fold(message.len(), usize::saturating_add)
}

impl Builder {
    /// For the lines of this stream.
    pub fn new(stream: Stream) -> Result<Self, BlockError> {
        let (labels, bytes) = (stream.labels().count(), stream_bytes(&stream));
        for (what, value, max) in
            [("labels", labels, MAX_LABELS), ("bytes of labels", bytes, MAX_STREAM_BYTES)]
        {
            if value > max {
                return Err(BlockError::Limit { what, value: value as u64, max: max as u64 });
            }
        }
        Ok(Self {
            stream,
            times: Vec::new(),
            severities: Vec::new(),
            processes: Vec::new(),
            positions: Vec::new(),
            text: Vec::new(),
            ends: Vec::new(),
            names: Vec::new(),
            shapes: Vec::new(),
            shape_ends: Vec::new(),
            values: Vec::new(),
            value_ends: Vec::new(),
            text_bytes: 0,
            non_ascii: false,
            sorted: true,
        })
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Lines so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no line yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Bytes of messages, names and values so far.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Takes a line, unless the block is full.
    pub fn push(&mut self, record: &Record) -> Result<(), PushError> {
        let numbers = (record.at.0, record.severity as u8, (record.pid, record.start_ns), record.position);
        self.push_parts(numbers, &record.message, &record.fields)
    }

    /// Time, severity, process, position; message; fields.
    pub(super) fn push_parts(
        &mut self,
        (at, severity, process, position): (u64, u8, (u32, u64), u64),
        message: &str,
        fields: &[(impl AsRef<str>, impl AsRef<str>)],
    ) -> Result<(), PushError> {
        let bytes = bytes_of(message, fields);
        if bytes > MAX_LINE_BYTES || fields.len() > MAX_FIELD_VALUES {
            return Err(PushError::TooLarge { bytes, max: MAX_LINE_BYTES });
        }
        let full = self.len() == MAX_LINES
            || self.text_bytes + bytes > MAX_TEXT_BYTES
            || self.shapes.len() + fields.len() > MAX_FIELD_VALUES;
        if full && !self.is_empty() {
            return Err(PushError::Full);
        }
        if let (Some(last), Some(position_before)) = (self.times.last(), self.positions.last()) {
            self.sorted &= (*last, *position_before) <= (at, position);
        }
        self.times.push(at);
        self.severities.push(severity);
        self.processes.push(process);
        self.positions.push(position);
        self.text.extend_from_slice(message.as_bytes());
        self.text.push(END);
        self.ends.push(self.text.len());
        self.non_ascii |= !message.is_ascii();
        for (at, (name, value)) in fields.iter().enumerate() {
            let (name, value) = (name.as_ref(), value.as_ref());
            let column = self.column(name, at);
            if column == SHARED {
                self.values.extend_from_slice(name.as_bytes());
                self.values.push(END);
            }
            self.values.extend_from_slice(value.as_bytes());
            self.values.push(END);
            self.shapes.push(column);
            self.non_ascii |= !value.is_ascii();
        }
        self.shape_ends.push(self.shapes.len());
        self.value_ends.push(self.values.len());
        self.text_bytes += bytes;
        Ok(())
    }

    /// The column of a name. `hint`: which field of its line it is, as most lines have the same fields in the same order.
    fn column(&mut self, name: &str, hint: usize) -> u8 {
        if self.names.get(hint).is_some_and(|known| known == name) {
            return hint as u8;
        }
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return at as u8;
        }
        if self.names.len() == MAX_NAMED_FIELDS {
            return SHARED;
        }
        self.names.push(name.to_owned());
        (self.names.len() - 1) as u8
    }

    /// The block of the lines so far, or nothing if there is none. The builder is empty then and keeps its memory; drop it if no
    /// more lines are to be expected soon.
    pub fn finish(&mut self, codec: &mut Codec) -> Result<Option<Vec<u8>>, BlockError> {
        Ok(self.make(codec, false)?.map(|(block, _)| block))
    }

    /// As [`Self::finish`], with the [filter](crate::block::filter) of the block's tokens.
    pub fn finish_with_filter(&mut self, codec: &mut Codec) -> Result<Option<Finished>, BlockError> {
        self.make(codec, true)
    }

    fn make(&mut self, codec: &mut Codec, with_filter: bool) -> Result<Option<Finished>, BlockError> {
        if !self.sorted {
            self.sort();
        }
        let Some(header) = self.header() else { return Ok(None) };
        let (mut head, mut body, mut raw) = (Vec::with_capacity(256), Vec::new(), Vec::new());
        header.put(&mut head);
        put_times(&mut raw, &self.times);
        codec.put(&raw, &mut head, &mut body)?;
        raw.clear();
        put_severities(&mut raw, &self.severities, header.severities);
        codec.put(&raw, &mut head, &mut body)?;
        raw.clear();
        put_pids(&mut raw, &self.processes);
        codec.put(&raw, &mut head, &mut body)?;
        raw.clear();
        let mut start = 0;
        let lengths = self.ends.iter().map(|end| (end - std::mem::replace(&mut start, *end) - 1) as u32);
        put_positions(&mut raw, &self.positions, &lengths.collect::<Vec<_>>(), header.positions.0);
        codec.put(&raw, &mut head, &mut body)?;
        if let Some(parts) = split(&self.text, self.len()) {
            for section in [&[], &*parts.templates, &parts.index, &parts.numbers, &parts.others] {
                codec.put(section, &mut head, &mut body)?;
            }
        } else {
            codec.put(&self.text, &mut head, &mut body)?;
        }
        let encoded = encode(&self.names, self.len(), |line| self.fields(line));
        codec.put(&encoded.head, &mut head, &mut body)?;
        head.push(encoded.groups.len() as u8);
        for group in &encoded.groups {
            codec.put(group, &mut head, &mut body)?;
        }
        let mut filter = Vec::new();
        if with_filter {
            codec.tokens.start(self.text_bytes);
            codec.tokens.text(&self.text);
            for (at, column) in encoded.columns().enumerate() {
                codec.tokens.column(self.names.get(at).map(String::as_str), &column);
            }
            filter = codec.tokens.filter();
        }
        self.clear();
        Ok(Some((Header::seal(&head, &body), filter)))
    }

    fn header(&self) -> Option<Header> {
        let pids = || self.processes.iter().map(|(pid, _)| *pid);
        Some(Header {
            stream: self.stream.clone(),
            lines: self.len() as u32,
            text_bytes: self.text_bytes as u64,
            t0: UnixNs(*self.times.first()?),
            t1: UnixNs(*self.times.last()?),
            severities: self.severities.iter().fold(0, |mask, severity| mask | 1 << severity),
            pids: (pids().min()?, pids().max()?),
            positions: (*self.positions.iter().min()?, *self.positions.iter().max()?),
            non_ascii: self.non_ascii,
        })
    }

    /// Columns and values of a line's fields.
    fn fields(&self, line: usize) -> (&[u8], &[u8]) {
        (part(&self.shapes, &self.shape_ends, line), part(&self.values, &self.value_ends, line))
    }

    /// Brings the lines into the order of time, then position; equal ones stay as they came.
    fn sort(&mut self) {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_by_key(|line| (self.times[*line as usize], self.positions[*line as usize]));
        by(&order, &mut self.times);
        by(&order, &mut self.severities);
        by(&order, &mut self.processes);
        by(&order, &mut self.positions);
        let by_parts = |bytes: &mut Vec<u8>, ends: &mut Vec<usize>| {
            let mut sorted = Vec::with_capacity(bytes.len());
            let mut sorted_ends = Vec::with_capacity(ends.len());
            for line in &order {
                sorted.extend_from_slice(part(bytes, ends, *line as usize));
                sorted_ends.push(sorted.len());
            }
            (*bytes, *ends) = (sorted, sorted_ends);
        };
        by_parts(&mut self.text, &mut self.ends);
        by_parts(&mut self.shapes, &mut self.shape_ends);
        by_parts(&mut self.values, &mut self.value_ends);
        self.sorted = true;
    }

    fn clear(&mut self) {
        self.times.clear();
        self.severities.clear();
        self.processes.clear();
        self.positions.clear();
        self.text.clear();
        self.ends.clear();
        self.names.clear();
        self.shapes.clear();
        self.shape_ends.clear();
        self.values.clear();
        self.value_ends.clear();
        (self.text_bytes, self.non_ascii, self.sorted) = (0, false, true);
    }
}

/// Brings a column into another order.
fn by<T: Copy>(order: &[u32], column: &mut Vec<T>) {
    *column = order.iter().map(|line| column[*line as usize]).collect();
}

/// What lies between a line's end and the end of the line before.
fn part<'a>(bytes: &'a [u8], ends: &[usize], line: usize) -> &'a [u8] {
    let start = if line == 0 { 0 } else { ends[line - 1] };
    &bytes[start..ends[line]]
}

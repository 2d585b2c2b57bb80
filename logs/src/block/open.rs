//! A block's bytes, and its columns one by one.

use std::collections::HashSet;

use memchr::memmem::Finder;

use super::bytes::Input;
use super::codec::Section;
use super::numbers::{read_pids, read_positions, read_severities, read_times};
use super::text::join;
use super::{BlockError, Codec, END, Fields, Header, Lines, MAX_DECODED_BYTES, MAX_NAMED_FIELDS, Pids};

/// A block whose header is read. Columns are decoded when they are asked for.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    header: Header,
    times: Section<'a>,
    severities: Section<'a>,
    pids: Section<'a>,
    positions: Section<'a>,
    /// Empty if there are templates.
    messages: Section<'a>,
    /// Templates, index, numbers, others: see [`super::text`].
    templates: Vec<Section<'a>>,
    fields: Section<'a>,
    groups: Vec<Section<'a>>,
}

impl<'a> Block<'a> {
    /// Reads the header, and where the sections lie. Their bytes are checked when a column is decoded.
    pub fn open(bytes: &'a [u8]) -> Result<Self, BlockError> {
        let (header, mut head, rest) = Header::split(bytes)?;
        let mut budget = MAX_DECODED_BYTES;
        let mut next = |head: &mut Input<'a>, what| Section::read(head, what, &mut budget);
        let times = next(&mut head, "times")?;
        let severities = next(&mut head, "severities")?;
        let pids = next(&mut head, "processes")?;
        let positions = next(&mut head, "positions")?;
        let messages = next(&mut head, "messages")?;
        let mut templates = Vec::new();
        if messages.raw == 0 {
            for what in ["templates", "templates of lines", "numbers of messages", "words of messages"] {
                templates.push(next(&mut head, what)?);
            }
        }
        let fields = next(&mut head, "names of fields")?;
        let groups = Vec::new();
        let mut block =
            Self { header, times, severities, pids, positions, messages, templates, fields, groups };
        for _ in 0..head.at_most(MAX_NAMED_FIELDS + 1, "groups of columns")? {
            block.groups.push(next(&mut head, "fields")?);
        }
        head.end()?;
        let mut body = Input::new(rest, "sections");
        let own = [
            &mut block.times,
            &mut block.severities,
            &mut block.pids,
            &mut block.positions,
            &mut block.messages,
        ];
        for section in
            own.into_iter().chain(&mut block.templates).chain([&mut block.fields]).chain(&mut block.groups)
        {
            section.locate(&mut body)?;
        }
        body.end()?;
        Ok(block)
    }

    /// What is known without decoding.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes that it has at most when it is decoded: its sections, and the messages that templates are filled to. At most twice
    /// [`MAX_DECODED_BYTES`].
    #[must_use]
    pub fn decoded_bytes(&self) -> usize {
        let own = [&self.times, &self.severities, &self.pids, &self.positions, &self.messages, &self.fields];
        let sections = own.into_iter().chain(&self.templates).chain(&self.groups).map(|section| section.raw);
        sections.sum::<usize>() + if self.templates.is_empty() { 0 } else { self.message_bytes() }
    }

    /// What the messages with their ends have at most.
    fn message_bytes(&self) -> usize {
        let bytes = self.header.text_bytes.saturating_add(u64::from(self.header.lines));
        bytes.min(MAX_DECODED_BYTES as u64) as usize
    }

    /// When each line was written, Unix time in ns, oldest first.
    pub fn times(&self, codec: &mut Codec) -> Result<Vec<u64>, BlockError> {
        let mut raw = Vec::new();
        codec.get(&self.times, &mut raw)?;
        read_times(&raw, &self.header)
    }

    /// Each line's severity, as [`crate::Severity`]'s number.
    pub fn severities(&self, codec: &mut Codec) -> Result<Vec<u8>, BlockError> {
        let mut raw = Vec::new();
        codec.get(&self.severities, &mut raw)?;
        read_severities(raw, &self.header)
    }

    /// Each line's process.
    pub fn pids(&self, codec: &mut Codec) -> Result<Pids, BlockError> {
        let mut raw = Vec::new();
        codec.get(&self.pids, &mut raw)?;
        read_pids(&raw, &self.header)
    }

    /// Each line's position in its source.
    pub fn positions(&self, codec: &mut Codec, messages: &mut Messages) -> Result<Vec<u64>, BlockError> {
        let mut raw = Vec::new();
        codec.get(&self.positions, &mut raw)?;
        messages.index();
        read_positions(&raw, &self.header, |line| messages.get(line).len())
    }

    /// All messages. `spare`: a vector whose memory is used again.
    pub fn messages(&self, codec: &mut Codec, spare: Vec<u8>) -> Result<Messages, BlockError> {
        let mut bytes = spare;
        if let [templates, index, numbers, others] = &self.templates[..] {
            let mut parts = std::mem::take(&mut codec.parts);
            codec.get(templates, &mut parts.templates)?;
            codec.get(index, &mut parts.index)?;
            codec.get(numbers, &mut parts.numbers)?;
            codec.get(others, &mut parts.others)?;
            join(&parts, self.header.lines as usize, self.message_bytes(), &mut bytes)?;
            codec.parts = parts;
        } else {
            codec.get(&self.messages, &mut bytes)?;
        }
        let count = memchr::memchr_iter(END, &bytes).count();
        if count != self.header.lines as usize || bytes.last() != Some(&END) {
            return Err(BlockError::Damaged { what: "there are other messages than lines" });
        }
        Ok(Messages { bytes, ends: Vec::new() })
    }

    /// Whether a message may have these letters together, one of which is no hexadecimal digit. They are in no number then: of a block
    /// whose messages are templates, templates and words say so, which are far less than the messages.
    pub(crate) fn may_have_letters(
        &self,
        letters: &Finder<'_>,
        codec: &mut Codec,
    ) -> Result<bool, BlockError> {
        let [templates, _, _, others] = &self.templates[..] else { return Ok(true) };
        let mut bytes = std::mem::take(&mut codec.parts.templates);
        let mut found = false;
        for section in [templates, others] {
            codec.get(section, &mut bytes)?;
            found |= letters.find(&bytes).is_some();
        }
        codec.parts.templates = bytes;
        Ok(found)
    }

    /// The fields. Decodes their names, and of each line which it has.
    pub fn fields(&self, codec: &mut Codec) -> Result<Fields<'a>, BlockError> {
        let mut raw = Vec::new();
        codec.get(&self.fields, &mut raw)?;
        Fields::read(&raw, &self.header, &self.groups)
    }

    /// All lines.
    pub fn lines(&self, codec: &mut Codec) -> Result<Lines<'a>, BlockError> {
        Lines::decode(self, codec)
    }

    /// The filter of the block's tokens (see [`crate::block::filter`]).
    pub fn filter(&self, codec: &mut Codec) -> Result<Vec<u8>, BlockError> {
        let messages = self.messages(codec, Vec::new())?;
        let mut fields = self.fields(codec)?;
        let mut tokens = std::mem::take(&mut codec.tokens);
        tokens.start(self.header.text_bytes.min(MAX_DECODED_BYTES as u64) as usize);
        tokens.text(messages.bytes());
        let names = fields.names().to_vec();
        for column in 0..names.len() + usize::from(fields.has_shared()) {
            let values = fields.column(column, codec)?;
            tokens.column(names.get(column).map(String::as_str), &values);
        }
        let filter = tokens.filter();
        codec.tokens = tokens;
        Ok(filter)
    }

    /// Decodes everything, and checks that the header says what the lines are. The store does so before it keeps a block.
    pub fn verify(&self, codec: &mut Codec) -> Result<(), BlockError> {
        const UNTRUE: BlockError = BlockError::Damaged { what: "the header does not say what the text is" };
        let times = self.times(codec)?;
        self.severities(codec)?;
        self.pids(codec)?;
        let mut messages = self.messages(codec, Vec::new())?;
        let positions = self.positions(codec, &mut messages)?;
        let mut text_bytes = (messages.bytes().len() - self.header.lines as usize) as u64;
        let mut ascii = true;
        for line in 0..self.header.lines as usize {
            let message = std::str::from_utf8(messages.get(line)).map_err(|_| UNTRUE)?;
            ascii &= message.is_ascii();
        }
        let mut fields = self.fields(codec)?;
        if fields.names().iter().collect::<HashSet<_>>().len() != fields.names().len() {
            return Err(BlockError::Damaged { what: "two columns have one name" });
        }
        for at in 0..fields.names().len() + usize::from(fields.has_shared()) {
            let name = fields.names().get(at).map(String::len);
            let column = fields.column(at, codec)?;
            let mut lengths = Vec::new();
            for (number, value) in column.each().enumerate() {
                let value = std::str::from_utf8(value).map_err(|_| UNTRUE)?;
                ascii &= value.is_ascii() || (name.is_none() && number % 2 == 0);
                lengths.push(value.len() + name.unwrap_or(0));
            }
            let lengths = match column.index {
                Some(index) => index.iter().map(|at| lengths[usize::from(*at)]).sum::<usize>(),
                None => lengths.iter().sum(),
            };
            text_bytes += lengths as u64;
        }
        let is_sorted = times.iter().zip(&positions).is_sorted();
        if text_bytes != self.header.text_bytes || ascii == self.header.non_ascii || !is_sorted {
            return Err(UNTRUE);
        }
        Ok(())
    }
}

/// The messages of a block, each ended by [`END`].
#[derive(Debug, Clone, Default)]
pub struct Messages {
    bytes: Vec<u8>,
    /// Where each ends, once it has been asked for.
    ends: Vec<u32>,
}

impl Messages {
    /// All of them, one after the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Finds where each message ends, so that [`Self::get`] and [`Self::ends`] can say.
    pub fn index(&mut self) {
        if self.ends.is_empty() {
            self.ends = memchr::memchr_iter(END, &self.bytes).map(|end| end as u32).collect();
        }
    }

    /// Per line, where its [`END`] lies. After [`Self::index`].
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// A line's message. Empty before [`Self::index`].
    #[must_use]
    pub fn get(&self, line: usize) -> &[u8] {
        let start = if line == 0 { Some(0) } else { self.ends.get(line - 1).map(|end| *end as usize + 1) };
        let end = self.ends.get(line).map(|end| *end as usize);
        start.zip(end).and_then(|(start, end)| self.bytes.get(start..end)).unwrap_or_default()
    }

    /// The memory, to be used again.
    #[must_use]
    pub fn into_spare(self) -> Vec<u8> {
        self.bytes
    }
}

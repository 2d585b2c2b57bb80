//! Which lines of a block match, by its columns.

use super::bits::Bits;
use super::{Expr, Pattern, Phrase, Query, Test};
use crate::block::{Block, BlockError, Codec, Column, Fields, Lines, Messages, Pids};

/// With fewer candidates than one line in so many each is looked at by itself.
const FEW: usize = 32;

/// What looks at text, keeping memory from block to block.
#[derive(Debug, Default)]
pub struct Scanner {
    pub(super) codec: Codec,
    messages: Vec<u8>,
    lower: Vec<u8>,
}

impl Scanner {
    /// Takes the memory of lines that are no longer needed.
    pub(super) fn reuse(&mut self, lines: Lines<'_>) {
        self.messages = lines.into_spare();
    }
}

/// What text has to have.
#[derive(Clone, Copy)]
enum Text<'q> {
    Phrase(&'q Phrase),
    Pattern(&'q Pattern),
}

impl Text<'_> {
    fn by_line(self) -> bool {
        match self {
            Self::Phrase(phrase) => phrase.wants_folded_lines(),
            Self::Pattern(pattern) => pattern.by_line(),
        }
    }

    fn wants_lower(self) -> bool {
        matches!(self, Self::Phrase(phrase) if phrase.wants_lower())
    }

    fn is_in(self, value: &[u8]) -> bool {
        match self {
            Self::Phrase(phrase) => phrase.is_in(value),
            Self::Pattern(pattern) => pattern.matches(value),
        }
    }

    fn find(self, text: &[u8], from: usize) -> Option<usize> {
        match self {
            Self::Phrase(phrase) => phrase.find(text, from),
            Self::Pattern(pattern) => pattern.find(text, from),
        }
    }

    /// Calls `hit` with the number of each value that has it. `first` is where it is found first; `ends`: of the values.
    fn each_hit(self, text: &[u8], ends: &[u32], first: usize, mut hit: impl FnMut(usize)) {
        let (mut value, mut next) = (0, Some(first));
        while let Some(at) = next {
            value += ends[value..].partition_point(|end| (*end as usize) < at);
            let Some(end) = ends.get(value) else { return };
            hit(value);
            let from = *end as usize + 1;
            next = if from < text.len() { self.find(text, from) } else { None };
        }
    }

    /// The values of a column that have it: their places in the order of lines.
    fn in_column(self, column: &Column<'_>, lower: &mut Vec<u8>) -> Vec<u32> {
        if column.index.is_some() || self.by_line() {
            return in_values(column, |value| self.is_in(value));
        }
        let text = if self.wants_lower() { to_lower(column.values, lower) } else { column.values };
        let mut found = Vec::new();
        if let Some(first) = self.find(text, 0) {
            let ends: Vec<u32> = column.spans().into_iter().map(|(_, end)| end).collect();
            self.each_hit(text, &ends, first, |value| found.push(value as u32));
        }
        found
    }
}

/// The values of a column that pass a test: their places in the order of lines. Each different value is tested once.
fn in_values(column: &Column<'_>, test: impl Fn(&[u8]) -> bool) -> Vec<u32> {
    let passed = column.each().map(test);
    let Some(index) = column.index else {
        return passed.enumerate().filter(|(_, passed)| *passed).map(|(at, _)| at as u32).collect();
    };
    let passed: Vec<bool> = passed.collect();
    if !passed.contains(&true) {
        return Vec::new();
    }
    let hits = index.iter().enumerate().filter(|(_, value)| passed.get(usize::from(**value)) == Some(&true));
    hits.map(|(at, _)| at as u32).collect()
}

/// The pairs of the shared column with this name whose value passes a test.
fn in_pairs(column: &Column<'_>, name: &str, test: &Test) -> Vec<u32> {
    let mut values = column.each();
    let pairs = std::iter::from_fn(|| Some((values.next()?, values.next()?)));
    let hits = pairs.enumerate().filter(|(_, (known, value))| *known == name.as_bytes() && test.of(value));
    hits.map(|(at, _)| at as u32).collect()
}

fn to_lower<'l>(text: &[u8], lower: &'l mut Vec<u8>) -> &'l [u8] {
    lower.clear();
    lower.extend_from_slice(text);
    lower.make_ascii_lowercase();
    lower
}

/// A block that is being looked at. Columns are decoded when a part of the query needs them.
pub(super) struct Scan<'b, 's> {
    block: &'s Block<'b>,
    scanner: &'s mut Scanner,
    messages: Option<Messages>,
    /// `scanner.lower` is that of the messages.
    lower: bool,
    fields: Option<Fields<'b>>,
    severities: Option<Vec<u8>>,
    pids: Option<Pids>,
}

impl<'b, 's> Scan<'b, 's> {
    pub(super) fn new(block: &'s Block<'b>, scanner: &'s mut Scanner) -> Self {
        Self { block, scanner, messages: None, lower: false, fields: None, severities: None, pids: None }
    }

    /// The lines that match.
    pub(super) fn lines(&mut self, query: &Query) -> Result<Bits, BlockError> {
        let header = self.block.header();
        let mut lines = Bits::all(header.lines as usize);
        if header.t0 < query.from || header.t1 >= query.to {
            let times = self.block.times(&mut self.scanner.codec)?;
            // Sorted, in a sound block.
            for (line, at) in times.iter().enumerate() {
                if *at < query.from.0 || *at >= query.to.0 {
                    lines.unset(line);
                }
            }
        }
        if lines.is_empty() {
            return Ok(lines);
        }
        self.of(&query.expr, &lines)
    }

    /// Those of `among` that match.
    fn of(&mut self, expr: &Expr, among: &Bits) -> Result<Bits, BlockError> {
        match expr {
            Expr::All(parts) => {
                let mut left = among.clone();
                for part in parts {
                    if left.is_empty() {
                        break;
                    }
                    left = self.of(part, &left)?;
                }
                Ok(left)
            }
            Expr::Any(parts) => {
                let (mut found, mut left) = (Bits::none(among.lines()), among.clone());
                for part in parts {
                    if left.is_empty() {
                        break;
                    }
                    let more = self.of(part, &left)?;
                    left.remove(&more);
                    found.add(&more);
                }
                Ok(found)
            }
            Expr::Not(part) => {
                let mut left = among.clone();
                left.remove(&self.of(part, among)?);
                Ok(left)
            }
            Expr::Severities(mask) => self.severities(*mask, among),
            Expr::Pid(pid) => self.pid(*pid, among),
            Expr::Label { name, test } => {
                let is = test.of_label(self.block.header().stream.get(name));
                Ok(if is { among.clone() } else { Bits::none(among.lines()) })
            }
            Expr::Field { name, test } => self.field(name, test, among),
            Expr::Text(phrase) if phrase.is_foreign() && !self.block.header().non_ascii => {
                Ok(Bits::none(among.lines()))
            }
            Expr::Text(phrase) => self.text(Text::Phrase(phrase), among),
            Expr::Matches(pattern) => self.text(Text::Pattern(pattern), among),
        }
    }

    fn severities(&mut self, mask: u16, among: &Bits) -> Result<Bits, BlockError> {
        if self.severities.is_none() {
            self.severities = Some(self.block.severities(&mut self.scanner.codec)?);
        }
        let severities = self.severities.as_deref().unwrap_or_default();
        Ok(among.filtered(|line| severities.get(line).is_some_and(|severity| mask >> severity & 1 != 0)))
    }

    fn pid(&mut self, pid: u32, among: &Bits) -> Result<Bits, BlockError> {
        if self.pids.is_none() {
            self.pids = Some(self.block.pids(&mut self.scanner.codec)?);
        }
        let Some(pids) = &self.pids else { return Ok(Bits::none(among.lines())) };
        let is: Vec<bool> = pids.processes.iter().map(|(known, _)| *known == pid).collect();
        Ok(among.filtered(|line| is.get(pids.of_line(line)) == Some(&true)))
    }

    fn text(&mut self, text: Text<'_>, among: &Bits) -> Result<Bits, BlockError> {
        let mut found = Bits::none(among.lines());
        if let (Text::Pattern(pattern), None) = (text, &self.messages)
            && let Some(letters) = pattern.letters()
            && !self.block.may_have_letters(letters, &mut self.scanner.codec)?
        {
            self.text_in_fields(text, among, &mut found)?;
            return Ok(found);
        }
        if self.messages.is_none() {
            let spare = std::mem::take(&mut self.scanner.messages);
            self.messages = Some(self.block.messages(&mut self.scanner.codec, spare)?);
        }
        let Some(messages) = &mut self.messages else { return Ok(found) };
        if text.by_line() || among.count() * FEW < among.lines() {
            messages.index();
            among.iter().filter(|line| text.is_in(messages.get(*line))).for_each(|line| found.set(line));
        } else {
            if text.wants_lower() && !self.lower {
                to_lower(messages.bytes(), &mut self.scanner.lower);
                self.lower = true;
            }
            let lower = text.wants_lower().then_some(&*self.scanner.lower);
            if let Some(first) = text.find(lower.unwrap_or(messages.bytes()), 0) {
                messages.index();
                let bytes = lower.unwrap_or(messages.bytes());
                text.each_hit(bytes, messages.ends(), first, |line| found.set(line));
            }
            found.keep(among);
        }
        let mut left = among.clone();
        left.remove(&found);
        if !left.is_empty() {
            self.text_in_fields(text, &left, &mut found)?;
        }
        Ok(found)
    }

    fn load_fields(&mut self) -> Result<&mut Fields<'b>, BlockError> {
        let fields = match self.fields.take() {
            Some(fields) => fields,
            None => self.block.fields(&mut self.scanner.codec)?,
        };
        Ok(self.fields.insert(fields))
    }

    fn text_in_fields(&mut self, text: Text<'_>, among: &Bits, found: &mut Bits) -> Result<(), BlockError> {
        let mut lower = Vec::new();
        self.load_fields()?;
        let Some(fields) = &mut self.fields else { return Ok(()) };
        let named = fields.names().len();
        for at in 0..named + usize::from(fields.has_shared()) {
            let mut hits = text.in_column(&fields.column(at, &mut self.scanner.codec)?, &mut lower);
            if at == named {
                // Names and values in turn; only values are text.
                hits.retain(|hit| hit % 2 == 1);
                for hit in &mut hits {
                    *hit /= 2;
                }
            }
            set_lines(fields, at, &hits, among, found);
        }
        Ok(())
    }

    fn field(&mut self, name: &str, test: &Test, among: &Bits) -> Result<Bits, BlockError> {
        let mut found = Bits::none(among.lines());
        self.load_fields()?;
        let Some(fields) = &mut self.fields else { return Ok(found) };
        if let Some(at) = fields.names().iter().position(|known| known == name) {
            let hits = in_values(&fields.column(at, &mut self.scanner.codec)?, |value| test.of(value));
            set_lines(fields, at, &hits, among, &mut found);
        }
        if fields.has_shared() {
            let at = fields.names().len();
            let hits = in_pairs(&fields.column(at, &mut self.scanner.codec)?, name, test);
            set_lines(fields, at, &hits, among, &mut found);
        }
        Ok(found)
    }

    /// All columns, those that are decoded already included.
    pub(super) fn decoded(&mut self) -> Result<Lines<'b>, BlockError> {
        let codec = &mut self.scanner.codec;
        let messages = match self.messages.take() {
            Some(messages) => messages,
            None => self.block.messages(codec, std::mem::take(&mut self.scanner.messages))?,
        };
        let fields = match self.fields.take() {
            Some(fields) => fields,
            None => self.block.fields(codec)?,
        };
        self.lower = false;
        Lines::with(self.block, codec, messages, fields)
    }

    /// Gives the memory of the messages back to the scanner.
    pub(super) fn end(self) {
        if let Some(messages) = self.messages {
            self.scanner.messages = messages.into_spare();
        }
    }
}

/// Of the lines whose fields in a column are `hits`, those in `among` into `found`.
fn set_lines(fields: &Fields<'_>, column: usize, hits: &[u32], among: &Bits, found: &mut Bits) {
    if hits.is_empty() {
        return;
    }
    let lines = fields.lines_of(column);
    for line in hits.iter().filter_map(|hit| lines.get(*hit as usize)) {
        if among.has(usize::from(*line)) {
            found.set(usize::from(*line));
        }
    }
}

impl Query {
    /// The lines of a block that match, newest first: their numbers in [`Block::lines`].
    pub fn lines(&self, block: &Block<'_>, codec: &mut Codec) -> Result<Vec<usize>, BlockError> {
        let mut scanner = Scanner { codec: std::mem::take(codec), ..Scanner::default() };
        let found = Scan::new(block, &mut scanner).lines(self);
        *codec = scanner.codec;
        Ok(found?.newest_first().collect())
    }
}

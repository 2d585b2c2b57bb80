//! Generated lines, and a store in memory.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a part of several tests, each of which uses some of it"
)]

use std::convert::Infallible;

use agent_common::units::UnixNs;
use logs::block::{Block, Builder, Codec, PushError};
use logs::filter::CELL_BYTES;
use logs::query::{Blocks, Candidate};
use logs::{Record, Severity, Stream};

/// A deterministic source of numbers (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }
}

pub const WORDS: [&str; 24] = [
    "error",
    "Error",
    "ERROR",
    "timeout",
    "connection",
    "refused",
    "10.0.0.1",
    "110.0.0.1",
    "user_7",
    "Ärger",
    "ärger",
    "日本",
    "ΣΙΓΜΑ",
    "disk",
    "disks",
    "K",
    "k",
    "ſ",
    "s",
    "é\u{301}",
    "a=b",
    "\u{a0}",
    "x",
    "İ",
];
const BETWEEN: [&str; 10] = [" ", ": ", "-", ".", "\n", "\"", "  ", "", "\u{a0}", "…"];
pub const NAMES: [&str; 6] = ["status", "path", "user", "unit", "", "Ünï"];
pub const VALUES: [&str; 8] = ["500", "200", "/api/v1", "", "error", "Ärger x", "a b", "connection refused"];

pub fn message(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..random.below(9) {
        text.push_str(random.one(&WORDS));
        text.push_str(random.one(&BETWEEN));
    }
    if random.below(40) == 0 {
        text.extend(
            (0..random.below(2000)).map(|_| char::from_u32(random.below(0x11_0000) as u32).unwrap_or('�')),
        );
    }
    text
}

pub fn record(random: &mut Random, at: u64, wide: bool) -> Record {
    let mut fields = Vec::new();
    if random.below(2) == 0 {
        for _ in 0..random.below(if wide { 90 } else { 5 }) {
            let name =
                if wide { format!("n{}", random.below(120)) } else { (*random.one(&NAMES)).to_owned() };
            let value = match random.below(4) {
                0 => random.next().to_string(),
                _ => (*random.one(&VALUES)).to_owned(),
            };
            fields.push((name, value));
        }
    }
    Record {
        at: UnixNs(at),
        severity: Severity::of_number(random.below(9)),
        pid: if random.below(3) == 0 { random.next() as u32 } else { random.below(3) as u32 },
        start_ns: random.below(2),
        position: random.next(),
        message: message(random),
        fields,
    }
}

/// A line of few templates: such messages are kept another way than free text.
pub fn of_template(random: &mut Random) -> String {
    let (number, id) = (random.below(300), random.next());
    match random.below(5) {
        0 => format!("user_{} connection refused from 10.0.0.{}", number % 9, number % 3),
        1 => format!("error: disk {number:03} timeout x-{id:016x}"),
        2 => format!("Error {number} Ärger k{number} at 12:{:02}:07", number % 60),
        3 => format!("disk\n {id:X} s {}", number % 2),
        _ => "error ".to_owned(),
    }
}

/// Lines in roughly the order of time, some of them at the same.
pub fn records(random: &mut Random, count: u64, wide: bool) -> Vec<Record> {
    let mut at = random.below(1 << 40);
    let templates = random.below(2) == 0;
    let unit = *random.one(&[&1_u64, &1_000, &1_000_000_000]);
    let made = (0..count).map(|_| {
        at += random.below(5) * unit;
        let back = if random.below(10) == 0 { random.below(30) * unit } else { 0 };
        let mut record = record(random, at.saturating_sub(back), wide);
        if templates {
            record.message = of_template(random);
        }
        record
    });
    made.collect()
}

pub fn stream(number: u64) -> Stream {
    let unit = ["nginx.service", "Ärger.service", ""][number as usize % 3];
    Stream::new([("source", "journal"), ("unit", unit), ("comm", ["a", "b"][number as usize % 2])])
}

/// Blocks of at most `per_block` lines.
pub fn blocks(
    stream: &Stream,
    records: &[Record],
    per_block: usize,
    codec: &mut Codec,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut builder = Builder::new(stream.clone()).unwrap();
    let mut made = Vec::new();
    for record in records {
        let mut pushed = builder.push(record);
        if pushed == Err(PushError::Full) {
            made.extend(builder.finish_with_filter(codec).unwrap());
            pushed = builder.push(record);
        }
        pushed.unwrap();
        if builder.len() == per_block {
            made.extend(builder.finish_with_filter(codec).unwrap());
        }
    }
    made.extend(builder.finish_with_filter(codec).unwrap());
    made
}

/// The lines as blocks have them.
pub fn sorted(records: &[Record]) -> Vec<Record> {
    let mut sorted = records.to_vec();
    sorted.sort_by_key(|record| (record.at, record.position));
    sorted
}

pub fn decode(bytes: &[u8], codec: &mut Codec) -> Vec<Record> {
    let block = Block::open(bytes).unwrap();
    block.verify(codec).unwrap();
    block.lines(codec).unwrap().iter().map(Record::from).collect()
}

/// Blocks and filters in memory.
pub struct Memory {
    pub blocks: Vec<(Vec<u8>, Vec<u8>)>,
    order: Vec<usize>,
    next: usize,
    pub loaded: usize,
    pub cells: usize,
}

impl Memory {
    pub fn new(blocks: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let mut order: Vec<usize> = (0..blocks.len()).collect();
        let t1 = |at: &usize| Block::open(&blocks[*at].0).map_or(UnixNs(0), |block| block.header().t1);
        order.sort_by_key(|at| std::cmp::Reverse(t1(at)));
        Self { blocks, order, next: 0, loaded: 0, cells: 0 }
    }

    pub fn rewind(&mut self) {
        (self.next, self.loaded, self.cells) = (0, 0, 0);
    }
}

impl Blocks for Memory {
    type Id = usize;
    type Error = Infallible;

    fn next(&mut self) -> Option<Result<Candidate<usize>, Infallible>> {
        loop {
            let id = *self.order.get(self.next)?;
            self.next += 1;
            let (bytes, filter) = &self.blocks[id];
            let Ok(block) = Block::open(bytes) else { continue };
            let (header, filter_bytes) = (block.header().clone(), filter.len() as u64);
            return Some(Ok(Candidate { id, header, filter_bytes }));
        }
    }

    fn filter_cell(
        &mut self,
        id: &usize,
        offset: u64,
        cell: &mut [u8; CELL_BYTES],
    ) -> Result<(), Infallible> {
        self.cells += 1;
        let at = offset as usize;
        cell.copy_from_slice(&self.blocks[*id].1[at..at + CELL_BYTES]);
        Ok(())
    }

    fn load(&mut self, id: &usize) -> Result<Option<Vec<u8>>, Infallible> {
        self.loaded += 1;
        Ok(Some(self.blocks[*id].0.clone()))
    }
}

//! Blocks keep what is put into them, and refuse what is no block.

mod kit;

use agent_common::units::UnixNs;
use kit::{Random, blocks, decode, record, records, sorted, stream};
use logs::block::{
    Block, BlockError, Builder, Codec, MAX_LINE_BYTES, MAX_LINES, MAX_STREAM_BYTES, MAX_TEXT_BYTES,
    PushError, merge,
};
use logs::filter::{Token, may_have_in};
use logs::{Record, Severity, Stream};

fn line(at: u64, message: &str) -> Record {
    Record {
        at: UnixNs(at),
        severity: Severity::Info,
        pid: 7,
        start_ns: 1,
        position: at,
        message: message.to_owned(),
        fields: Vec::new(),
    }
}

fn block_of(records: &[Record]) -> Vec<u8> {
    let mut builder = Builder::new(stream(0)).unwrap();
    for record in records {
        builder.push(record).unwrap();
    }
    builder.finish(&mut Codec::new()).unwrap().unwrap()
}

#[test]
fn what_is_put_in_comes_out() {
    let mut codec = Codec::new();
    for seed in 0..60 {
        let mut random = Random(seed);
        let count = [1, 2, 3, 50, 300, 2000][random.below(6) as usize];
        let records = records(&mut random, count, seed % 4 == 0);
        let per_block = 1 + random.below(1500) as usize;
        let mut out = Vec::new();
        let mut from = 0;
        for (bytes, filter) in blocks(&stream(seed), &records, per_block, &mut codec) {
            let lines = decode(&bytes, &mut codec);
            let block = Block::open(&bytes).unwrap();
            let header = block.header();
            assert_eq!(header.stream, stream(seed));
            assert_eq!(header.lines as usize, lines.len());
            assert_eq!(lines, sorted(&records[from..from + lines.len()]), "seed {seed}");
            assert_eq!((header.t0, header.t1), (lines[0].at, lines[lines.len() - 1].at));
            assert!(lines.iter().all(|line| header.severities >> line.severity as u16 & 1 == 1));
            assert!(lines.iter().all(|line| (header.pids.0..=header.pids.1).contains(&line.pid)));
            assert!(
                lines.iter().all(|line| (header.positions.0..=header.positions.1).contains(&line.position))
            );
            assert_eq!(
                filter,
                block.filter(&mut codec).unwrap(),
                "the filter of a block is that of its builder"
            );
            for (name, value) in lines.iter().flat_map(|line| &line.fields) {
                assert!(may_have_in(Token::pair(name, value.as_bytes()), &filter));
            }
            let backwards: Vec<Record> =
                block.lines(&mut codec).unwrap().iter().rev().map(Record::from).collect();
            assert!(backwards.iter().rev().eq(&lines));
            from += lines.len();
            out.extend(lines);
        }
        assert_eq!(out.len(), records.len());
    }
}

#[test]
fn merging_makes_the_sorted_union_in_full_blocks() {
    let mut codec = Codec::new();
    for seed in 0..40 {
        let mut random = Random(1000 + seed);
        let count = 1 + random.below(3000);
        let records = records(&mut random, count, seed % 5 == 0);
        let per_block = 1 + random.below(60) as usize;
        let small = blocks(&stream(1), &records, per_block, &mut codec);
        let opened: Vec<Block> = small.iter().map(|(bytes, _)| Block::open(bytes).unwrap()).collect();
        let merged = merge(&opened, &mut codec).unwrap();
        let text: u64 = merged.iter().map(|one| one.header.text_bytes).sum();
        assert!(merged.len() as u64 <= 1 + text / (MAX_TEXT_BYTES as u64 / 2), "few blocks");
        let mut out = Vec::new();
        for one in &merged {
            assert_eq!(one.filter, Block::open(&one.bytes).unwrap().filter(&mut codec).unwrap());
            out.extend(decode(&one.bytes, &mut codec));
        }
        assert_eq!(out, sorted(&records), "seed {seed}");
    }
}

#[test]
fn merging_refuses_two_streams_and_too_much() {
    let mut codec = Codec::new();
    assert!(merge(&[], &mut codec).unwrap().is_empty());
    let mut other = Builder::new(stream(1)).unwrap();
    other.push(&line(1, "x")).unwrap();
    let (one, other) = (block_of(&[line(1, "x")]), other.finish(&mut codec).unwrap().unwrap());
    let both = [Block::open(&one).unwrap(), Block::open(&other).unwrap()];
    assert!(matches!(merge(&both, &mut codec), Err(BlockError::Streams)));
    let large = block_of(&[line(1, &"x".repeat(MAX_TEXT_BYTES))]);
    let many = vec![Block::open(&large).unwrap(); 33];
    assert!(matches!(merge(&many, &mut codec), Err(BlockError::Limit { .. })));
    assert_eq!(merge(&many[..32], &mut codec).unwrap().len(), 32);
}

#[test]
fn a_builder_says_when_it_is_full() {
    let mut codec = Codec::new();
    let mut builder = Builder::new(stream(0)).unwrap();
    assert!(builder.finish(&mut codec).unwrap().is_none());
    for at in 0..MAX_LINES as u64 {
        builder.push(&line(at, "")).unwrap();
    }
    assert_eq!(builder.push(&line(0, "")), Err(PushError::Full));
    let bytes = builder.finish(&mut codec).unwrap().unwrap();
    assert!(bytes.len() < 300, "{} bytes for 8,192 empty lines", bytes.len());
    assert_eq!(decode(&bytes, &mut codec).len(), MAX_LINES);
    builder.push(&line(0, &"x".repeat(MAX_TEXT_BYTES))).unwrap();
    assert_eq!(builder.push(&line(1, "x")), Err(PushError::Full));
    builder.finish(&mut codec).unwrap();
    let huge = line(0, &"x".repeat(MAX_LINE_BYTES));
    builder.push(&huge).unwrap();
    assert_eq!(builder.push(&line(1, "")), Err(PushError::Full));
    let bytes = builder.finish(&mut codec).unwrap().unwrap();
    assert_eq!(decode(&bytes, &mut codec)[0], huge);
    let mut over = huge;
    over.fields.push(("n".to_owned(), String::new()));
    assert_eq!(
        builder.push(&over),
        Err(PushError::TooLarge { bytes: MAX_LINE_BYTES + 1, max: MAX_LINE_BYTES })
    );
    assert!(builder.is_empty());
}

#[test]
fn a_stream_of_too_many_labels_is_refused() {
    assert!(matches!(
        Builder::new(Stream::new([("file", "x".repeat(MAX_STREAM_BYTES))])),
        Err(BlockError::Limit { .. })
    ));
    let many = (0..65).map(|at| (format!("l{at}"), "v"));
    assert!(matches!(Builder::new(Stream::new(many)), Err(BlockError::Limit { .. })));
    let stream = Stream::new([("file", "x".repeat(MAX_STREAM_BYTES - 6))]);
    let mut builder = Builder::new(stream.clone()).unwrap();
    builder.push(&line(1, "x")).unwrap();
    let bytes = builder.finish(&mut Codec::new()).unwrap().unwrap();
    assert_eq!(Block::open(&bytes).unwrap().header().stream, stream);
}

#[test]
fn a_small_block_costs_little() {
    let text = "GET /api/v1/users/17 HTTP/1.1 200 in 12 ms";
    let labels: usize = stream(0).labels().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut one = line(1_796_061_600_123_456_789, text);
    one.start_ns = 123_456_789;
    one.position = 17_000_000;
    let more = block_of(&[one]).len() - text.len() - labels;
    println!("a block of one line has {more} bytes more than text and labels");
    assert!(more <= 60, "{more}");
}

#[test]
fn every_changed_byte_is_noticed() {
    let mut random = Random(5);
    let mut codec = Codec::new();
    let records = records(&mut random, 60, false);
    let (bytes, _) = blocks(&stream(0), &records, 200, &mut codec).swap_remove(0);
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let refused = Block::open(&damaged).and_then(|block| block.verify(&mut codec)).is_err();
            assert!(refused, "byte {at}, bit {bit}");
        }
    }
    for cut in 0..bytes.len() {
        assert!(Block::open(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(matches!(Block::open(&longer), Err(BlockError::Damaged { .. })));
}

#[test]
fn a_bomb_is_refused_before_it_is_decompressed() {
    // 64 MiB of zeros in a frame of 2 KiB, in the place of the messages.
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    let sound = block_of(&[line(1, &"abcdefgh ".repeat(40))]);
    let text = zstd::bulk::compress(&[b"abcdefgh ".repeat(40), vec![0xff]].concat(), 3).unwrap();
    assert!(sound.len() < 200 && !text.is_empty());
    let mut codec = Codec::new();
    let put = |out: &mut Vec<u8>, mut value: u64| {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    };
    let make = |raw: u64| {
        // One line, one process, no label; five inline sections, the messages, no fields, no groups.
        let mut head = vec![0, 1];
        put(&mut head, 10);
        head.extend([1, 0, 7, 0, 1, 0]);
        put(&mut head, 1 << 6);
        head.push(0);
        head.extend([1 << 2, 1, 1 << 2, 6, 3 << 2, 1, 7, 1, 2 << 2, 0, 0]);
        put(&mut head, (bomb.len() as u64) << 2 | 2);
        put(&mut head, raw);
        head.extend(crc32fast::hash(&bomb).to_le_bytes());
        head.extend([0, 0]);
        let mut out = b"s7lb\x01".to_vec();
        put(&mut out, head.len() as u64);
        out.extend(head);
        let checksum = crc32fast::hash(&out);
        out.extend(checksum.to_le_bytes());
        out.extend(&bomb);
        out
    };
    assert!(matches!(Block::open(&make(64 << 20)), Err(BlockError::Limit { .. })));
    let bytes = make(1 << 20);
    let block = Block::open(&bytes).unwrap();
    assert_eq!(block.severities(&mut codec).unwrap(), [6], "the rest of the block is sound");
    assert!(matches!(block.messages(&mut codec, Vec::new()), Err(BlockError::Decompress { .. })));
    assert!(block.verify(&mut codec).is_err() && block.lines(&mut codec).is_err());
}

#[test]
fn what_is_no_block_is_said_to_be_none() {
    assert!(matches!(Block::open(b""), Err(BlockError::NotABlock)));
    assert!(matches!(Block::open(b"SQLite format 3"), Err(BlockError::NotABlock)));
    assert!(matches!(Block::open(b"s7l"), Err(BlockError::Cut { .. })));
    assert!(matches!(Block::open(b"s7lb\x02"), Err(BlockError::Version { found: 2 })));
    let error = Block::open(b"s7lb\x02").unwrap_err().to_string();
    assert_eq!(error, "block of log lines of version 2; this program reads version 1");
    let mut random = Random(7);
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        assert!(Block::open(&bytes).is_err());
        assert!(Block::open(&[b"s7lb\x01", &bytes[..]].concat()).is_err());
    }
}

#[test]
fn one_field_can_be_read_without_the_others() {
    let mut random = Random(8);
    let mut codec = Codec::new();
    let records: Vec<Record> = (0..3000).map(|at| record(&mut random, at, false)).collect();
    let bytes = block_of(&records);
    let block = Block::open(&bytes).unwrap();
    let lines = sorted(&records);
    let mut fields = block.fields(&mut codec).unwrap();
    let at = fields.names().iter().position(|name| name == "status").unwrap();
    let with: Vec<u16> = fields.lines_of(at);
    let column = fields.column(at, &mut codec).unwrap();
    let values: Vec<&[u8]> = column.each().collect();
    let read: Vec<&[u8]> = match column.index {
        Some(index) => index.iter().map(|at| values[usize::from(*at)]).collect(),
        None => values,
    };
    let expected: Vec<(u16, &[u8])> = lines
        .iter()
        .enumerate()
        .flat_map(|(at, line)| line.fields.iter().map(move |field| (at as u16, field)))
        .filter(|(_, (name, _))| name == "status")
        .map(|(at, (_, value))| (at, value.as_bytes()))
        .collect();
    assert!(with.into_iter().zip(read).eq(expected));
}

use agent_common::units::UnixNs;

use super::header::sealed;
use super::*;
use crate::query::Query;
use crate::record::{Record, Severity, Stream};

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state ^ *state >> 29) >> 7
}

/// Lines of few templates, with fields of few and of many values, and more names than have a column.
fn records(state: &mut u64, count: u64, names: u64) -> Vec<Record> {
    let made = (0..count).map(|at| {
        let (number, id) = (random(state) % 1000, random(state));
        let fields = (0..random(state) % 4).map(|_| {
            let (name, value) = (random(state) % names, random(state));
            (format!("n{name}"), if name % 2 == 0 { value.to_string() } else { (value % 3).to_string() })
        });
        Record {
            at: UnixNs(1_000_000 + at * 1000),
            severity: Severity::of_number(id % 9),
            pid: (id % 3) as u32,
            start_ns: 5,
            position: at * 60,
            fields: fields.collect(),
            message: match number % 3 {
                0 => format!("job {number} of {id:016x} ended"),
                1 => format!("error: 10.0.{}.007 x7K{number}q9Z", number % 256),
                _ => "nothing".to_owned(),
            },
        }
    });
    made.collect()
}

fn block(records: &[Record], codec: &mut Codec) -> Vec<u8> {
    let mut builder = Builder::new(Stream::new([("unit", "x")])).unwrap();
    for record in records {
        builder.push(record).unwrap();
    }
    builder.finish(codec).unwrap().unwrap()
}

#[test]
fn templates_are_taken_and_give_the_lines_back() {
    let (mut state, mut codec) = (1, Codec::new());
    let records = records(&mut state, 2000, 80);
    let bytes = block(&records, &mut codec);
    let opened = Block::open(&bytes).unwrap();
    opened.verify(&mut codec).unwrap();
    assert!(
        bytes.len() * 2 < opened.header().text_bytes as usize,
        "{} of {}",
        bytes.len(),
        opened.header().text_bytes
    );
    let lines: Vec<Record> = opened.lines(&mut codec).unwrap().iter().map(Record::from).collect();
    assert_eq!(lines, records);
}

#[test]
fn hostile_bytes_behind_the_checksums_do_no_harm() {
    let queries =
        ["error ended", "n1=2 ~7.q", "-n3~5 pid=1", "n70=*"].map(|text| Query::parse(text).unwrap());
    let (mut state, mut codec) = (2, Codec::bare());
    for (count, names) in [(1, 2), (5, 80), (70, 3), (100, 80)] {
        let bytes = block(&records(&mut state, count, names), &mut codec);
        let (mut opened, mut decoded) = (0, 0);
        for at in 0..bytes.len() {
            for change in 0..3 {
                let mut hostile = bytes.clone();
                hostile[at] = match change {
                    0 => random(&mut state) as u8,
                    1 => hostile[at] ^ (1 << (random(&mut state) % 8)),
                    _ => [0, 0x7f, 0x80, 0xf8, 0xff][random(&mut state) as usize % 5],
                };
                let hostile = sealed(hostile);
                let Ok(block) = Block::open(&hostile) else { continue };
                opened += 1;
                assert!(block.decoded_bytes() <= 2 * MAX_DECODED_BYTES);
                let sound = block.verify(&mut codec).is_ok();
                if let Ok(lines) = block.lines(&mut codec) {
                    assert_eq!(lines.iter().count(), block.header().lines as usize);
                    decoded += 1;
                }
                let filtered = block.filter(&mut codec);
                let merged = merge(std::slice::from_ref(&block), &mut codec);
                assert!(!sound || (filtered.is_ok() && merged.is_ok()));
                for query in &queries {
                    let found = query.lines(&block, &mut codec);
                    assert!(!sound || found.is_ok());
                }
            }
        }
        assert!(opened > bytes.len() && decoded > bytes.len() / 4, "{opened} opened, {decoded} decoded");
    }
}

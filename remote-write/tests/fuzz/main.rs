//! Bytes that were changed at random, the same in each run: none of them may panic.

mod entries;

use prost::Message as _;
use remote_write::{Label, NAME, STALE, Sample, TimeSeries, WriteRequest};

/// Changed messages.
const ROUNDS: usize = 50_000;

/// Numbers that are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

#[test]
fn no_bytes_break_the_reader_of_series() {
    let sample = |value, timestamp| Sample { value, timestamp };
    let labels = vec![Label::new(NAME, "up"), Label::new("job", "node ü")];
    let samples = vec![sample(1.0, 5), sample(STALE, -1), sample(f64::MAX, i64::MAX)];
    let one = TimeSeries::new(labels, samples);
    let request =
        WriteRequest { timeseries: vec![one.clone(), TimeSeries::default(), one], metadata: Vec::new() };
    let texts = [request.encode_to_vec(), request.encode_body()];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..ROUNDS {
        let mut bytes = texts[numbers.below(2)].clone();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(bytes.len());
            let end = (at + numbers.below(8)).min(bytes.len());
            match numbers.below(4) {
                0 => drop(bytes.drain(at..end)),
                1 => bytes
                    .splice(at..end, [0xff, 0x80, 0x0a][..=numbers.below(3).min(2)].to_vec())
                    .for_each(drop),
                2 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
                _ => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece).for_each(drop);
                }
            }
        }
        entries::series(&bytes);
    }
}

//! One field of one series over a slot: values as bytes, without loss.
//!
//! Integers are written as they are, as differences, or as differences of differences, whichever is shortest, zig-zag
//! and variable-length, runs of zeros as their length. Floats become integers times a power of ten when that gives the
//! same bits back; otherwise each is combined by XOR with the one before, and the eight bytes of all are stored plane by plane,
//! which leaves zstd the bytes that are equal. Texts are a dictionary and integers.

use super::row::{Cell, Kind};
use super::varint::{Bytes, Damaged, put, size, unzigzag, zigzag};

/// Values of a field, in the order of their times. Floats as bits, booleans 0 and 1, texts as index into `texts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) kind: Kind,
    pub(super) values: Vec<u64>,
    pub(super) texts: Vec<String>,
}

/// How the bytes of a column are to be read.
const RAW: u8 = 0;
const DELTA: u8 = 1;
const DELTA_OF_DELTA: u8 = 2;
const XOR: u8 = 3;
/// Plus the power of ten; the integers' own mode follows.
const DECIMAL: u8 = 0x10;
/// Powers of ten that are tried: microseconds out of seconds and percentages with some digits are within.
const MAX_POWER: u8 = 9;
/// 2^53: up to here every integer is a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Column {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, values: Vec::new(), texts: Vec::new() }
    }

    /// One of its values, as it came.
    pub(super) fn cell(&self, value: u64) -> Cell<'_> {
        match self.kind {
            Kind::Int => Cell::Int(value.cast_signed()),
            Kind::Float => Cell::Float(value),
            Kind::Bool => Cell::Bool(value != 0),
            Kind::Text => Cell::Text(&self.texts[value as usize]),
        }
    }

    /// The number under which a text is in the column.
    pub(super) fn text(&mut self, text: &str) -> u64 {
        // Texts are states and versions: a handful in ten minutes. The last is the likeliest.
        let at = self.texts.iter().rposition(|known| known == text).unwrap_or_else(|| {
            self.texts.push(text.to_owned());
            self.texts.len() - 1
        });
        at as u64
    }

    /// Appends the column. The count of values is the reader's to know.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Int | Kind::Bool => encode_ints(out, self.values.iter().map(|v| v.cast_signed())),
            Kind::Float => match decimal(&self.values) {
                Some((power, scale)) => {
                    out.push(DECIMAL + power);
                    encode_ints(out, self.values.iter().map(|v| (f64::from_bits(*v) * scale).round() as i64));
                }
                None => encode_xor(out, &self.values),
            },
            Kind::Text => {
                put(out, self.texts.len() as u64);
                for text in &self.texts {
                    put(out, text.len() as u64);
                    out.extend_from_slice(text.as_bytes());
                }
                encode_ints(out, self.values.iter().map(|v| v.cast_signed()));
            }
        }
    }

    /// Reads what [`Column::encode`] wrote.
    pub(super) fn decode(kind: Kind, count: usize, bytes: &mut Bytes<'_>) -> Result<Self, Damaged> {
        let mut column = Self { values: Vec::with_capacity(count), ..Self::new(kind) };
        match kind {
            Kind::Int | Kind::Bool => {
                let mode = bytes.byte()?;
                decode_ints(bytes, mode, count, |v| column.values.push(v.cast_unsigned()))?;
            }
            Kind::Float => match bytes.byte()? {
                XOR => column.values = decode_xor(bytes, count)?,
                mode if (DECIMAL..=DECIMAL + MAX_POWER).contains(&mode) => {
                    let scale = 10_f64.powi(i32::from(mode - DECIMAL));
                    let mode = bytes.byte()?;
                    decode_ints(bytes, mode, count, |v| column.values.push((v as f64 / scale).to_bits()))?;
                }
                _ => return Err(Damaged("float mode")),
            },
            Kind::Text => {
                for _ in 0..bytes.index()? {
                    column.texts.push(bytes.text()?.to_owned());
                }
                let mode = bytes.byte()?;
                decode_ints(bytes, mode, count, |v| column.values.push(v.cast_unsigned()))?;
                if column.values.iter().any(|v| *v >= column.texts.len() as u64) {
                    return Err(Damaged("text index"));
                }
            }
        }
        Ok(column)
    }
}

/// The smallest power of ten, and its value, that makes integers of all the values and gives the same bits back.
fn decimal(values: &[u64]) -> Option<(u8, f64)> {
    let mut power = 0;
    let mut scale = 1.0;
    let fits = |bits: u64, scale: f64| {
        let value = f64::from_bits(bits);
        let scaled = (value * scale).round();
        // The comparison of bits also refuses -0.0, and the bound NaN and infinities.
        scaled.abs() < EXACT && (scaled as i64 as f64 / scale).to_bits() == bits
    };
    for bits in values {
        while !fits(*bits, scale) {
            power += 1;
            if power > MAX_POWER {
                return None;
            }
            scale = 10_f64.powi(i32::from(power));
        }
    }
    // A larger power that fits one value need not fit those that a smaller one fitted.
    values.iter().all(|bits| fits(*bits, scale)).then_some((power, scale))
}

fn encode_ints(out: &mut Vec<u8>, values: impl Iterator<Item = i64> + Clone) {
    let (mut raw, mut first, mut second) = (0, 0, 0);
    let (mut last, mut last_delta) = (0_i64, 0_i64);
    for value in values.clone() {
        let delta = value.wrapping_sub(last);
        // A zero costs nothing worth counting: it goes into a run.
        let cost = |v: i64| if v == 0 { 0 } else { size(zigzag(v)) };
        raw += cost(value);
        first += cost(delta);
        second += cost(delta.wrapping_sub(last_delta));
        (last, last_delta) = (value, delta);
    }
    let mode = if raw <= first && raw <= second {
        RAW
    } else if first <= second {
        DELTA
    } else {
        DELTA_OF_DELTA
    };
    out.push(mode);
    let (mut last, mut last_delta) = (0_i64, 0_i64);
    let mut zeros = 0_u64;
    for value in values {
        let delta = value.wrapping_sub(last);
        let symbol = match mode {
            RAW => value,
            DELTA => delta,
            _ => delta.wrapping_sub(last_delta),
        };
        (last, last_delta) = (value, delta);
        if symbol == 0 {
            zeros += 1;
            continue;
        }
        put_zeros(out, &mut zeros);
        put(out, zigzag(symbol));
    }
    put_zeros(out, &mut zeros);
}

fn put_zeros(out: &mut Vec<u8>, zeros: &mut u64) {
    if *zeros > 0 {
        out.push(0);
        put(out, *zeros - 1);
        *zeros = 0;
    }
}

fn decode_ints(
    bytes: &mut Bytes<'_>,
    mode: u8,
    count: usize,
    mut each: impl FnMut(i64),
) -> Result<(), Damaged> {
    if mode > DELTA_OF_DELTA {
        return Err(Damaged("integer mode"));
    }
    let (mut last, mut last_delta) = (0_i64, 0_i64);
    let mut step = |symbol: i64| {
        let value = match mode {
            RAW => symbol,
            DELTA => last.wrapping_add(symbol),
            _ => last.wrapping_add(last_delta.wrapping_add(symbol)),
        };
        last_delta = value.wrapping_sub(last);
        last = value;
        each(value);
    };
    let mut left = count as u64;
    while left > 0 {
        let symbol = bytes.varint()?;
        if symbol == 0 {
            let run = bytes.varint()?.saturating_add(1);
            if run > left {
                return Err(Damaged("run too long"));
            }
            left -= run;
            (0..run).for_each(|_| step(0));
        } else {
            left -= 1;
            step(unzigzag(symbol));
        }
    }
    Ok(())
}

fn encode_xor(out: &mut Vec<u8>, values: &[u64]) {
    out.push(XOR);
    for plane in (0..8).rev() {
        let mut last = 0;
        for &bits in values {
            out.push(((bits ^ last) >> (plane * 8)) as u8);
            last = bits;
        }
    }
}

fn decode_xor(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<u64>, Damaged> {
    let planes = bytes.take(count.checked_mul(8).ok_or(Damaged("count"))?)?;
    let mut values = vec![0_u64; count];
    for plane in planes.chunks_exact(count.max(1)) {
        for (value, byte) in values.iter_mut().zip(plane) {
            *value = *value << 8 | u64::from(*byte);
        }
    }
    let mut last = 0;
    for value in &mut values {
        *value ^= last;
        last = *value;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rng(u64);

    impl Rng {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    fn round_trip(kind: Kind, values: Vec<u64>) -> usize {
        let column = Column { kind, values, texts: Vec::new() };
        let mut out = Vec::new();
        column.encode(&mut out);
        let mut bytes = Bytes(&out);
        assert_eq!(Column::decode(kind, column.values.len(), &mut bytes), Ok(column.clone()));
        assert!(bytes.is_empty());
        for len in 0..out.len() {
            // Whatever is cut off or changed is an error or other values, never a panic.
            let _ = Column::decode(kind, column.values.len(), &mut Bytes(&out[..len]));
        }
        for at in 0..out.len().min(64) {
            let mut bad = out.clone();
            bad[at] ^= 0x41;
            let _ = Column::decode(kind, column.values.len(), &mut Bytes(&bad));
        }
        out.len()
    }

    fn floats(values: &[f64]) -> Vec<u64> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    fn ints(values: &[i64]) -> Vec<u64> {
        values.iter().map(|v| v.cast_unsigned()).collect()
    }

    #[test]
    fn integers_of_every_shape_come_back() {
        round_trip(Kind::Int, vec![]);
        round_trip(Kind::Int, ints(&[i64::MIN, i64::MAX, 0, -1, i64::MAX, i64::MIN, i64::MIN]));
        let mut rng = Rng(3);
        for bits in [1, 8, 20, 40, 63, 64] {
            for _ in 0..50 {
                let len = rng.next() % 200;
                round_trip(Kind::Int, (0..len).map(|_| rng.next() >> (64 - bits)).collect());
            }
        }
    }

    #[test]
    fn steady_series_take_next_to_nothing() {
        assert!(round_trip(Kind::Int, vec![12_345; 600]) <= 8);
        assert!(round_trip(Kind::Int, (0..600).map(|i| 1_000_000 + i * 4_096).collect()) <= 16);
        assert!(round_trip(Kind::Float, floats(&[99.5; 600])) <= 8);
        assert!(round_trip(Kind::Float, (0..600).map(|i| (f64::from(i) / 100.0).to_bits()).collect()) <= 16);
    }

    #[test]
    fn floats_of_every_shape_come_back_bit_by_bit() {
        round_trip(
            Kind::Float,
            floats(&[0.0, -0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1, 1e15, 1e16, 9e15]),
        );
        round_trip(Kind::Float, floats(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]));
        round_trip(Kind::Float, floats(&[1.1, 2.25, 1e-9, 1_234.567_891, 0.3, 0.1 + 0.2]));
        let mut rng = Rng(5);
        for _ in 0..200 {
            let len = rng.next() % 200;
            round_trip(Kind::Float, (0..len).map(|_| rng.next()).collect());
            let power = 10_f64.powi((rng.next() % 12) as i32);
            round_trip(
                Kind::Float,
                (0..len).map(|_| ((rng.next() >> 30) as f64 / power).to_bits()).collect(),
            );
        }
    }

    #[test]
    fn texts_and_booleans_come_back() {
        let mut column = Column::new(Kind::Text);
        for text in ["R", "S", "S", "", "R", "ü"] {
            let at = column.text(text);
            column.values.push(at);
        }
        assert_eq!(column.texts.len(), 4);
        let mut out = Vec::new();
        column.encode(&mut out);
        assert_eq!(Column::decode(Kind::Text, 6, &mut Bytes(&out)), Ok(column));
        round_trip(Kind::Bool, vec![1, 0, 0, 1, 1, 1]);
    }
}

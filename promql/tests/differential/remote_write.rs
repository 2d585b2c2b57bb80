//! Prometheus's remote write 1.0: a protobuf message in snappy's block format. What a test needs of both.

use promql::{Labels, Sample, Series};

/// The body of a request with these series.
pub(crate) fn body(series: &[Series]) -> Vec<u8> {
    let mut message = Vec::new();
    for one in series {
        let mut encoded = Vec::new();
        labels(&mut encoded, &one.labels);
        for sample in &one.samples {
            field(&mut encoded, 2, &self::sample(*sample));
        }
        field(&mut message, 1, &encoded);
    }
    uncompressed(&message)
}

/// Sorted by name, as the receiver wants them.
fn labels(into: &mut Vec<u8>, labels: &Labels) {
    for (name, value) in labels.iter() {
        let mut pair = Vec::new();
        field(&mut pair, 1, name.as_bytes());
        field(&mut pair, 2, value.as_bytes());
        field(into, 1, &pair);
    }
}

fn sample(sample: Sample) -> Vec<u8> {
    // Field 1, eight bytes; field 2, a varint.
    let mut encoded = vec![(1 << 3) | 1];
    encoded.extend(sample.value.to_bits().to_le_bytes());
    encoded.push(2 << 3);
    varint(&mut encoded, sample.at_ms.cast_unsigned());
    encoded
}

/// A field with a length.
fn field(into: &mut Vec<u8>, number: u8, content: &[u8]) {
    into.push((number << 3) | 2);
    varint(into, content.len() as u64);
    into.extend_from_slice(content);
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value as u8) | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Snappy's block format allows blocks that are stored as they are.
fn uncompressed(content: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    varint(&mut block, content.len() as u64);
    for literal in content.chunks(1 << 16) {
        // A literal whose length takes two bytes.
        block.push(61 << 2);
        block.extend(((literal.len() - 1) as u16).to_le_bytes());
        block.extend_from_slice(literal);
    }
    block
}

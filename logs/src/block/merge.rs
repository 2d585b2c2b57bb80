//! Several small blocks into few full ones.

use super::{Block, BlockError, Builder, Codec, Header, MAX_MERGE_BYTES, PushError};

/// A block that [`merge`] made.
#[derive(Debug, Clone)]
pub struct Merged {
    /// What its bytes begin with.
    pub header: Header,
    /// The block.
    pub bytes: Vec<u8>,
    /// The filter of its tokens.
    pub filter: Vec<u8>,
}

/// The lines of all `blocks`, which are of one stream, by time and position in as few blocks as hold them. Every line is there once
/// for each time that it is in a block; equal keys stay in the order of `blocks`. Takes [`MAX_MERGE_BYTES`] of text at most.
pub fn merge(blocks: &[Block<'_>], codec: &mut Codec) -> Result<Vec<Merged>, BlockError> {
    let mut merged = Vec::new();
    let Some(first) = blocks.first() else { return Ok(merged) };
    let stream = &first.header().stream;
    if blocks.iter().any(|block| block.header().stream != *stream) {
        return Err(BlockError::Streams);
    }
    let bytes = blocks.iter().fold(0_u64, |sum, block| sum.saturating_add(block.header().text_bytes));
    if bytes > MAX_MERGE_BYTES as u64 {
        return Err(BlockError::Limit { what: "bytes to merge", value: bytes, max: MAX_MERGE_BYTES as u64 });
    }
    let mut parts = Vec::with_capacity(blocks.len());
    let mut order = Vec::new();
    let mut budget = 2 * MAX_MERGE_BYTES;
    for block in blocks {
        // A hostile header may say less than the block decodes to.
        budget = budget.checked_sub(block.decoded_bytes()).ok_or(BlockError::Limit {
            what: "bytes to merge or more",
            value: 2 * MAX_MERGE_BYTES as u64 + 1,
            max: 2 * MAX_MERGE_BYTES as u64,
        })?;
        let part = parts.len() as u32;
        let lines = block.lines(codec)?;
        order.extend((0..lines.len()).filter_map(|line| Some((lines.key(line)?, part, line as u32))));
        parts.push(lines);
    }
    // Each part is a sorted run, which this sort takes as such.
    order.sort();
    let mut builder = Builder::new(stream.clone())?;
    for (_, part, line) in order {
        let Some(line) = parts[part as usize].get(line as usize) else { continue };
        let numbers = (line.at.0, line.severity as u8, (line.pid, line.start_ns), line.position);
        let mut pushed = builder.push_parts(numbers, &line.message, &line.fields);
        if pushed == Err(PushError::Full) {
            finish(&mut builder, codec, &mut merged)?;
            pushed = builder.push_parts(numbers, &line.message, &line.fields);
        }
        if pushed.is_err() {
            return Err(BlockError::Damaged { what: "a line is longer than any may be" });
        }
    }
    finish(&mut builder, codec, &mut merged)?;
    Ok(merged)
}

fn finish(builder: &mut Builder, codec: &mut Codec, merged: &mut Vec<Merged>) -> Result<(), BlockError> {
    if let Some((bytes, filter)) = builder.finish_with_filter(codec)? {
        merged.push(Merged { header: Header::read(&bytes)?, bytes, filter });
    }
    Ok(())
}

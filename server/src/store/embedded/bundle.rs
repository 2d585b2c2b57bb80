//! Bundles: how the columns of a slot lay before version 3 of the store, series by series. They are read until retention
//! has deleted them.
//!
//! Frame: count of series; for each its id's distance, its length, then its columns: field and kind, where it has values
//! (at all times, where the column before has them, or runs), length, the values.

use super::chunk::Packed;
use super::row::{Kind, unpack};
use super::times::skip_runs;
use super::varint::{Bytes, Damaged};

const ALL_PLACES: u8 = 0;
const SAME_PLACES: u8 = 1;
const SOME_PLACES: u8 = 2;

/// Calls with the columns that are wanted, by field and series.
pub(super) fn columns(
    body: &[u8],
    mut each: impl FnMut(Packed<'_>) -> Result<(), Damaged>,
    wanted: impl Fn((u32, u32)) -> bool,
) -> Result<(), Damaged> {
    let raw = unpack(body)?;
    let mut bytes = Bytes(&raw);
    let mut id = 0_u32;
    for _ in 0..bytes.varint()? {
        id = id.checked_add(bytes.index()?).ok_or(Damaged("series"))?;
        let len = bytes.index()? as usize;
        let mut section = Bytes(bytes.take(len)?);
        // The first column has none before it.
        let mut runs: Option<&[u8]> = Some(&[0]);
        for _ in 0..section.varint()? {
            let head = section.varint()?;
            runs = match section.byte()? {
                ALL_PLACES => None,
                SAME_PLACES => runs,
                SOME_PLACES => Some(skip_runs(&mut section)?),
                _ => return Err(Damaged("places")),
            };
            let len = section.index()? as usize;
            let values = section.take(len)?;
            let field = u32::try_from(head >> 2).map_err(|_| Damaged("field id"))?;
            if wanted((field, id)) {
                each(Packed { key: (field, id), kind: Kind::from_bits(head as u8), runs, values })?;
            }
        }
    }
    Ok(())
}

/// Writes a bundle as version 2 did: one series, its columns all at all times of the slot.
#[cfg(test)]
pub(super) fn encode(series: &[(u32, Vec<(u32, super::column::Column)>)]) -> Vec<u8> {
    use super::varint::put;
    let (mut raw, mut last) = (Vec::new(), 0);
    put(&mut raw, series.len() as u64);
    for (id, columns) in series {
        let mut section = Vec::new();
        put(&mut section, columns.len() as u64);
        for (number, (field, column)) in columns.iter().enumerate() {
            put(&mut section, u64::from(*field) << 2 | column.kind as u64);
            // The first has its runs, the others are where it is.
            match number {
                0 => section.extend_from_slice(&[SOME_PLACES, 1, 0, column.values.len() as u8 - 1]),
                _ => section.push(SAME_PLACES),
            }
            let mut values = Vec::new();
            column.encode(&mut values);
            put(&mut section, values.len() as u64);
            section.extend_from_slice(&values);
        }
        put(&mut raw, u64::from(id - last));
        put(&mut raw, section.len() as u64);
        raw.extend_from_slice(&section);
        last = *id;
    }
    zstd::bulk::compress(&raw, 3).expect("zstd")
}

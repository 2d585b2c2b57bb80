//! Rows of the head as they were before version 4 of the store. They are read until they are rolled, at the upgrade.
//!
//! Each point: series id, distance of its time from the window's end, count of fields, then the fields as (id × 4 + kind) and
//! value.

use super::{Kind, Row, RowWriter, cell};
use crate::store::embedded::varint::{Bytes, Damaged};

/// The row as it is written today.
pub(super) fn row(raw: &[u8]) -> Result<Row, Damaged> {
    let mut writer = RowWriter::default();
    writer.clear();
    let mut bytes = Bytes(raw);
    while !bytes.is_empty() {
        let series = bytes.index()?;
        let distance = bytes.signed()?;
        writer.begin();
        for _ in 0..bytes.varint()? {
            let id = bytes.varint()?;
            let field =
                u32::try_from(id >> 2).ok().filter(|field| *field < 1 << 30).ok_or(Damaged("field id"))?;
            writer.field(field, cell(Kind::from_bits(id as u8), &mut bytes)?);
        }
        writer.end(series, distance);
    }
    writer.write_raw();
    Row::of(writer.raw)
}

#[cfg(test)]
pub(in crate::store::embedded) mod tests {
    use super::super::{Cell, Item};
    use super::*;
    use crate::store::embedded::varint::{put, zigzag};

    /// Series, distance, fields and values.
    type Point<'a> = (u32, i64, &'a [(u32, i64)]);

    /// Points with integers, as version 3 wrote them.
    pub(in crate::store::embedded) fn older(points: &[Point<'_>]) -> Vec<u8> {
        let mut raw = Vec::new();
        for (series, distance, fields) in points {
            put(&mut raw, u64::from(*series));
            put(&mut raw, zigzag(*distance));
            put(&mut raw, fields.len() as u64);
            for (field, value) in *fields {
                put(&mut raw, u64::from(*field) << 2 | Kind::Int as u64);
                put(&mut raw, zigzag(*value));
            }
        }
        zstd::bulk::compress(&raw, 1).expect("zstd")
    }

    #[test]
    fn older_rows_are_read() {
        let row = Row::unpack(&older(&[(7, -1, &[(1, 5), (2, -6)]), (8, 0, &[])])).expect("a row");
        let mut items = Vec::new();
        row.read(|item| items.push(item)).expect("its values");
        let field = |field, value| Item::Field(field, Cell::Int(value));
        assert_eq!(items, [Item::Point(7, -1), field(1, 5), field(2, -6), Item::Point(8, 0)]);
    }
}

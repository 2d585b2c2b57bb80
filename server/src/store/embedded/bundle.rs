//! Bundles: how the columns of a slot lay before version 3 of the store, series by series. They are read until retention
//! has deleted them.
//!
//! Frame: count of series; for each its id's distance, its length, then its columns: field and kind, where it has values
//! (at all times, where the column before has them, or runs), length, the values.

use super::chunk::{Aggregate, Packed};
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
                let (key, kind) = ((field, id), Kind::from_bits(head as u8));
                each(Packed { key, aggregate: Aggregate::Value, kind, runs, values })?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use agent_common::units::UnixNs;
    use agent_common::wire::head::WindowHead;
    use agent_common::wire::line::{FieldValue, Point};
    use promql::{Matcher, Operator, Reader as _, Span};
    use rusqlite::Connection;

    use super::super::column::Column;
    use super::super::roll::SLOT_NS;
    use super::super::row::older as older_row;
    use super::super::times::Times;
    use super::super::varint::put;
    use super::super::{EmbeddedStore, FILE, Options, Selection, schema, slot};
    use super::*;
    use crate::store::{Store as _, Window};

    /// End of the first slot, a multiple of ten minutes.
    const END: i64 = SLOT_NS * 2_800_000;
    /// Ten seconds.
    const STEP: i64 = 10_000_000_000;
    /// Number of the stream.
    const STREAM: &str = "0123456789abcdef";

    /// Field and values of each column of a series.
    type Columns = Vec<(u32, Vec<u64>)>;

    /// As version 2 wrote it: the first column of a series says where it has values, the others have them there, too.
    fn bundle(series: &[(u32, Columns)]) -> Vec<u8> {
        let (mut raw, mut last) = (Vec::new(), 0);
        put(&mut raw, series.len() as u64);
        for (id, columns) in series {
            let mut section = Vec::new();
            put(&mut section, columns.len() as u64);
            for (number, (field, values)) in columns.iter().enumerate() {
                put(&mut section, u64::from(*field) << 2 | Kind::Int as u64);
                match number {
                    0 => section.extend_from_slice(&[SOME_PLACES, 1, 0, values.len() as u8 - 1]),
                    _ => section.push(SAME_PLACES),
                }
                let mut packed = Vec::new();
                Column { kind: Kind::Int, values: values.clone(), texts: Vec::new() }.encode(&mut packed);
                put(&mut section, packed.len() as u64);
                section.extend_from_slice(&packed);
            }
            put(&mut raw, u64::from(id - last));
            put(&mut raw, section.len() as u64);
            raw.extend_from_slice(&section);
            last = *id;
        }
        zstd::bulk::compress(&raw, 3).expect("zstd")
    }

    /// A file of version 2: two processes with sixty windows in a slot, of which the second has but thirty, and one window at
    /// the head.
    fn older(path: &Path) -> rusqlite::Result<()> {
        let conn = Connection::open(path)?;
        schema::make_older(&conn, 2)?;
        let mut numbers = vec![];
        put(&mut numbers, 1);
        put(&mut numbers, 60);
        conn.execute("INSERT INTO stream(id, host, name, stored) VALUES (1, 'h', ?, ?)", (STREAM, numbers))?;
        conn.execute_batch(
            "INSERT INTO series(id, measurement, tags, last_slot) VALUES
                 (1, 's7mpa_process', 'host=h,pid=1,start=1', 1), (2, 's7mpa_process', 'host=h,pid=2,start=1', 1);
             INSERT INTO field(id, name) VALUES (1, 'user_ns'), (2, 'rss_bytes');",
        )?;
        let times = Times((0..60).map(|number| END - SLOT_NS + number * STEP).collect());
        conn.execute(
            "INSERT INTO slot(id, stream, end_ns, first_ns, last_ns, windows, points, samples, bytes, times)
             VALUES (1, 1, ?, ?, ?, 60, 90, 180, 100, ?)",
            (END, times.0[0], times.0[59], times.pack().expect("zstd")),
        )?;
        let body = bundle(&[
            (1, vec![(1, (0..60).collect()), (2, vec![4_096; 60])]),
            (2, vec![(1, (100..130).collect()), (2, vec![8_192; 30])]),
        ]);
        conn.execute(
            "INSERT INTO bundle(id, first_series, last_series, body) VALUES (?, 1, 2, ?)",
            (slot::chunk_ids(1).0, body),
        )?;
        conn.execute(
            "INSERT INTO head(stream, seq, end_ns, first_ns, last_ns, points, samples, body) VALUES (1, 61, ?1, ?1, ?1, 1, 1, ?2)",
            (END, older_row(&[(1, 0, &[(1, 7)])])),
        )?;
        Ok(())
    }

    fn window(seq: u64) -> Window {
        let end = UnixNs((END + (seq as i64 - 61) * STEP).cast_unsigned());
        let point = Point::new("s7mpa_process", end).tag("host", "h").tag("pid", "1").tag("start", "1");
        let head = WindowHead {
            host: "h".into(),
            stream: STREAM.into(),
            seq,
            points: 1,
            span_ns: STEP.cast_unsigned(),
            end,
        };
        Window::from_points(head, &[point.field("user_ns", seq)])
    }

    #[test]
    fn a_store_of_version_2_goes_on_and_has_running_sums_from_then_on() {
        let dir = tempfile::tempdir().expect("tempdir");
        older(&dir.path().join(FILE)).expect("an older file");
        let store = EmbeddedStore::open(dir.path(), Options::default()).expect("brought up to date");
        for seq in 62..=250 {
            store.write(&[window(seq)]).expect("write");
        }
        let reader = store.reader().expect("reader");
        let counts = reader.counts().expect("counts");
        assert!(counts.windows == 250 && counts.head_windows < 60, "{counts:?}");
        let expected: Vec<i64> = (0..60).chain([7]).chain(62..=250).collect();

        let found = reader
            .query(&Selection {
                measurement: "s7mpa_process".into(),
                field: "user_ns".into(),
                tags: vec![("pid".into(), "1".into())],
                from: UnixNs(0),
                to: UnixNs(u64::MAX),
            })
            .expect("query");
        let values: Vec<_> = found[0].samples.iter().map(|sample| sample.value.clone()).collect();
        assert_eq!(values, expected.iter().map(|value| FieldValue::Int(*value)).collect::<Vec<_>>());

        let view = reader.view_in_passes(8).expect("view");
        let select = |name: &str| {
            let name = Matcher::new("__name__", Operator::Equal, name).expect("a matcher");
            let span = Span { from_ms: 0, to_ms: i64::MAX };
            assert!(!view.series(std::slice::from_ref(&name), span).expect("series").is_empty());
            let found: Result<Vec<_>, _> = view.select(&[name], span).expect("select").collect();
            found.expect("series")
        };
        let amounts = select("s7mpa_process_user_ns");
        let values = |at: usize| amounts[at].samples.iter().map(|sample| sample.value);
        assert_eq!(values(0).map(|value| value as i64).collect::<Vec<_>>(), expected);
        // Thirty values, and the marker where the process was no more.
        assert_eq!((values(1).count(), values(1).next_back().map(promql::is_stale)), (31, Some(true)));
        let sums = select("s7mpa_process_user_ns_total");
        assert_eq!(sums.len(), 1);
        let values: Vec<i64> = sums[0].samples.iter().map(|sample| sample.value as i64).collect();
        let mut sum = 0;
        let running = expected[60..].iter().map(|amount| {
            sum += amount;
            sum
        });
        assert_eq!(values, std::iter::once(0).chain(running).collect::<Vec<_>>());
    }
}

//! Deletes what there is of one host, beside a running writer.

use std::path::Path;

use rusqlite::{Transaction, TransactionBehavior};

use super::schema::{LINES, count_deleted, in_pieces};
use crate::store::StoreError;
use crate::store::embedded::sqlite_error;

/// Blocks that go in one transaction.
const BLOCKS: i64 = 200;

/// Deletes the lines of a host, and leaves the file alone in between. Returns how many went. Filters without a block are never asked for;
/// they go with retention.
pub fn forget(path: &Path, host: &str) -> Result<u64, StoreError> {
    let conn = LINES.open_beside(path)?;
    let delete = || {
        let tx = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate)?;
        let lines: Vec<i64> = tx
            .prepare_cached(
                "DELETE FROM block WHERE id IN (
                     SELECT block.id FROM block JOIN log ON log.id = block.log WHERE log.host = ? LIMIT ?)
                 RETURNING lines",
            )?
            .query_map((host, BLOCKS), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if lines.is_empty() {
            for table in ["log", "mark"] {
                tx.execute(&format!("DELETE FROM {table} WHERE host = ?"), [host])?;
            }
        }
        let sum = lines.iter().sum::<i64>().cast_unsigned();
        count_deleted(&tx, "lines of forgotten hosts", sum)?;
        tx.commit()?;
        Ok((!lines.is_empty()).then_some(sum))
    };
    in_pieces(delete).map_err(|source| sqlite_error("cannot forget a host in", path, source))
}

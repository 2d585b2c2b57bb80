//! Deletes what there is of one host, beside a running writer.

use std::path::Path;

use rusqlite::{Transaction, TransactionBehavior};

use super::super::StoreError;
use super::super::embedded::sqlite_error;
use super::schema::{PROFILES, count_deleted, in_pieces};

/// Blocks that go in one transaction.
const BLOCKS: i64 = 200;

/// Deletes blocks, pins and evidence of a host, and leaves the file alone in between. Returns the samples that went. Its stacks go with
/// their epoch: other hosts may have them, too.
pub fn forget(path: &Path, host: &str) -> Result<u64, StoreError> {
    let conn = PROFILES.open_beside(path)?;
    let delete = || {
        let tx = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate)?;
        let samples: Vec<i64> = tx
            .prepare_cached(
                "DELETE FROM block WHERE id IN (SELECT id FROM block WHERE host = ? LIMIT ?) RETURNING samples",
            )?
            .query_map((host, BLOCKS), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if samples.is_empty() {
            for table in ["evidence", "evidence_of", "pin", "pinned"] {
                tx.execute(&format!("DELETE FROM {table} WHERE host = ?"), [host])?;
            }
        }
        let sum = samples.iter().sum::<i64>().cast_unsigned();
        count_deleted(&tx, "samples of forgotten hosts", sum)?;
        tx.commit()?;
        Ok((!samples.is_empty()).then_some(sum))
    };
    in_pieces(delete).map_err(|source| sqlite_error("cannot forget a host in", path, source))
}

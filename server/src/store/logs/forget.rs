//! Deletes what there is of one host, beside a running writer.

use std::path::Path;

use super::schema::{Forgotten, LINES};
use crate::store::StoreError;

/// Deletes the lines of a host. Returns how many went. Filters without a block are never asked for; they go with retention.
pub fn forget(path: &Path, host: &str) -> Result<u64, StoreError> {
    let how = Forgotten {
        blocks: "DELETE FROM block WHERE id IN (
                     SELECT block.id FROM block JOIN log ON log.id = block.log WHERE log.host = ? LIMIT ?)
                 RETURNING lines",
        tables: &["log", "mark"],
        what: "lines of forgotten hosts",
    };
    LINES.forget(path, host, &how)
}

//! Deletes what there is of one host, beside a running writer.

use std::path::Path;

use super::schema::{Forgotten, PROFILES};
use crate::store::StoreError;

/// Deletes blocks, pins and evidence of a host. Returns the samples that went. Its stacks go with their epoch: other hosts may have them,
/// too.
pub fn forget(path: &Path, host: &str) -> Result<u64, StoreError> {
    let how = Forgotten {
        blocks: "DELETE FROM block WHERE id IN (SELECT id FROM block WHERE host = ? LIMIT ?) RETURNING samples",
        tables: &["evidence", "evidence_of", "pin", "pinned"],
        what: "samples of forgotten hosts",
    };
    PROFILES.forget(path, host, &how)
}

//! Whose clock is ahead of ours.

use agent_common::units::UnixNs;

use super::Reader;
use super::push::PUSHED_STREAM;
use crate::store::{SKEW_TOLERANCE, StoreError};

impl Reader {
    /// Hosts whose newest window ends later than `now` by more than [`SKEW_TOLERANCE`], with its end. A window cannot be
    /// written before it ends: the host's clock is ahead of this one. Programs may push times that are to come.
    pub fn hosts_ahead(&self, now: UnixNs) -> Result<Vec<(String, UnixNs)>, StoreError> {
        let after = super::time(now.0.saturating_add(SKEW_TOLERANCE.as_nanos() as u64));
        let read = || -> rusqlite::Result<Vec<_>> {
            // The index on `slot.end_ns`, which is the end of the ten minutes and never before `last_ns`, finds the few
            // slots that come into question.
            let mut statement = self.conn().prepare_cached(
                "SELECT stream.host, max(window.at) FROM (
                     SELECT stream, end_ns AS at FROM head WHERE end_ns > ?1 UNION ALL
                     SELECT stream, last_ns AS at FROM slot WHERE end_ns > ?1 AND last_ns > ?1) window
                 JOIN stream ON stream.id = window.stream AND stream.name <> ?2 GROUP BY stream.host ORDER BY stream.host",
            )?;
            let rows = statement.query_map((after, PUSHED_STREAM.1), |row| {
                Ok((row.get(0)?, UnixNs(row.get::<_, i64>(1)?.cast_unsigned())))
            })?;
            rows.collect()
        };
        read().map_err(|e| self.error(e))
    }
}

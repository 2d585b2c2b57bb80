//! What is done beside writing: rolling, deleting, putting old points together. In pieces of one transaction each, so that no
//! write waits for long.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::retain::{self, Retained};
use super::stream::{self, Due, load_stream};
use super::{Options, Writer, roll, schema, thin};

/// A write takes so much longer at most, and by one piece of work, when something is due beside it.
pub(super) const TIME: Duration = Duration::from_millis(20);

impl Writer {
    /// Does what is due, piece by piece, until the time is over. What fails here is a warning: the windows are stored.
    pub(super) fn do_upkeep(&mut self, path: &Path, options: &Options, time: Duration) {
        let begun = Instant::now();
        while self.upkeep.is_due() {
            match self.piece(options) {
                Ok(false) => return,
                Ok(true) => self.upkeep.succeeded(),
                Err(source) => self.upkeep_failed(path, source),
            }
            if begun.elapsed() >= time {
                return;
            }
        }
    }

    /// Rolls one slot, or deletes some, or makes one of old ones; false: nothing is due.
    fn piece(&mut self, options: &Options) -> rusqlite::Result<bool> {
        if !self.complete {
            for key in stream::waiting(&self.conn)? {
                if !self.streams.contains_key(&key)
                    && let Some(stream) = load_stream(&self.conn, &key.0, &key.1)?
                {
                    self.streams.insert(key, stream);
                }
            }
            self.complete = true;
        }
        let mut streams = self.streams.values_mut();
        if let Some((due, stream)) = streams.find_map(|stream| Some((stream.due(options.silent)?, stream))) {
            roll::roll(&mut self.conn, stream.id, due)?;
            stream.recount(&self.conn)?;
            self.tidy |= !matches!(due, Due::Part(_));
            return Ok(true);
        }
        if !self.tidy {
            return Ok(false);
        }
        let retained = retain::retain(&mut self.conn, options, options.max_bytes, SystemTime::now())?;
        self.retained(retained);
        self.tidy =
            retained != Retained::default() || thin::thin(&mut self.conn, options, SystemTime::now())?;
        Ok(self.tidy)
    }

    fn retained(&mut self, retained: Retained) {
        if retained.slots > 0 {
            tracing::debug!(slots = retained.slots, series = retained.series, "retention deleted");
        }
        if retained.series > 0 {
            self.catalogue.clear();
            self.pushed = super::push::Known::default();
        }
    }

    /// What can be done so that the next attempt finds room. The WAL goes into the database file, which has free pages
    /// perhaps, and ends. At our own hard limit the oldest tenth goes; a disk that others have filled is no reason to
    /// delete.
    pub(super) fn make_room(&mut self, path: &Path, options: &Options) {
        let truncated = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = truncated {
            tracing::debug!("checkpoint of {}: {error}", path.display());
        }
        let Some(max_pages) = options.max_pages else { return };
        if let Err(source) = self.make_room_within(options, max_pages) {
            self.upkeep_failed(path, source);
        } else {
            self.upkeep.pause(Duration::ZERO);
        }
    }

    fn make_room_within(&mut self, options: &Options, max_pages: u32) -> rusqlite::Result<()> {
        let size = retain::page_count(&self.conn, "page_size")?;
        let most = (u64::from(max_pages) * size / 10 * 9).min(options.max_bytes);
        let mut slots = 0;
        loop {
            let retained = retain::retain(&mut self.conn, options, most, SystemTime::now())?;
            self.retained(retained);
            slots += retained.slots;
            if retained == Retained::default() {
                break;
            }
        }
        // All of it is at the head: rolled, it is a tenth.
        if slots == 0
            && let Some(stream) = roll::longest_head(&self.conn)?
        {
            roll::roll(&mut self.conn, stream, Due::Any)?;
        }
        Ok(())
    }

    fn upkeep_failed(&mut self, path: &Path, source: rusqlite::Error) {
        self.forget();
        let error = schema::error("cannot roll or delete in", path, source);
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        self.upkeep.failed(format!("{error}{cause}"));
    }
}

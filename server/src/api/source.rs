//! Where answers come from.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use promql::ReadError;

use crate::node::NodeNames;
use crate::store::StoreError;
use crate::store::elsewhere::Elsewhere;
use crate::store::embedded::Reader;
use crate::store::{logs, profiles};

/// A store that can be read. Blocks: it is called on a thread of its own.
pub trait Source: Send + Sync + fmt::Debug {
    /// Calls with the store as it is now; it does not change until the call returns. May give up reading when it is `over`.
    fn read(
        &self,
        over: &dyn Fn() -> bool,
        with: &mut dyn FnMut(&dyn promql::Reader),
    ) -> Result<(), ReadError>;

    /// Whether it keeps running sums: without, those of everything cost a look at all that it has.
    fn keeps_sums(&self) -> bool {
        true
    }

    /// Calls with the embedded store's reader: for alerts and reports, which only that has.
    fn stored(&self, with: &mut dyn FnMut(&Reader) -> Result<(), StoreError>) -> Result<(), ReadError>;

    /// Calls with the reader of the profiles. Says whether there are any.
    fn profiles(
        &self,
        with: &mut dyn FnMut(&profiles::Reader) -> Result<(), StoreError>,
    ) -> Result<bool, ReadError> {
        let _ = with;
        Ok(false)
    }

    /// Calls with the reader of the log lines. Says whether there are any.
    fn logs(&self, with: &mut dyn FnMut(&logs::Reader) -> Result<(), StoreError>) -> Result<bool, ReadError> {
        let _ = with;
        Ok(false)
    }
}

/// The embedded store, with the names of `node_exporter` beside ours: a connection for each query that runs, kept for the next.
#[derive(Debug)]
pub struct Embedded {
    path: PathBuf,
    idle: Mutex<Vec<Reader>>,
    idle_profiles: Mutex<Vec<profiles::Reader>>,
    idle_logs: Mutex<Vec<logs::Reader>>,
}

impl Embedded {
    /// Of this database file; those of profiles and log lines are beside it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            idle: Mutex::default(),
            idle_profiles: Mutex::default(),
            idle_logs: Mutex::default(),
        }
    }
}

impl Source for Embedded {
    fn read(
        &self,
        over: &dyn Fn() -> bool,
        with: &mut dyn FnMut(&dyn promql::Reader),
    ) -> Result<(), ReadError> {
        let mut read = |reader: &Reader| {
            with(&NodeNames(reader.view()?.until(over)));
            Ok(())
        };
        self.stored(&mut read)
    }

    fn stored(&self, with: &mut dyn FnMut(&Reader) -> Result<(), StoreError>) -> Result<(), ReadError> {
        with_idle(&self.idle, || Reader::open(&self.path).map(Some), with).map(|_| ())
    }

    fn profiles(
        &self,
        with: &mut dyn FnMut(&profiles::Reader) -> Result<(), StoreError>,
    ) -> Result<bool, ReadError> {
        let open = || {
            let path = self.path.with_file_name(profiles::FILE);
            path.exists().then(|| profiles::Reader::open(&path)).transpose()
        };
        with_idle(&self.idle_profiles, open, with)
    }

    fn logs(&self, with: &mut dyn FnMut(&logs::Reader) -> Result<(), StoreError>) -> Result<bool, ReadError> {
        let open = || {
            let path = self.path.with_file_name(logs::FILE);
            path.exists().then(|| logs::Reader::open(&path)).transpose()
        };
        with_idle(&self.idle_logs, open, with)
    }
}

/// Calls with an idle reader, or a new one, which is idle then; one that failed is dropped. `false`: there is nothing to open.
fn with_idle<R>(
    idle: &Mutex<Vec<R>>,
    open: impl FnOnce() -> Result<Option<R>, StoreError>,
    with: &mut dyn FnMut(&R) -> Result<(), StoreError>,
) -> Result<bool, ReadError> {
    let failed = |error: StoreError| ReadError { message: error.to_string() };
    let known = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let Some(reader) = known.map_or_else(open, |known| Ok(Some(known))).map_err(failed)? else {
        return Ok(false);
    };
    with(&reader).map_err(failed)?;
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    Ok(true)
}

impl Source for Elsewhere {
    fn read(
        &self,
        over: &dyn Fn() -> bool,
        with: &mut dyn FnMut(&dyn promql::Reader),
    ) -> Result<(), ReadError> {
        with(&NodeNames(self.view(over)?));
        Ok(())
    }

    fn keeps_sums(&self) -> bool {
        false
    }

    fn stored(&self, _: &mut dyn FnMut(&Reader) -> Result<(), StoreError>) -> Result<(), ReadError> {
        let message =
            "server.store is a database elsewhere: alerts and reports are in the embedded store alone";
        Err(ReadError { message: message.to_owned() })
    }
}

//! Containers by their ids: what the files of their runtimes say of them. No runtime is asked.
//!
//! The files belong to root, but a name in a cgroup's path, which a user may choose, decides which of them are read: only an id of 64
//! hexadecimal digits gets here, and no cgroup below a user's own slice. A thread of its own reads them, so a container has its labels some
//! milliseconds after its first process was seen, and until then none.

pub(crate) mod runtimes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diagnosis::window::ContainerLabels;

/// Containers that are remembered. Each has some 300 bytes.
const MAX_CONTAINERS: usize = 4096;
/// Ids that wait to be read: what is more is asked for again with the next window.
const MAX_WAITING: usize = 256;
/// Windows between two tries to find a container's files, and the most tries: they are there before its first process is.
const RETRY_AFTER: u64 = 10;
const MAX_TRIES: u8 = 3;
/// Windows after which a container that has no process any more is forgotten.
const FORGET_AFTER: u64 = 60;

/// Labels of containers, by id.
#[derive(Debug)]
pub(super) struct Containers {
    known: HashMap<Arc<str>, Known>,
    found: Arc<Mutex<Vec<Found>>>,
    wanted: SyncSender<Arc<str>>,
    turn: u64,
}

type Found = (Arc<str>, Option<Arc<ContainerLabels>>);

#[derive(Debug, Default)]
struct Known {
    labels: Option<Arc<ContainerLabels>>,
    /// It is being read.
    waits: bool,
    tries: u8,
    tried: u64,
    used: u64,
}

impl Containers {
    /// Of this host.
    #[must_use]
    pub(super) fn of_host() -> Self {
        Self::below(PathBuf::from("/"))
    }

    /// Of runtimes whose files lie below this directory. A thread reads them until this is dropped.
    pub(super) fn below(root: PathBuf) -> Self {
        let (wanted, asked) = mpsc::sync_channel(MAX_WAITING);
        let found = Arc::<Mutex<Vec<Found>>>::default();
        let theirs = Arc::clone(&found);
        let thread = std::thread::Builder::new().name("containers".to_owned());
        if let Err(error) = thread.spawn(move || read(&root, &asked, &theirs)) {
            tracing::warn!(%error, "cannot start a thread: containers have ids in place of names");
        }
        Self { known: HashMap::new(), found, wanted, turn: 0 }
    }

    /// Begins a window: takes over what was found since the last, and forgets what is gone.
    pub(super) fn begin(&mut self) {
        self.turn += 1;
        for (id, labels) in std::mem::take(&mut *lock(&self.found)) {
            if let Some(known) = self.known.get_mut(&id) {
                (known.waits, known.labels) = (false, labels);
            }
        }
        let turn = self.turn;
        if turn.is_multiple_of(FORGET_AFTER) {
            self.known.retain(|_, known| turn - known.used < FORGET_AFTER);
        }
    }

    /// The labels of a container, if they are known by now. The first question has them read.
    pub(super) fn labels(&mut self, id: &Arc<str>) -> Option<Arc<ContainerLabels>> {
        if !self.known.contains_key(id) && self.known.len() >= MAX_CONTAINERS {
            return None;
        }
        let known = self.known.entry(Arc::clone(id)).or_default();
        known.used = self.turn;
        let due = known.tries == 0 || self.turn - known.tried >= RETRY_AFTER;
        if known.labels.is_none() && !known.waits && known.tries < MAX_TRIES && due {
            known.waits = self.wanted.try_send(Arc::clone(id)).is_ok();
            if known.waits {
                (known.tries, known.tried) = (known.tries + 1, self.turn);
            }
        }
        known.labels.clone()
    }
}

fn read(root: &std::path::Path, asked: &Receiver<Arc<str>>, found: &Mutex<Vec<Found>>) {
    while let Ok(id) = asked.recv() {
        let labels = runtimes::labels(root, &id).map(Arc::new);
        lock(found).push((id, labels));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

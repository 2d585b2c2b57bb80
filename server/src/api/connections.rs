//! Which connections there are, and which goes when there are too many.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;

/// Most connections in all: some 20 KB each.
const MAX_CONNECTIONS: usize = 512;
/// Most connections of one address.
const MAX_OF_ADDRESS: usize = 256;

/// The connections, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    number: u64,
    address: IpAddr,
    busy: Arc<AtomicBool>,
    task: Option<AbortHandle>,
}

/// A connection's place; dropped, it is free.
#[derive(Debug)]
pub(super) struct Place {
    connections: Connections,
    number: u64,
    /// Whether a request is being answered.
    pub(super) busy: Arc<AtomicBool>,
}

impl Connections {
    /// Makes room for a connection. Where there are too many, the oldest that waits for its request goes: one that sends
    /// nothing must not keep others out. `None`: all are at work.
    pub(super) fn enter(&self, number: u64, address: IpAddr) -> Option<Place> {
        let mut all = self.lock();
        let of_address = all.iter().filter(|entry| entry.address == address).count();
        if of_address >= MAX_OF_ADDRESS {
            Self::close(&mut all, |entry| entry.address == address)?;
        } else if all.len() >= MAX_CONNECTIONS {
            Self::close(&mut all, |_| true)?;
        }
        let busy = Arc::new(AtomicBool::new(false));
        all.push(Entry { number, address, busy: Arc::clone(&busy), task: None });
        drop(all);
        Some(Place { connections: self.clone(), number, busy })
    }

    /// Says which task serves a connection, unless it has ended.
    pub(super) fn serves(&self, number: u64, task: AbortHandle) {
        if let Some(entry) = self.lock().iter_mut().find(|entry| entry.number == number) {
            entry.task = Some(task);
        }
    }

    fn close(all: &mut Vec<Entry>, of: impl Fn(&Entry) -> bool) -> Option<()> {
        let idle = |entry: &Entry| entry.task.is_some() && !entry.busy.load(Ordering::Relaxed) && of(entry);
        let at = all.iter().position(idle)?;
        if let Some(task) = all.remove(at).task {
            task.abort();
        }
        Some(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().retain(|entry| entry.number != self.number);
    }
}

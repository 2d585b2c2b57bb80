//! The collector's handle of the unwind thread: sends it events, starts and ends it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use agent_common::abi::process::{KIND_EXEC, KIND_EXIT, KIND_FORK, ProcessEvent};
use agent_common::abi::unwind::Verdict;
use agent_common::units::Tgid;
use agent_common::wire::report::UnwindCost;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::walk::Copied;
use super::worker::Worker;
use crate::bpf::StartError;
use crate::bpf::UnwindMaps;
use crate::source::spaces::Mappings;

/// An event for the thread.
#[derive(Debug)]
pub(super) enum Event {
    /// Sampled; with `true`, in code that is not known.
    Sampled(Vec<(Tgid, bool)>),
    Fork {
        parent: Tgid,
        child: Tgid,
    },
    Exec(Tgid),
    Exit(Tgid),
    /// Stacks that were copied, to be walked here.
    Copied(Vec<(StackCopy, Charge)>),
    /// Answered when everything before has been done.
    Settle(mpsc::Sender<()>),
}

/// A copied stack of a process whose mappings the kernel side did not have yet.
#[derive(Debug)]
pub struct StackCopy {
    /// The sample's number.
    pub id: u64,
    /// The process: gone already, perhaps.
    pub tgid: Tgid,
    /// What it has, or had, mapped.
    pub mappings: Mappings,
    /// What it had before it called exec.
    pub before: Mappings,
    /// The stack.
    pub copied: Copied,
}

/// Stacks that wait to be walked, in bytes: 256 of the largest. The thread gets little of a busy CPU, and then more stacks
/// come than it can walk; those beyond this stay as the kernel side has walked them.
const WAITING_BYTES: usize = 4 << 20;

/// The part of [`WAITING_BYTES`] that a stack takes until it has been walked.
#[derive(Debug)]
pub(super) struct Charge {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Charge {
    /// `None` where there is no room.
    fn of(copy: &StackCopy, waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let bytes = size_of::<StackCopy>() + size_of_val(&copy.copied.stack[..]);
        let before = waiting.fetch_add(bytes, Ordering::Relaxed);
        let charge = Self { waiting: Arc::clone(waiting), bytes };
        (before + bytes <= WAITING_BYTES).then_some(charge)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What became of it.
#[derive(Debug)]
pub struct Walked {
    /// The sample's number.
    pub id: u64,
    /// Its frames, leaf first.
    pub frames: Vec<u64>,
    /// How the walk ended.
    pub verdict: Verdict,
}

/// The thread, from outside.
#[derive(Debug)]
pub struct Unwinding {
    events: Option<mpsc::Sender<Event>>,
    /// Rung when the thread is to look at its events now.
    bell: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Mutex<UnwindCost>>,
    walked: mpsc::Receiver<Walked>,
    waiting: Arc<AtomicUsize>,
}

impl Unwinding {
    /// Starts the thread.
    pub fn start(maps: UnwindMaps) -> Result<Self, StartError> {
        let (events, received) = mpsc::channel();
        let (done, walked) = mpsc::channel();
        let shared = Arc::new(Mutex::default());
        let seen = Arc::clone(&shared);
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(|error| {
            StartError::Broken(anyhow::Error::new(error).context("cannot make an eventfd"))
        })?;
        let bell = Arc::new(bell);
        let heard = Arc::clone(&bell);
        let thread = std::thread::Builder::new()
            .name("unwind".to_owned())
            .spawn(move || Worker::new(maps, seen, done).run(&received, &heard))
            .map_err(|error| {
                StartError::Broken(anyhow::Error::new(error).context("cannot start a thread"))
            })?;
        Ok(Self { events: Some(events), bell, thread: Some(thread), shared, walked, waiting: Arc::default() })
    }

    fn tell(&self, event: Event) {
        if let Some(events) = &self.events {
            // A thread that is gone has panicked: stacks stay without tables and say so.
            let _ = events.send(event);
        }
    }

    /// Wakes the thread to read its events now.
    fn ring(&self) {
        // A counter that is full has been rung.
        let _ = self.bell.write(1);
    }

    /// These were sampled since the last call; with `true`, in code that is not known.
    pub fn sampled(&self, processes: Vec<(Tgid, bool)>) {
        let stale = processes.iter().any(|(_, stale)| *stale);
        if !processes.is_empty() {
            self.tell(Event::Sampled(processes));
        }
        if stale {
            self.ring();
        }
    }

    /// Has these walked; [`Self::walked`] brings them. Returns the numbers of those that there is no room for.
    #[must_use]
    pub fn walk(&self, copies: Vec<StackCopy>) -> Vec<u64> {
        let mut refused = Vec::new();
        let mut taken = Vec::with_capacity(copies.len());
        for copy in copies {
            match Charge::of(&copy, &self.waiting) {
                Some(charge) => taken.push((copy, charge)),
                None => refused.push(copy.id),
            }
        }
        if !taken.is_empty() {
            self.tell(Event::Copied(taken));
            self.ring();
        }
        refused
    }

    /// The next one that was walked, within `patience`.
    #[must_use]
    pub fn walked(&self, patience: Duration) -> Option<Walked> {
        self.walked.recv_timeout(patience).ok()
    }

    /// A process was forked, runs another program, or is gone.
    pub fn event(&self, event: &ProcessEvent) {
        let tgid = Tgid(event.tgid);
        match event.kind {
            KIND_FORK => self.tell(Event::Fork { parent: Tgid(event.parent_tgid), child: tgid }),
            KIND_EXEC => {
                self.tell(Event::Exec(tgid));
                self.ring();
            }
            KIND_EXIT => self.tell(Event::Exit(tgid)),
            _ => {}
        }
    }

    /// Waits until the tables of these are there, `patience` at most.
    pub fn prepare(&self, processes: &[Tgid], patience: Duration) {
        self.sampled(processes.iter().map(|tgid| (*tgid, true)).collect());
        let (done, settled) = mpsc::channel();
        self.tell(Event::Settle(done));
        self.ring();
        let _ = settled.recv_timeout(patience);
    }

    /// What it holds, and what that took since the last call.
    #[must_use]
    pub fn take_cost(&self) -> UnwindCost {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = *shared;
        (shared.cpu_ns, shared.evicted, shared.refused) = (0, 0, 0);
        cost
    }
}

impl Drop for Unwinding {
    fn drop(&mut self) {
        drop(self.events.take());
        self.ring();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the unwind thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_that_wait_take_no_more_than_their_room_and_give_it_back() {
        let waiting = Arc::new(AtomicUsize::new(0));
        let copy = |id| StackCopy {
            id,
            tgid: Tgid(7),
            mappings: Mappings::default(),
            before: Mappings::default(),
            copied: Copied { pc: 0, sp: 0, bp: 0, stack: vec![0; 2048].into() },
        };
        let charges: Vec<_> = (0..1000).filter_map(|id| Charge::of(&copy(id), &waiting)).collect();
        assert!((200..=256).contains(&charges.len()), "{}", charges.len());
        assert!(waiting.load(Ordering::Relaxed) <= WAITING_BYTES);
        drop(charges);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }
}

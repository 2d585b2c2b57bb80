//! Threads for calls that may never return.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::blocked::{self, Blocked, Owner};
use crate::progress::Watched;

/// How long to wait for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A call whose thread has not moved for so long does not return.
    pub still: Duration,
    /// A call that takes longer is given up, whatever it does.
    pub most: Duration,
}

impl Patience {
    /// For names and tables: a disk that is busy answers within a second, and the largest file is read within ten.
    pub const NAMES: Self = Self { still: Duration::from_secs(1), most: Duration::from_secs(10) };
    /// For unwind tables: while one file is waited for, short-lived processes go unread. Not less than a second: one read from
    /// the host's own disk took more than 250 ms beside several builds, and the whole disk was left alone.
    pub const TABLES: Self = Self { still: Duration::from_secs(1), most: Duration::from_secs(10) };
    /// For the collector, whose rings hold four seconds.
    pub const COLLECTOR: Self = Self { still: Duration::from_millis(300), most: Duration::from_millis(1500) };
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
struct Worker {
    jobs: mpsc::Sender<Job>,
    watched: Watched,
}

/// Runs calls that may never return on threads of its own, one call at a time on each. A thread whose call does not return is
/// given up: it is counted, what it waits for is [blocked](crate::blocked) until it does return, and then the thread ends.
///
/// A thread has the capabilities of the one that makes the first call.
#[derive(Debug)]
pub struct Workers {
    name: &'static str,
    patience: Patience,
    idle: Mutex<Vec<Worker>>,
}

impl Workers {
    /// Starts no thread yet. `name`: 12 bytes at most, for the threads' names.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self::with_patience(name, Patience::NAMES)
    }

    /// The same, waiting as long as this.
    #[must_use]
    pub const fn with_patience(name: &'static str, patience: Patience) -> Self {
        Self { name, patience, idle: Mutex::new(Vec::new()) }
    }

    /// Runs `work`, which touches what `owner` says, and waits for it as long as it moves. What it opens it must close itself. A
    /// panic in `work` is the caller's.
    pub fn run<T: Send + 'static>(
        &self,
        owner: Owner,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Blocked> {
        blocked::admit(owner)?;
        let worker = match self.take() {
            Some(worker) => worker,
            None => start(self.name)?,
        };
        let (reply, answer) = mpsc::sync_channel(1);
        // Set once: by the thread when it is done, or by the caller when it gives the thread up.
        let settled = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&settled);
        let job = move || {
            let begin = thread_cpu();
            let result = catch_unwind(AssertUnwindSafe(work));
            blocked::charge(owner.uid, thread_cpu().saturating_sub(begin));
            // If the caller has given up, the file is closed here: that may block.
            let _ = reply.send(result);
            if theirs.swap(true, Ordering::AcqRel) {
                blocked::find(owner);
            }
        };
        worker.jobs.send(Box::new(job)).map_err(|_| Blocked::NoThread)?;
        let begin = Instant::now();
        let mut before = worker.watched.look();
        loop {
            match answer.recv_timeout(self.patience.still) {
                Ok(result) => {
                    self.give(worker);
                    return result.map_or_else(|panic| resume_unwind(panic), Ok);
                }
                Err(RecvTimeoutError::Disconnected) => return Err(Blocked::NoThread),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = worker.watched.look();
            let moves = before.zip(now).is_some_and(|(before, now)| now.has_moved_since(before));
            if moves && begin.elapsed() < self.patience.most {
                before = now;
                continue;
            }
            blocked::lose(owner);
            if settled.swap(true, Ordering::AcqRel) {
                // It was done just now.
                blocked::find(owner);
                continue;
            }
            tracing::warn!(
                uid = owner.uid,
                place = ?owner.place,
                "a file system or process does not answer: it is left alone until it does"
            );
            return Err(Blocked::NoAnswer);
        }
    }

    fn take(&self) -> Option<Worker> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give(&self, worker: Worker) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
    }
}

fn start(name: &str) -> Result<Worker, Blocked> {
    let (jobs, received) = mpsc::channel::<Job>();
    let (hello, started) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("{name}-io")).spawn(move || {
        let _ = hello.send(Watched::this_thread());
        while let Ok(job) = received.recv() {
            job();
        }
    });
    if let Err(error) = thread {
        tracing::warn!(%error, "cannot start a thread");
        return Err(Blocked::NoThread);
    }
    let watched = started.recv().map_err(|_| Blocked::NoThread)?;
    Ok(Worker { jobs, watched })
}

/// CPU time of the calling thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::blocked::Place;

    const QUICK: Patience = Patience { still: Duration::from_millis(50), most: Duration::from_mins(1) };

    #[test]
    fn a_call_that_does_not_return_is_given_up_and_its_place_left_alone_until_it_does() {
        let workers = Workers::with_patience("test", QUICK);
        let (mut read, mut write) = std::io::pipe().unwrap();
        let place = Place::Device(u64::MAX);
        let owner = Owner { uid: 4_000_000_000, place };
        let hangs = move || read.read(&mut [0]).map(|_| ());
        assert!(matches!(workers.run(owner, hangs), Err(Blocked::NoAnswer)));
        assert_eq!(workers.run(owner, || ()), Err(Blocked::NoAnswer));
        assert_eq!(workers.run(Owner { place: Place::Device(1), ..owner }, || 7), Ok(7));
        write.write_all(b"x").unwrap();
        while workers.run(owner, || ()).is_err() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_call_that_works_for_long_is_waited_for() {
        let workers = Workers::with_patience("test", QUICK);
        let spins = || {
            let begin = thread_cpu();
            while thread_cpu().saturating_sub(begin) < Duration::from_millis(200) {}
            3
        };
        assert_eq!(workers.run(Owner::own(), spins), Ok(3));
    }

    #[test]
    fn a_panic_is_the_callers_and_the_thread_goes_on() {
        let workers = Workers::new("test");
        let panics = catch_unwind(AssertUnwindSafe(|| workers.run(Owner::own(), || panic!("expected"))));
        assert!(panics.is_err());
        assert_eq!(workers.run(Owner::own(), || 1), Ok(1));
        assert_eq!(workers.idle.lock().unwrap().len(), 1);
    }
}

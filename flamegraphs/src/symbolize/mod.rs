//! Addresses → names. The only module that names blazesym.
//!
//! blazesym's `Symbolizer` owns the caches, and is neither `Send` nor cheap to make. So it lives on one thread for as long as
//! the agent runs; [`Symbolizer`] here is the handle that other threads clone.

mod asker;
mod cache;
mod debug;
mod debuginfod;
mod dwarf;
pub(crate) mod elf;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod entries;
pub(crate) mod files;
mod go;
mod interpreted;
mod jit;
mod jitdump;
mod kernel;
mod name;
mod perf_map;
mod plan;
mod process;
mod program;
mod revisit;
mod space;

mod unread;
mod worker;

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use profile::{FoldOptions, Folded, FrameName, Names, Sample};
use serde::{Deserialize, Serialize};

pub use debuginfod::set_debuginfod;
pub use name::readable;
pub use process::Mapped;
use worker::Job;

/// Requests waiting at most. An `observe` beyond it is dropped and counted, so a fork storm costs memory
/// neither here (24 KiB) nor in the process table.
const QUEUE: usize = 1024;

/// A fold that takes longer has met a file system that does not answer (FUSE, NFS): cold and on a busy host
/// a fold takes a second.
const FOLD_TIMEOUT: Duration = Duration::from_mins(1);

/// Limits of the symbolizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolizerOptions {
    /// Memory for names already found.
    pub name_bytes: usize,
    /// Memory for symbol tables of ELF files; the largest file (128 MiB at most) may add to it while it is read.
    pub table_bytes: u64,
    /// Debug info of a file is read if it is no larger, for inlined functions and lines; 0 never does.
    #[serde(default)]
    pub debug_bytes: u64,
    /// Debug files that are not here are asked for at debuginfod's servers, in the background.
    #[serde(default)]
    pub debuginfod: bool,
}

impl Default for SymbolizerOptions {
    /// 12 MiB of names are some 60,000 frames with lines: a host with 300 processes shows about 20,000. 8 MiB of
    /// tables hold the symbols of libc, libstdc++, OpenSSL and some dozen programs; a browser or compiler alone has
    /// more and is read again when a new address of it turns up. Debuginfod is asked if the environment names servers,
    /// as by every other tool.
    fn default() -> Self {
        Self {
            name_bytes: 12 << 20,
            table_bytes: 8 << 20,
            debug_bytes: 96 << 20,
            debuginfod: std::env::var_os("DEBUGINFOD_URLS").is_some_and(|urls| !urls.is_empty()),
        }
    }
}

/// What went wrong with a request as a whole. Single addresses never fail it: see [`profile::NameCoverage`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The thread could not be started.
    #[error("cannot start the symbolizer thread")]
    Spawn(#[source] std::io::Error),
    /// The thread is gone.
    #[error("the symbolizer thread has stopped")]
    Stopped,
    /// No answer in time: the thread is stuck on a file system that does not answer.
    #[error("the symbolizer gave no answer within {} s", FOLD_TIMEOUT.as_secs())]
    Slow,
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Files that blazesym cannot cope with. The symbolizer has been made anew and can be used again.
    #[error("the symbolizer failed: {message}")]
    Failed {
        /// The panic's message.
        message: String,
    },
}

/// What the symbolizer holds and has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolizerStats {
    /// Processes whose mappings are remembered.
    pub processes: usize,
    /// Memory of those mappings.
    #[serde(default)]
    pub mapping_bytes: usize,
    /// Mapped files known.
    pub files: usize,
    /// Files held open.
    pub files_open: usize,
    /// Names cached.
    pub names: usize,
    /// Memory of the cached names.
    pub name_bytes: usize,
    /// Memory of the symbol tables.
    pub table_bytes: u64,
    /// Memory of the names of run-time compiled code.
    #[serde(default)]
    pub jit_bytes: usize,
    /// Memory of what was read of interpreted functions.
    #[serde(default)]
    pub interpreted_bytes: usize,
    /// Memory of the kernel's symbol table.
    pub kernel_bytes: usize,
    /// `observe` calls dropped since the queue was full.
    pub observe_dropped_total: u64,
    /// Names forgotten for the budget.
    pub names_evicted_total: u64,
    /// Files' tables dropped for the budget.
    pub tables_evicted_total: u64,
    /// Times the symbolizer failed and was made anew.
    pub failed_total: u64,
    /// Why kernel frames have no names, if so.
    pub kernel_trouble: Option<String>,
}

/// Handle of the symbolizer thread, which ends when the last handle goes.
#[derive(Debug, Clone)]
pub struct Symbolizer {
    jobs: SyncSender<Job>,
    stats: Arc<Mutex<SymbolizerStats>>,
}

impl Symbolizer {
    /// Starts the thread. Nothing is read before the first request.
    pub fn spawn(options: SymbolizerOptions) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let stats = Arc::new(Mutex::default());
        let shared = Arc::clone(&stats);
        std::thread::Builder::new()
            .name("symbolizer".to_owned())
            .spawn(move || worker::run(&queue, options, &shared))
            .map_err(Error::Spawn)?;
        Ok(Self { jobs, stats })
    }

    /// Reads the mappings of process `tgid` soon, and again ever more rarely while it lives, and keeps its files open,
    /// so that its frames get names even if it exits. Call it at exec, and when a process is first sampled. Never blocks.
    pub fn observe(&self, tgid: u32) {
        self.send_or_count(Job::Observe { tgid });
    }

    /// `child` was forked by `parent`: it has the parent's mappings until it is observed itself. Never blocks.
    pub fn forked(&self, parent: u32, child: u32) {
        self.send_or_count(Job::Forked { parent, child });
    }

    /// What process `tgid` has, or had, mapped: for one that is gone by the time that it is observed, and for libraries that
    /// come and go. Its files are opened now. Never blocks.
    pub fn mapped(&self, tgid: u32, what: Mapped) {
        self.send_or_count(Job::Mapped { tgid, what });
    }

    /// Reads code objects of Python processes soon, by tgid and addresses: they may be gone when their frames are named.
    /// Never blocks.
    pub fn read_code(&self, code: Vec<(u32, Vec<u64>)>) {
        self.send_or_count(Job::Code { code });
    }

    /// Names and folds `samples`. Blocks until done: not for an async task's thread.
    pub fn fold(&self, samples: Vec<Sample>, options: FoldOptions) -> Result<Folded, Error> {
        let (samples, names) = self.names(samples)?;
        Ok(profile::fold(&samples, &names, &options))
    }

    /// Names the addresses of `samples`, and gives them back. Blocks until done: not for an async task's thread.
    pub fn names(&self, samples: Vec<Sample>) -> Result<(Vec<Sample>, Names), Error> {
        self.ask(|reply| Job::Name { samples, reply })
    }

    fn ask<T>(&self, job: impl FnOnce(SyncSender<Result<T, Error>>) -> Job) -> Result<T, Error> {
        let deadline = Instant::now() + FOLD_TIMEOUT;
        let (reply, answer) = mpsc::sync_channel(1);
        let mut job = job(reply);
        while let Err(error) = self.jobs.try_send(job) {
            match error {
                TrySendError::Disconnected(_) => return Err(Error::Stopped),
                TrySendError::Full(_) if Instant::now() >= deadline => return Err(Error::Slow),
                TrySendError::Full(back) => job = back,
            }
            // Behind a storm of observes, ~50 µs each; a bounded queue has no timed send.
            std::thread::sleep(Duration::from_millis(1));
        }
        answer.recv_timeout(deadline.saturating_duration_since(Instant::now())).map_err(
            |error| match error {
                RecvTimeoutError::Timeout => Error::Slow,
                RecvTimeoutError::Disconnected => Error::Stopped,
            },
        )?
    }

    /// Names of addresses of an ELF file, as `addr2line` and `nm` mean them, in order. Blocks until done.
    ///
    /// ```no_run
    /// # use flamegraphs::{Symbolizer, SymbolizerOptions};
    /// let symbolizer = Symbolizer::spawn(SymbolizerOptions::default())?;
    /// for name in symbolizer.file("/usr/bin/true".into(), vec![0x1234])? {
    ///     println!("{} {:?}", name.text, name.code);
    /// }
    /// # Ok::<(), flamegraphs::Error>(())
    /// ```
    pub fn file(&self, path: PathBuf, addrs: Vec<u64>) -> Result<Vec<FrameName>, Error> {
        self.ask(|reply| Job::File { path, addrs, reply })
    }

    /// What the symbolizer held after its last request.
    #[must_use]
    pub fn stats(&self) -> SymbolizerStats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn send_or_count(&self, job: Job) {
        if let Err(TrySendError::Full(_)) = self.jobs.try_send(job) {
            self.stats.lock().unwrap_or_else(PoisonError::into_inner).observe_dropped_total += 1;
        }
    }
}

//! The recorder: writes each window to the ring of recordings, on a thread of its own.
//!
//! The thread follows the history as every subscriber does: when disk or symbolizer are slow it misses windows, and nobody waits for it. Kernel
//! stacks get their names at once. Of user stacks it is those of processes that an alert names: to name all would read the files of each process that ever
//! ran, and use up their users' budgets.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent_common::units::UnixNs;
use diagnosis::recording::Head;
use diagnosis::window::Window;
use flamegraphs::Symbolizer;
use profile::Names;
use tokio::runtime::Handle;

use crate::config::Config;
use crate::control::AlertBoard;
use crate::control::protocol::RecordingsStatus;
use crate::history::Subscription;
use crate::recording::Error;
use crate::recording::ring::{Limits, Ring};

/// Wait after a failure, doubled up to the longest: a full disk stays full for a while.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// Limits that may change while the thread runs: in force with the next window.
pub(super) type SharedLimits = Arc<Mutex<Limits>>;

/// The thread. It ends when no more windows come.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) limits: SharedLimits,
    pub(super) status: Arc<Mutex<RecordingsStatus>>,
    thread: JoinHandle<()>,
}

impl Recorder {
    /// Starts the thread, in a runtime.
    pub(super) fn start(
        config: &Config,
        windows: Subscription,
        symbolizer: Symbolizer,
        board: Arc<AlertBoard>,
    ) -> std::io::Result<Self> {
        let limits = SharedLimits::new(Mutex::new(limits_of(config)));
        let status = Arc::<Mutex<RecordingsStatus>>::default();
        let work = Work {
            dir: config.recordings_dir(),
            head: Head {
                host: config.host.clone(),
                rate_hz: config.collector.rate_hz,
                agent: env!("CARGO_PKG_VERSION").to_owned(),
                kernel: kernel(),
                began: UnixNs(0),
                samples: true,
            },
            wanted: Arc::clone(&limits),
            status: Arc::clone(&status),
            symbolizer,
            board,
            ring: None,
            limits: None,
            retry: None,
        };
        let runtime = Handle::current();
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || work.run(&runtime, windows))?;
        Ok(Self { limits, status, thread })
    }

    /// Waits until the last window is written. Blocks.
    pub(super) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the recorder's thread panicked");
        }
    }
}

pub(super) const fn limits_of(config: &Config) -> Limits {
    Limits { max_bytes: config.recordings.max_bytes, max_age: config.recordings.max_age }
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When to try again, and how long to wait after the next failure.
#[derive(Debug, Clone, Copy)]
struct Retry {
    at: Instant,
    wait: Duration,
}

/// The thread's own.
struct Work {
    dir: PathBuf,
    head: Head,
    wanted: SharedLimits,
    status: Arc<Mutex<RecordingsStatus>>,
    symbolizer: Symbolizer,
    board: Arc<AlertBoard>,
    ring: Option<Ring>,
    /// Those in force.
    limits: Option<Limits>,
    retry: Option<Retry>,
}

impl Work {
    fn run(mut self, runtime: &Handle, mut windows: Subscription) {
        let mut missed = 0;
        while let Some(window) = runtime.block_on(windows.next()) {
            let lost = windows.missed() - std::mem::replace(&mut missed, windows.missed());
            self.take(&window, lost);
        }
        if let Some(Err(error)) = self.ring.as_mut().map(Ring::finish) {
            tracing::warn!(%error, "the last recording has no end");
        }
    }

    fn take(&mut self, window: &Window, missed: u64) {
        let limits = *lock(&self.wanted);
        if self.limits != Some(limits) {
            self.limits = Some(limits);
            self.retry = None;
            if let Some(ring) = &mut self.ring {
                ring.set_limits(limits);
            }
        }
        if self.retry.is_some_and(|retry| Instant::now() < retry.at) {
            lock(&self.status).lost += missed + 1;
            return;
        }
        let result = if limits.max_bytes == 0 { self.clear(limits) } else { self.write(window, limits) };
        self.note(missed, result);
    }

    /// Switched off: nothing is kept, also of what was kept before.
    fn clear(&mut self, limits: Limits) -> Result<(), Error> {
        if lock(&self.status).off {
            return Ok(());
        }
        self.ring(limits)?.clear();
        Ok(())
    }

    fn write(&mut self, window: &Window, limits: Limits) -> Result<(), Error> {
        let found = self.board.processes();
        let samples = self.ring(limits)?.unnamed(window, |tgid| found.contains(&tgid))?;
        let names = if samples.is_empty() {
            Names::default()
        } else {
            let failed = |error: &_| tracing::debug!(%error, "a window is recorded without new names");
            self.symbolizer.names(samples).inspect_err(failed).map(|(_, names)| names).unwrap_or_default()
        };
        self.ring(limits)?.window(window, &names)
    }

    fn ring(&mut self, limits: Limits) -> Result<&mut Ring, Error> {
        let ring = match self.ring.take() {
            Some(ring) => ring,
            None => Ring::open(&self.dir, limits, self.head.clone())?,
        };
        Ok(self.ring.insert(ring))
    }

    /// Counts what came of a window, and says it once.
    fn note(&mut self, missed: u64, result: Result<(), Error>) {
        let size = self.ring.as_ref().map(Ring::size);
        let mut status = lock(&self.status);
        status.lost += missed;
        status.off = self.limits.is_some_and(|limits| limits.max_bytes == 0) && result.is_ok();
        if let Some((bytes, files)) = size {
            (status.bytes, status.files) = (bytes, files as u64);
        }
        match result {
            Ok(()) => {
                status.windows += u64::from(!status.off);
                if status.error.take().is_some() {
                    tracing::info!("windows are recorded again");
                }
                self.retry = None;
            }
            Err(error) => {
                status.lost += 1;
                let wait = self.retry.map_or(FIRST_RETRY, |retry| (retry.wait * 2).min(LONGEST_RETRY));
                self.retry = Some(Retry { at: Instant::now() + wait, wait });
                let text = agent_common::text::chain(&error);
                if status.error.as_ref() != Some(&text) {
                    tracing::warn!(error = text, "cannot record windows: `agent report --at` will lack them");
                }
                status.error = Some(text);
            }
        }
    }
}

//! Profiles leave the host: a block a minute, and the evidence of alerts.
//!
//! One thread has the windows of the minute that runs (`maker.rs`), another asks for the names of their stacks, which takes
//! seconds where programs are read for the first time. So the stacks before an alert never wait for names: they go out at once.

mod evidence;
mod maker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent_common::units::UnixNs;
use anyhow::Context as _;
use diagnosis::window::Window;
use flamegraphs::Symbolizer;
use profile::Sample;
use tokio::sync::oneshot;

use self::maker::{Maker, Work};
use super::relay::RelayHandle;

/// Windows and questions that wait for the thread, which waits for nothing.
const QUEUE: usize = 128;

/// How often it is looked whether the threads have ended.
const CLOSE_POLL: Duration = Duration::from_millis(5);

/// Handle of the threads.
#[derive(Debug)]
pub(super) struct Profiles {
    work: SyncSender<Work>,
    threads: Vec<JoinHandle<()>>,
    left_out: Arc<AtomicU64>,
}

impl Profiles {
    /// Starts the threads.
    pub(super) fn spawn(symbolizer: Symbolizer, relay: RelayHandle, rate_hz: u32) -> anyhow::Result<Self> {
        let (work, queue) = mpsc::sync_channel(QUEUE);
        // One at a time is asked for.
        let (ask, asked) = mpsc::sync_channel::<Vec<Sample>>(1);
        let answers = work.clone();
        let naming = move || {
            for samples in asked {
                let named = symbolizer.names(samples);
                let named = named.map(|(_, names)| names).map_err(|error| error.to_string());
                if answers.send(Work::Named(named)).is_err() {
                    return;
                }
            }
        };
        let left_out = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&left_out);
        let making = move || {
            let ask = move |samples| ask.send(samples).is_ok();
            Maker::new(rate_hz, counted, ask, move |block| relay.profile(block)).run(&queue);
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let context = "cannot start a thread";
        let threads = vec![
            thread("profiles").spawn(making).context(context)?,
            thread("profile-names").spawn(naming).context(context)?,
        ];
        Ok(Self { work, threads, left_out })
    }

    /// Takes a window. Never waits.
    pub(super) fn window(&self, window: &Arc<Window>) {
        let sent = self.work.try_send(Work::Window(Arc::clone(window)));
        self.left_out.fetch_add(u64::from(sent.is_err()), Ordering::Relaxed);
    }

    /// Windows that were left out.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Hands on the stacks before these alerts. Resolves when that is done, or cannot be.
    pub(super) fn evidence(&self, alerts: Vec<String>, at: UnixNs) -> impl Future<Output = ()> + use<> {
        let (done, wait) = oneshot::channel();
        if self.work.try_send(Work::Evidence { alerts, at, done }).is_err() {
            tracing::warn!("an alert goes without its stacks: too much waits before it");
        }
        async move {
            // An error: the sender was dropped.
            let _ = wait.await;
        }
    }

    /// Hands on what there is of the minute that runs, and ends. Blocks, for so long at most; says whether it was long enough.
    /// Where it was not, the threads end with the process.
    pub(super) fn close(self, longest: Duration) -> bool {
        let Self { work, threads, .. } = self;
        let deadline = Instant::now() + longest;
        let mut told = false;
        while threads.iter().any(|thread| !thread.is_finished()) {
            // The queue may be full for a moment.
            told = told || work.try_send(Work::Close).is_ok();
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(CLOSE_POLL);
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the profiles panicked");
            }
        }
        true
    }
}

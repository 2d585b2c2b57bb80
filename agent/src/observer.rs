//! The collector's thread: polls, closes windows, fills the [`History`].

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent_common::units::Tgid;
use flamegraphs::Symbolizer;

use crate::bpf::StartError;
use crate::collector::{Collector, Options};
use crate::history::{History, Limits};
use crate::source::endings::Ended;
use crate::source::oncpu::Fresh;

/// Length of a window.
const WINDOW_LENGTH: Duration = Duration::from_secs(1);
/// Windows after which memory that was given back goes back to the kernel: some ms of work.
const TRIM_EVERY: u32 = 60;

/// What is worth reading of processes while they live.
#[derive(Debug)]
pub enum Seen {
    /// One was sampled for the first time.
    Process(Fresh),
    /// One has, or had, mapped this.
    Mapped {
        /// The process.
        tgid: Tgid,
        /// They.
        what: flamegraphs::Mapped,
    },
    /// One ended badly.
    Ended(Box<Ended>),
    /// Code objects were in Python stacks: processes, and addresses in them.
    Code(Vec<(Tgid, Vec<u64>)>),
}

/// Called on the collector's thread: must not block.
pub type OnProcess = Box<dyn FnMut(Seen) + Send>;

/// Has the symbolizer read the mappings of each process, and the code objects of Python, while it lives. One that was
/// forked has its parent's until then, and for good if it is gone already.
#[must_use]
pub fn observe_with(symbolizer: Symbolizer) -> OnProcess {
    Box::new(move |seen| match seen {
        Seen::Process(Fresh { tgid, parent }) => {
            if let Some(parent) = parent {
                symbolizer.forked(parent.0, tgid.0);
            }
            symbolizer.observe(tgid.0);
        }
        Seen::Mapped { tgid, what } => symbolizer.mapped(tgid.0, what),
        // Post-mortems are the daemon's business.
        Seen::Ended(_) => {}
        Seen::Code(code) => {
            symbolizer.read_code(code.into_iter().map(|(tgid, addrs)| (tgid.0, addrs)).collect());
        }
    })
}

/// A collector at work. Dropping it detaches the probes.
#[derive(Debug)]
pub struct Observer {
    history: Arc<History>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    /// Attaches the probes and returns when they are: what runs from here on is seen.
    pub fn start(options: Options, limits: Limits, on_process: OnProcess) -> Result<Self, StartError> {
        let history = Arc::new(History::new(limits));
        let (stop, stopped) = mpsc::channel();
        let (started, outcome) = mpsc::channel();
        let filled = Arc::clone(&history);
        let thread = std::thread::Builder::new()
            .name("collector".to_owned())
            .spawn(move || match Collector::start(options) {
                Ok(collector) => {
                    let _ = started.send(Ok(()));
                    drop(started);
                    run(collector, &filled, &stopped, on_process);
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            })
            .map_err(|error| {
                StartError::Broken(anyhow::Error::new(error).context("cannot start a thread"))
            })?;
        match outcome.recv() {
            Ok(Ok(())) => Ok(Self { history, stop: Some(stop), thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(mpsc::RecvError) => {
                Err(StartError::Broken(anyhow::anyhow!("the collector's thread panicked")))
            }
        }
    }

    /// What it has seen.
    #[must_use]
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// The thread has ended, which only a panic does before [`Self::stop`].
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Closes the running window, however short, and detaches. Blocks for some milliseconds.
    pub fn stop(mut self) -> Arc<History> {
        self.end();
        Arc::clone(&self.history)
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the collector's thread panicked");
        }
        self.history.close();
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(mut collector: Collector, history: &History, stopped: &mpsc::Receiver<()>, mut on_process: OnProcess) {
    let mut next_poll = Instant::now() + Collector::POLL;
    let mut next_window = Instant::now() + WINDOW_LENGTH;
    let mut windows = 0_u32;
    loop {
        let wait = next_poll.min(next_window).saturating_duration_since(Instant::now());
        let ending = !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout));
        let now = Instant::now();
        if ending {
            collector.end();
        }
        if ending || now >= next_window {
            // Polls as well.
            if let Some(window) = collector.close_window() {
                history.push(window);
            }
            windows += 1;
            if windows % TRIM_EVERY == 1 {
                // What was read for the start is large, and gone.
                crate::heap::give_back();
            }
            next_window = after(next_window, WINDOW_LENGTH, now);
        } else if now >= next_poll {
            collector.poll();
        }
        next_poll = if now >= next_poll { after(next_poll, Collector::POLL, now) } else { next_poll };
        collector.take_fresh().into_iter().map(Seen::Process).for_each(&mut on_process);
        // After a child has got its parent's.
        let mapped = collector.take_mapped().into_iter();
        mapped.map(|(tgid, what)| Seen::Mapped { tgid, what }).for_each(&mut on_process);
        // After the mappings, by which its stack gets names.
        collector
            .take_ended()
            .into_iter()
            .map(|ended| Seen::Ended(Box::new(ended)))
            .for_each(&mut on_process);
        let code = collector.take_code();
        if !code.is_empty() {
            on_process(Seen::Code(code));
        }
        if ending {
            return;
        }
    }
}

/// The next beat after `now` on the grid of `last + n × step`: a late thread skips beats, it does not hurry after them.
fn after(last: Instant, step: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(last).as_nanos() / step.as_nanos().max(1);
    last + step * u32::try_from(late + 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_stay_on_their_grid() {
        let start = Instant::now();
        let step = Duration::from_millis(100);
        assert_eq!(after(start, step, start + Duration::from_millis(3)), start + step);
        assert_eq!(after(start, step, start + Duration::from_millis(250)), start + 3 * step);
    }
}

//! What the daemon remembers: windows and samples in memory, bounded by age and bytes, with subscribers.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_common::abi::sched::State;
use agent_common::units::DurNs;
use diagnosis::window::{IrqRow, ProcessTimes, ThreadTimes, Wait, Waker, Window};
use profile::Sample;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// Windows a subscriber may lag behind before it loses the oldest: 32 seconds, 32 pointers.
const MAX_SUBSCRIBER_LAG: usize = 32;

/// Bounds of a [`History`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Age of the oldest window.
    pub windows: Duration,
    /// Age of the oldest window that still has its stacks: on-CPU samples and waits.
    pub samples: Duration,
    /// Bytes of all of it. The oldest samples go first, then the oldest windows.
    pub max_bytes: usize,
}

impl Limits {
    /// For one command that attaches itself: its whole duration, within 256 MiB (97 Hz on 64 busy CPUs with
    /// 40-frame stacks is 2.7 MiB a second).
    pub const COMMAND: Self = Self { windows: Duration::MAX, samples: Duration::MAX, max_bytes: 256 << 20 };
}

/// What is in a [`History`] and what fell out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStats {
    /// Windows in memory.
    pub windows: u64,
    /// Of these, with samples.
    pub windows_with_samples: u64,
    /// Bytes in memory.
    pub bytes: u64,
    /// Windows that have aged out.
    pub aged_windows: u64,
    /// Windows that fell out before their age because of the byte limit.
    pub dropped_windows: u64,
    /// Samples and waits that fell out before their age because of the byte limit.
    pub dropped_samples: u64,
    /// Windows that subscribers missed because they lagged.
    pub lagged: u64,
}

/// Bounded memory of windows. Shared between the collector's thread and everyone who asks.
#[derive(Debug)]
pub struct History {
    limits: Mutex<Limits>,
    kept: Mutex<Kept>,
    /// `None` once the writer has ended.
    windows: Mutex<Option<broadcast::Sender<Arc<Window>>>>,
    lagged: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first.
    entries: VecDeque<Entry>,
    bytes: usize,
    stats: HistoryStats,
}

#[derive(Debug)]
struct Entry {
    window: Arc<Window>,
    /// Bytes of everything but the samples and waits.
    base_bytes: usize,
    /// Bytes of samples and waits, which hold the stacks; [`STRIPPED`] once they are gone.
    sample_bytes: usize,
}

impl History {
    /// An empty history.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: Mutex::new(limits),
            kept: Mutex::default(),
            windows: Mutex::new(Some(broadcast::Sender::new(MAX_SUBSCRIBER_LAG))),
            lagged: Arc::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic inside leaves counters at worst: the data is whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a window, sends it to the subscribers, and removes the oldest ones that no longer fit.
    pub fn push(&self, window: Window) {
        let window = Arc::new(window);
        let limits = *self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = self.kept();
        let entry = Entry {
            base_bytes: base_bytes(&window),
            sample_bytes: stack_bytes(&window),
            window: Arc::clone(&window),
        };
        kept.bytes += entry.base_bytes + entry.sample_bytes;
        kept.entries.push_back(entry);
        kept.trim(&limits);
        drop(kept);
        if let Some(windows) = &*self.sender() {
            // No subscriber is no error.
            let _ = windows.send(window);
        }
    }

    /// Other limits, in force with the next window.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// No more windows will come: subscribers get what is on its way, then the end.
    pub fn close(&self) {
        self.sender().take();
    }

    fn sender(&self) -> MutexGuard<'_, Option<broadcast::Sender<Arc<Window>>>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The windows that overlap the last `span` before the newest one's end, oldest first.
    #[must_use]
    pub fn last(&self, span: Duration) -> Vec<Arc<Window>> {
        let kept = self.kept();
        let Some(newest) = kept.entries.back() else { return Vec::new() };
        let from = newest.window.end.0.saturating_sub(nanos(span));
        kept.entries
            .iter()
            .filter(|entry| entry.window.end.0 > from)
            .map(|entry| Arc::clone(&entry.window))
            .collect()
    }

    /// Everything, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Window>> {
        self.last(Duration::MAX)
    }

    /// How far back samples go.
    #[must_use]
    pub fn samples_reach(&self) -> Duration {
        let kept = self.kept();
        let first = kept.entries.iter().find(|entry| !entry.is_stripped()).map(|entry| entry.window.start);
        match (first, kept.entries.back()) {
            (Some(first), Some(last)) => Duration::from_nanos(last.window.end.since(first).0),
            _ => Duration::ZERO,
        }
    }

    /// Every window from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let ended = || broadcast::channel(1).1;
        Subscription {
            windows: self.sender().as_ref().map_or_else(ended, broadcast::Sender::subscribe),
            lagged: Arc::clone(&self.lagged),
            missed: 0,
        }
    }

    /// What is in it and what fell out.
    #[must_use]
    pub fn stats(&self) -> HistoryStats {
        let kept = self.kept();
        HistoryStats {
            windows: kept.entries.len() as u64,
            windows_with_samples: kept.entries.iter().filter(|entry| !entry.is_stripped()).count() as u64,
            bytes: kept.bytes as u64,
            lagged: self.lagged.load(Ordering::Relaxed),
            ..kept.stats.clone()
        }
    }
}

impl Entry {
    /// Samples were taken away. An idle second, which never had any, counts as whole.
    fn is_stripped(&self) -> bool {
        self.sample_bytes == STRIPPED
    }
}

/// Marks an entry whose samples are gone; no window holds so many bytes.
const STRIPPED: usize = usize::MAX;

impl Kept {
    fn trim(&mut self, limits: &Limits) {
        let Some(now) = self.entries.back().map(|entry| entry.window.end.0) else { return };
        let too_old = |entry: &Entry, span: Duration| now.saturating_sub(entry.window.start.0) > nanos(span);
        while self.entries.front().is_some_and(|entry| too_old(entry, limits.windows)) {
            self.drop_oldest();
            self.stats.aged_windows += 1;
        }
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            let (aged, full) = (too_old(entry, limits.samples), self.bytes > limits.max_bytes);
            // The newest window keeps its samples whatever they weigh: its readers have only begun.
            if !aged && !full || at + 1 == self.entries.len() {
                break;
            }
            let lost = self.strip(at);
            if !aged {
                self.stats.dropped_samples += lost;
            }
        }
        while self.bytes > limits.max_bytes && self.entries.len() > 1 {
            self.drop_oldest();
            self.stats.dropped_windows += 1;
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.base_bytes + if entry.is_stripped() { 0 } else { entry.sample_bytes };
        }
    }

    /// Takes the samples out of an entry; says how many there were.
    fn strip(&mut self, at: usize) -> u64 {
        let entry = &mut self.entries[at];
        if entry.is_stripped() {
            return 0;
        }
        let lost = (entry.window.samples.len() + entry.window.waits.len()) as u64;
        self.bytes -= entry.sample_bytes;
        entry.sample_bytes = STRIPPED;
        if lost > 0 {
            // A reader that still holds the window keeps the old one alive; a copy of the rest replaces it here.
            let rest = Arc::make_mut(&mut entry.window);
            (rest.samples, rest.waits) = (Vec::new(), Vec::new());
        }
        lost
    }
}

/// Every window from the moment of the subscription.
#[derive(Debug)]
pub struct Subscription {
    windows: broadcast::Receiver<Arc<Window>>,
    lagged: Arc<AtomicU64>,
    missed: u64,
}

impl Subscription {
    /// The next window; `None` when no more will come. Windows missed by lagging are counted.
    pub async fn next(&mut self) -> Option<Arc<Window>> {
        loop {
            match self.windows.recv().await {
                Ok(window) => return Some(window),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    self.missed += missed;
                    self.lagged.fetch_add(missed, Ordering::Relaxed);
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Windows that this subscriber missed.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Memory of a window's stacks.
#[must_use]
pub fn stack_bytes(window: &Window) -> usize {
    let addresses = |stack: &[u64]| size_of_val(stack);
    let sample = |one: &Sample| size_of::<Sample>() + addresses(&one.kernel) + addresses(&one.user);
    let waker = |one: &Waker| addresses(&one.kernel) + addresses(&one.user);
    let wait = |one: &Wait| {
        let waker = one.waker.as_ref().map_or(0, waker);
        size_of::<Wait>() + addresses(&one.kernel) + addresses(&one.user) + waker
    };
    window.samples.iter().map(sample).sum::<usize>() + window.waits.iter().map(wait).sum::<usize>()
}

/// Memory of a window without its stacks. Names are shared and left out.
fn base_bytes(window: &Window) -> usize {
    let histogram: usize =
        window.syscalls.iter().map(|row| row.histogram.len() * size_of::<(u8, u64)>()).sum();
    let states = |states: &[(State, DurNs)]| size_of_val(states);
    let times: usize = window
        .times
        .iter()
        .map(|process| {
            let threads =
                process.threads.iter().map(|thread| size_of::<ThreadTimes>() + states(&thread.states));
            let resting = process.resting.len() * size_of::<(State, u32)>();
            size_of::<ProcessTimes>() + states(&process.states) + threads.sum::<usize>() + resting
        })
        .sum();
    let irqs: usize = window.irqs.iter().map(|row| size_of::<IrqRow>() + size_of_val(&row.softirq[..])).sum();
    size_of::<Window>()
        + window.tasks.len() * (size_of::<diagnosis::window::TaskSample>() + TASK_HEAP_BYTES)
        + size_of_val(&window.exits[..])
        + size_of_val(&window.syscalls[..])
        + histogram
        + size_of_val(&window.in_flight[..])
        + size_of_val(&window.names[..])
        + size_of_val(&window.remapped[..])
        + times
        + irqs
        + size_of_val(&window.blame[..])
        + size_of_val(&window.blockio[..])
        + size_of_val(&window.memory[..])
        + size_of_val(&window.oom_kills[..])
        + size_of_val(&window.net[..])
        + size_of_val(&window.signals[..])
        + size_of_val(&window.locks[..])
}

/// Texts that hang on a task sample (cgroup path, container id): a typical length.
const TASK_HEAP_BYTES: usize = 64;

#[cfg(test)]
pub(crate) mod tests;

//! The minutes whose blocks are not handed on yet, and what they wait for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use agent_common::pair::NewWindow;
use agent_common::units::UnixNs;
use diagnosis::window::Window;
use profile::block::{Builder, MAX_MESSAGE, pack, unpack};
use profile::{Names, Sample};
use tokio::sync::oneshot;

use super::evidence::{self, EVIDENCE_COLUMNS};
use crate::aggregate::{self, Picked};

/// Windows whose stacks wait for their names, a minute of which always do: the file system with the names does not answer. More
/// are left out, and counted.
const MAX_UNNAMED: u64 = 128;
/// Bytes of their stacks.
const MAX_UNNAMED_BYTES: usize = 24 << 20;
/// Bytes of stacks that are named at once; copies of them are on their way to the symbolizer.
const NAMED_AT_ONCE: usize = 2 << 20;
/// Windows after the start at which what waits is named, before the first minute is over: so the names of early evidence are known.
const WARM_UP: [u64; 3] = [3, 10, 30];
/// Bytes of stacks that may wait for their names: a minute of two busy CPUs has some 5 MiB. More are named before it is over.
const UNNAMED_BYTES: usize = 8 << 20;
/// Evidence that waits for names, to go out again. More does not: where alerts open faster than stacks are named, to put it together
/// would take the time that naming needs.
const MAX_EVIDENCE: usize = 8;

pub(super) enum Work {
    Window(Arc<Window>),
    Evidence {
        alerts: Vec<String>,
        at: UnixNs,
        done: oneshot::Sender<()>,
    },
    /// The answer to what was asked.
    Named(Result<Names, String>),
    Close,
}

/// A minute.
struct Minute {
    builder: Builder,
    /// Its windows that are not in the block yet: their stacks have no names.
    unnamed: Vec<Arc<Window>>,
}

/// What is being named.
struct Asked {
    picked: Vec<Picked>,
    /// Of so many windows, the first of the first minute that has some.
    windows: usize,
}

/// Evidence that went out before all of its stacks had names.
struct Pending {
    alerts: Vec<String>,
    at: UnixNs,
    /// Windows seen then.
    seen: u64,
}

/// What the thread works with. Windows are numbered from the start by the order in which they come and are named.
pub(super) struct Maker<A, S> {
    rate_hz: u32,
    left_out: Arc<AtomicU64>,
    /// Has stacks named; the answer comes as [`Work::Named`]. `false`: nobody is there to ask.
    ask: A,
    send: S,
    /// The last is the minute that runs.
    minutes: VecDeque<Minute>,
    unnamed_bytes: usize,
    seen: u64,
    /// Windows that are to be named now.
    wanted: u64,
    named: u64,
    asked: Option<Asked>,
    pending: VecDeque<Pending>,
    /// The blocks of the last minutes as they were handed on.
    recent: VecDeque<Vec<Vec<u8>>>,
}

impl<A, S> Maker<A, S>
where
    A: FnMut(Vec<Sample>) -> bool,
    S: FnMut(NewWindow),
{
    pub(super) fn new(rate_hz: u32, left_out: Arc<AtomicU64>, ask: A, send: S) -> Self {
        Self {
            rate_hz,
            left_out,
            ask,
            send,
            minutes: VecDeque::new(),
            unnamed_bytes: 0,
            seen: 0,
            wanted: 0,
            named: 0,
            asked: None,
            pending: VecDeque::new(),
            recent: VecDeque::new(),
        }
    }

    pub(super) fn run(mut self, queue: &Receiver<Work>) {
        let mut closing = false;
        while let Ok(work) = queue.recv() {
            match work {
                Work::Window(window) => self.window(window),
                Work::Evidence { alerts, at, done } => {
                    self.evidence(alerts, at);
                    let _ = done.send(());
                }
                Work::Named(names) => self.named(names),
                Work::Close => {
                    closing = true;
                    self.wanted = self.seen;
                }
            }
            self.go_on();
            if closing && self.asked.is_none() {
                break;
            }
        }
        while !self.minutes.is_empty() {
            self.end_block();
        }
    }

    fn window(&mut self, window: Arc<Window>) {
        if self.seen - self.named >= MAX_UNNAMED || self.unnamed_bytes >= MAX_UNNAMED_BYTES {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            self.wanted = self.seen;
            return;
        }
        let next = aggregate::new_block(window.end_unix, self.rate_hz);
        if self.minutes.back().is_none_or(|minute| minute.builder.from() != next.from()) {
            self.wanted = self.seen;
            self.minutes.push_back(Minute { builder: next, unnamed: Vec::new() });
        }
        self.unnamed_bytes += crate::history::stack_bytes(&window);
        self.minutes.back_mut().expect("one is there").unnamed.push(window);
        self.seen += 1;
        if self.unnamed_bytes > UNNAMED_BYTES || WARM_UP.contains(&self.seen) {
            self.wanted = self.seen;
        }
    }

    /// Does all that waits for nothing.
    fn go_on(&mut self) {
        loop {
            while self.pending.front().is_some_and(|pending| pending.seen <= self.named) {
                let Some(Pending { alerts, at, .. }) = self.pending.pop_front() else { break };
                self.send_evidence(&alerts, at, false);
            }
            while self.minutes.len() > 1 && self.minutes[0].unnamed.is_empty() {
                self.end_block();
            }
            if self.asked.is_some() || self.named >= self.wanted {
                return;
            }
            self.ask();
        }
    }

    /// Asks for the names of the next windows.
    fn ask(&mut self) {
        // Evidence ends with the window of its alert.
        let until = self.pending.front().map_or(self.wanted, |pending| pending.seen.min(self.wanted));
        let most = (until - self.named) as usize;
        let Some(Minute { builder, unnamed }) =
            self.minutes.iter_mut().find(|minute| !minute.unnamed.is_empty())
        else {
            return;
        };
        let mut bytes = 0;
        let fits = unnamed.iter().take(most).take_while(|window| {
            bytes += crate::history::stack_bytes(window);
            bytes <= NAMED_AT_ONCE
        });
        let windows = fits.count().max(1);
        let picked = aggregate::pick(&unnamed[..windows], builder.from());
        let samples = aggregate::samples_of(&picked);
        self.asked = Some(Asked { picked, windows });
        if !(self.ask)(samples) {
            self.named(Err("the thread that names them has ended".to_owned()));
        }
    }

    /// Adds what was asked for to its block.
    fn named(&mut self, names: Result<Names, String>) {
        let Some(Asked { picked, windows }) = self.asked.take() else { return };
        let minute = self.minutes.iter_mut().find(|minute| !minute.unnamed.is_empty());
        let Some(Minute { builder, unnamed }) = minute else { return };
        let some: Vec<Arc<Window>> = unnamed.drain(..windows).collect();
        match names {
            Ok(names) => aggregate::add(builder, &picked, &names, &some),
            Err(error) => {
                tracing::warn!(error, windows, "stacks cannot be named: they are not kept");
                builder.count("windows without names", windows as u64);
            }
        }
        let bytes: usize = some.iter().map(|window| crate::history::stack_bytes(window)).sum();
        self.unnamed_bytes -= bytes;
        self.named += windows as u64;
    }

    /// Hands on the block of the first minute.
    fn end_block(&mut self) {
        let Some(Minute { builder, .. }) = self.minutes.pop_front() else { return };
        let block = builder.finish();
        if block.is_empty() && block.counters.is_empty() {
            return;
        }
        let messages = pack(&block, MAX_MESSAGE);
        for message in &messages {
            (self.send)(evidence::to_send(&block, message.clone()));
        }
        self.recent.push_back(messages);
        // One may end while evidence waits for its names.
        while self.recent.len() as u64 > EVIDENCE_COLUMNS + 1 {
            self.recent.pop_front();
        }
        crate::heap::give_back();
    }

    /// Hands on the stacks of the time before `at`: at once as they are, since the host may be dead before those of the last
    /// seconds have their names, and again when they have them, in place of the first.
    fn evidence(&mut self, alerts: Vec<String>, at: UnixNs) {
        self.send_evidence(&alerts, at, true);
        if self.named < self.seen && self.pending.len() < MAX_EVIDENCE {
            self.wanted = self.seen;
            self.pending.push_back(Pending { alerts, at, seen: self.seen });
        }
    }

    /// Hands on the stacks before `at`; those without names, too, if `all`.
    fn send_evidence(&mut self, alerts: &[String], at: UnixNs, all: bool) {
        let mut sum = evidence::before(at, self.rate_hz);
        for block in self.recent.iter().flatten().flat_map(|message| unpack(message)) {
            evidence::add(&mut sum, &block);
        }
        for Minute { builder, unnamed } in &self.minutes {
            let mut builder = builder.clone();
            if all && !unnamed.is_empty() {
                let picked = aggregate::pick(unnamed, builder.from());
                aggregate::add(&mut builder, &picked, &Names::default(), unnamed);
            }
            evidence::add(&mut sum, &builder.finish());
        }
        evidence::messages(sum, alerts).into_iter().for_each(&mut self.send);
        crate::heap::give_back();
    }
}

#[cfg(test)]
mod tests;

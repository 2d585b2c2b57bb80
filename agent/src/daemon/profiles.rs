//! Profiles leave the host: a block a minute, and the evidence of alerts.
//!
//! One thread has the windows of the minute that runs, has their stacks named, and hands on the block when the minute is
//! over. It keeps the blocks of the last minutes: when an alert opens, the stacks of the five minutes before it go out at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use agent_common::pair::NewWindow;
use agent_common::units::{DurNs, UnixNs};
use anyhow::Context as _;
use diagnosis::window::Window;
use flamegraphs::Symbolizer;
use profile::Sample;
use profile::block::{Block, Builder, MAX_MESSAGE, pack, pack_whole, unpack};
use tokio::sync::oneshot;

use super::relay::RelayHandle;
use crate::aggregate::{self, BLOCK, MAX_BLOCK_NODES};

/// What is shown of before an alert.
const EVIDENCE: Duration = Duration::from_mins(5);
/// Minutes of it.
const EVIDENCE_COLUMNS: u64 = EVIDENCE.as_secs().div_ceil(BLOCK.as_secs());
/// Most stacks of each kind in it.
const EVIDENCE_STACKS: usize = 2_000;
/// Most bytes of it.
const EVIDENCE_BYTES: usize = 64 << 10;
/// Most alerts that share it: more get another one.
const EVIDENCE_ALERTS: usize = 256;
/// Windows that wait for the thread: it is stuck on a file system that does not answer. More are left out, and counted.
const QUEUE: usize = 128;
/// Bytes of stacks that are named at once; copies of them are on their way to the symbolizer.
const NAMED_AT_ONCE: usize = 2 << 20;
/// Windows after the start at which what waits is named, before the first minute is over: reading the tables of the host's
/// programs for the first time takes a second, which the evidence of an early alert has not.
const WARM_UP: [u64; 3] = [3, 10, 30];
/// Bytes of stacks that may wait for their names: a minute of two busy CPUs has some 5 MiB. More are named before it is over.
const UNNAMED: usize = 8 << 20;

enum Work {
    Window(Arc<Window>),
    Evidence { alerts: Vec<String>, at: UnixNs, done: oneshot::Sender<()> },
}

/// Handle of the thread.
#[derive(Debug)]
pub(super) struct Profiles {
    work: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<()>>,
    /// Windows that were left out.
    pub(super) left_out: u64,
}

impl Profiles {
    /// Starts the thread.
    pub(super) fn spawn(symbolizer: Symbolizer, relay: RelayHandle, rate_hz: u32) -> anyhow::Result<Self> {
        let (work, queue) = mpsc::sync_channel(QUEUE);
        let names = move |samples| symbolizer.names(samples).map_err(|error| error.to_string());
        let thread = std::thread::Builder::new()
            .name("profiles".to_owned())
            .spawn(move || Maker::new(rate_hz, names, move |block| relay.profile(block)).run(&queue))
            .context("cannot start a thread")?;
        Ok(Self { work: Some(work), thread: Some(thread), left_out: 0 })
    }

    /// Takes a window. Never waits.
    pub(super) fn window(&mut self, window: &Arc<Window>) {
        let sent = self.work.as_ref().map(|work| work.try_send(Work::Window(Arc::clone(window))));
        self.left_out += u64::from(!matches!(sent, Some(Ok(()))));
    }

    /// Hands on the stacks before these alerts. Resolves when that is done, or cannot be.
    pub(super) fn evidence(&self, alerts: Vec<String>, at: UnixNs) -> impl Future<Output = ()> + use<> {
        let (done, wait) = oneshot::channel();
        if let Some(work) = &self.work
            && work.try_send(Work::Evidence { alerts, at, done }).is_err()
        {
            tracing::warn!("an alert goes without its stacks: those of before are still being named");
        }
        async move {
            // An error: the sender was dropped.
            let _ = wait.await;
        }
    }

    /// Hands on what there is of the minute that runs, and ends. Blocks.
    pub(super) fn close(mut self) {
        drop(self.work.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the profiles panicked");
        }
    }
}

/// What the thread works with.
struct Maker<N, S> {
    rate_hz: u32,
    names: N,
    send: S,
    /// The minute that runs.
    builder: Option<Builder>,
    /// Windows taken since the start.
    windows: u64,
    /// Its windows whose stacks have no names yet.
    unnamed: Vec<Arc<Window>>,
    unnamed_bytes: usize,
    /// The blocks of the last minutes as they were handed on.
    recent: VecDeque<(UnixNs, Vec<Vec<u8>>)>,
}

impl<N, S> Maker<N, S>
where
    N: FnMut(Vec<Sample>) -> Result<(Vec<Sample>, profile::Names), String>,
    S: FnMut(NewWindow),
{
    fn new(rate_hz: u32, names: N, send: S) -> Self {
        Self {
            rate_hz,
            names,
            send,
            builder: None,
            windows: 0,
            unnamed: Vec::new(),
            unnamed_bytes: 0,
            recent: VecDeque::new(),
        }
    }

    fn run(mut self, queue: &Receiver<Work>) {
        while let Ok(work) = queue.recv() {
            match work {
                Work::Window(window) => self.window(window),
                Work::Evidence { alerts, at, done } => {
                    self.evidence(&alerts, at);
                    let _ = done.send(());
                }
            }
        }
        self.end_block();
    }

    fn window(&mut self, window: Arc<Window>) {
        let next = aggregate::new_block(window.end_unix, self.rate_hz);
        if self.builder.as_ref().is_some_and(|builder| builder.from() != next.from()) {
            self.end_block();
        }
        self.builder.get_or_insert(next);
        self.unnamed_bytes += crate::history::stack_bytes(&window);
        self.unnamed.push(window);
        self.windows += 1;
        if self.unnamed_bytes > UNNAMED || WARM_UP.contains(&self.windows) {
            self.name();
        }
    }

    /// Has the stacks that wait named, and adds them to the block.
    fn name(&mut self) {
        let windows = std::mem::take(&mut self.unnamed);
        self.unnamed_bytes = 0;
        let Some(builder) = &mut self.builder else { return };
        let mut rest = windows.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|window| {
                bytes += crate::history::stack_bytes(window);
                bytes <= NAMED_AT_ONCE
            });
            let (some, others) = rest.split_at(fits.count().max(1));
            rest = others;
            let picked = aggregate::pick(some, builder.from());
            match (self.names)(aggregate::samples_of(&picked)) {
                Ok((samples, names)) => {
                    drop(samples);
                    aggregate::add(builder, &picked, &names, some);
                }
                Err(error) => {
                    tracing::warn!(error, windows = some.len(), "stacks cannot be named: they are not kept");
                    builder.count("windows without names", some.len() as u64);
                }
            }
        }
    }

    /// Hands on the block of the minute.
    fn end_block(&mut self) {
        self.name();
        let Some(builder) = self.builder.take() else { return };
        let block = builder.finish();
        if block.is_empty() && block.counters.is_empty() {
            return;
        }
        let messages = pack(&block, MAX_MESSAGE);
        for message in &messages {
            (self.send)(to_send(&block, message.clone()));
        }
        self.recent.push_back((block.from, messages));
        while self.recent.len() > EVIDENCE_COLUMNS as usize {
            self.recent.pop_front();
        }
        crate::heap::give_back();
    }

    /// Hands on the stacks of the time before `at`: at once as they are, since the host may be dead before those of the last
    /// seconds have their names, and again when they have them, in place of the first.
    fn evidence(&mut self, alerts: &[String], at: UnixNs) {
        let before = self.before(at);
        if let Some(mut builder) = self.builder.clone()
            && !self.unnamed.is_empty()
        {
            let picked = aggregate::pick(&self.unnamed, builder.from());
            aggregate::add(&mut builder, &picked, &profile::Names::default(), &self.unnamed);
            self.send_evidence(alerts, before.clone(), Some(builder));
        }
        self.name();
        let running = self.builder.clone();
        self.send_evidence(alerts, before, running);
        crate::heap::give_back();
    }

    /// The blocks of the last minutes before `at`, in columns of a minute.
    fn before(&self, at: UnixNs) -> Builder {
        let from = UnixNs(at.0.saturating_sub(EVIDENCE_COLUMNS * BLOCK.as_nanos() as u64));
        let length = DurNs(BLOCK.as_nanos() as u64);
        let mut sum = Builder::new(from, length, EVIDENCE_COLUMNS as u32, self.rate_hz, MAX_BLOCK_NODES);
        for block in self.recent.iter().flat_map(|(_, messages)| messages).flat_map(|one| unpack(one)) {
            add_minutes(&mut sum, &block);
        }
        sum
    }

    /// Hands on this sum with the block of the minute that runs.
    fn send_evidence(&mut self, alerts: &[String], mut sum: Builder, running: Option<Builder>) {
        if let Some(builder) = running {
            add_minutes(&mut sum, &builder.finish());
        }
        let all = sum.finish();
        for alerts in alerts.chunks(EVIDENCE_ALERTS) {
            let mut most = EVIDENCE_STACKS;
            loop {
                let block =
                    Block { alerts: alerts.to_vec(), counters: all.counters.clone(), ..all.top(most) };
                let limit = if most == 1 { MAX_MESSAGE } else { EVIDENCE_BYTES };
                if let Some(message) = pack_whole(&block, limit) {
                    (self.send)(to_send(&block, message));
                    break;
                }
                if most == 1 {
                    tracing::warn!("an alert goes without its stacks: they are too large");
                    break;
                }
                most /= 2;
            }
        }
    }
}

/// Adds a block to a sum in columns of a minute.
fn add_minutes(sum: &mut Builder, block: &Block) {
    let from = sum.from();
    sum.add_block(block, |_, entry| {
        let start = block.from.0 + u64::from(entry.column) * block.column.0;
        let middle = start + block.column.0 / 2;
        let column = middle.checked_sub(from.0)? / BLOCK.as_nanos() as u64;
        Some(column.min(EVIDENCE_COLUMNS - 1) as u32)
    });
    sum.add_counters(&block.counters);
}

fn to_send(block: &Block, message: Vec<u8>) -> NewWindow {
    let end = block.to();
    NewWindow {
        end,
        span: DurNs(end.0.saturating_sub(block.from.0)),
        points: (block.cpu.len() + block.waits.len()) as u64,
        body: message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::units::UnixNs;
    use diagnosis::testing::full;
    use profile::Names;
    use profile::block::Looked;
    use std::cell::RefCell;

    const START: u64 = 1_800_000_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    fn window(n: u64) -> Arc<Window> {
        let mut window = full(n);
        window.end_unix = UnixNs(START + (n + 1) * SECOND);
        Arc::new(window)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as a symbolizer answers")]
    fn no_names(samples: Vec<Sample>) -> Result<(Vec<Sample>, Names), String> {
        Ok((samples, Names::default()))
    }

    fn samples(blocks: &[NewWindow]) -> Vec<(u64, u64, u64)> {
        let sums = |one: &NewWindow| {
            let block = unpack(&one.body).unwrap();
            ((block.from.0 - START) / SECOND, block.total(Looked::Cpu).0, block.total(Looked::Wait).0)
        };
        blocks.iter().map(sums).collect()
    }

    #[test]
    fn a_block_is_handed_on_when_its_minute_is_over() {
        let sent = RefCell::new(Vec::new());
        let mut maker = Maker::new(97, no_names, |block| sent.borrow_mut().push(block));
        (30..200).for_each(|n| maker.window(window(n)));
        assert_eq!(samples(&sent.borrow()), [(0, 90, 120), (60, 180, 240), (120, 180, 240)]);
        maker.end_block();
        assert_eq!(samples(&sent.borrow())[3], (180, 60, 80));
        assert_eq!(sent.borrow()[0].end, UnixNs(START + 60 * SECOND));
    }

    #[test]
    fn evidence_is_what_was_seen_until_now_with_the_names_of_its_alerts() {
        let sent = RefCell::new(Vec::new());
        let mut maker = Maker::new(97, no_names, |block| sent.borrow_mut().push(block));
        (0..630).for_each(|n| maker.window(window(n)));
        sent.borrow_mut().clear();
        let at = UnixNs(START + 630 * SECOND);
        maker.evidence(&["a".to_owned(), "b".to_owned()], at);
        let evidence = unpack(&sent.borrow()[0].body).unwrap();
        assert_eq!((evidence.alerts.as_slice(), evidence.to()), (&["a".to_owned(), "b".to_owned()][..], at));
        assert_eq!(evidence.from, UnixNs(at.0 - 300 * SECOND));
        assert_eq!(evidence.total(Looked::Cpu).0, 3 * 300);
        assert_eq!(sent.borrow().len(), 2, "once as it was, once with all names");
        let named = unpack(&sent.borrow()[1].body).unwrap();
        assert_eq!(named.total(Looked::Cpu).0, 3 * 300);
        // What goes on is not touched.
        (630..660).for_each(|n| maker.window(window(n)));
        maker.end_block();
        assert_eq!(samples(&sent.borrow())[2..], [(600, 180, 240)]);
    }

    #[test]
    fn evidence_of_many_stacks_fits_and_has_the_heaviest() {
        let sent = RefCell::new(Vec::new());
        let mut maker = Maker::new(97, no_names, |block| sent.borrow_mut().push(block));
        for n in 0..120 {
            let mut window = Window::clone(&window(n));
            let sample = window.samples[0].clone();
            let mut noise = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n + 1);
            for tgid in 0..500 {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                let comm = format!("{noise:016x}").into();
                window.samples.push(Sample { tgid: 1000 + tgid, comm, weight: 1, ..sample.clone() });
            }
            maker.window(Arc::new(window));
        }
        maker.evidence(&["a".to_owned()], UnixNs(START + 120 * SECOND));
        let sent = sent.borrow();
        let message = &sent.last().unwrap().body;
        assert!(message.len() <= EVIDENCE_BYTES, "{}", message.len());
        let evidence = unpack(message).unwrap();
        assert!(evidence.groups.iter().any(|group| group.tgid == 42), "the heaviest is in it");
        assert!(evidence.cpu.len() >= 1000, "{}", evidence.cpu.len());
    }
}

//! Log lines leave the host: read, taken apart, put into blocks, handed to the relay.
//!
//! ```text
//! files, containers ─ text ─┐
//! journal ──────────────────┼─▶ batch ─▶ message ─▶ relay: on its disk ─▶ positions are safe
//! kernel's messages ────────┘
//! ```
//!
//! A thread of its own reads ten times a second. Nothing is read while the relay has too much that the server did not take: files and
//! the journal keep their lines, the kernel drops its oldest, which is counted. Where each source was read up to is written down only when
//! the relay has the lines on its disk; after a restart the rest is read again, and the store knows a line by its source and position.

mod batch;
mod files;
mod journal;
mod kmsg;
mod recent;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod watch;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent_common::pair::NewWindow;
use agent_common::units::{DurNs, UnixNs};
use logs::parse::{Clock, OpenKeys, REDACTED, redact, redact_field};
use logs::{Record, Stream};

use self::batch::{Batch, Sent};
use self::files::Files;
use self::journal::Journals;
use self::kmsg::Kmsg;
pub(crate) use self::recent::Recent;
use self::state::State;
use self::watch::Watch;
use crate::clock;
use crate::config::LogsConfig;

/// How often the sources are looked at.
const EVERY: Duration = Duration::from_millis(100);
/// How long a line waits for others to share its message.
const HOLD: Duration = Duration::from_millis(100);
/// Messages that the relay does not have yet, bytes: more is not read.
const MAX_WAITING_BYTES: usize = 2 << 20;
/// How often it is written down where the sources were read up to.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// File with that, in the state directory.
const STATE_FILE: &str = "logs.json";

/// Secrets in lines are replaced: for all sources, as one setting.
static REDACTS: AtomicBool = AtomicBool::new(true);

/// The source of positions, by kind and name.
fn source_id(kind: &str, name: &str) -> u64 {
    tail::hash(format!("{kind} {name}").as_bytes())
}

/// A record without secrets.
fn redacted(mut record: Record) -> Record {
    if REDACTS.load(Ordering::Relaxed) {
        if let Cow::Owned(new) = redact(&record.message) {
            record.message = new;
        }
        for (name, value) in &mut record.fields {
            let new = redact_field(name, value);
            if new != *value {
                *value = new.into_owned();
            }
        }
    }
    record
}

/// The same where nothing is joined: a key has several records.
fn redacted_line(keys: &mut OpenKeys, mut record: Record) -> Record {
    if REDACTS.load(Ordering::Relaxed) && keys.holds(record.pid.into(), &record.message) {
        REDACTED.clone_into(&mut record.message);
    }
    redacted(record)
}

/// Local time minus UTC, s.
fn utc_offset_s(now: UnixNs) -> i32 {
    let seconds = (now.0 / 1_000_000_000) as libc::time_t;
    let mut local = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to our own memory, which lives through the call; zeroes are a valid `tm`.
    let done = unsafe { libc::localtime_r(&raw const seconds, local.as_mut_ptr()) };
    if done.is_null() {
        return 0;
    }
    // SAFETY: it was zeroed, and the call has filled it.
    unsafe { local.assume_init() }.tm_gmtoff as i32
}

/// Who takes the messages.
pub(crate) trait Outlet: Send + 'static {
    /// Takes one; returns its number.
    fn send(&self, message: NewWindow) -> u64;
    /// How it is with those that were taken.
    fn waiting(&self) -> Waiting;
}

/// Messages that are on their way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    /// Those with a lesser number are safe, or lost and counted.
    pub(crate) settled: u64,
    /// Bytes of those that are not.
    pub(crate) bytes: usize,
    /// The relay's disk has room for more.
    pub(crate) has_room: bool,
}

/// Lines of ours that wait to be taken.
const MAX_OWN_LINES: usize = 256;

/// Takes lines that this program itself has to say, such as post-mortems; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct OwnLines(SyncSender<(&'static str, Record)>);

impl OwnLines {
    /// Takes a line of a source (a value of the label `source`). Never waits; `false`: there is no room.
    pub(crate) fn put(&self, source: &'static str, record: Record) -> bool {
        self.0.try_send((source, record)).is_ok()
    }
}

/// Handle of the thread.
#[derive(Debug)]
pub(crate) struct Logs {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    own: OwnLines,
    recent: Arc<Recent>,
}

impl Logs {
    /// Starts it.
    pub(crate) fn start(
        host: &str,
        config: &LogsConfig,
        state_dir: &Path,
        outlet: impl Outlet,
    ) -> std::io::Result<Self> {
        REDACTS.store(config.redact, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (own, queue) = mpsc::sync_channel(MAX_OWN_LINES);
        let recent = Arc::<Recent>::default();
        let watch = Watch::new(host, Instant::now(), Arc::clone(&recent));
        let collector = Collector::new(host, config, (state_dir.join(STATE_FILE), queue, watch), outlet);
        let thread =
            std::thread::Builder::new().name("logs".to_owned()).spawn(move || collector.run(&stopped))?;
        Ok(Self { thread: Some(thread), stop, own: OwnLines(own), recent })
    }

    /// Where lines of our own go.
    pub(crate) fn own(&self) -> OwnLines {
        self.own.clone()
    }

    /// The last lines of processes.
    pub(crate) fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    /// Hands on what there is, and ends. Blocks for a moment.
    pub(crate) fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the log lines panicked");
        }
    }
}

/// Lines of our own on their way.
struct Own {
    host: String,
    queue: Receiver<(&'static str, Record)>,
    /// When this program was started: its lines are made once, and a clock that was set back must not make them known ones.
    begun: String,
    position: u64,
}

impl Own {
    fn take(&mut self, batch: &mut Batch, now: Instant) {
        while let Ok((source, record)) = self.queue.try_recv() {
            self.position += 1;
            let stream = Stream::new([("host", self.host.as_str()), ("source", source)]);
            let record = Record { position: self.position, ..record };
            batch.push(source_id(source, &self.begun), &stream, &record, now);
        }
    }
}

struct Collector<O> {
    files: Option<Files>,
    containers: Option<Files>,
    journals: Option<Journals>,
    kmsg: Option<Kmsg>,
    batch: Batch,
    own: Own,
    outlet: O,
    /// Messages that are not safe, by number.
    sent: VecDeque<(u64, Sent)>,
    path: PathBuf,
    saved: State,
    saved_at: Instant,
    zone: (Instant, i32),
}

impl<O: Outlet> Collector<O> {
    fn new(
        host: &str,
        config: &LogsConfig,
        (path, queue, watch): (PathBuf, Receiver<(&'static str, Record)>, Watch),
        outlet: O,
    ) -> Self {
        let saved = State::read(&path);
        let text = |paths: &[PathBuf]| paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let options = tail::Options { patterns: text(&config.files), except: text(&config.except) };
        let files = (!config.files.is_empty()).then(|| Files::plain(host, options, saved.files.clone()));
        let containers = config.containers.then(|| Files::containers(host, saved.containers.clone()));
        let kmsg = config.kmsg.then(|| {
            let saved = saved.kmsg.as_ref().map(|(boot, number)| (boot.as_str(), *number));
            Kmsg::open(host, saved).inspect_err(|error| {
                tracing::warn!(%error, "/dev/kmsg cannot be opened: of the kernel's messages those are collected that the journal has");
            })
        });
        let kmsg = kmsg.and_then(Result::ok);
        let journals = config.journal.then(|| Journals::new(host, kmsg.is_some(), saved.journals.clone()));
        let now = Instant::now();
        Self {
            files,
            containers,
            journals,
            kmsg,
            batch: Batch::new(watch),
            own: Own { host: host.to_owned(), queue, begun: clock::unix().0.to_string(), position: 0 },
            outlet,
            sent: VecDeque::new(),
            path,
            saved,
            saved_at: now,
            zone: (now, utc_offset_s(clock::unix())),
        }
    }

    fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let more = self.turn(Instant::now(), HOLD);
            if !more {
                std::thread::sleep(EVERY);
            }
        }
        self.turn(Instant::now(), Duration::ZERO);
        self.settle();
        self.save();
    }

    /// Reads, sends, and writes down. Says whether more is there to be read at once.
    fn turn(&mut self, now: Instant, hold: Duration) -> bool {
        let waiting = self.settle();
        let may_read = waiting.bytes < MAX_WAITING_BYTES && waiting.has_room;
        let more = may_read && self.read(now);
        let is_due = self.batch.begun().is_some_and(|begun| now.saturating_duration_since(begun) >= hold);
        if is_due || self.batch.is_full() {
            self.send();
        }
        if now.saturating_duration_since(self.saved_at) >= SAVE_EVERY {
            self.saved_at = now;
            self.save();
        }
        more
    }

    fn read(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.zone.0) >= Duration::from_mins(1) {
            self.zone = (now, utc_offset_s(clock::unix()));
        }
        let clock = Clock { now: clock::unix(), utc_offset_s: self.zone.1 };
        let now_ns = clock::mono().0;
        let mut more = false;
        if let Some(kmsg) = &mut self.kmsg {
            more |= kmsg.poll(now, &mut self.batch);
        }
        // None waits for another one that has more than a message takes.
        self.send_if_full();
        if let Some(journals) = &mut self.journals {
            more |= journals.poll(now, &mut self.batch);
        }
        self.send_if_full();
        if let Some(files) = &mut self.files {
            more |= files.poll(now, &clock, now_ns, &mut self.batch);
        }
        self.send_if_full();
        if let Some(containers) = &mut self.containers {
            more |= containers.poll(now, &clock, now_ns, &mut self.batch);
        }
        self.own.take(&mut self.batch, now);
        self.batch.add_found(now);
        more || self.batch.is_full()
    }

    fn send_if_full(&mut self) {
        if self.batch.is_full() {
            self.send();
        }
    }

    fn send(&mut self) {
        let mut must_save = false;
        for files in [&mut self.files, &mut self.containers].into_iter().flatten() {
            must_save |= files.must_be_saved();
        }
        if must_save {
            self.save();
        }
        let (message, sent) = self.batch.take();
        if message.parts.is_empty() && message.lost.is_empty() {
            // Nothing is to be kept, but something was read: it is safe when all before it is.
            match self.sent.back_mut() {
                Some((_, last)) => last.upto.extend(sent.upto),
                None => self.commit(&sent.upto),
            }
            return;
        }
        // Its own time, not that of its lines: the spool drops what is older than its newest by more than a day.
        let end = clock::unix();
        let window = NewWindow { end, span: DurNs(0), points: sent.lines, body: message.pack() };
        let number = self.outlet.send(window);
        self.sent.push_back((number, sent));
    }

    /// Takes over what has become safe. Returns how it is with the rest.
    fn settle(&mut self) -> Waiting {
        let waiting = self.outlet.waiting();
        let mut safe = BTreeMap::new();
        while let Some((_, sent)) = self.sent.pop_front_if(|(number, _)| *number < waiting.settled) {
            safe.extend(sent.upto);
        }
        if !safe.is_empty() {
            self.commit(&safe);
        }
        waiting
    }

    /// Takes over up to where each source is safe.
    fn commit(&mut self, safe: &BTreeMap<u64, u64>) {
        if let Some(kmsg) = &mut self.kmsg {
            kmsg.commit(safe);
        }
        if let Some(journals) = &mut self.journals {
            journals.commit(safe);
        }
        for files in [&mut self.files, &mut self.containers].into_iter().flatten() {
            files.commit(safe);
        }
    }

    fn save(&mut self) {
        // What is switched off keeps its place: it goes on there when it is switched on again.
        let new = State {
            files: self.files.as_ref().map(Files::saved).or_else(|| self.saved.files.clone()),
            containers: self.containers.as_ref().map(Files::saved).or_else(|| self.saved.containers.clone()),
            journals: self.journals.as_ref().map(Journals::saved).or_else(|| self.saved.journals.clone()),
            kmsg: self.kmsg.as_ref().map(Kmsg::saved).or_else(|| self.saved.kmsg.clone()),
        };
        if new == self.saved {
            return;
        }
        match new.write(&self.path) {
            Ok(()) => self.saved = new,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot write down up to where logs were read");
            }
        }
    }
}

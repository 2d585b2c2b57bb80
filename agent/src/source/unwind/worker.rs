//! The thread that reads mappings and makes tables.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_common::abi::unwind::MAPPINGS;
use agent_common::units::Tgid;
use agent_common::wire::report::UnwindCost;
use flamegraphs::maps;
use nix::sys::eventfd::EventFd;
use opener::{Blocked, Owner, Patience, Workers};

use super::extents::Extents;
use super::files::FileKey;
use super::handle::{Event, Walked};
use super::process::Found;
use super::processes::Process;
use super::python::Pythons;
use super::queue::Queue;
use super::tables::{TableId, Tables};
use crate::bpf::UnwindMaps;
use crate::clock;
use crate::source::spaces::Mappings;

/// Longest wait for the kernel side or the collector, before the thread reads requests that come without a wake-up.
const WAKE_UP_EVERY: Duration = Duration::from_secs(1);
/// The thread makes tables for at most one part in this many of each second: a start or a build does not take a whole CPU.
const BUILD_TIME_DIVISOR: u32 = 3;
/// A table that took long (a browser's takes a second) is no reason to let short-lived processes wait.
const MAX_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Worker {
    pub(super) maps: UnwindMaps,
    /// Threads that touch files and processes.
    pub(super) workers: Workers,
    shared: Arc<Mutex<UnwindCost>>,
    /// CPU time of this thread that has been published.
    cpu_ns: u64,
    /// Files and processes that there was no room for, not published yet.
    pub(super) refused: u64,
    pub(super) tables: Tables,
    pub(super) places: Extents,
    pub(super) processes: HashMap<Tgid, Process>,
    pub(super) files: HashMap<FileKey, Found>,
    /// Interpreters, in files that may have one.
    pub(super) pythons: Pythons,
    /// Build ID → table: the same library in two images.
    pub(super) contents: HashMap<Box<[u8]>, TableId>,
    pub(super) vdso: Option<Found>,
    /// Processes to look at.
    pub(super) queue: Queue,
    waiting: Vec<mpsc::Sender<()>>,
    done: mpsc::Sender<Walked>,
}

impl Worker {
    pub(super) fn new(maps: UnwindMaps, shared: Arc<Mutex<UnwindCost>>, done: mpsc::Sender<Walked>) -> Self {
        Self {
            maps,
            workers: Workers::with_patience("unwind", Patience::TABLES),
            shared,
            cpu_ns: 0,
            refused: 0,
            tables: Tables::new(),
            places: Extents::new(MAPPINGS),
            processes: HashMap::new(),
            files: HashMap::new(),
            pythons: Pythons::default(),
            contents: HashMap::new(),
            vdso: None,
            queue: Queue::default(),
            waiting: Vec::new(),
            done,
        }
    }

    pub(super) fn run(mut self, events: &mpsc::Receiver<Event>, bell: &EventFd) {
        loop {
            // Reset the event descriptor before taking the events: an event that is sent after this signals it again.
            let _ = bell.read();
            loop {
                match events.try_recv() {
                    Ok(event) => self.event(event),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let mut wanted = Vec::new();
            self.maps.wanted(|tgid| wanted.push((Tgid(tgid), true)));
            self.event(Event::Sampled(wanted));
            let now = Instant::now();
            let Some((tgid, sizes)) = self.queue.pop(now) else {
                self.tables.trim(&mut self.maps, now);
                self.publish();
                self.maps.wait(bell.as_fd(), WAKE_UP_EVERY);
                continue;
            };
            if self.look_at(tgid, sizes, now) {
                self.queue.push_later(tgid, now);
            }
            let took = now.elapsed();
            self.publish();
            if self.queue.is_empty() {
                self.waiting.clear();
            } else if self.waiting.is_empty() {
                // No caller waits until the queue is empty: use a part of the CPU only.
                std::thread::sleep((took * (BUILD_TIME_DIVISOR - 1)).min(MAX_PAUSE));
            }
        }
    }

    fn event(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Sampled(processes) => {
                for (tgid, stale) in processes {
                    let due = match self.processes.get_mut(&tgid) {
                        Some(process) => {
                            process.sampled = now;
                            stale && now >= process.next
                        }
                        None => stale,
                    };
                    if due {
                        self.queue.push(tgid);
                    }
                }
            }
            Event::Fork { parent, child } => self.fork(parent, child, now),
            Event::Exec(tgid) => {
                self.forget(tgid, now);
                self.queue.push(tgid);
            }
            Event::Exit(tgid) => self.forget(tgid, now),
            Event::Copied(copies) => {
                // Without recorded mappings the process began before the agent. It still runs: read them from `/proc`.
                let mut maps: HashMap<Tgid, Mappings> = HashMap::new();
                for (mut copy, _charge) in copies {
                    if copy.mappings.is_empty() {
                        let read = || self.maps_of(copy.tgid).ok().flatten().unwrap_or_default().into();
                        copy.mappings = Arc::clone(maps.entry(copy.tgid).or_insert_with(read));
                    }
                    let walked = self.walk(&copy, now);
                    // The collector may have gone.
                    let _ = self.done.send(walked);
                }
            }
            Event::Settle(done) => {
                if !self.queue.is_empty() {
                    self.waiting.push(done);
                }
            }
        }
    }

    /// Mappings of a process; `None` if it is gone, an error if it does not answer.
    pub(super) fn maps_of(&self, tgid: Tgid) -> Result<Option<Vec<maps::Mapping>>, Blocked> {
        self.workers.run(Owner::of_process(tgid.0), move || maps::read(tgid.0).ok())
    }

    fn publish(&mut self) {
        let (tables, rows, slabs) = self.tables.counts();
        let cpu_ns = clock::thread_cpu().as_nanos() as u64;
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.processes = self.processes.len() as u64;
        (shared.tables, shared.rows) = (tables, rows);
        shared.bytes = slabs * u64::from(agent_common::abi::unwind::SLAB_ROWS) * 4;
        shared.cpu_ns += cpu_ns - self.cpu_ns;
        shared.evicted += std::mem::take(&mut self.tables.evicted);
        shared.refused += std::mem::take(&mut self.refused);
        self.cpu_ns = cpu_ns;
    }
}

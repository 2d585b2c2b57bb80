//! The thread that reads mappings and makes tables.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::AsFd as _;
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent_common::abi::process::{KIND_EXEC, KIND_EXIT, KIND_FORK, ProcessEvent};
use agent_common::abi::unwind::{MAPPINGS, Mapping, PROCESSES, ProcessMaps, Rule, Verdict};
use agent_common::units::Tgid;
use agent_common::wire::report::UnwindCost;
use flamegraphs::symbolize::maps::{self, Backing};
use flamegraphs::unwind::{self, Table};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::extents::Extents;
use super::process::{Found, Plan, translate};
use super::python::Pythons;
use super::tables::{TableId, Tables};
use super::walk::{Code, Copied, walk};
use crate::bpf::UnwindMaps;
use crate::clock;
use crate::collector::StartError;
use crate::source::spaces::Mappings;

/// A process whose samples say that its mappings have changed is looked at again after this at the soonest; each time that
/// they have not after twice as long, up to [`REFRESH_MAX`]: code without a mapping may be one that cannot be unwound
/// whatever we do.
const REFRESH_MIN: Duration = Duration::from_millis(20);
const REFRESH_MAX: Duration = Duration::from_secs(30);
/// One part in so many of the time is spent on reading a process' mappings, however often they change: Java has thousands.
const LOOKS: u32 = 50;
/// Looks in vain, one behind the other, after which stacks that lead into code without a mapping are copied no more.
const HOPELESS: u32 = 3;
/// A process that has not been sampled for so long may give its place to others.
const IDLE: Duration = Duration::from_mins(1);
/// Files remembered before those that no process uses are forgotten.
const FILES: usize = 4096;
/// How long the thread waits for the kernel side, or for the collector to ring, before it looks at what is told without
/// ringing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of each second, the thread makes tables for this part: a start or a build beside it does not take a whole CPU.
const SHARE: u32 = 3;
/// A table that took long (a browser's takes a second) is no reason to let short-lived processes wait.
const MAX_PAUSE: Duration = Duration::from_millis(10);

/// What the thread is told.
#[derive(Debug)]
enum Event {
    /// Sampled; with `true`, in code that is not known.
    Sampled(Vec<(Tgid, bool)>),
    Fork {
        parent: Tgid,
        child: Tgid,
    },
    Exec(Tgid),
    Exit(Tgid),
    /// Stacks that were copied, to be walked here.
    Copied(Vec<Young>),
    /// Answered when everything before has been done.
    Settle(mpsc::Sender<()>),
}

/// A stack of a process that the kernel side did not know yet.
#[derive(Debug)]
pub struct Young {
    /// The sample's number.
    pub id: u64,
    /// The process: gone already, perhaps.
    pub tgid: Tgid,
    /// What it has, or had, mapped.
    pub mappings: Mappings,
    /// What it had before it called exec.
    pub before: Mappings,
    /// The stack.
    pub copied: Copied,
}

/// What became of it.
#[derive(Debug)]
pub struct Walked {
    /// The sample's number.
    pub id: u64,
    /// Its frames, leaf first.
    pub frames: Vec<u64>,
    /// How the walk ended.
    pub verdict: Verdict,
}

/// The thread, from outside.
#[derive(Debug)]
pub struct Unwinding {
    events: Option<mpsc::Sender<Event>>,
    /// Rung when the thread is to look at its events now.
    bell: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Mutex<UnwindCost>>,
    walked: mpsc::Receiver<Walked>,
}

impl Unwinding {
    /// Starts the thread.
    pub fn start(maps: UnwindMaps) -> Result<Self, StartError> {
        let (events, received) = mpsc::channel();
        let (done, walked) = mpsc::channel();
        let shared = Arc::new(Mutex::default());
        let seen = Arc::clone(&shared);
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(|error| {
            StartError::Broken(anyhow::Error::new(error).context("cannot make an eventfd"))
        })?;
        let bell = Arc::new(bell);
        let heard = Arc::clone(&bell);
        let thread = std::thread::Builder::new()
            .name("unwind".to_owned())
            .spawn(move || Worker::new(maps, seen, done).run(&received, &heard))
            .map_err(|error| {
                StartError::Broken(anyhow::Error::new(error).context("cannot start a thread"))
            })?;
        Ok(Self { events: Some(events), bell, thread: Some(thread), shared, walked })
    }

    fn tell(&self, event: Event) {
        if let Some(events) = &self.events {
            // A thread that is gone has panicked: stacks stay without tables and say so.
            let _ = events.send(event);
        }
    }

    /// What was told is to be looked at now.
    fn ring(&self) {
        // A counter that is full has been rung.
        let _ = self.bell.write(1);
    }

    /// These were sampled since the last call; with `true`, in code that is not known.
    pub fn sampled(&self, processes: Vec<(Tgid, bool)>) {
        let stale = processes.iter().any(|(_, stale)| *stale);
        if !processes.is_empty() {
            self.tell(Event::Sampled(processes));
        }
        if stale {
            self.ring();
        }
    }

    /// Has these walked; [`Self::walked`] brings them.
    pub fn walk(&self, young: Vec<Young>) {
        if !young.is_empty() {
            self.tell(Event::Copied(young));
            self.ring();
        }
    }

    /// The next one that was walked, within `patience`.
    #[must_use]
    pub fn walked(&self, patience: Duration) -> Option<Walked> {
        self.walked.recv_timeout(patience).ok()
    }

    /// A process was forked, runs another program, or is gone.
    pub fn event(&self, event: &ProcessEvent) {
        let tgid = Tgid(event.tgid);
        match event.kind {
            KIND_FORK => self.tell(Event::Fork { parent: Tgid(event.parent_tgid), child: tgid }),
            KIND_EXEC => {
                self.tell(Event::Exec(tgid));
                self.ring();
            }
            KIND_EXIT => self.tell(Event::Exit(tgid)),
            _ => {}
        }
    }

    /// Waits until the tables of these are there, `patience` at most.
    pub fn prepare(&self, processes: &[Tgid], patience: Duration) {
        self.sampled(processes.iter().map(|tgid| (*tgid, true)).collect());
        let (done, settled) = mpsc::channel();
        self.tell(Event::Settle(done));
        self.ring();
        let _ = settled.recv_timeout(patience);
    }

    /// What it holds, and what that took since the last call.
    #[must_use]
    pub fn take_cost(&self) -> UnwindCost {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = *shared;
        (shared.cpu_ns, shared.evicted, shared.refused) = (0, 0, 0);
        cost
    }
}

impl Drop for Unwinding {
    fn drop(&mut self) {
        drop(self.events.take());
        self.ring();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the unwind thread panicked");
        }
    }
}

/// A file, as `maps` names it: device, inode, path.
type FileKey = (u64, u64, String);

#[derive(Debug)]
struct Process {
    first: u32,
    count: u32,
    tables: Vec<TableId>,
    python: Option<(u64, u32)>,
    sampled: Instant,
    /// Not looked at again before.
    next: Instant,
    /// Looks since the last one that found something new.
    vain: u32,
}

struct Worker {
    maps: UnwindMaps,
    shared: Arc<Mutex<UnwindCost>>,
    /// CPU time of this thread that has been published.
    cpu_ns: u64,
    /// Files and processes that there was no room for, not published yet.
    refused: u64,
    tables: Tables,
    places: Extents,
    processes: HashMap<Tgid, Process>,
    files: HashMap<FileKey, Found>,
    /// Interpreters, in files that may have one.
    pythons: Pythons,
    /// Build ID → table: the same library in two images.
    contents: HashMap<Box<[u8]>, TableId>,
    vdso: Option<Found>,
    queue: VecDeque<Tgid>,
    queued: HashSet<Tgid>,
    waiting: Vec<mpsc::Sender<()>>,
    done: mpsc::Sender<Walked>,
}

impl Worker {
    fn new(maps: UnwindMaps, shared: Arc<Mutex<UnwindCost>>, done: mpsc::Sender<Walked>) -> Self {
        Self {
            maps,
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
            queue: VecDeque::new(),
            queued: HashSet::new(),
            waiting: Vec::new(),
            done,
        }
    }

    fn run(mut self, events: &mpsc::Receiver<Event>, bell: &EventFd) {
        loop {
            // Before the events: what is told from here on rings again.
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
            let Some(tgid) = self.queue.pop_front() else {
                self.tables.trim(&mut self.maps, now);
                self.publish();
                self.maps.wait(bell.as_fd(), PATIENCE);
                continue;
            };
            self.queued.remove(&tgid);
            self.look_at(tgid, now);
            let took = now.elapsed();
            self.publish();
            if self.queue.is_empty() {
                self.waiting.clear();
            } else if self.waiting.is_empty() {
                // Nobody waits for it: in moderation.
                std::thread::sleep((took * (SHARE - 1)).min(MAX_PAUSE));
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
                        self.enqueue(tgid);
                    }
                }
            }
            Event::Fork { parent, child } => self.fork(parent, child, now),
            Event::Exec(tgid) => {
                self.forget(tgid, now);
                self.enqueue(tgid);
            }
            Event::Exit(tgid) => self.forget(tgid, now),
            Event::Copied(young) => {
                // Of processes that began before the agent: they live, and `/proc` tells.
                let mut told: HashMap<Tgid, Mappings> = HashMap::new();
                for mut young in young {
                    if young.mappings.is_empty() {
                        let tell = || maps::read(young.tgid.0).unwrap_or_default().into();
                        young.mappings = Arc::clone(told.entry(young.tgid).or_insert_with(tell));
                    }
                    let walked = self.walk(&young, now);
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

    fn enqueue(&mut self, tgid: Tgid) {
        if self.queued.insert(tgid) {
            self.queue.push_back(tgid);
        }
    }

    /// The kernel side has let the child have its parent's list. It gets one of its own, since the parent's may go.
    fn fork(&mut self, parent: Tgid, child: Tgid, now: Instant) {
        self.forget(child, now);
        let Some(parent) = self.processes.get(&parent) else { return };
        let mappings = self.mappings(parent);
        let (tables, python) = (parent.tables.clone(), parent.python);
        for table in &tables {
            self.tables.used_by_one_more(*table);
        }
        self.give(child, Plan { mappings, tables, python, left_out: 0 }, (0, REFRESH_MIN), now);
    }

    fn forget(&mut self, tgid: Tgid, now: Instant) {
        if self.queued.remove(&tgid) {
            self.queue.retain(|queued| *queued != tgid);
        }
        if self.processes.contains_key(&tgid) {
            self.maps.drop_process(tgid.0);
            self.release(tgid, now);
        }
    }

    fn release(&mut self, tgid: Tgid, now: Instant) {
        if let Some(process) = self.processes.remove(&tgid) {
            self.places.give(process.first, process.count, now);
            for table in process.tables {
                self.tables.used_by_one_less(table, now);
            }
        }
    }

    fn look_at(&mut self, tgid: Tgid, now: Instant) {
        let begin = clock::thread_cpu();
        // Gone, or a kernel thread.
        let Ok(found) = maps::read(tgid.0) else { return self.forget(tgid, now) };
        let took = clock::thread_cpu().saturating_sub(begin);
        if found.is_empty() {
            return;
        }
        let mut plan = Plan::default();
        for mapping in &found {
            let what = self.find(tgid, mapping, false, now);
            if let Found::Table(id) = what
                && !plan.tables.contains(&id)
            {
                // At once, so that the next file does not put it out.
                self.tables.used_by_one_more(id);
                plan.tables.push(id);
            }
            let loaded = if let Found::Table(id) = what { self.tables.get(id) } else { None };
            plan.add(mapping, what, loaded);
            plan.python = plan.python.or_else(|| self.pythons.find(&mut self.maps, tgid, mapping));
        }
        self.refused += plan.left_out as u64;
        let vain = match self.processes.get(&tgid) {
            Some(process) if self.mappings(process) == plan.mappings => process.vain.saturating_add(1),
            _ => 0,
        };
        let pause = REFRESH_MIN.max(took * LOOKS).saturating_mul(2u32.saturating_pow(vain)).min(REFRESH_MAX);
        self.give(tgid, plan, (vain, pause), now);
    }

    /// What the kernel side has of a process.
    fn mappings(&self, process: &Process) -> Vec<Mapping> {
        (process.first..process.first + process.count).map(|at| self.maps.mapping(at)).collect()
    }

    /// Gives a process its mappings, in place of those it had. Their tables count it as a user already.
    fn give(&mut self, tgid: Tgid, plan: Plan, (vain, pause): (u32, Duration), now: Instant) {
        let sampled = self.processes.get(&tgid).map_or(now, |p| p.sampled);
        self.release(tgid, now);
        let count = plan.mappings.len() as u32;
        if self.processes.len() >= PROCESSES as usize {
            self.evict_processes(now);
        }
        let Some(first) = self.places.take(count, now) else {
            self.evict_processes(now);
            self.refused += 1;
            self.maps.drop_process(tgid.0);
            for table in plan.tables {
                self.tables.used_by_one_less(table, now);
            }
            return;
        };
        for (at, mapping) in plan.mappings.into_iter().enumerate() {
            self.maps.put_mapping(first + at as u32, mapping);
        }
        let young = u32::from(vain < HOPELESS);
        let (tables, python, next) = (plan.tables, plan.python, now + pause);
        self.processes.insert(tgid, Process { first, count, tables, python, sampled, next, vain });
        let (list, layout) = python.unwrap_or_default();
        if let Err(error) =
            self.maps.put_process(tgid.0, ProcessMaps { first, count, python: list, layout, young })
        {
            tracing::debug!(%tgid, %error, "no room for another process' mappings");
            self.refused += 1;
            self.release(tgid, now);
        }
    }

    /// Processes that have not been sampled for long make room.
    fn evict_processes(&mut self, now: Instant) {
        let idle: Vec<Tgid> = self
            .processes
            .iter()
            .filter(|(_, process)| now.saturating_duration_since(process.sampled) > IDLE)
            .map(|(tgid, _)| *tgid)
            .collect();
        for tgid in idle {
            self.forget(tgid, now);
        }
    }

    fn find(&mut self, tgid: Tgid, mapping: &maps::Mapping, gone: bool, now: Instant) -> Found {
        match &mapping.backing {
            Backing::Anonymous => Found::Jit,
            Backing::Special(_) => Found::Bare,
            Backing::Vdso => {
                if self.vdso.is_none() {
                    self.vdso = Some(own_vdso().map_or(Found::Bare, |table| self.load(&table, now)));
                }
                self.vdso.unwrap_or(Found::Bare)
            }
            Backing::File { dev, ino, path, .. } => {
                let key = (*dev, *ino, path.clone());
                match self.files.get(&key) {
                    Some(Found::Table(id)) if self.tables.get(*id).is_none() => {}
                    Some(Found::Pending) | None => {}
                    Some(known) => return *known,
                }
                if self.files.len() >= FILES {
                    self.files.clear();
                }
                // Not there now is not there later: a file that cannot be opened is deleted or hidden. But where the process is
                // gone it is only not to be found.
                let found = self.read(tgid, mapping, now);
                if found.is_some() || !gone {
                    self.files.insert(key, found.unwrap_or(Found::Bare));
                }
                found.unwrap_or(Found::Bare)
            }
        }
    }

    fn read(&mut self, tgid: Tgid, mapping: &maps::Mapping, now: Instant) -> Option<Found> {
        let file = unwind::open(tgid.0, mapping)?;
        let build_id = unwind::build_id(&file);
        if let Some(id) = build_id.as_ref().and_then(|id| self.contents.get(id))
            && self.tables.get(*id).is_some()
        {
            return Some(Found::Table(*id));
        }
        let table = match unwind::build(&file) {
            Ok(table) => table,
            Err(error) => {
                tracing::debug!(?mapping, %error, "no unwind table");
                return Some(Found::Bare);
            }
        };
        let found = self.load(&table, now);
        if let (Found::Table(id), Some(build_id)) = (found, build_id) {
            if self.contents.len() >= FILES {
                self.contents.clear();
            }
            self.contents.insert(build_id, id);
        }
        Some(found)
    }

    fn load(&mut self, table: &Table, now: Instant) -> Found {
        if let Some(id) = self.tables.load(&mut self.maps, table, now) {
            return Found::Table(id);
        }
        self.evict_processes(now);
        self.refused += 1;
        Found::Pending
    }

    fn walk(&mut self, young: &Young, now: Instant) -> Walked {
        // In the middle of an exec, or of its end, it has registers of a program that it no longer has.
        let within = |mappings: &Mappings| find(mappings, young.copied.pc).is_some();
        if young.copied.stack.is_empty() || (!within(&young.mappings) && within(&young.before)) {
            return Walked { id: young.id, frames: Vec::new(), verdict: Verdict::None };
        }
        let (frames, verdict) = walk(&young.copied, |at| self.code(young, at, now));
        let verdict = if young.mappings.is_empty() { Verdict::NoProcess } else { verdict };
        Walked { id: young.id, frames, verdict }
    }

    /// What the kernel side would find at an address.
    fn code(&mut self, young: &Young, at: u64, now: Instant) -> Option<Code> {
        let mapping = find(&young.mappings, at)?;
        let nothing = |reason| Some(Code { rule: Rule::GAP, wide: None, reason });
        match self.find(young.tgid, mapping, true, now) {
            Found::Table(id) => {
                let found = self.tables.get(id).and_then(|loaded| translate(mapping, loaded));
                let Some(found) = found.filter(|found| (found.start..found.end).contains(&at)) else {
                    return nothing(Verdict::NoTable);
                };
                let (rule, wide) = self.maps.rule(found.pages, at.wrapping_sub(found.bias));
                Some(Code { rule, wide, reason: Verdict::NoTable })
            }
            Found::Bare => nothing(Verdict::NoTable),
            Found::Jit => nothing(Verdict::Jit),
            Found::Pending => nothing(Verdict::Pending),
        }
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

fn find(mappings: &Mappings, at: u64) -> Option<&maps::Mapping> {
    let place = mappings.partition_point(|mapping| mapping.start <= at);
    mappings[..place].last().filter(|mapping| at < mapping.end)
}

/// The table of the vDSO, which is the same in all processes.
fn own_vdso() -> Option<Table> {
    use std::os::unix::fs::FileExt as _;
    let own = maps::read(std::process::id()).ok()?;
    let vdso = own.iter().find(|mapping| mapping.backing == Backing::Vdso)?;
    let mut bytes = vec![0; (vdso.end - vdso.start) as usize];
    std::fs::File::open("/proc/self/mem").ok()?.read_exact_at(&mut bytes, vdso.start).ok()?;
    unwind::build(bytes.as_slice()).ok()
}

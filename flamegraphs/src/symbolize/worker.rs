//! The thread that owns everything.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_common::units::MonoNs;
use profile::{FrameName, Names, Sample, Unnamed, lookup_addr};

use super::cache::NameCache;
use super::files::Files;
use super::kernel::Kallsyms;
use super::plan::Plan;
use super::process::{Mapped, Processes};
use super::revisit::Revisits;
use super::{Error, SymbolizerOptions, SymbolizerStats};

/// Times that a request is tried: each time one more file that makes blazesym panic is left out.
const ATTEMPTS: u32 = 4;

/// Time for reading files at a question; what is not read by then is left unnamed, and read at the next.
const NAMES_TIME: Duration = Duration::from_secs(20);

/// How often statistics are brought up to date while processes are looked at.
const STATISTICS: Duration = Duration::from_millis(100);

type Answer = Result<(Vec<Sample>, Names), Error>;

/// A request.
pub(super) enum Job {
    Observe { tgid: u32 },
    Forked { parent: u32, child: u32 },
    Mapped { tgid: u32, what: Mapped },
    Code { code: Vec<(u32, Vec<u64>)> },
    Name { samples: Vec<Sample>, reply: SyncSender<Answer> },
    File { path: PathBuf, addrs: Vec<u64>, reply: SyncSender<Result<Vec<FrameName>, Error>> },
}

struct State {
    processes: Processes,
    files: Files,
    cache: NameCache,
    kernel: Kallsyms,
    /// When the statistics were brought up to date after a look.
    looked: Instant,
}

/// Serves `queue` until the last handle is dropped.
pub(super) fn run(queue: &Receiver<Job>, options: SymbolizerOptions, stats: &Mutex<SymbolizerStats>) {
    let mut symbolizer = State::new(options);
    let mut revisits = Revisits::default();
    loop {
        let job = match revisits.wait(Instant::now()) {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => queue.recv_timeout(wait),
        };
        let job = match job {
            Ok(job) => job,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                while let Some((stage, tgid)) = revisits.next(Instant::now()) {
                    let result = guarded(|| symbolizer.processes.observe(tgid, &mut symbolizer.files));
                    let alive = symbolizer.settle(result, options, stats).unwrap_or(false);
                    revisits.again(stage, tgid, alive, Instant::now());
                }
                continue;
            }
        };
        match job {
            Job::Observe { tgid } => {
                revisits.observed(tgid, Instant::now());
                symbolizer.look(options, stats, |State { processes, files, .. }| {
                    processes.observe(tgid, files);
                });
            }
            Job::Forked { parent, child } => {
                symbolizer.look(options, stats, |State { processes, .. }| processes.forked(parent, child));
            }
            Job::Mapped { tgid, what } => {
                symbolizer.look(options, stats, |State { processes, files, .. }| {
                    processes.mapped(tgid, &what, files);
                });
            }
            Job::Code { code } => symbolizer.look(options, stats, |State { processes, files, .. }| {
                for (tgid, addrs) in &code {
                    processes.read_code(*tgid, addrs, files);
                }
            }),
            Job::Name { samples, reply } => {
                let result = symbolizer.tried(options, stats, |symbolizer| symbolizer.name(&samples));
                // The caller may have given up waiting.
                let _ = reply.send(result.map(|names| (samples, names)));
            }
            Job::File { path, addrs, reply } => {
                let result = symbolizer.tried(options, stats, |symbolizer| symbolizer.file(&path, &addrs));
                let result = result.and_then(|names| names.map_err(|source| Error::File { path, source }));
                let _ = reply.send(result);
            }
        }
    }
}

impl State {
    fn new(options: SymbolizerOptions) -> Self {
        Self {
            processes: Processes::default(),
            files: Files::new(options),
            cache: NameCache::new(options.name_bytes),
            kernel: Kallsyms::default(),
            looked: Instant::now(),
        }
    }

    /// Names of all addresses of `samples`, asked for once each, process by process.
    fn name(&mut self, samples: &[Sample]) -> Names {
        let mut kernel: Vec<u64> = Vec::new();
        let mut user: HashMap<u32, Vec<u64>> = HashMap::new();
        let times = samples.iter().map(|sample| sample.at.0).filter(|at| *at > 0);
        let span = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
        for sample in samples {
            kernel.extend(lookups(&sample.kernel));
            if !sample.user.is_empty() {
                user.entry(sample.tgid).or_default().extend(lookups(&sample.user));
            }
        }
        self.files.deadline = Some(Instant::now() + NAMES_TIME);
        let mut names = Names::default();
        sort_unique(&mut kernel);
        for (&addr, name) in kernel.iter().zip(self.kernel.names(&kernel)) {
            names.set_kernel(addr, name);
        }
        let mut user: Vec<_> = user.into_iter().collect();
        user.sort_unstable_by_key(|(tgid, _)| *tgid);
        let mut plan = Plan::default();
        let mut asked = Vec::with_capacity(user.len());
        for (tgid, mut addrs) in user {
            sort_unique(&mut addrs);
            self.processes.refresh(tgid, &mut self.files);
            let contested = self.processes.contested(tgid, &addrs);
            let mut places: Vec<(u64, u64)> = addrs.iter().map(|addr| (*addr, 0)).collect();
            if !contested.is_empty() {
                places.retain(|(addr, _)| contested.binary_search(addr).is_err());
                let of = samples.iter().filter(|sample| sample.tgid == tgid);
                let times = of.flat_map(|sample| lookups(&sample.user).map(|addr| (addr, sample.at.0)));
                let times = times.filter(|(addr, _)| contested.binary_search(addr).is_ok()).collect();
                places.extend(self.processes.turns(tgid, times));
                places.sort_unstable();
            }
            let first = self.processes.locate(tgid, (&places, span), &mut self.files, &mut plan);
            asked.push((tgid, first, places));
        }
        let found = plan.finish(&mut self.files, &mut self.cache);
        for (tgid, first, places) in asked {
            for (&(addr, from_ns), name) in places.iter().zip(found.get(first..).unwrap_or_default()) {
                names.set_user_from(tgid, addr, MonoNs(from_ns), name.clone());
            }
        }
        self.files.deadline = None;
        names
    }

    fn file(&mut self, path: &Path, addrs: &[u64]) -> io::Result<Vec<FrameName>> {
        let file = self.files.of_path(path)?;
        let mut plan = Plan::default();
        plan.names.resize(addrs.len(), FrameName::unnamed("[unknown]", Unnamed::Failed));
        for (slot, &addr) in addrs.iter().enumerate() {
            plan.ask(&file, addr, slot);
        }
        Ok(plan.finish(&mut self.files, &mut self.cache))
    }

    /// Runs `work`, again if it panics: without the file that it panicked over.
    fn tried<T>(
        &mut self,
        options: SymbolizerOptions,
        stats: &Mutex<SymbolizerStats>,
        work: impl Fn(&mut Self) -> T,
    ) -> Result<T, Error> {
        let mut result = Err(Error::Stopped);
        for _ in 0..ATTEMPTS {
            let outcome = guarded(|| work(self));
            result = self.settle(outcome, options, stats);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Looks at a process. Statistics go over all of them: not after each.
    fn look(
        &mut self,
        options: SymbolizerOptions,
        stats: &Mutex<SymbolizerStats>,
        work: impl FnOnce(&mut Self),
    ) {
        let outcome = guarded(|| work(self));
        let now = Instant::now();
        if outcome.is_err() || now.saturating_duration_since(self.looked) > STATISTICS {
            let _ = self.settle(outcome, options, stats);
            self.looked = now;
        }
    }

    /// Brings the statistics up to date, and starts anew after a failure.
    fn settle<T>(
        &mut self,
        result: Result<T, String>,
        options: SymbolizerOptions,
        stats: &Mutex<SymbolizerStats>,
    ) -> Result<T, Error> {
        let result = result.map_err(|message| {
            tracing::error!(message, "the symbolizer failed and is made anew");
            let shunned = self.files.take_shunned();
            *self = Self::new(options);
            self.files.shunned = shunned;
            Error::Failed { message }
        });
        self.report(u64::from(result.is_err()), &mut stats.lock().unwrap_or_else(PoisonError::into_inner));
        result
    }

    fn report(&self, failures: u64, stats: &mut SymbolizerStats) {
        let (files, files_open, table_bytes, tables_evicted_total) = self.files.counts();
        *stats = SymbolizerStats {
            processes: self.processes.len(),
            files,
            files_open,
            names: self.cache.len(),
            name_bytes: self.cache.bytes(),
            table_bytes,
            jit_bytes: self.processes.jit_bytes(),
            mapping_bytes: self.processes.mapping_bytes(),
            interpreted_bytes: self.processes.interpreted_bytes(),
            kernel_bytes: self.kernel.bytes(),
            observe_dropped_total: stats.observe_dropped_total,
            names_evicted_total: self.cache.evicted,
            tables_evicted_total,
            failed_total: stats.failed_total + failures,
            kernel_trouble: self.kernel.trouble(),
        };
    }
}

fn lookups(stack: &[u64]) -> impl Iterator<Item = u64> {
    stack.iter().enumerate().map(|(index, &addr)| lookup_addr(index, addr))
}

fn sort_unique(addrs: &mut Vec<u64>) {
    addrs.sort_unstable();
    addrs.dedup();
}

/// Runs `work`; a panic becomes its message: files are other people's input, and blazesym has asserts.
/// The state it worked on is thrown away then.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic").to_owned()
}

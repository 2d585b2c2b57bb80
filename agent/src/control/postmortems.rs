//! Post-mortems that are kept: the last in memory, and on disk as lines of JSON, so that they outlive the daemon.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_common::wire::postmortem::PostMortem;
use postmortem::Facts;
use postmortem::facts::Earlier;
use serde::{Deserialize, Serialize};

use crate::replace;

/// Post-mortems in memory, some 8 KiB each.
const MAX_KEPT: usize = 500;
/// Ends whose facts are kept, whether there is a post-mortem of them or not: 8 KiB each.
const MAX_FACTS: usize = 64;
/// Longest line on disk; one that is longer is kept in memory alone.
const MAX_LINE_BYTES: usize = 64 << 10;
/// Size of the file at which it is written anew with what is in memory.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Programs and units whose earlier ends are remembered, and how many of each.
const MAX_KEYS: usize = 1024;
const MAX_EARLIER: usize = 32;

/// A post-mortem and what it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its name: that of its alert, if it has one.
    pub id: String,
    /// It.
    pub postmortem: PostMortem,
    /// What it was made of.
    pub facts: Arc<Facts>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The newest.
    Last,
    /// The newest of a process.
    Pid(u32),
    /// The newest of a unit, with or without `.service`.
    Unit(String),
    /// One by its name, which is that of its alert.
    Event(String),
}

impl Which {
    fn is(&self, facts: &Facts) -> bool {
        match self {
            Self::Last => true,
            Self::Pid(pid) => facts.process.pid == *pid,
            Self::Unit(unit) => facts
                .process
                .unit
                .as_deref()
                .is_some_and(|own| own == unit || own.strip_suffix(".service") == Some(unit)),
            Self::Event(_) => false,
        }
    }
}

/// Post-mortems, shared between whoever makes them and whoever is asked for them.
#[derive(Debug)]
pub struct PostMortems(Mutex<Store>);

impl PostMortems {
    /// Those of a state directory.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        Self(Mutex::new(Store::open(Store::path_in(state_dir))))
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an end. Returns what came before of the same unit, container or program, oldest first.
    pub fn note(&self, facts: &Facts) -> Vec<Earlier> {
        self.lock().note(facts)
    }

    /// Keeps the facts of an end once they are complete, whether there is a post-mortem of it or not.
    pub fn saw(&self, facts: Arc<Facts>) {
        self.lock().saw(facts);
    }

    /// Keeps a post-mortem.
    pub fn add(&self, kept: Kept) {
        self.lock().add(kept);
    }

    /// The post-mortem that is asked for.
    #[must_use]
    pub fn find(&self, which: &Which) -> Option<Arc<Kept>> {
        self.lock().last(|kept| match which {
            Which::Event(id) => kept.id == *id,
            which => which.is(&kept.facts),
        })
    }

    /// Facts of an end, whether there is a post-mortem of it or not.
    #[must_use]
    pub fn facts(&self, which: &Which) -> Option<Arc<Facts>> {
        let newest = self.lock().last_facts(|facts| which.is(facts));
        // Post-mortems are kept longer than the facts of all ends.
        newest.or_else(|| self.find(which).map(|kept| Arc::clone(&kept.facts)))
    }
}

/// All that are kept.
#[derive(Debug)]
struct Store {
    path: PathBuf,
    kept: VecDeque<Arc<Kept>>,
    facts: VecDeque<Arc<Facts>>,
    earlier: HashMap<String, VecDeque<Earlier>>,
    file_bytes: u64,
    complained: bool,
}

impl Store {
    /// What a file holds; nothing where there is none.
    fn open(path: PathBuf) -> Self {
        let mut store = Self {
            path,
            kept: VecDeque::new(),
            facts: VecDeque::new(),
            earlier: HashMap::new(),
            file_bytes: 0,
            complained: false,
        };
        if let Err(error) = store.read()
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %store.path.display(), "earlier post-mortems cannot be read");
        }
        store
    }

    fn read(&mut self) -> io::Result<()> {
        let file = File::open(&self.path)?;
        self.file_bytes = file.metadata()?.len();
        let mut lines = BufReader::new(file.take(2 * MAX_FILE_BYTES));
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            // The last line of a daemon that was killed may be cut, and the first one is empty.
            if let Ok(kept) = serde_json::from_slice::<Kept>(&line) {
                self.note(&kept.facts);
                self.push(Arc::new(kept));
            }
        }
    }

    fn push(&mut self, kept: Arc<Kept>) {
        if self.kept.len() >= MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(kept);
    }

    /// Keeps one, on disk as well.
    fn add(&mut self, kept: Kept) {
        let kept = Arc::new(kept);
        self.push(Arc::clone(&kept));
        match self.write(&kept) {
            Ok(()) => self.complained = false,
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, path = %self.path.display(), "a post-mortem is kept in memory alone");
                }
            }
        }
    }

    fn write(&mut self, kept: &Kept) -> io::Result<()> {
        let Some(line) = line_of(kept)? else { return Ok(()) };
        if self.file_bytes + line.len() as u64 > MAX_FILE_BYTES {
            return self.rewrite();
        }
        self.file_bytes += line.len() as u64;
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        file.write_all(&line)
    }

    /// Writes what is in memory, in place of all that is on disk.
    fn rewrite(&mut self) -> io::Result<()> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        for kept in self.kept.iter().rev() {
            let Some(line) = line_of(kept)? else { continue };
            // Half of what there is room for, so that this is rare.
            if bytes + line.len() as u64 > MAX_FILE_BYTES / 2 {
                break;
            }
            bytes += line.len() as u64;
            lines.push(line);
        }
        replace::file(&self.path, lines.iter().rev())?;
        self.file_bytes = bytes;
        Ok(())
    }

    /// Remembers an end; what came before of the same unit, container or program.
    fn note(&mut self, facts: &Facts) -> Vec<Earlier> {
        let key = key(facts);
        if self.earlier.len() >= MAX_KEYS && !self.earlier.contains_key(&key) {
            let oldest = self.earlier.iter().min_by_key(|(_, ends)| ends.back().map_or(0, |end| end.at_ns));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.earlier.remove(&oldest);
            }
        }
        let ends = self.earlier.entry(key).or_default();
        let before = ends.iter().cloned().collect();
        if ends.len() >= MAX_EARLIER {
            ends.pop_front();
        }
        ends.push_back(Earlier {
            at_ns: facts.ended.at_ns,
            code: facts.ended.code,
            signal: facts.ended.signal,
        });
        before
    }

    fn saw(&mut self, facts: Arc<Facts>) {
        if self.facts.len() >= MAX_FACTS {
            self.facts.pop_front();
        }
        self.facts.push_back(facts);
    }

    /// The newest one of which this holds.
    fn last(&self, wanted: impl Fn(&Kept) -> bool) -> Option<Arc<Kept>> {
        self.kept.iter().rev().find(|kept| wanted(kept)).cloned()
    }

    /// Facts of the newest end of which this holds, whether there is a post-mortem or not.
    fn last_facts(&self, wanted: impl Fn(&Facts) -> bool) -> Option<Arc<Facts>> {
        self.facts.iter().rev().find(|facts| wanted(facts)).cloned()
    }

    /// Where it is on disk.
    fn path_in(state_dir: &Path) -> PathBuf {
        state_dir.join("postmortems.jsonl")
    }
}

/// A line of the file; `None`: it is too long. The line end comes first: behind a line that was cut, by a full disk or as the daemon
/// was killed, the next one still begins anew.
fn line_of(kept: &Kept) -> io::Result<Option<Vec<u8>>> {
    let mut line = vec![b'\n'];
    serde_json::to_writer(&mut line, kept)?;
    Ok((line.len() <= MAX_LINE_BYTES).then_some(line))
}

/// What ends again and again: a unit, a container, or a program with its arguments.
fn key(facts: &Facts) -> String {
    let process = &facts.process;
    match (&process.unit, &process.container) {
        (Some(unit), _) => format!("unit {unit} {}", process.exe),
        (None, Some(container)) => format!("container {container} {}", process.exe),
        (None, None) => format!("program {} {} {}", process.exe, process.comm, process.cmdline),
    }
}

#[cfg(test)]
mod tests;

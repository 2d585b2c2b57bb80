//! The unwind tables of mapped files.
//!
//! What touches a file runs on a worker of `opener`: its file system may never answer.

use std::sync::Arc;
use std::time::Instant;

use agent_common::units::Tgid;
use flamegraphs::maps::{self, Backing};
use flamegraphs::unwind::{self, Table};
use opener::file::Mapped;
use opener::{Blocked, Held, Owner, Refused};

use super::process::Found;
use super::worker::Worker;

/// Files in memory from which those that no process uses are forgotten.
const MAX_FILES: usize = 4096;

/// A file, as `maps` names it: device, inode, path; and the [space](opener::process::space) in which the path counts.
pub(super) type FileKey = (u64, u64, String, u64);

type BuildId = Box<[u8]>;

/// A file of more bytes is large: its table takes a second or more, for which other processes shall not wait.
const LARGE_BYTES: u64 = 32 << 20;

/// Of which files tables are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizes {
    /// All but those of more than [`LARGE_BYTES`].
    Small,
    /// All.
    All,
}

/// The process that has something mapped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of {
    pub(super) tgid: Tgid,
    pub(super) owner: Owner,
    pub(super) space: u64,
    /// It may be gone already: then a file that cannot be opened is only not to be found.
    pub(super) gone: bool,
}

impl Of {
    /// A process that lives, or did so just now.
    pub(super) fn process(tgid: Tgid) -> Self {
        let owner = Owner::of_process(tgid.0);
        Self { tgid, owner, space: opener::process::space(tgid.0), gone: false }
    }
}

/// Why a file gave no table.
enum NoTable {
    /// It could not be opened.
    NotThere,
    /// Its file system does not answer, or its user's time is used up: not now.
    NotNow,
    /// It is large, and others wait.
    Large,
}

impl From<Blocked> for NoTable {
    fn from(_: Blocked) -> Self {
        Self::NotNow
    }
}

impl From<Refused> for NoTable {
    fn from(_: Refused) -> Self {
        Self::NotThere
    }
}

impl Worker {
    pub(super) fn find(&mut self, of: Of, mapping: &maps::Mapping, sizes: Sizes, now: Instant) -> Found {
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
                let key = (*dev, *ino, path.clone(), of.space);
                match self.files.get(&key) {
                    Some(Found::Table(id)) if self.tables.get(*id).is_none() => {}
                    Some(Found::Pending) | None => {}
                    Some(Found::Large) if sizes == Sizes::All => {}
                    Some(known) => return *known,
                }
                if self.files.len() >= MAX_FILES {
                    self.files.clear();
                }
                let found = self.read(Of { owner: of.owner.on(*dev), ..of }, mapping, sizes, now);
                // Not there now is not there later: a file that cannot be opened is deleted or hidden. But where the process is
                // gone it is only not to be found.
                let found = match found {
                    Ok(found) => found,
                    Err(NoTable::NotNow) => Found::Pending,
                    Err(NoTable::Large) => Found::Large,
                    Err(NoTable::NotThere) if of.gone => return Found::Bare,
                    Err(NoTable::NotThere) => Found::Bare,
                };
                self.files.insert(key, found);
                found
            }
        }
    }

    fn read(
        &mut self,
        of: Of,
        mapping: &maps::Mapping,
        sizes: Sizes,
        now: Instant,
    ) -> Result<Found, NoTable> {
        let mapped = unwind::mapped(of.tgid.0, mapping).ok_or(NoTable::NotThere)?;
        let (held, build_id, bytes) = self.workers.run(of.owner, move || look(&mapped))??;
        // A build ID identifies the contents of a file only if no user but root could write the file.
        let build_id = build_id.filter(|_| held.is_trusted() && of.space == 0);
        if let Some(id) = build_id.as_ref().and_then(|id| self.contents.get(id))
            && self.tables.get(*id).is_some()
        {
            return Ok(Found::Table(*id));
        }
        if sizes == Sizes::Small && bytes > LARGE_BYTES {
            return Err(NoTable::Large);
        }
        // Whoever can write what is in it pays for reading it.
        let owner = match held.uid() {
            0 if !held.is_trusted() => of.owner,
            uid => Owner { uid, ..of.owner },
        };
        let build = move || held.reader().map(|file| unwind::build(&file));
        let table = match self.workers.run(owner, build)?.map_err(Refused::from)? {
            Ok(table) => table,
            Err(error) => {
                tracing::debug!(?mapping, %error, "no unwind table");
                return Ok(Found::Bare);
            }
        };
        let found = self.load(&table, now);
        if let (Found::Table(id), Some(build_id)) = (found, build_id) {
            if self.contents.len() >= MAX_FILES {
                self.contents.clear();
            }
            self.contents.insert(build_id, id);
        }
        Ok(found)
    }

    fn load(&mut self, table: &Table, now: Instant) -> Found {
        if let Some(id) = self.tables.load(&mut self.maps, table, now) {
            return Found::Table(id);
        }
        self.evict_processes(now);
        self.refused += 1;
        Found::Pending
    }
}

/// Opens a file, reads its build ID and its size in bytes.
fn look(mapped: &Mapped) -> Result<(Arc<Held>, Option<BuildId>, u64), Refused> {
    let held = mapped.open()?;
    let file = held.reader()?;
    let (build_id, bytes) = (unwind::build_id(&file), file.metadata()?.len());
    Ok((Arc::new(held), build_id, bytes))
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

//! systemd's journal: its files, of which some are written and others were rotated.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use logs::event::Origin;
use logs::journal::{Cursor, Entry, Journal, JournalError, Step, line};
use logs::parse::OpenKeys;
use logs::{Record, Stream};
use opener::{Held, Owner, Place, Workers};

use super::Batch;

/// Where journald keeps files: on disk, and in memory until there is a disk.
const PATTERNS: [&str; 2] = ["/var/log/journal/*/*.journal*", "/run/log/journal/*/*.journal*"];
/// How often the directories are looked at.
const DISCOVER_EVERY: Duration = Duration::from_secs(2);
/// Files that are read at once; each has a descriptor and some pages in memory.
const MAX_FILES: usize = 256;
/// Files whose place is kept. One that is forgotten and comes back is read again, and the store knows its lines.
const MAX_SAVED: usize = 1_024;
/// Entries of a file that was there before the first start.
const FIRST_ENTRIES: u64 = 1_000;
/// Entries read from one file at once.
const ENTRIES: usize = 4_096;
/// Times in a row that a file may fail before it is left alone until it is replaced.
const MAX_FAILURES: u32 = 10;

/// Where a file was read up to, by its id: all before is safe.
pub(super) type Saved = BTreeMap<String, u64>;

/// See the module.
#[derive(Debug)]
pub(super) struct Journals {
    host: String,
    /// The boot whose kernel messages come from the kernel itself.
    boot: Option<[u8; 16]>,
    workers: Workers,
    files: Vec<Followed>,
    /// Of files that were not found again yet, too.
    safe: Saved,
    first: bool,
    discovered: Option<Instant>,
}

/// A file.
struct Followed {
    /// Device and inode: journald makes no hard links, and an inode is not used again while this is open.
    identity: (u64, u64),
    id: String,
    source: u64,
    journal: Journal<File>,
    failures: u32,
    over: bool,
    damaged: u64,
    keys: OpenKeys,
}

impl std::fmt::Debug for Followed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Followed").field("id", &self.id).field("over", &self.over).finish_non_exhaustive()
    }
}

impl Journals {
    /// Nothing is opened before the first [`Journals::poll`]. `has_kmsg`: the kernel's messages of this boot come from the kernel itself.
    pub(super) fn new(host: &str, has_kmsg: bool, saved: Option<Saved>) -> Self {
        Self {
            host: host.to_owned(),
            boot: has_kmsg.then(boot_id).flatten(),
            workers: Workers::new("journal"),
            files: Vec::new(),
            first: saved.is_none(),
            safe: saved.unwrap_or_default(),
            discovered: None,
        }
    }

    /// Where to go on after a restart.
    pub(super) fn saved(&self) -> Saved {
        self.safe.clone()
    }

    pub(super) fn commit(&mut self, safe: &BTreeMap<u64, u64>) {
        for file in &self.files {
            if let Some(upto) = safe.get(&file.source) {
                self.safe.insert(file.id.clone(), *upto);
            }
        }
    }

    /// Reads what is new. Says whether there is more.
    pub(super) fn poll(&mut self, now: Instant, batch: &mut Batch) -> bool {
        if self.discovered.is_none_or(|at| now.saturating_duration_since(at) >= DISCOVER_EVERY) {
            self.discovered = Some(now);
            self.discover();
        }
        let mut more = false;
        let mut files = std::mem::take(&mut self.files);
        for file in &mut files {
            if batch.is_full() {
                more = true;
                break;
            }
            more |= file.read(&self.host, self.boot, now, batch);
        }
        self.files = files;
        more
    }

    fn discover(&mut self) {
        let first = std::mem::replace(&mut self.first, false);
        let paths: Vec<PathBuf> =
            PATTERNS.iter().flat_map(|pattern| tail::matches(&self.workers, pattern)).collect();
        let mut there = Vec::new();
        for path in paths {
            let owner = Owner { uid: 0, place: Place::Device(0) };
            let open = move || opener::file::at(&path).ok();
            let Ok(Some(held)) = self.workers.run(owner, open) else { continue };
            let Some(identity) = held.identity() else { continue };
            there.push(identity);
            if self.files.len() >= MAX_FILES || self.files.iter().any(|file| file.identity == identity) {
                continue;
            }
            if let Some(file) = self.follow(&held, identity, first) {
                self.files.push(file);
            }
        }
        // Deleted, and read to its end; or a look that failed: so its place stays known.
        self.files.retain(|file| !file.over || there.contains(&file.identity));
        // Those that went while nobody looked.
        if self.safe.len() > MAX_SAVED && !there.is_empty() {
            self.safe.retain(|id, _| self.files.iter().any(|file| file.id == *id));
        }
    }

    fn follow(&self, held: &Held, identity: (u64, u64), first: bool) -> Option<Followed> {
        let mut journal = match Journal::open(held.reader().ok()?) {
            Ok(journal) => journal,
            // journald has made it this moment, and not written its header yet.
            Err(JournalError::NotAJournal) => return None,
            Err(error) => {
                tracing::warn!(%error, "a journal file is not read");
                return None;
            }
        };
        let Cursor { file_id, .. } = journal.cursor();
        let id = format!("{:032x}", u128::from_be_bytes(file_id));
        let sought = match self.safe.get(&id) {
            Some(seqnum) => journal.seek_after(*seqnum),
            None if first => journal.seek_last(FIRST_ENTRIES),
            None => {
                journal.seek_head();
                Ok(())
            }
        };
        sought.ok()?;
        let source = super::source_id("journal", &id);
        Some(Followed {
            identity,
            id,
            source,
            journal,
            failures: 0,
            over: false,
            damaged: 0,
            keys: OpenKeys::default(),
        })
    }
}

impl Followed {
    fn read(&mut self, host: &str, boot: Option<[u8; 16]>, now: Instant, batch: &mut Batch) -> bool {
        if self.over || self.failures >= MAX_FAILURES {
            return false;
        }
        let mut entry = Entry::default();
        for _ in 0..ENTRIES {
            if batch.is_full() {
                return true;
            }
            match self.journal.next(&mut entry) {
                Ok(Step::Entry) => {
                    self.failures = 0;
                    // It comes from the kernel itself already.
                    let is_kernels = entry.get("_TRANSPORT") == Some(b"kernel".as_slice());
                    if is_kernels && boot.is_some_and(|boot| entry.boot_id == boot) {
                        batch.upto(self.source, entry.seqnum, now);
                        continue;
                    }
                    let read = line(&entry);
                    batch.lose("journal", read.suppressed);
                    let own = [("host", host)].into_iter();
                    let stream = Stream::new(own.chain(read.stream.labels()));
                    let record = super::redacted_line(&mut self.keys, read.record);
                    // What tells whether it is the word of systemd, or of the kernel.
                    batch.look(&stream, &with_trusted(&record, &entry), Origin::Journal);
                    batch.push(self.source, &stream, &record, now);
                    batch.upto(self.source, entry.seqnum, now);
                }
                Ok(Step::Damaged) => {}
                Ok(Step::End) => break,
                Ok(Step::Archived) => {
                    self.over = true;
                    break;
                }
                Err(error) => {
                    self.failures += 1;
                    if self.failures == MAX_FAILURES {
                        tracing::warn!(%error, "a journal file cannot be read: it is left alone");
                    }
                    break;
                }
            }
        }
        let damaged = self.journal.counts().damaged_entries;
        batch.lose("journal damaged", damaged - std::mem::replace(&mut self.damaged, damaged));
        false
    }
}

/// The boot, as the journal has it.
fn boot_id() -> Option<[u8; 16]> {
    let digits: String = agent_common::boot::id().ok()?.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

/// A record with the fields that journald vouches for.
fn with_trusted(record: &Record, entry: &Entry) -> Record {
    const TRUSTED: [&str; 8] = [
        "MESSAGE_ID",
        "_PID",
        "_SYSTEMD_UNIT",
        "_SYSTEMD_USER_UNIT",
        "UNIT",
        "USER_UNIT",
        "_TRANSPORT",
        "SYSLOG_FACILITY",
    ];
    let mut record = record.clone();
    record.fields.retain(|(name, _)| !TRUSTED.contains(&name.as_str()));
    record.fields.extend(TRUSTED.iter().filter_map(|name| {
        Some(((*name).to_owned(), String::from_utf8_lossy(entry.get(name)?).into_owned()))
    }));
    record
}

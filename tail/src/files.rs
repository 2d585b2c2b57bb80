//! All followed files.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opener::{Patience, Workers};

use crate::discover;
use crate::file::{Body, Chunk, Followed, Look, READ_BYTES, Saved, SourceId};
use crate::rest::{self, Found};

/// Files followed at once; each has a descriptor and some 2 KiB.
const MAX_FILES: usize = 1_024;
/// How often the patterns are looked at.
const DISCOVER_EVERY: Duration = Duration::from_secs(1);
/// How long a file that lost its name is followed: programs write to it until they open the new one …
const GRACE: Duration = Duration::from_secs(30);
/// … and how long after its last byte.
const GRACE_AFTER_MORE: Duration = Duration::from_secs(5);
/// A larger file that is there after a restart, and was not followed before, was not made meanwhile.
const MAX_UNKNOWN_BYTES: u64 = 64 << 20;
/// How much of a file that was there before the first start is read: the last lines, for a first look.
const FIRST_BYTES: u64 = 64 << 10;

/// What is followed.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Paths with `*`, `?`, `[…]` and `**`.
    pub patterns: Vec<String>,
    /// Paths of these patterns are left out.
    pub except: Vec<String>,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Files followed.
    pub files: usize,
    /// Times the rest of a cut or vanished file was not found.
    pub rests_lost: u64,
}

/// See the crate.
#[derive(Debug)]
pub struct Files {
    options: Options,
    workers: Workers,
    followed: Vec<Followed>,
    discovered: Option<Instant>,
    figures: Figures,
    has_new_sources: bool,
    /// That there are too many files: said once.
    too_many_said: bool,
    /// Which file was read last, so that each has its turn.
    turn: usize,
    /// Files that are there at the first look were there before anybody followed files.
    is_first: bool,
    /// What was followed before the restart and was not looked for yet.
    before: Vec<Saved>,
}

impl Files {
    /// Nothing is opened before the first [`Files::poll`]. `saved` is what [`Files::saved`] gave before the restart; `None`: this is the
    /// first start.
    #[must_use]
    pub fn new(options: Options, saved: Option<Vec<Saved>>) -> Self {
        Self {
            options,
            workers: Workers::with_patience("logs", Patience::NAMES),
            followed: Vec::new(),
            discovered: None,
            figures: Figures::default(),
            has_new_sources: false,
            too_many_said: false,
            turn: 0,
            is_first: saved.is_none(),
            before: saved.unwrap_or_default(),
        }
    }

    /// What [`Files::saved`] gives must be safe before the chunks of the last [`Files::poll`] go anywhere: they have the first bytes of a
    /// source, which it is known by from then on, or a file was cut.
    #[must_use]
    pub fn must_be_saved(&mut self) -> bool {
        std::mem::take(&mut self.has_new_sources)
    }

    /// Reads at most `budget` bytes of what is new, a part of each file in turn. Says whether more is there.
    pub fn poll(&mut self, now: Instant, budget: usize, with: &mut dyn FnMut(&Chunk<'_>)) -> bool {
        if self.discovered.is_none_or(|at| now.saturating_duration_since(at) >= DISCOVER_EVERY) {
            self.discover(now);
        }
        let mut left = budget;
        let mut more = false;
        for _ in 0..self.followed.len() {
            if left == 0 {
                more = true;
                break;
            }
            self.turn = (self.turn + 1) % self.followed.len();
            let most = left.min(READ_BYTES);
            let (read, again) = self.read(self.turn, most, now, with);
            more |= again || read == most;
            left -= read;
        }
        self.followed.retain(|file| !file.is_done());
        more
    }

    /// Reads from one file. Returns the number of bytes, and whether more of it may be read at once.
    fn read(
        &mut self,
        nth: usize,
        most: usize,
        now: Instant,
        with: &mut dyn FnMut(&Chunk<'_>),
    ) -> (usize, bool) {
        let Some(file) = self.followed.get_mut(nth) else { return (0, false) };
        let mut tell = |file: &Followed, bytes: &[u8], end| {
            let (source, offset) = (file.source, file.offset);
            with(&Chunk { source, path: &file.path, offset, bytes, end });
        };
        match file.look(&self.workers, most) {
            Look::More(bytes) => {
                file.failing = false;
                tell(file, &bytes, false);
                self.has_new_sources |= file.advance(&bytes);
                if file.ends_at.is_some() && matches!(file.body, Body::Plain(_)) {
                    file.ends_at = file.ends_at.max(now.checked_add(GRACE_AFTER_MORE));
                }
                (bytes.len(), false)
            }
            Look::Same => {
                file.failing = false;
                let is_over = file.end == Some(file.offset) || file.ends_at.is_some_and(|at| now >= at);
                if is_over && file.end_here() {
                    tell(file, &[], true);
                }
                (0, false)
            }
            Look::Cut => {
                self.has_new_sources = true;
                // What is written into a copy is not of the file that it was made of.
                let new = file.is_original.then(|| file.split_at_cut());
                let copy = new.as_ref().and_then(|_| rest::copied(&self.workers, &file.here()));
                if let Some(copy) = copy {
                    // It goes on in the copy, to which nobody writes, up to its end.
                    file.body = copy.body;
                    file.ends_at = Some(now);
                } else {
                    self.figures.rests_lost += 1;
                    if file.end_here() {
                        tell(file, &[], true);
                    }
                }
                self.followed.extend(new);
                (0, true)
            }
            Look::Failed => {
                if !std::mem::replace(&mut file.failing, true) {
                    tracing::warn!(path = %file.path.display(), "a log file cannot be read now; it is tried again");
                }
                (0, false)
            }
        }
    }

    /// Of these sources all before an offset is safe. Sources of others may be among them.
    pub fn commit(&mut self, safe: &BTreeMap<SourceId, u64>) {
        for file in &mut self.followed {
            if let Some(offset) = safe.get(&file.source) {
                file.commit(*offset, &self.workers);
            }
        }
    }

    /// Where to go on after a restart.
    #[must_use]
    pub fn saved(&self) -> Vec<Saved> {
        // What is not looked for yet, too.
        self.before.iter().cloned().chain(self.followed.iter().map(Followed::saved)).collect()
    }

    /// How it fares.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { files: self.followed.len(), ..self.figures }
    }

    /// Looks which files there are, and which names lead elsewhere now.
    fn discover(&mut self, now: Instant) {
        let is_first_look = self.discovered.replace(now).is_none();
        let before = std::mem::take(&mut self.before);
        for saved in &before {
            self.resume(saved, now);
        }
        let known: HashSet<PathBuf> = before.into_iter().map(|saved| saved.path).collect();
        let except: Vec<glob::Pattern> =
            self.options.except.iter().filter_map(|text| glob::Pattern::new(text).ok()).collect();
        let mut named = HashSet::new();
        let mut too_many = 0;
        let patterns = self.options.patterns.clone();
        for path in patterns.iter().flat_map(|pattern| discover::matches(&self.workers, pattern)) {
            if discover::is_rotated(&path) || except.iter().any(|pattern| pattern.matches_path(&path)) {
                continue;
            }
            let Some((held, file)) = discover::open(&self.workers, &path) else { continue };
            // Two names of one file are one.
            if !named.insert(file.clone()) {
                continue;
            }
            if let Some(followed) = self.followed.iter_mut().find(|one| one.file == file && one.is_itself()) {
                followed.ends_at = None;
                continue;
            }
            if self.followed.len() >= MAX_FILES {
                too_many += 1;
                continue;
            }
            let body = Body::Plain(Arc::new(held));
            // What is new since it was looked last is read as a whole, if it is not a pattern that is new.
            let is_large = body.size() > MAX_UNKNOWN_BYTES;
            let is_old = is_first_look && (self.is_first || is_large) && !known.contains(&path);
            let from = if is_old { self.last_lines(&body) } else { 0 };
            self.followed.push(Followed::begun(path, file, body, from, &self.workers));
        }
        if too_many > 0 && !std::mem::replace(&mut self.too_many_said, true) {
            tracing::warn!(
                files = too_many,
                most = MAX_FILES,
                "more log files match than are followed: these are not read"
            );
        }
        for file in &mut self.followed {
            if file.end.is_none() && !named.contains(&file.file) {
                file.ends_at = file.ends_at.or(now.checked_add(GRACE));
            }
        }
    }

    /// Goes on with a file after a restart.
    fn resume(&mut self, saved: &Saved, now: Instant) {
        if saved.end.is_some_and(|end| saved.offset >= end) {
            return;
        }
        let found = if saved.is_cut { Found::Gone } else { rest::find(&self.workers, saved) };
        match found {
            // One that had ended is only read up to there.
            Found::Whole(whole) if saved.end.is_some() => {
                return self.followed.push(Followed { ends_at: Some(now), ..whole });
            }
            Found::Whole(whole) => return self.followed.push(whole),
            // What came after its end is followed under the name that it got, or not at all.
            Found::Cut(_) if saved.end.is_some() => {}
            Found::Cut(new) => {
                self.has_new_sources = true;
                self.followed.push(new);
            }
            Found::Gone => {}
        }
        match rest::copied(&self.workers, saved) {
            Some(copy) => self.followed.push(Followed { ends_at: Some(now), ..copy }),
            None => self.figures.rests_lost += 1,
        }
    }

    /// Where the last lines of a file begin that was there before the first start.
    fn last_lines(&self, body: &Body) -> u64 {
        let Body::Plain(held) = body else { return 0 };
        let from = held.size().unwrap_or(0).saturating_sub(FIRST_BYTES);
        if from == 0 {
            return 0;
        }
        let read = body.read(&self.workers, from, FIRST_BYTES as usize);
        let line = read.and_then(|read| read.bytes.iter().position(|byte| *byte == b'\n'));
        line.map_or(from, |end| from + end as u64 + 1)
    }
}

//! Reads a past time from the files of a ring.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_common::units::{DurNs, MonoNs, UnixNs};
use diagnosis::recording::{Head, Recording};
use diagnosis::window::Window;
use profile::Names;

use super::super::{Cause, Error, failed, wrong};
use super::files::{self, Kept};
use super::{CLOCK_SET_NS, FILE_SPAN};

/// A span of time: the second is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub from: UnixNs,
    /// Past its end.
    pub to: UnixNs,
}

impl Span {
    fn has(self, window: &Window) -> bool {
        // A window belongs to the second that it is mostly in.
        let middle = window.end_unix.0.saturating_sub(window.span().0 / 2);
        (self.from.0..self.to.0).contains(&middle)
    }
}

/// What is known of a past time.
#[derive(Debug, Default)]
pub struct Past {
    /// Of the newest file read.
    pub head: Head,
    /// The windows just before, of the same run of the daemon.
    pub before: Vec<Arc<Window>>,
    /// The windows of this time, of one run of the daemon: where it was started again, of the one that saw most of it.
    pub windows: Vec<Arc<Window>>,
    /// Windows of this time of other runs.
    pub left_out: usize,
    /// Names of addresses.
    pub names: Names,
    /// Files of this time that are damaged.
    pub damaged: Vec<Error>,
    /// What the ring has of all times: from when, until when.
    pub kept: Option<Span>,
}

/// Reads the windows of a time, and as much as `warm_up` before them.
pub fn past(dir: &Path, span: Span, warm_up: Duration) -> Result<Past, Error> {
    let files = files::list(dir)?;
    let early = Span { from: UnixNs(span.from.0.saturating_sub(warm_up.as_nanos() as u64)), to: span.to };
    let mut past = Past { kept: kept(&files), ..Past::default() };
    let mut windows: Vec<Arc<Window>> = Vec::new();
    for file in files.iter().filter(|file| may_have(file, early)) {
        match read(file, early) {
            Ok(None) => {}
            Ok(Some(recording)) => {
                // The newest file was not ended yet.
                let is_last = files.back() == Some(file);
                past.damaged
                    .extend(recording.damage.filter(|_| !is_last).map(|fault| wrong(&file.path, fault)));
                if recording.windows.iter().any(|window| span.has(window)) {
                    take_names(&mut past.names, &recording.names, &recording.windows);
                }
                past.head = recording.head;
                windows.extend(recording.windows);
            }
            // An empty one, of a disk that was full.
            Err(error @ Error { what: Cause::Format(_), .. }) => past.damaged.push(error),
            Err(error) => return Err(error),
        }
    }
    let runs: Vec<&[Arc<Window>]> = windows.chunk_by(|last, next| follows(last, next)).collect();
    let seen = |run: &[Arc<Window>]| run.iter().filter(|window| span.has(window)).count();
    let all: usize = runs.iter().map(|run| seen(run)).sum();
    if let Some(run) = runs.into_iter().max_by_key(|run| seen(run)).filter(|run| seen(run) > 0) {
        let at = run.iter().position(|window| span.has(window)).unwrap_or(0);
        let (before, since) = run.split_at(at);
        past.before = before.to_vec();
        past.windows = since.iter().filter(|window| span.has(window)).cloned().collect();
        past.left_out = all - past.windows.len();
    }
    Ok(past)
}

/// Takes over the names of a file. Those of files before stay: a number may be another process' by now.
fn take_names(names: &mut Names, more: &Names, windows: &[Arc<Window>]) {
    let since = windows.first().map_or(MonoNs(0), |window| window.start);
    for (addr, name) in more.kernel_names() {
        names.set_kernel(addr, name.clone());
    }
    for (tgid, addr, from, name) in more.user_names() {
        match names.user(tgid, addr, since.max(from)) {
            Some(known) if known == name => {}
            Some(_) => names.set_user_from(tgid, addr, since.max(from), name.clone()),
            None => names.set_user_from(tgid, addr, from, name.clone()),
        }
    }
}

/// Of the same run of the daemon.
fn follows(last: &Window, next: &Window) -> bool {
    last.own == next.own && next.start >= last.end
}

fn may_have(file: &Kept, span: Span) -> bool {
    let longest = FILE_SPAN.as_nanos() as u64 + 2 * CLOCK_SET_NS;
    file.began < span.to && file.began.0.saturating_add(longest) > span.from.0
}

/// `None`: it has gone meanwhile.
fn read(file: &Kept, span: Span) -> Result<Option<Recording>, Error> {
    match std::fs::read(&file.path) {
        Ok(bytes) => Recording::parse_wanted(&bytes, |window| span.has(window))
            .map(Some)
            .map_err(|fault| wrong(&file.path, fault)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(&file.path, "read the file", source)),
    }
}

/// From the beginning of the oldest file until the newest was last written to.
fn kept(files: &VecDeque<Kept>) -> Option<Span> {
    let from = files.iter().map(|file| file.began).min()?;
    let newest = files.back()?;
    let written = std::fs::metadata(&newest.path).and_then(|file| file.modified()).ok()?;
    let written = written.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos() as u64;
    Some(Span { from, to: UnixNs(written) })
}

impl Past {
    /// What is not known of a span of this length.
    #[must_use]
    pub fn missing(&self, length: DurNs) -> DurNs {
        let known = self.windows.iter().map(|window| window.span().0).sum();
        DurNs(length.0.saturating_sub(known))
    }
}

//! What the host says about an end: who has an address, whether a path exists, what changed just before.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use agent_common::text;
use agent_common::units::Tgid;
use opener::{Owner, Patience, Workers};
use postmortem::Facts;
use postmortem::facts::{Change, FailedCall, Other};
use sockets::listener_on;

use crate::source::touch;

static WORKERS: Workers = Workers::with_patience("endings", Patience::COLLECTOR);

/// How long before an end a change may have to do with it.
const CHANGES_NS: u64 = 600_000_000_000;
/// Paths of an end that are looked at.
const MAX_PATHS: usize = 16;
/// Changes that are kept.
const MAX_CHANGES: usize = 16;
/// The end of the package manager's log.
const LOG_TAIL_BYTES: u64 = 64 << 10;
/// Programs whose files are remembered, 150 B each.
const MAX_PROGRAMS: usize = 2048;
const DPKG_LOG: &str = "/var/log/dpkg.log";

/// What is remembered of the host from end to end.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Inode and time of change of each program that ended, by path.
    programs: HashMap<String, (u64, u64)>,
}

impl Host {
    /// Adds what the host says. Blocks for some milliseconds; a file system that does not answer, for a second.
    pub(super) fn complete(&mut self, facts: &mut Facts) {
        // Files and packages of a container are its own: its paths name others here.
        let is_of_host = facts.process.container.is_none();
        for failed in facts.failed_calls.iter_mut().rev().take(MAX_PATHS) {
            if is_of_host {
                look_up(failed, facts.process.parent.pid);
            }
            name_holder(failed);
        }
        if is_of_host {
            self.add_changes(facts);
        }
        if let Some(by) = &mut facts.ended.by {
            by.cmdline = command_line(by.pid, &by.comm);
        }
    }

    /// What changed on the host just before.
    fn add_changes(&mut self, facts: &mut Facts) {
        let since = facts.ended.at_ns.saturating_sub(CHANGES_NS);
        let mut changes = packages(since, facts.ended.at_ns);
        changes.extend(self.program(&facts.process.exe));
        for path in configuration(facts) {
            if let Some(at_ns) = changed(&path).filter(|at| (since..=facts.ended.at_ns).contains(at)) {
                changes.push(Change { at_ns, kind: "file".to_owned(), what: path, by: None });
            }
        }
        changes.sort_by_key(|change| change.at_ns);
        let surplus = changes.len().saturating_sub(MAX_CHANGES);
        changes.drain(..surplus);
        facts.changes.extend(changes);
    }

    /// The program was replaced since it ended last.
    fn program(&mut self, path: &str) -> Option<Change> {
        let found = metadata(path)?;
        let now = (found.ino(), time_of(&found));
        if self.programs.len() >= MAX_PROGRAMS {
            self.programs.clear();
        }
        let before = self.programs.insert(path.to_owned(), now)?;
        (before != now).then(|| Change {
            at_ns: now.1,
            kind: "build".to_owned(),
            what: path.to_owned(),
            by: None,
        })
    }
}

/// Whether a path that was not found is there.
fn look_up(failed: &mut FailedCall, parent: u32) {
    if failed.errno == "ENOENT" && failed.path.starts_with('/') {
        failed.path_exists = Some(metadata(&failed.path).is_some());
    } else if failed.errno == "ENOENT"
        && failed.call.starts_with("exec")
        && let Some(dir) = touch::directory(Tgid(parent), None)
        && metadata(&format!("{dir}/{}", failed.path)).is_some()
    {
        // Its parent was most likely where it was: what is not there may be elsewhere.
        failed.path_exists = Some(true);
    }
}

/// Who listens on an address that is in use.
fn name_holder(failed: &mut FailedCall) {
    if failed.errno == "EADDRINUSE"
        && let Ok(address) = failed.peer.parse::<SocketAddr>()
    {
        let listener =
            listener_on(address).inspect_err(|error| tracing::debug!(%error, "who listens is not known"));
        failed.holder = listener.ok().flatten().map(|listener| {
            let (pid, comm) = listener.process.unwrap_or_default();
            Other { pid, cmdline: command_line(pid, &comm), comm, uid: listener.uid, ..Other::default() }
        });
    }
}

fn metadata(path: &str) -> Option<Metadata> {
    if !path.starts_with('/') {
        return None;
    }
    let path = path.to_owned();
    WORKERS.run(Owner::own(), move || fs::metadata(path).ok()).ok().flatten()
}

/// When a file was last changed, its attributes included.
fn time_of(found: &Metadata) -> u64 {
    u64::try_from(found.ctime()).unwrap_or(0) * 1_000_000_000 + u64::try_from(found.ctime_nsec()).unwrap_or(0)
}

fn changed(path: &str) -> Option<u64> {
    metadata(path).filter(Metadata::is_file).map(|found| time_of(&found))
}

/// Arguments of a process that may still live, without secrets; nothing if another one has its number.
fn command_line(pid: u32, comm: &str) -> String {
    let is_it =
        || fs::read(format!("/proc/{pid}/comm")).is_ok_and(|read| read.trim_ascii_end() == comm.as_bytes());
    if pid == 0 || !is_it() {
        return String::new();
    }
    super::said::arguments(&touch::command_line(Tgid(pid)))
}

/// Files that configure a program: those that it was started with, and those in `/etc` that have its name.
fn configuration(facts: &Facts) -> Vec<String> {
    let mut paths = Vec::new();
    for word in facts.process.cmdline.split(' ').skip(1) {
        let path = word.split_once('=').map_or(word, |(_, path)| path);
        if path.starts_with('/') {
            paths.push(path.to_owned());
        }
    }
    let comm = &facts.process.comm;
    if !comm.is_empty() && !comm.contains('/') && !comm.contains("..") {
        paths.extend([format!("/etc/{comm}.conf"), format!("/etc/default/{comm}")]);
        let entries = fs::read_dir(Path::new("/etc").join(comm)).into_iter().flatten().flatten();
        paths.extend(entries.filter_map(|entry| entry.path().to_str().map(str::to_owned)).take(MAX_PATHS));
    }
    paths.truncate(2 * MAX_PATHS);
    paths
}

/// Packages that were installed, upgraded or removed, by the log of dpkg.
fn packages(since: u64, until: u64) -> Vec<Change> {
    let Ok(mut file) = File::open(DPKG_LOG) else { return Vec::new() };
    let Ok(found) = file.metadata() else { return Vec::new() };
    let last = u64::try_from(found.mtime()).unwrap_or(0);
    if last * 1_000_000_000 < since {
        return Vec::new();
    }
    let mut text = Vec::new();
    let start = found.len().saturating_sub(LOG_TAIL_BYTES);
    if file.seek(SeekFrom::Start(start)).is_err() || file.take(LOG_TAIL_BYTES).read_to_end(&mut text).is_err()
    {
        return Vec::new();
    }
    of_log(&String::from_utf8_lossy(&text), last)
        .into_iter()
        .filter(|change| (since..=until).contains(&change.at_ns))
        .collect()
}

/// Changes in dpkg's log, whose last line was written at `last`, Unix seconds. The log has local time: how far that is from UTC
/// follows from the last line.
fn of_log(text: &str, last: u64) -> Vec<Change> {
    let lines: Vec<(u64, &str)> = text.lines().filter_map(line).collect();
    let Some((local, _)) = lines.last() else { return Vec::new() };
    // Zones differ by quarters of an hour.
    let ahead = (i128::from(*local) - i128::from(last) + 450).div_euclid(900) * 900;
    let change = |(at, rest): &(u64, &str)| {
        let mut words = rest.split(' ');
        let (what, package, old, new) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let package = package.split(':').next().unwrap_or(package);
        let what = match what {
            "install" => format!("{package} {new} installed"),
            "upgrade" => format!("{package} {old} → {new}"),
            "remove" | "purge" => format!("{package} {old} removed"),
            _ => return None,
        };
        let at_s = u64::try_from(i128::from(*at) - ahead).ok()?;
        Some(Change { at_ns: at_s.saturating_mul(1_000_000_000), kind: "package".to_owned(), what, by: None })
    };
    lines.iter().filter_map(change).collect()
}

/// `2026-11-30 18:50:12 upgrade …` as seconds, as if it were UTC, and the rest.
fn line(line: &str) -> Option<(u64, &str)> {
    let (date, rest) = line.split_once(' ')?;
    let (time, rest) = rest.split_once(' ')?;
    let ms = text::unix_ms(&format!("{date}T{time}Z"))?;
    Some((u64::try_from(ms).ok()? / 1000, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_dpkg_is_read_whatever_the_time_zone() {
        let text = "garbage\n\
            2026-11-30 18:50:12 startup archives unpack\n\
            2026-11-30 18:50:12 upgrade libssl3:amd64 3.0.15-1 3.0.16-1\n\
            2026-11-30 18:50:13 status installed libssl3:amd64 3.0.16-1\n\
            2026-11-30 18:50:14 install jq:amd64 <none> 1.6\n\
            2026-11-30 18:50:15 remove nano:amd64 7.2 <none>\n";
        let written = 1_796_064_615; // 18:50:15 UTC
        for zone in [0, 3600, -12_600] {
            let found = of_log(text, (i64::from(written) - zone) as u64);
            let what: Vec<&str> = found.iter().map(|change| change.what.as_str()).collect();
            assert_eq!(what, ["libssl3 3.0.15-1 → 3.0.16-1", "jq 1.6 installed", "nano 7.2 removed"]);
            assert_eq!(found[2].at_ns, (i64::from(written) - zone) as u64 * 1_000_000_000);
        }
    }

    #[test]
    fn dates_that_are_none_are_left_out() {
        assert_eq!(line("2024-03-01 00:00:01 x"), Some((19_783 * 86_400 + 1, "x")));
        for text in ["", " ", "2026-11-30", "2026-13-30 18:50:12 x", "2026-11-30 18:50 x", "x-y-z 1:2:3 u"] {
            assert_eq!(line(text), None, "{text}");
        }
    }

    #[test]
    fn who_listens_is_named() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let peer = server.local_addr().expect("an address").to_string();
        let mut failed = FailedCall { errno: "EADDRINUSE".into(), peer, ..FailedCall::default() };
        name_holder(&mut failed);
        let holder = failed.holder.expect("this process");
        assert_eq!(holder.pid, std::process::id());
        assert!(!holder.cmdline.is_empty() && !holder.cmdline.contains('\0'), "{holder:?}");
        let mut missing =
            FailedCall { errno: "ENOENT".into(), path: "/no/such".into(), ..FailedCall::default() };
        look_up(&mut missing, 0);
        assert_eq!(missing.path_exists, Some(false));
    }

    #[test]
    fn paths_of_a_container_are_not_looked_up_here() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_str().expect("text");
        let mut host = Host::default();
        let mut complete = |container: Option<&str>| {
            let mut facts = Facts::default();
            facts.process.container = container.map(str::to_owned);
            facts.process.cmdline = format!("worker --config={path}");
            facts.ended.at_ns = crate::clock::unix().0;
            facts.failed_calls =
                vec![FailedCall { errno: "ENOENT".into(), path: path.into(), ..FailedCall::default() }];
            host.complete(&mut facts);
            (facts.failed_calls[0].path_exists, facts.changes.iter().any(|change| change.what == path))
        };
        assert_eq!(complete(None), (Some(true), true));
        assert_eq!(complete(Some("web")), (None, false));
    }

    #[test]
    fn a_program_that_was_replaced_since_it_ended_last_has_changed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("prog");
        let path = path.to_str().expect("text");
        let mut host = Host::default();
        fs::write(path, "1").expect("written");
        assert_eq!(host.program(path), None, "not known before");
        assert_eq!(host.program(path), None);
        let new = dir.path().join("new");
        fs::write(&new, "2").expect("written");
        fs::rename(new, path).expect("renamed");
        assert_eq!(host.program(path).map(|change| change.kind), Some("build".into()));
    }
}

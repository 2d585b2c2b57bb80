//! Finds the process at the other end of a pipe or socket. Searches only for waits that hold a thread up.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use agent_common::units::Tgid;
use opener::living;

use crate::source::mounts;

/// Least time between two scans of all descriptors of the host: a scan takes about 2 µs a descriptor.
const MIN_SCAN_INTERVAL: Duration = Duration::from_secs(2);
/// CPU time after which a scan ends: an end that it has not found by then stays unknown.
const SCAN_CPU_BUDGET: Duration = Duration::from_millis(60);

/// The end that a thread waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct End {
    /// Who waits.
    pub(in crate::source) of: Tgid,
    /// What `/proc/PID/fd` calls it.
    pub(in crate::source) link: String,
    /// One that reads is looked for; else one that writes.
    pub(in crate::source) reads: bool,
    /// It counts only when who has it stands still.
    pub(in crate::source) only_stopped: bool,
    /// Number of the FUSE connection, where it is a descriptor of that device.
    pub(in crate::source) connection: Option<u32>,
}

impl End {
    pub(in crate::source) fn socket(of: Tgid, inode: u32) -> Self {
        Self { of, link: format!("socket:[{inode}]"), reads: true, only_stopped: false, connection: None }
    }
}

/// Who has one of the ends.
#[derive(Debug)]
struct Holder {
    tgid: Tgid,
    reads: bool,
    writes: bool,
    /// See [`End::connection`]; `None` before Linux 6.16.
    connection: Option<u32>,
}

#[derive(Debug, Default)]
pub(in crate::source) struct Ends {
    /// By what they are called: who has them.
    found: HashMap<String, Vec<Holder>>,
    last: Option<Instant>,
}

impl Ends {
    /// Looks for who has these. False: not now.
    pub(in crate::source) fn look_for<'a>(&mut self, wanted: impl Iterator<Item = &'a End>) -> bool {
        let mut found: HashMap<String, (bool, Vec<Holder>)> =
            wanted.map(|end| (end.link.clone(), (end.connection.is_some(), Vec::new()))).collect();
        let now = Instant::now();
        if found.is_empty() || self.last.is_some_and(|last| now - last < MIN_SCAN_INTERVAL) {
            return false;
        }
        let begin = crate::clock::thread_cpu();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for tgid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Tgid)) {
            if crate::clock::thread_cpu().saturating_sub(begin) > SCAN_CPU_BUDGET {
                break;
            }
            for entry in fs::read_dir(format!("/proc/{}/fd", living(tgid.0))).into_iter().flatten().flatten()
            {
                let Ok(link) = fs::read_link(entry.path()) else { continue };
                let Some((is_fuse, holders)) = link.to_str().and_then(|link| found.get_mut(link)) else {
                    continue;
                };
                // The link's own permissions say what it was opened for.
                let mode = fs::symlink_metadata(entry.path()).map_or(0o600, |meta| meta.mode());
                let info = Path::new("/proc").join(tgid.to_string()).join("fdinfo").join(entry.file_name());
                let connection = if *is_fuse { mounts::connection_of(&info) } else { None };
                let (reads, writes) = (mode & 0o400 != 0, mode & 0o200 != 0);
                holders.push(Holder { tgid, reads, writes, connection });
            }
        }
        self.found = found.into_iter().map(|(link, (_, holders))| (link, holders)).collect();
        self.last = Some(now);
        true
    }

    /// The process that has this end open: preferably one that stands still, and never the one that waits. Where the kernel does
    /// not show which FUSE server serves which file system, only a server that stands still.
    pub(in crate::source) fn of(&self, end: &End) -> Option<Tgid> {
        let holders = self.found.get(&end.link)?;
        let fits = |holder: &&Holder| {
            let differs = end.connection.is_some()
                && holder.connection.is_some()
                && end.connection != holder.connection;
            holder.tgid != end.of && !differs && if end.reads { holder.reads } else { holder.writes }
        };
        let mut others: Vec<(Tgid, bool)> = holders
            .iter()
            .filter(fits)
            .map(|holder| (holder.tgid, end.connection.is_none() || holder.connection.is_some()))
            .collect();
        others.sort_unstable();
        others.dedup();
        let alone = others.len() == 1;
        let stands = |tgid: Tgid| state(tgid) == Some(b'T');
        let sure = others.into_iter().map(|(tgid, sure)| (tgid, sure, stands(tgid)));
        let sure = sure.filter(|(_, sure, stands)| *sure || *stands || alone);
        sure.min_by_key(|(tgid, _, stands)| (!stands, *tgid)).map(|(tgid, ..)| tgid)
    }
}

/// Letter of a process' state.
pub(in crate::source) fn state(tgid: Tgid) -> Option<u8> {
    let stat = fs::read_to_string(format!("/proc/{tgid}/stat")).ok()?;
    stat.rsplit(") ").next()?.bytes().next()
}

//! Who has the other end of a pipe or socket open. Only asked for those that hold somebody up.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use agent_common::units::Tgid;
use opener::living;

/// A look at all descriptors of the host takes about 2 µs each: no more often than this.
const BETWEEN: Duration = Duration::from_secs(2);
/// A look ends after this much time: who is not found by then stays unnamed.
const BUDGET: Duration = Duration::from_millis(60);

/// The end that somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// Who waits.
    pub(super) of: Tgid,
    /// What `/proc/PID/fd` calls it.
    pub(super) link: String,
    /// One that reads is looked for; else one that writes.
    pub(super) reads: bool,
    /// It counts only when who has it stands still.
    pub(super) only_stopped: bool,
}

impl End {
    pub(super) fn socket(of: Tgid, inode: u32) -> Self {
        Self { of, link: format!("socket:[{inode}]"), reads: true, only_stopped: false }
    }
}

#[derive(Debug, Default)]
pub(super) struct Ends {
    /// By what they are called: who has them, and whether to read and to write.
    found: HashMap<String, Vec<(Tgid, bool, bool)>>,
    last: Option<Instant>,
}

impl Ends {
    /// Looks for who has these. False: not now.
    pub(super) fn look_for<'a>(&mut self, wanted: impl Iterator<Item = &'a End>) -> bool {
        let mut found: HashMap<String, Vec<_>> = wanted.map(|end| (end.link.clone(), Vec::new())).collect();
        let now = Instant::now();
        if found.is_empty() || self.last.is_some_and(|last| now - last < BETWEEN) {
            return false;
        }
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for tgid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Tgid)) {
            if now.elapsed() > BUDGET {
                break;
            }
            for entry in fs::read_dir(format!("/proc/{}/fd", living(tgid.0))).into_iter().flatten().flatten()
            {
                let Ok(link) = fs::read_link(entry.path()) else { continue };
                let Some(holders) = link.to_str().and_then(|link| found.get_mut(link)) else { continue };
                // The link's own permissions say what it was opened for.
                let mode = fs::symlink_metadata(entry.path()).map_or(0o600, |meta| meta.mode());
                holders.push((tgid, mode & 0o400 != 0, mode & 0o200 != 0));
            }
        }
        self.found = found;
        self.last = Some(now);
        true
    }

    /// Who has it: one that stands still before one that does not, and not the one that waits.
    pub(super) fn of(&self, end: &End) -> Option<Tgid> {
        let holders = self.found.get(&end.link)?;
        let fits = holders.iter().filter(|(_, reads, writes)| if end.reads { *reads } else { *writes });
        let others = fits.map(|(tgid, ..)| *tgid).filter(|tgid| *tgid != end.of);
        others.min_by_key(|tgid| (state(*tgid) != Some(b'T'), *tgid))
    }
}

/// Letter of a process' state.
pub(super) fn state(tgid: Tgid) -> Option<u8> {
    let stat = fs::read_to_string(format!("/proc/{tgid}/stat")).ok()?;
    stat.rsplit(") ").next()?.bytes().next()
}

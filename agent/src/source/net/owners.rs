//! Finds the process that has a socket open, by the socket's inode. Searches only for sockets with errors or delays.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use agent_common::units::Tgid;

use crate::source::sockets::inodes_of;

/// Least time between two scans of all descriptors of the host: a scan takes about 2 µs a descriptor.
const MIN_SCAN_INTERVAL: Duration = Duration::from_secs(5);
/// CPU time after which a scan pauses; the next window continues it.
const SCAN_CPU_BUDGET: Duration = Duration::from_millis(20);
/// Most inodes in memory, 24 B each; then all are forgotten and searched again.
const MAX_INODES: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Owners {
    known: HashMap<u32, Tgid>,
    last: Option<Instant>,
    resume: Tgid,
}

impl Owners {
    /// Finds out who has these, as far as the budget allows.
    pub(super) fn look_for(
        &mut self,
        inodes: impl Iterator<Item = u32>,
        processes: impl FnOnce() -> Vec<Tgid>,
    ) {
        let unknown = inodes.filter(|inode| *inode != 0 && !self.known.contains_key(inode)).count();
        let now = Instant::now();
        if unknown == 0 || self.last.is_some_and(|last| now - last < MIN_SCAN_INTERVAL) {
            return;
        }
        if self.known.len() > MAX_INODES {
            self.known.clear();
        }
        let all = processes();
        let from = all.iter().position(|tgid| *tgid >= self.resume).unwrap_or(0);
        let begin = crate::clock::thread_cpu();
        for tgid in all[from..].iter().chain(&all[..from]) {
            if crate::clock::thread_cpu().saturating_sub(begin) > SCAN_CPU_BUDGET {
                self.resume = *tgid;
                return;
            }
            self.descriptors(*tgid);
        }
        self.resume = Tgid(0);
        self.last = Some(now);
    }

    fn descriptors(&mut self, tgid: Tgid) {
        for inode in inodes_of(tgid, usize::MAX) {
            // Of several that share it after a fork, the oldest.
            self.known.entry(inode).or_insert(tgid);
        }
    }

    /// Who has it; 0 when not known.
    pub(super) fn of(&self, inode: u32) -> Tgid {
        self.known.get(&inode).copied().unwrap_or(Tgid(0))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::source::sockets::inode_of;

    #[test]
    fn the_owner_of_a_socket_is_found() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).expect("its link");
        let inode = inode_of(link.to_str().expect("text")).expect("a socket");
        let mut owners = Owners::default();
        owners.descriptors(Tgid(std::process::id()));
        assert_eq!(owners.of(inode), Tgid(std::process::id()));
        assert_eq!(owners.of(0), Tgid(0));
    }
}

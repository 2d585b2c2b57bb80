//! Which connection ends the waits of a process that waits for many at once (`epoll_wait`, `poll`): the one between it and
//! whoever ended them. The kernel side says who that was; the descriptors of both say the rest.

use std::collections::{HashMap, HashSet};
use std::fs;

use agent_common::abi::sched::State;
use agent_common::units::{MonoNs, Tgid};

use super::sockets::{Sockets, Tcp, Unix, inode_of};
use crate::window::{Wait, WaitTarget};

/// Pairs of processes looked at a window: some 100 µs each where they have few descriptors.
const LOOKS: usize = 8;
/// Descriptors looked at of a process, 2 µs each.
const DESCRIPTORS: usize = 1024;
/// Local sockets asked for of a pair, 10 µs each.
const LOCAL: usize = 64;
/// How long a pair is remembered: connections come and go.
const REMEMBERED_NS: u64 = 20_000_000_000;

/// What pairs of processes have between them.
#[derive(Debug, Default)]
pub struct Polled {
    sockets: Sockets,
    /// By who waits and who ends its waits: when it was looked at, and what was found.
    known: HashMap<(Tgid, Tgid), (MonoNs, WaitTarget)>,
}

impl Polled {
    /// Gives the waits that another process has ended the connection to that one.
    pub fn name(&mut self, waits: &mut [Wait], now: MonoNs) {
        self.known.retain(|_, (at, _)| now.since(*at).0 < REMEMBERED_NS);
        let mut looks = 0;
        for wait in waits {
            let (State::Poll, WaitTarget::None, Some(waker)) = (wait.accounted, wait.target, &wait.waker)
            else {
                continue;
            };
            if waker.tgid == wait.tgid || waker.closes {
                continue;
            }
            let pair = (wait.tgid, waker.tgid);
            if !self.known.contains_key(&pair) {
                if looks == LOOKS {
                    continue;
                }
                looks += 1;
                let target = self.between(pair.0, pair.1).unwrap_or_default();
                self.known.insert(pair, (now, target));
            }
            wait.target = self.known[&pair].1;
        }
        self.sockets.forget();
    }

    fn between(&mut self, one: Tgid, other: Tgid) -> Option<WaitTarget> {
        let (ours, theirs) = (sockets_of(one), sockets_of(other));
        if ours.is_empty() || theirs.is_empty() {
            return None;
        }
        if let Some(Tcp { local, peer, .. }) = self.sockets.between(one, &ours, &theirs) {
            let peer = Some((peer.0.to_canonical(), peer.1));
            return Some(WaitTarget::Socket {
                protocol: libc::IPPROTO_TCP as u16,
                local_port: local.1,
                peer,
            });
        }
        for inode in ours.into_iter().take(LOCAL) {
            let Some(Unix { peer, named, .. }) = self.sockets.unix(one, inode) else { continue };
            if theirs.contains(&peer) {
                let serves = named || !self.sockets.unix(one, peer)?.named;
                return Some(WaitTarget::Unix { peer: Some(other), serves: Some(serves) });
            }
        }
        None
    }
}

/// Inodes of the sockets that a process has open.
fn sockets_of(tgid: Tgid) -> HashSet<u32> {
    let entries = fs::read_dir(format!("/proc/{tgid}/fd")).into_iter().flatten().flatten();
    let inode = |entry: fs::DirEntry| inode_of(fs::read_link(entry.path()).ok()?.to_str()?);
    entries.take(DESCRIPTORS).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn the_connection_between_two_is_found_with_who_made_it() {
        let own = Tgid(std::process::id());
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(server.local_addr().expect("bound")).expect("a way");
        let (accepted, _) = server.accept().expect("a client");
        let inode = |fd: i32| {
            let link = fs::read_link(format!("/proc/self/fd/{fd}")).expect("open");
            HashSet::from([inode_of(link.to_str().expect("text")).expect("a socket")])
        };
        let (asks, serves) = (inode(client.as_raw_fd()), inode(accepted.as_raw_fd()));
        let mut sockets = Sockets::default();
        let found = sockets.between(own, &asks, &serves).expect("they are connected");
        assert_eq!(found.peer, server.local_addr().map(|at| (at.ip(), at.port())).expect("bound"));
        let found = sockets.between(own, &serves, &asks).expect("they are connected");
        assert_eq!(found.local.1, server.local_addr().expect("bound").port());
        assert!(sockets.between(own, &asks, &inode(server.as_raw_fd())).is_none());
    }

    #[test]
    fn of_a_local_connection_the_side_with_a_name_serves() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let server = UnixListener::bind(&path).expect("a name");
        let _client = UnixStream::connect(&path).expect("a way");
        let _accepted = server.accept().expect("a client");
        let own = Tgid(std::process::id());
        // Both ends are this process': either may be met first.
        let found = Polled::default().between(own, own);
        assert!(
            matches!(found, Some(WaitTarget::Unix { peer: Some(tgid), serves: Some(_) }) if tgid == own),
            "{found:?}"
        );
    }
}

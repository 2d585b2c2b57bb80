//! Queues of listening TCP sockets, by `sock_diag` in each network namespace.
//!
//! No tracepoint reports a full accept queue. `sk_drops` of a listening socket counts the connections that it refused, nearly
//! always for that reason. One dump takes about 20 µs and 1 µs a socket; each namespace needs two (IPv4, IPv6).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;

use agent_common::le::u32_at;
use agent_common::units::Tgid;
use sockets::diag::{Diag, INET_MESSAGE, LISTEN, attributes};

use crate::source::sockets::namespace_of;

/// Namespaces looked at: two descriptors and 50 µs a window each. Of the others the log and the report's coverage say so.
const NAMESPACES_MAX: usize = 64;
/// Windows between two searches for new namespaces.
const SEARCH_EVERY: u64 = 10;

/// `INET_DIAG_SKMEMINFO` (`include/uapi/linux/inet_diag.h`), and the place of `SK_MEMINFO_DROPS` in it.
const SKMEMINFO: u16 = 7;
const SKMEMINFO_DROPS: usize = 8;

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) port: u16,
    pub(super) inode: u32,
    /// Connections waiting to be accepted.
    pub(super) queue: u32,
    /// Most that may wait.
    pub(super) limit: u32,
    /// Connections refused: since the socket was made, and after [`Listeners::take`] since the last call.
    pub(super) drops: u32,
    cookie: u64,
}

#[derive(Debug)]
struct Namespace {
    diag: Diag,
    /// Refused so far, by socket.
    last: HashMap<u64, u32>,
    /// Sockets are new to us, not new: their counts begin with what they are.
    first: bool,
}

/// All network namespaces that processes live in.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    namespaces: HashMap<u64, Namespace>,
    refused: HashSet<u64>,
    round: u64,
}

impl Listeners {
    /// Sockets that have connections waiting, or refused some since the last call.
    pub(super) fn take(&mut self, processes: impl FnOnce() -> Vec<Tgid>) -> Vec<Listener> {
        if self.round.is_multiple_of(SEARCH_EVERY) {
            self.search(&processes());
        }
        self.round += 1;
        let mut found = Vec::new();
        for space in self.namespaces.values_mut() {
            let Ok(listeners) = listening(&space.diag) else { continue };
            let mut now = HashMap::with_capacity(listeners.len());
            for mut listener in listeners {
                now.insert(listener.cookie, listener.drops);
                let before = if space.first { listener.drops } else { 0 };
                let before = space.last.get(&listener.cookie).copied().unwrap_or(before);
                listener.drops = listener.drops.wrapping_sub(before);
                if listener.drops > 0 || listener.queue > 0 {
                    found.push(listener);
                }
            }
            space.last = now;
            space.first = false;
        }
        found
    }

    /// Network namespaces that are not watched.
    pub(super) fn unwatched(&self) -> usize {
        self.refused.len()
    }

    fn search(&mut self, processes: &[Tgid]) {
        let mut seen = HashSet::new();
        for tgid in processes {
            let Some((path, inode)) = namespace_of(*tgid) else { continue };
            if !seen.insert(inode) || self.namespaces.contains_key(&inode) || self.refused.contains(&inode) {
                continue;
            }
            let opened = if self.namespaces.len() < NAMESPACES_MAX {
                File::open(&path).and_then(|space| Diag::open_in(&space))
            } else {
                Err(io::Error::other(format!("{NAMESPACES_MAX} are watched already")))
            };
            match opened {
                Ok(diag) => {
                    self.namespaces.insert(inode, Namespace { diag, last: HashMap::new(), first: true });
                }
                // The process has ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::info!(%error, %tgid, "listening sockets of this network namespace are not watched");
                    self.refused.insert(inode);
                }
            }
        }
        // An open socket keeps its namespace: let those go that no process is in.
        self.namespaces.retain(|inode, _| seen.contains(inode));
        self.refused.retain(|inode| seen.contains(inode));
    }
}

/// All listening TCP sockets of the namespace, with their memory counters.
fn listening(diag: &Diag) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    diag.tcp(1 << LISTEN, SKMEMINFO, |message| listeners.extend(listener(message)))?;
    Ok(listeners)
}

fn listener(message: &[u8]) -> Option<Listener> {
    let mut listener = Listener {
        port: u16::from_be_bytes(message.get(4..6)?.try_into().ok()?),
        cookie: u64::from(u32_at(message, 44)?) | u64::from(u32_at(message, 48)?) << 32,
        queue: u32_at(message, 56)?,
        limit: u32_at(message, 60)?,
        inode: u32_at(message, 68)?,
        drops: 0,
    };
    attributes(message.get(INET_MESSAGE..)?, |kind, value| {
        if kind == SKMEMINFO {
            listener.drops = u32_at(value, SKMEMINFO_DROPS * 4).unwrap_or(0);
        }
    });
    Some(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_beyond_the_bound_is_counted_as_not_watched_and_one_of_a_process_that_ended_is_not() {
        let mut listeners = Listeners::default();
        let own = Tgid(std::process::id());
        let inode = |at: usize| u64::MAX - at as u64;
        for at in 0..NAMESPACES_MAX {
            let diag = Diag::open().expect("every user may ask");
            listeners.namespaces.insert(inode(at), Namespace { diag, last: HashMap::new(), first: true });
        }
        listeners.search(&[own, Tgid(u32::MAX >> 1)]);
        assert_eq!(listeners.unwatched(), 1);
        // The others have no process: there is room at the next search.
        listeners.refused.clear();
        listeners.search(&[own]);
        assert_eq!((listeners.unwatched(), listeners.namespaces.len()), (0, 1));
    }

    #[test]
    fn a_waiting_connection_is_seen_in_the_queue_of_its_port() {
        let diag = Diag::open().expect("every user may ask");
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = server.local_addr().expect("bound").port();
        let _client = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let all = listening(&diag).expect("an answer");
        let own: Vec<_> = all.iter().filter(|listener| listener.port == port).collect();
        assert_eq!(own.len(), 1, "{all:?}");
        assert_eq!((own[0].queue, own[0].drops), (1, 0));
        assert!(own[0].limit >= 128 && own[0].inode != 0, "{own:?}");
    }
}

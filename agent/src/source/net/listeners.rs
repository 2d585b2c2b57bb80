//! Queues of listening TCP sockets: `sock_diag` asked in each network namespace.
//!
//! No tracepoint tells of a full accept queue. `sk_drops` of a listening socket counts what it refused, nearly always
//! for that reason. One dump takes about 20 µs and 1 µs a socket, two a namespace (IPv4, IPv6).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use agent_common::units::Tgid;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// Namespaces looked at: two descriptors and 50 µs a window each. The others are counted in a log line.
const NAMESPACES_MAX: usize = 64;
/// Windows between two searches for new namespaces.
const SEARCH_EVERY: u64 = 10;
/// A page of answers; the kernel fills up to 32 KiB at once.
const ANSWER_BYTES: usize = 32 << 10;

/// `SOCK_DIAG_BY_FAMILY` (`include/uapi/linux/sock_diag.h`).
pub(in crate::source) const DIAG_BY_FAMILY: u16 = 20;
/// `INET_DIAG_SKMEMINFO` (`include/uapi/linux/inet_diag.h`), and the place of `SK_MEMINFO_DROPS` in it.
const SKMEMINFO: u16 = 7;
const SKMEMINFO_DROPS: usize = 8;
/// `TCP_LISTEN` (`include/net/tcp_states.h`).
const LISTEN: u32 = 10;
/// `struct nlmsghdr`, `struct inet_diag_req_v2`, `struct inet_diag_msg`.
pub(in crate::source) const HEADER: usize = 16;
const REQUEST: usize = 56;
pub(in crate::source) const MESSAGE: usize = 72;

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) struct Listener {
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
    diag: OwnedFd,
    /// Refused so far, by socket.
    last: HashMap<u64, u32>,
    /// Sockets are new to us, not new: their counts begin with what they are.
    first: bool,
}

/// All network namespaces that processes live in.
#[derive(Debug, Default)]
pub(in crate::source) struct Listeners {
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

    fn search(&mut self, processes: &[Tgid]) {
        let mut seen = HashSet::new();
        for tgid in processes {
            let path = format!("/proc/{tgid}/ns/net");
            let Ok(inode) = std::fs::metadata(&path).map(|meta| meta.ino()) else { continue };
            if !seen.insert(inode) || self.namespaces.contains_key(&inode) || self.refused.contains(&inode) {
                continue;
            }
            let opened = if self.namespaces.len() < NAMESPACES_MAX {
                File::open(&path).and_then(|space| open_in(&space))
            } else {
                Err(io::Error::other(format!("{NAMESPACES_MAX} are watched already")))
            };
            match opened {
                Ok(diag) => {
                    self.namespaces.insert(inode, Namespace { diag, last: HashMap::new(), first: true });
                }
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

/// A diagnostic socket in another network namespace. It stays there; the thread that enters it ends.
pub(in crate::source) fn open_in(space: &File) -> io::Result<OwnedFd> {
    let open = || {
        nix::sched::setns(space, nix::sched::CloneFlags::CLONE_NEWNET)?;
        socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkSockDiag,
        )
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, open)?;
        thread.join().map_err(|_| io::Error::other("the thread panicked"))?.map_err(io::Error::from)
    })
}

/// All listening TCP sockets of the namespace.
fn listening(diag: &OwnedFd) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        send(diag.as_raw_fd(), &request(family as u8), MsgFlags::empty())?;
        let mut answer = vec![0; ANSWER_BYTES];
        loop {
            let length = recv(diag.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            if parse(&answer[..length], &mut listeners) {
                break;
            }
        }
    }
    Ok(listeners)
}

/// `NLM_F_REQUEST | NLM_F_DUMP`: listening TCP sockets with their memory counters.
fn request(family: u8) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    bytes[..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    bytes[HEADER..HEADER + 3].copy_from_slice(&[family, libc::IPPROTO_TCP as u8, 1 << (SKMEMINFO - 1)]);
    bytes[HEADER + 4..HEADER + 8].copy_from_slice(&(1u32 << LISTEN).to_ne_bytes());
    bytes
}

/// Adds the sockets of one answer. True after the last, or when it is not an answer.
fn parse(mut bytes: &[u8], listeners: &mut Vec<Listener>) -> bool {
    while let (Some(length), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        let Some(message) = bytes.get(..length as usize).filter(|m| m.len() >= HEADER) else { return true };
        if kind != DIAG_BY_FAMILY {
            return true;
        }
        listeners.extend(listener(&message[HEADER..]));
        bytes = bytes.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    false
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
    let mut attributes = message.get(MESSAGE..)?;
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        if kind == SKMEMINFO {
            listener.drops = u32_at(attributes, 4 + SKMEMINFO_DROPS * 4).unwrap_or(0);
        }
        attributes = attributes.get(usize::from(length.max(4)).next_multiple_of(4)..).unwrap_or_default();
    }
    Some(listener)
}

pub(in crate::source) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(in crate::source) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_connection_is_seen_in_the_queue_of_its_port() {
        let diag = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkSockDiag,
        )
        .expect("everybody may ask");
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = server.local_addr().expect("bound").port();
        let _client = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let all = listening(&diag).expect("an answer");
        let own: Vec<_> = all.iter().filter(|listener| listener.port == port).collect();
        assert_eq!(own.len(), 1, "{all:?}");
        assert_eq!((own[0].queue, own[0].drops), (1, 0));
        assert!(own[0].limit >= 128 && own[0].inode != 0, "{own:?}");
    }

    #[test]
    fn a_damaged_answer_ends_the_reading() {
        let mut listeners = Vec::new();
        assert!(!parse(&[], &mut listeners));
        assert!(parse(&[255; 40], &mut listeners));
        let mut short = request(2).to_vec();
        short[0] = 3;
        assert!(parse(&short, &mut listeners));
        assert!(listeners.is_empty());
    }
}

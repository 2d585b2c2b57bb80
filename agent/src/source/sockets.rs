//! The kernel's data about one socket: `sock_diag`, in the network namespace of its process.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use agent_common::le::u32_at;
use agent_common::units::Tgid;
use opener::living;
use sockets::diag::{Diag, INET_MESSAGE, LISTEN, attributes};
pub(super) use sockets::inode_of;

/// Namespaces whose diagnostic socket is kept: one descriptor each.
const NAMESPACES_MAX: usize = 64;
/// Listing connections may take at most one part in this many of the time.
const LISTING_TIME_DIVISOR: u32 = 100;

/// Bits of states (`include/net/tcp_states.h`): established, SYN sent, close wait, listening.
const TCP_STATES: u32 = 1 << 1 | 1 << 2 | 1 << 8 | 1 << LISTEN;
/// The same of UDP sockets: connected, not connected.
const UDP_STATES: u32 = 1 << 1 | 1 << 7;
/// `INET_DIAG_INFO`, and places in `struct tcp_info` (`include/uapi/linux/tcp.h`).
const INFO: u16 = 2;
const LAST_DATA_SENT: usize = 44;
const LAST_DATA_RECEIVED: usize = 52;
const DATA_SEGMENTS_OUT: usize = 156;
/// `struct unix_diag_req`, `struct unix_diag_msg`, and its attributes (`include/uapi/linux/unix_diag.h`).
const UNIX_REQUEST: usize = 24;
const UNIX_MESSAGE: usize = 16;
const SHOW_NAME_PEER_QUEUES: u32 = 1 | 4 | 0x10;
const NAME: u16 = 0;
const PEER: u16 = 2;
const QUEUES: u16 = 4;

/// A TCP socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tcp {
    state: u8,
    inode: u32,
    pub(super) local: (IpAddr, u16),
    pub(super) peer: (IpAddr, u16),
    /// Segments with data sent.
    pub(super) segments_sent: u32,
    /// Since data was last sent.
    pub(super) sent_ms: u64,
    /// Since data last came, or the connection was made.
    pub(super) received_ms: u64,
}

/// A local socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unix {
    /// Inode of the other end.
    pub(super) peer: u32,
    /// What was sent and not read, in the kernel's bytes.
    pub(super) unread: u32,
    /// It was accepted.
    pub(super) named: bool,
}

/// A UDP socket.
#[derive(Debug, Clone, Copy)]
struct Udp {
    inode: u32,
    local: (IpAddr, u16),
    /// Port 0: not connected.
    peer: (IpAddr, u16),
}

/// `sock_diag` sockets of all network namespaces.
#[derive(Debug, Default)]
pub struct Sockets {
    /// By the namespace's inode; none where it cannot be entered.
    spaces: HashMap<u64, Option<Diag>>,
    /// The connections of a namespace, for as long as one round of looks takes.
    listed: HashMap<u64, Vec<Tcp>>,
    /// The same of UDP.
    datagrams: HashMap<u64, Vec<Udp>>,
    /// Connections are not listed again before.
    not_before: Option<Instant>,
}

impl Sockets {
    /// What was listed is old: the looks of a window are over.
    pub fn forget(&mut self) {
        self.listed.clear();
        self.datagrams.clear();
    }

    /// Port of a connected UDP socket with this inode, and its other end.
    pub(super) fn udp(&mut self, tgid: Tgid, inode: u32) -> Option<(u16, (IpAddr, u16))> {
        let one = self.list_udp(tgid)?.iter().find(|udp| udp.inode == inode && udp.peer.1 != 0)?;
        Some((one.local.1, (one.peer.0.to_canonical(), one.peer.1)))
    }

    /// Inode of the socket that serves an address of the namespace of a process: one that listens or is not connected, bound
    /// to that address, or to all of them where it is a loopback address.
    pub(super) fn server(
        &mut self,
        tgid: Tgid,
        protocol: u16,
        (address, port): (IpAddr, u16),
    ) -> Option<u32> {
        let fits = |local: (IpAddr, u16)| {
            let own = local.0.to_canonical();
            local.1 == port && (own == address || own.is_unspecified() && address.is_loopback())
        };
        if i32::from(protocol) == libc::IPPROTO_UDP {
            let all = self.list_udp(tgid)?;
            return all.iter().find(|udp| udp.peer.1 == 0 && fits(udp.local)).map(|udp| udp.inode);
        }
        let all = self.list(tgid)?;
        all.iter().find(|tcp| tcp.state == LISTEN && fits(tcp.local)).map(|tcp| tcp.inode)
    }

    fn list_udp(&mut self, tgid: Tgid) -> Option<&[Udp]> {
        let space = self.enter(tgid)?;
        if !self.datagrams.contains_key(&space) {
            let mut all = Vec::new();
            let of = |one: Tcp| Udp { inode: one.inode, local: one.local, peer: one.peer };
            self.spaces
                .get(&space)?
                .as_ref()?
                .udp(UDP_STATES, |message| all.extend(tcp(message).map(of)))
                .ok()?;
            self.datagrams.insert(space, all);
        }
        self.datagrams.get(&space).map(Vec::as_slice)
    }

    /// A TCP connection between two of these, as the first of them has it: one that it made before one that it accepted.
    pub(super) fn between(&mut self, tgid: Tgid, ours: &HashSet<u32>, theirs: &HashSet<u32>) -> Option<Tcp> {
        let all = self.list(tgid)?;
        let ends: HashSet<_> =
            all.iter().filter(|tcp| theirs.contains(&tcp.inode)).map(|tcp| (tcp.peer, tcp.local)).collect();
        let connected = |tcp: &&Tcp| ours.contains(&tcp.inode) && ends.contains(&(tcp.local, tcp.peer));
        let serves = |one: &Tcp| all.iter().any(|tcp| tcp.state == LISTEN && tcp.local.1 == one.local.1);
        all.iter().filter(connected).min_by_key(|tcp| serves(tcp)).copied()
    }

    /// The TCP socket with this inode, and the inode of the socket at the other end if that is in the same namespace. While no
    /// process has accepted the connection, the latter is the listening socket.
    pub(super) fn tcp(&mut self, tgid: Tgid, inode: u32) -> Option<(Tcp, Option<u32>)> {
        let all = self.list(tgid)?;
        let one = *all.iter().find(|tcp| tcp.inode == inode)?;
        let mirrored = |tcp: &&Tcp| tcp.local == one.peer && tcp.peer == one.local && tcp.inode != 0;
        let listens = |tcp: &&Tcp| tcp.state == LISTEN && tcp.local.1 == one.peer.1;
        let here = all.iter().any(|tcp| tcp.local.0 == one.peer.0) || one.peer.0.to_canonical().is_loopback();
        let listener = || all.iter().find(listens).filter(|_| here);
        let other = all.iter().find(mirrored).or_else(listener);
        Some((one, other.map(|tcp| tcp.inode)))
    }

    /// The connections and listeners in the namespace of a process.
    fn list(&mut self, tgid: Tgid) -> Option<&[Tcp]> {
        let space = self.enter(tgid)?;
        if !self.listed.contains_key(&space) {
            let now = Instant::now();
            if self.not_before.is_some_and(|at| now < at) {
                return None;
            }
            let all = list(self.spaces.get(&space)?.as_ref()?).unwrap_or_default();
            // Up to some thousand connections it is asked at each window.
            self.not_before =
                Some(now + (now.elapsed() * LISTING_TIME_DIVISOR).saturating_sub(Duration::from_millis(500)));
            self.listed.insert(space, all);
        }
        self.listed.get(&space).map(Vec::as_slice)
    }

    /// The local socket with this inode.
    pub(super) fn unix(&mut self, tgid: Tgid, inode: u32) -> Option<Unix> {
        let space = self.enter(tgid)?;
        let diag = self.spaces.get(&space)?.as_ref()?;
        let mut found = None;
        diag.one(&unix_request(inode), |message| {
            let Some(rest) = message.get(UNIX_MESSAGE..) else { return };
            let mut unix = Unix { peer: 0, unread: 0, named: false };
            attributes(rest, |kind, value| match kind {
                NAME => unix.named = true,
                PEER => unix.peer = u32_at(value, 0).unwrap_or(0),
                QUEUES => unix.unread = u32_at(value, 4).unwrap_or(0),
                _ => {}
            });
            found = Some(unix);
        })
        .ok()?;
        found
    }

    /// Whether this end of a local connection accepted it (`true`) or made it (`false`). `None` for a `socketpair`, whose ends
    /// are equal.
    pub(super) fn serves(&mut self, tgid: Tgid, unix: Unix) -> Option<bool> {
        if unix.named {
            return Some(true);
        }
        self.unix(tgid, unix.peer).is_some_and(|peer| peer.named).then_some(false)
    }

    /// Makes sure that there is a socket in the namespace of a process, whose inode it gives.
    fn enter(&mut self, tgid: Tgid) -> Option<u64> {
        let (path, space) = namespace_of(tgid)?;
        if !self.spaces.contains_key(&space) {
            if self.spaces.len() >= NAMESPACES_MAX {
                self.spaces.clear();
            }
            let opened = File::open(&path).and_then(|space| Diag::open_in(&space));
            if let Err(error) = &opened {
                tracing::debug!(%error, %tgid, "sockets of this network namespace cannot be looked at");
            }
            self.spaces.insert(space, opened.ok());
        }
        Some(space)
    }
}

/// The network namespace of a process: its path, and its inode; `None` if the process is gone.
pub(in crate::source) fn namespace_of(tgid: Tgid) -> Option<(String, u64)> {
    let path = format!("/proc/{}/ns/net", living(tgid.0));
    let inode = fs::metadata(&path).ok()?.ino();
    Some((path, inode))
}

/// All TCP sockets that wait for something, or are waited for.
fn list(diag: &Diag) -> io::Result<Vec<Tcp>> {
    let mut all = Vec::new();
    diag.tcp(TCP_STATES, INFO, |message| all.extend(tcp(message)))?;
    Ok(all)
}

/// Inodes of the sockets among a process' first `most` descriptors.
pub(super) fn inodes_of(tgid: Tgid, most: usize) -> impl Iterator<Item = u32> {
    sockets::inodes_of(living(tgid.0), most)
}

fn unix_request(inode: u32) -> [u8; UNIX_REQUEST] {
    let mut request = [0; UNIX_REQUEST];
    request[0] = libc::AF_UNIX as u8;
    request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    request[8..12].copy_from_slice(&inode.to_ne_bytes());
    request[12..16].copy_from_slice(&SHOW_NAME_PEER_QUEUES.to_ne_bytes());
    // Any cookie.
    request[16..24].copy_from_slice(&u64::MAX.to_ne_bytes());
    request
}

fn tcp(message: &[u8]) -> Option<Tcp> {
    let port = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let is_v4 = i32::from(*message.first()?) == libc::AF_INET;
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = message.get(at..at + 16)?.try_into().ok()?;
        let [a, b, c, d, ..] = bytes;
        Some(if is_v4 { Ipv4Addr::new(a, b, c, d).into() } else { Ipv6Addr::from(bytes).to_canonical() })
    };
    let mut tcp = Tcp {
        state: *message.get(1)?,
        inode: u32_at(message, 68)?,
        local: (address(8)?, port(4)?),
        peer: (address(24)?, port(6)?),
        segments_sent: 0,
        sent_ms: 0,
        received_ms: 0,
    };
    attributes(message.get(INET_MESSAGE..)?, |kind, value| {
        if kind == INFO {
            let number = |at| u32_at(value, at).unwrap_or(0);
            tcp.segments_sent = number(DATA_SEGMENTS_OUT);
            tcp.sent_ms = u64::from(number(LAST_DATA_SENT));
            tcp.received_ms = u64::from(number(LAST_DATA_RECEIVED));
        }
    });
    Some(tcp)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn the_bound_socket_shows_the_server_of_an_address() {
        let own = Tgid(std::process::id());
        let inode = |socket: &UdpSocket| {
            let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).expect("open");
            inode_of(link.to_str().expect("text")).expect("a socket")
        };
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let at = server.local_addr().expect("bound");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        client.connect(at).expect("a way");
        let mut sockets = Sockets::default();
        let (_, peer) = sockets.udp(own, inode(&client)).expect("it is connected");
        assert_eq!(peer, (at.ip(), at.port()));
        assert_eq!(sockets.udp(own, inode(&server)), None, "it is not");
        assert_eq!(sockets.server(own, 17, peer), Some(inode(&server)));
        let everywhere = UdpSocket::bind("0.0.0.0:0").expect("a port");
        let port = everywhere.local_addr().expect("bound").port();
        sockets.forget();
        assert_eq!(sockets.server(own, 17, (Ipv4Addr::LOCALHOST.into(), port)), Some(inode(&everywhere)));
        let elsewhere = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!(sockets.server(own, 17, (elsewhere, port)), None, "no address of this host");
    }
}

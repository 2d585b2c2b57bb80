//! The listener on an address: this process, or another one.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{SockaddrStorage, getsockname, getsockopt, sockopt};

use agent_common::le::u32_at;

use crate::diag::{Diag, LISTEN, u16_be_at};
use crate::inodes_of;

/// Any attribute: the reader ignores it.
const NO_ATTRIBUTE: u16 = 1;

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// User that made it.
    pub uid: u32,
    /// A process that has it and its name, where this process may look.
    pub process: Option<(u32, String)>,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((pid, comm)) => write!(f, "process {pid} ({comm}) of uid {}", self.uid),
            None => write!(f, "a process of uid {}", self.uid),
        }
    }
}

/// The listener that would accept connections to `address`, in this network namespace.
pub fn listener_on(address: SocketAddr) -> io::Result<Option<Listener>> {
    let mut found = None;
    Diag::open()?.tcp(1 << LISTEN, NO_ATTRIBUTE, |message| {
        let (Some(uid), Some(inode)) = (u32_at(message, 64), u32_at(message, 68)) else { return };
        if local(message).is_some_and(|local| covers(local, address)) {
            found = Some((uid, inode));
        }
    })?;
    Ok(found.map(|(uid, inode)| Listener { uid, process: process_of(inode) }))
}

/// The local address of a `struct inet_diag_msg`.
fn local(message: &[u8]) -> Option<SocketAddr> {
    let bytes: [u8; 16] = message.get(8..24)?.try_into().ok()?;
    let [a, b, c, d, ..] = bytes;
    let is_v4 = i32::from(*message.first()?) == libc::AF_INET;
    let ip: IpAddr = if is_v4 { Ipv4Addr::new(a, b, c, d).into() } else { Ipv6Addr::from(bytes).into() };
    Some(SocketAddr::new(ip, u16_be_at(message, 4)?))
}

/// A listener on `local` takes the connections to `address`, or keeps others from listening there.
fn covers(local: SocketAddr, address: SocketAddr) -> bool {
    let canonical = |ip: IpAddr| ip.to_canonical();
    let same = canonical(local.ip()) == canonical(address.ip());
    // `::` takes IPv4, too, unless `IPV6_V6ONLY` is set: rather name too many than none.
    let any = local.ip().is_unspecified() || address.ip().is_unspecified();
    local.port() == address.port() && (same || any)
}

/// A process that has the socket, of those that this one may look into.
fn process_of(inode: u32) -> Option<(u32, String)> {
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| inodes_of(*pid, usize::MAX).any(|found| found == inode))?;
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    // A process may name itself anything.
    let comm = comm.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Some((pid, comm))
}

/// A second descriptor of this process' own socket that listens on `address`; `None` if it has none: then another process
/// answers there.
///
/// While the descriptor is open no other process can listen there, even if the first one is closed.
pub fn claim(address: SocketAddr) -> io::Result<Option<OwnedFd>> {
    let numbers: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers {
        // SAFETY: used at once to make a descriptor of our own; when another thread has closed or replaced it, that
        // fails or gives a descriptor that the next lines find to be another socket.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        // Nothing else is duplicated: to close a second descriptor of a file ends all locks of this process on it, and other
        // processes would take a database that is open here for theirs alone.
        if !listens_on(borrowed, address) {
            continue;
        }
        let Ok(copy) = borrowed.try_clone_to_owned() else { continue };
        if listens_on(copy.as_fd(), address) {
            return Ok(Some(copy));
        }
    }
    Ok(None)
}

/// Whether it is a socket that listens there.
fn listens_on(fd: BorrowedFd<'_>, address: SocketAddr) -> bool {
    if !getsockopt(&fd, sockopt::AcceptConn).unwrap_or(false) {
        return false;
    }
    let Ok(local) = getsockname::<SockaddrStorage>(fd.as_raw_fd()) else { return false };
    let v4 = local.as_sockaddr_in().map(|local| SocketAddr::from(SocketAddrV4::from(*local)));
    let v6 = local.as_sockaddr_in6().map(|local| SocketAddr::from(SocketAddrV6::from(*local)));
    v4.or(v6) == Some(address)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::fcntl::{FcntlArg, fcntl};

    use super::*;

    #[test]
    fn ours_is_claimed_and_held_when_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let claimed = claim(address).unwrap().expect("it is ours");
        drop(listener);
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(claimed);
        assert!(TcpListener::bind(address).is_ok());
    }

    #[test]
    fn locks_of_this_process_outlive_the_search() {
        use std::os::unix::fs::MetadataExt as _;
        let file = tempfile::tempfile().unwrap();
        // SAFETY: all of it is numbers.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        (lock.l_type, lock.l_len) = (libc::F_WRLCK as _, 1);
        fcntl(&file, FcntlArg::F_SETLK(&lock)).unwrap();
        let inode = format!(":{} ", file.metadata().unwrap().ino());
        let is_locked = || fs::read_to_string("/proc/locks").unwrap().contains(&inode);
        assert!(is_locked());
        claim("127.0.0.1:1".parse().unwrap()).unwrap();
        assert!(is_locked());
    }

    #[test]
    fn a_connection_is_no_listener_and_another_port_is_not_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(claim(client.local_addr().unwrap()).unwrap().is_none());
    }

    #[test]
    fn listener_on_is_found_with_user_and_process() {
        for at in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(at).unwrap();
            let address = listener.local_addr().unwrap();
            let found = listener_on(address).unwrap().expect("someone listens");
            assert_eq!(found.uid, nix::unistd::geteuid().as_raw(), "{at}");
            assert_eq!(found.process.map(|(pid, _)| pid), Some(std::process::id()), "{at}");
            drop(listener);
            assert_eq!(listener_on(address).unwrap(), None, "{at}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_covers_each() {
        let covers = |local: &str, address: &str| covers(local.parse().unwrap(), address.parse().unwrap());
        assert!(covers("0.0.0.0:1", "127.0.0.1:1") && covers("[::]:1", "127.0.0.1:1"));
        assert!(covers("[::ffff:127.0.0.1]:1", "127.0.0.1:1"));
        assert!(!covers("127.0.0.2:1", "127.0.0.1:1") && !covers("127.0.0.1:2", "127.0.0.1:1"));
    }
}

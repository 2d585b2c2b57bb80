//! Kinds of descriptors, from `/proc`, as the programs know them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::FileTypeExt as _;

use agent_common::abi::sched::calls::file;
use agent_common::units::Tgid;
use opener::living;

use crate::source::sockets::{inode_of, namespace_of};
use crate::source::touch;

/// Network namespaces whose sockets are read: a table of 10,000 sockets takes some 20 ms.
const MAX_NAMESPACES: usize = 64;

/// Descriptors of all processes.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    /// By the namespace's inode.
    namespaces: HashMap<u64, Sockets>,
}

/// Sockets of one network namespace, by inode.
#[derive(Debug, Default)]
struct Sockets {
    unix: HashSet<u64>,
    netlink: HashSet<u64>,
    /// Sockets that listen, whose connection is being made, and whose other end is port 53.
    known: HashMap<u64, u8>,
}

impl Descriptors {
    /// What a descriptor of a process is; 0: unknown.
    pub(super) fn kind_of(&mut self, tgid: Tgid, fd: u32) -> u8 {
        let path = format!("/proc/{}/fd/{fd}", living(tgid.0));
        let Ok(target) = fs::read_link(&path) else { return 0 };
        let target = target.to_string_lossy();
        if target.starts_with("pipe:") {
            return file::PIPE;
        }
        if let Some(inode) = inode_of(&target).map(u64::from) {
            return self.sockets_of(tgid).map_or(file::INET, |sockets| sockets.kind_of(inode));
        }
        if let Some(name) = target.strip_prefix("anon_inode:") {
            return match name {
                "[eventfd]" => file::EVENT,
                "[timerfd]" => file::TIMER,
                _ => file::EVENTS,
            };
        }
        match touch::metadata(tgid, &format!("fd/{fd}")).map(|meta| meta.map(|meta| meta.file_type())) {
            Ok(Some(kind)) if kind.is_fifo() => file::PIPE,
            Ok(Some(kind)) if kind.is_char_device() => file::DEVICE,
            // What has a path and does not answer is on a file system with a server.
            Ok(Some(_)) | Err(_) => file::DISK,
            Ok(None) => 0,
        }
    }

    /// The sockets of a process' network namespace; `None` of one beyond [`MAX_NAMESPACES`], and of a process that is gone.
    fn sockets_of(&mut self, tgid: Tgid) -> Option<&Sockets> {
        let (_, space) = namespace_of(tgid)?;
        if !self.namespaces.contains_key(&space) && self.namespaces.len() >= MAX_NAMESPACES {
            return None;
        }
        Some(self.namespaces.entry(space).or_insert_with(|| Sockets::read(tgid)))
    }
}

impl Sockets {
    /// Those of the namespace that this process is in.
    fn read(tgid: Tgid) -> Self {
        let table = |name: &str| {
            fs::read_to_string(format!("/proc/{}/net/{name}", living(tgid.0))).unwrap_or_default()
        };
        let inode = |line: &str, at: usize| line.split_whitespace().nth(at)?.parse().ok();
        let column = |text: &str, at: usize| -> HashSet<u64> {
            text.lines().skip(1).filter_map(|line| inode(line, at)).collect()
        };
        let unix = table("unix");
        let accepts = |line: &&str| line.split_whitespace().nth(3) == Some("00010000");
        let listeners =
            unix.lines().filter(accepts).filter_map(|line| Some((inode(line, 6)?, file::LISTENER)));
        let mut known: HashMap<u64, u8> = listeners.collect();
        for name in ["tcp", "tcp6", "udp", "udp6"] {
            for line in table(name).lines().skip(1) {
                let mut fields = line.split_whitespace();
                let (peer, state) = (fields.nth(2).unwrap_or_default(), fields.next());
                let kind = match state {
                    Some("0A") => file::LISTENER,
                    Some("02") => file::CONNECTING,
                    _ if peer.ends_with(":0035") => file::DNS,
                    _ => continue,
                };
                known.extend(inode(line, 9).map(|inode| (inode, kind)));
            }
        }
        Self { unix: column(&unix, 6), netlink: column(&table("netlink"), 9), known }
    }

    fn kind_of(&self, inode: u64) -> u8 {
        if let Some(kind) = self.known.get(&inode) {
            *kind
        } else if self.unix.contains(&inode) {
            file::UNIX
        } else if self.netlink.contains(&inode) {
            file::EVENTS
        } else {
            file::INET
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::{AsRawFd as _, RawFd};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn sockets_have_the_kinds_that_the_programs_know() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("a way");
        let names = UdpSocket::bind("127.0.0.1:0").expect("a port");
        names.connect("127.0.0.1:53").expect("no packet is sent");
        let (unix, _other) = UnixStream::pair().expect("a pair");
        let mut all = Descriptors::default();
        let mut kind = |fd: RawFd| all.kind_of(Tgid(std::process::id()), fd as u32);
        assert_eq!(kind(listener.as_raw_fd()), file::LISTENER);
        assert_eq!(kind(stream.as_raw_fd()), file::INET);
        assert_eq!(kind(names.as_raw_fd()), file::DNS);
        assert_eq!(kind(unix.as_raw_fd()), file::UNIX);
        assert_eq!(all.namespaces.len(), 1);
    }
}

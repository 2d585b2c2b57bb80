//! Waits that have not ended: which process is at the other end, and whether it owes an answer.
//!
//! The kernel side records a wait when it ends, so a wait that does not end would stay unreported. Most long waits are no
//! loss: a server waits for the next request. A thread is held up in three cases:
//!
//! - It has data to deliver: it writes, or opens a FIFO to write into it.
//! - It waits for a lock that has an owner.
//! - It has sent a request and got no answer. The kernel shows this: a TCP connection has the times at which data last
//!   arrived and last left, a local socket has the number of bytes that the other end has not read.
//!
//! The collector examines each wait once, after [`MIN_PEER_WAIT`].

pub(super) mod ends;
mod served;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use agent_common::abi::COMM_LEN;
use agent_common::abi::sched::State;
use agent_common::units::{DurNs, MonoNs, Tgid, Tid};
use diagnosis::syscall_names;
use diagnosis::window::{OpenWait, WaitTarget};
use opener::living;

use self::ends::{End, Ends};
use super::in_flight::threads;
use super::sockets::{Sockets, Tcp, inode_of};
use super::touch;

/// Age from which an open wait for a lock with an owner is recorded; shorter waits are recorded when they end.
pub const MIN_LOCK_WAIT: DurNs = DurNs(200_000_000);
/// The same of an open wait for a peer: finding the other end costs more.
pub const MIN_PEER_WAIT: DurNs = DurNs(1_000_000_000);
/// Most new waits inspected in a window, 30 µs each: 2 ms. Further ones wait for the next windows.
const MAX_NEW_WAITS: usize = 64;
/// A request was sent before the wait began, as far as clocks of 4 ms and a thread that was kept from running can say.
const CLOCK_SLACK_MS: u64 = 100;

/// A wait that lasts.
#[derive(Debug, Clone, Copy)]
pub struct Lasting {
    /// Process of the thread that waits.
    pub tgid: Tgid,
    /// The wait.
    pub wait: OpenWait,
    /// When it began, or was first seen.
    pub since: MonoNs,
    /// Name of the thread, as the kernel has it.
    pub comm: [u8; COMM_LEN],
    /// Thread that owns the lock, by what lies beside its word: it may be no thread at all. 0: nothing is said.
    pub owner: Tid,
    /// The lock may be shared with other processes.
    pub shared: bool,
}

/// What holds a thread up that waits for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What it waits for.
    pub target: WaitTarget,
    /// Process at the other end.
    pub peer: Option<Tgid>,
}

#[derive(Debug)]
struct Known {
    held: Option<Held>,
    /// The other end, as long as it is not known whose it is.
    end: Option<End>,
    turn: u32,
}

/// The waits that were looked at, as long as they last.
#[derive(Debug, Default)]
pub struct LastingWaits {
    known: HashMap<(Tid, MonoNs), Known>,
    ends: Ends,
    turn: u32,
}

impl LastingWaits {
    /// Those of these waits for a peer that hold their thread up.
    pub fn held(&mut self, lasting: &[Lasting], sockets: &mut Sockets) -> Vec<(Lasting, Held)> {
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let mut looks = 0;
        for wait in lasting {
            let key = (wait.wait.tid, wait.since);
            if let Some(known) = self.known.get_mut(&key) {
                known.turn = turn;
                continue;
            }
            if looks == MAX_NEW_WAITS {
                continue;
            }
            looks += 1;
            let (held, end) = match look(wait, sockets) {
                Some((held, end)) => (Some(held), end),
                None => (None, None),
            };
            self.known.insert(key, Known { held, end, turn });
        }
        self.known.retain(|_, known| known.turn == turn);
        self.name_ends();
        let held = lasting.iter().filter_map(|wait| {
            let known = self.known.get(&(wait.wait.tid, wait.since))?;
            // Who is at the other end decides, and is not known yet.
            let decided = known.end.as_ref().is_none_or(|end| !end.only_stopped);
            Some((*wait, known.held.filter(|_| decided)?))
        });
        held.collect()
    }

    /// Looks for who has the other ends that are not known yet.
    fn name_ends(&mut self) {
        let wanted = self.known.values().filter_map(|known| known.end.as_ref());
        if !self.ends.look_for(wanted) {
            return;
        }
        for known in self.known.values_mut() {
            let Some(end) = known.end.take() else { continue };
            let peer = self.ends.of(&end);
            if end.only_stopped && !peer.is_some_and(is_stopped) {
                known.held = None;
            } else if let Some(held) = &mut known.held {
                held.peer = peer;
                if let (WaitTarget::Unix { peer: named, .. }, Some(_)) = (&mut held.target, peer) {
                    *named = peer;
                }
            }
        }
    }
}

/// What holds its thread up, and the other end where it has to be looked for.
fn look(wait: &Lasting, sockets: &mut Sockets) -> Option<(Held, Option<End>)> {
    let call = wait.wait.syscall.and_then(|(abi, nr)| syscall_names::name(abi, nr)).unwrap_or_default();
    match wait.wait.state {
        // The mount shows whether a process serves the file system. Reading the path first could block.
        State::Ipc if matches!(call, "open" | "openat") => match served::held(wait) {
            Some(served) => Some(served),
            None => Some((fifo(wait, call)?, None)),
        },
        State::Ipc => local(wait, call, sockets),
        State::NetRecv | State::NetSend | State::NetConnect => net(wait, sockets),
        State::Dns => name_server(wait, sockets),
        state if is_for_files(state) => served::held(wait),
        _ => None,
    }
}

/// A wait in which a thread may wait for a file system's server.
pub(super) const fn is_for_files(state: State) -> bool {
    matches!(
        state,
        State::DiskRead
            | State::DiskWrite
            | State::Fsync
            | State::FaultFile
            | State::Interruptible
            | State::Uninterruptible
    )
}

/// A pipe, a FIFO or a local socket.
fn local(wait: &Lasting, call: &str, sockets: &mut Sockets) -> Option<(Held, Option<End>)> {
    let (path, link) = descriptor(wait)?;
    let sends = syscall_names::sends(call);
    if let Some(inode) = inode_of(&link) {
        let unix = sockets.unix(wait.tgid, inode)?;
        let serves = sockets.serves(wait.tgid, unix);
        let mut end = End::socket(wait.tgid, unix.peer);
        if !sends && (unix.named || unix.unread == 0) {
            // The end that accepted the connection waits for the next request, whether or not its last answer was read. The
            // end that connected, or that started the process at the other end, is held up if that process is stopped.
            if serves != Some(false) && !has_stopped_child(wait.tgid) {
                return None;
            }
            end.only_stopped = true;
        }
        return Some((Held { target: WaitTarget::Unix { peer: None, serves }, peer: None }, Some(end)));
    }
    let is_pipe = link.starts_with("pipe:[");
    let meta = touch::metadata(wait.tgid, &path).ok()??;
    if !is_pipe && !meta.file_type().is_fifo() {
        return None;
    }
    let held = Held { target: WaitTarget::Pipe { inode: meta.ino() }, peer: None };
    // A pipe does not show whether the reader has asked for anything. A stopped child of the reader is taken as a request
    // without an answer.
    if !sends && !has_stopped_child(wait.tgid) {
        return None;
    }
    Some((held, Some(End { of: wait.tgid, link, reads: sends, only_stopped: !sends, connection: None })))
}

fn net(wait: &Lasting, sockets: &mut Sockets) -> Option<(Held, Option<End>)> {
    let (_, link) = descriptor(wait)?;
    let inode = inode_of(&link)?;
    let (tcp, other) = sockets.tcp(wait.tgid, inode)?;
    if wait.wait.state == State::NetRecv && !has_asked(&tcp, wait.wait.age) {
        return None;
    }
    let peer = (tcp.peer.1 != 0).then(|| (tcp.peer.0.to_canonical(), tcp.peer.1));
    let target = WaitTarget::Socket { protocol: libc::IPPROTO_TCP as u16, local_port: tcp.local.1, peer };
    Some((Held { target, peer: None }, other.map(|inode| End::socket(wait.tgid, inode))))
}

/// A name server of this host that owes an answer.
fn name_server(wait: &Lasting, sockets: &mut Sockets) -> Option<(Held, Option<End>)> {
    let (_, link) = descriptor(wait)?;
    let (local_port, peer) = sockets.udp(wait.tgid, inode_of(&link)?)?;
    let protocol = libc::IPPROTO_UDP as u16;
    let server = sockets.server(wait.tgid, protocol, peer);
    let target = WaitTarget::Socket { protocol, local_port, peer: Some(peer) };
    Some((Held { target, peer: None }, server.map(|inode| End::socket(wait.tgid, inode))))
}

/// Whether the last data sent is newer than the last data received, and older than this wait.
fn has_asked(tcp: &Tcp, age: DurNs) -> bool {
    tcp.segments_sent > 0
        && tcp.sent_ms <= tcp.received_ms
        && tcp.sent_ms + CLOCK_SLACK_MS >= age.0 / 1_000_000
}

/// Path below the process' directory in `/proc` of the descriptor in the call's first argument, and what it is.
fn descriptor(wait: &Lasting) -> Option<(String, String)> {
    let path = format!("fd/{}", wait.wait.arg as u32);
    let link = fs::read_link(format!("/proc/{}/{path}", living(wait.tgid.0))).ok()?.to_str()?.to_owned();
    Some((path, link))
}

/// A FIFO that the thread opens to write into it: no process has it open to read. A thread that opens one to read waits for
/// work.
fn fifo(wait: &Lasting, call: &str) -> Option<Held> {
    let text = fs::read_to_string(format!("/proc/{}/task/{}/syscall", wait.tgid, wait.wait.tid)).ok()?;
    let (_, args) = super::sched::call(&text)?;
    let (path, flags) = if call == "open" { (args[0], args[1]) } else { (args[1], args[2]) };
    if flags as i32 & libc::O_ACCMODE == libc::O_RDONLY {
        return None;
    }
    let bytes: [u8; 256] = touch::memory(wait.tgid, path)?;
    let path = std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()?;
    let base = if path.starts_with('/') { "root" } else { "cwd/" };
    let meta = touch::metadata(wait.tgid, &format!("{base}{path}")).ok()??;
    meta.file_type().is_fifo().then(|| Held { target: WaitTarget::Pipe { inode: meta.ino() }, peer: None })
}

/// It stands still, by a signal.
fn is_stopped(process: Tgid) -> bool {
    ends::state(process) == Some(b'T')
}

/// A process that this one has made stands still.
fn has_stopped_child(tgid: Tgid) -> bool {
    /// Most threads of a process whose children are read.
    const MAX_PARENT_THREADS: usize = 32;
    threads(tgid).take(MAX_PARENT_THREADS).any(|tid| {
        let children = fs::read_to_string(format!("/proc/{tgid}/task/{tid}/children")).unwrap_or_default();
        children.split_whitespace().any(|child| child.parse().is_ok_and(|child| is_stopped(Tgid(child))))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;
    use diagnosis::window::SyscallAbi;

    const SECOND: u64 = 1_000_000_000;

    fn lasting(state: State, nr: u16, fd: i32) -> Lasting {
        let tgid = Tgid(std::process::id());
        Lasting {
            tgid,
            wait: OpenWait {
                tid: Tid(tgid.0),
                state,
                age: DurNs(SECOND),
                syscall: Some((SyscallAbi::Native, nr)),
                arg: fd as u64,
            },
            since: MonoNs(u64::from(nr) + fd as u64),
            comm: [0; COMM_LEN],
            owner: Tid(0),
            shared: false,
        }
    }

    fn held_up(waits: &mut LastingWaits, lasting: &[Lasting]) -> Vec<(Lasting, Held)> {
        waits.held(lasting, &mut Sockets::default())
    }

    #[test]
    fn a_writer_is_held_up_and_a_reader_only_with_an_unread_request() {
        let mut waits = LastingWaits::default();
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        let (read, write) = (0, 1);
        let held = held_up(&mut waits, &[lasting(State::Ipc, read, ours.as_raw_fd())]);
        assert!(held.is_empty(), "nothing was asked: {held:?}");
        let held = held_up(&mut waits, &[lasting(State::Ipc, write, ours.as_raw_fd())]);
        assert!(matches!(held[0].1.target, WaitTarget::Unix { serves: None, .. }), "{held:?}");
        held_up(&mut waits, &[]);
        ours.write_all(b"a question").expect("written");
        assert_eq!(held_up(&mut waits, &[lasting(State::Ipc, read, ours.as_raw_fd())]).len(), 1);
        held_up(&mut waits, &[]);
        theirs.read_exact(&mut [0; 10]).expect("it is there");
        assert!(
            held_up(&mut waits, &[lasting(State::Ipc, read, ours.as_raw_fd())]).is_empty(),
            "it was read"
        );
    }

    #[test]
    fn a_connection_shows_which_end_owes_an_answer() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client = std::net::TcpStream::connect(server.local_addr().expect("bound")).expect("a way");
        let (mut accepted, _) = server.accept().expect("a client");
        let owed = |fd: &std::net::TcpStream| {
            held_up(&mut LastingWaits::default(), &[lasting(State::NetRecv, 0, fd.as_raw_fd())]).len()
        };
        assert_eq!(owed(&client), 0, "nothing was sent");
        client.write_all(b"a question").expect("sent");
        let long = Lasting {
            wait: OpenWait { age: DurNs(100), ..lasting(State::NetRecv, 0, client.as_raw_fd()).wait },
            ..lasting(State::NetRecv, 0, client.as_raw_fd())
        };
        let open = held_up(&mut LastingWaits::default(), &[long]);
        assert_eq!(open.len(), 1, "asked, and no answer");
        assert!(matches!(open[0].1.target, WaitTarget::Socket { peer: Some(_), .. }), "{open:?}");
        accepted.read_exact(&mut [0; 10]).expect("the question");
        std::thread::sleep(std::time::Duration::from_millis(20));
        accepted.write_all(b"the answer").expect("sent");
        client.read_exact(&mut [0; 10]).expect("the answer");
        assert_eq!(owed(&client), 0, "answered");
    }
}

//! Recorded waits. The BPF programs send each in two parts, which this module joins: the wait when it ends, and later the
//! user stack of the thread that waited.

mod class;
mod functions;
mod owner;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use agent_common::abi::offcpu::{
    TARGET_FILE, TARGET_FUTEX, TARGET_PIPE, TARGET_SOCKET, TARGET_UNIX, UNIX_ASKS, UNIX_SERVES, WaitHeader,
};
use agent_common::abi::sched::{FLAG_COMPAT, FLAG_SHARED, FLAG_WAIT_USER, NO_CALL, State};
use agent_common::units::{DurNs, MonoNs, Tgid, Tid};
use diagnosis::syscall_names;
use diagnosis::window::{SyscallAbi, Wait, WaitTarget, Waker};

use self::functions::Functions;
use self::owner::Owners;
use super::comms::Comms;
use super::lasting::{Held, Lasting};
use super::python::CodeSeen;
use crate::bpf::WaitRecord;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Mask of the minor number in the kernel's device number.
const MINOR_MASK: u32 = 0xf_ffff;

/// Waits of the running window.
#[derive(Debug, Default)]
pub struct OffcpuSource {
    functions: Functions,
    comms: Comms,
    /// Complete ones.
    ready: Vec<Wait>,
    /// Those whose user stack is to come, by number.
    pending: HashMap<u32, Pending>,
    /// Their user stacks met code that the unwinder does not know.
    stale: Vec<(Tgid, bool)>,
    code: CodeSeen,
    owners: Owners,
}

#[derive(Debug)]
struct Pending {
    wait: Wait,
    /// Windows that have closed since.
    age: u8,
}

impl OffcpuSource {
    /// Reads the kernel's function table (20 ms), which needs privileges that are dropped later.
    #[must_use]
    pub fn new() -> Self {
        let functions = Functions::of_kernel();
        if !functions.known() {
            tracing::warn!(
                "the kernel hides its addresses (kernel.kptr_restrict, CAP_SYSLOG): waits are classified by system call and \
                 state alone"
            );
        }
        Self { functions, ..Self::default() }
    }

    /// Takes one record off the ring. Returns the processes whose stacks it holds.
    pub fn record(&mut self, record: &WaitRecord<'_>) -> [Option<Tgid>; 2] {
        match record {
            WaitRecord::Wait { header, kernel, waker_kernel, waker_user } => {
                let wait = self.wait(header, kernel, waker_kernel, waker_user);
                if let Some(waker) = &wait.waker {
                    self.code.stack(waker.tgid, &waker.user);
                    if header.waker_stale != 0 {
                        self.stale.push((waker.tgid, true));
                    }
                }
                let stacks = [
                    (header.user_ip != 0).then_some(wait.tgid),
                    wait.waker.as_ref().filter(|waker| !waker.user.is_empty()).map(|waker| waker.tgid),
                ];
                if header.flags & FLAG_WAIT_USER != 0 {
                    let replaced = self.pending.insert(header.id, Pending { wait, age: 0 });
                    self.ready.extend(replaced.map(|old| old.wait));
                } else {
                    self.ready.push(wait);
                }
                stacks
            }
            WaitRecord::User { id, user, stale } => {
                if let Some(Pending { mut wait, .. }) = self.pending.remove(id) {
                    self.code.stack(wait.tgid, user);
                    if !user.is_empty() {
                        wait.user = (*user).into();
                    }
                    if *stale {
                        self.stale.push((wait.tgid, true));
                    }
                    self.ready.push(wait);
                }
                [None, None]
            }
        }
    }

    /// Processes whose stacks met code that the unwinder does not know, since the last call.
    pub fn take_stale(&mut self) -> Vec<(Tgid, bool)> {
        std::mem::take(&mut self.stale)
    }

    /// Code objects in the Python frames of waits since the last call.
    pub fn take_code(&mut self) -> Vec<(Tgid, Vec<u64>)> {
        self.code.take()
    }

    fn wait(
        &mut self,
        header: &WaitHeader,
        kernel: &[u64],
        waker_kernel: &[u64],
        waker_user: &[u64],
    ) -> Wait {
        let accounted = State::from_index(usize::from(header.accounted)).unwrap_or(State::Uninterruptible);
        let waker_kernel = class::without_probe(&self.functions, waker_kernel);
        let no_waker = header.waker_tid == 0 || class::by_interrupt(&self.functions, waker_kernel);
        let abi = if header.flags & FLAG_COMPAT != 0 { SyscallAbi::Compat } else { SyscallAbi::Native };
        let syscall = (header.nr != NO_CALL).then_some((abi, header.nr));
        // Its stack says no more than that it polls; its descriptor has said for what.
        let polls =
            syscall.is_some_and(|(abi, nr)| syscall_names::name(abi, nr).is_some_and(syscall_names::polls));
        let mut state = if polls { accounted } else { class::state_of(&self.functions, accounted, kernel) };
        let mut target = self.target(header);
        if !polls && class::by_file_server(&self.functions, accounted, kernel, waker_kernel) {
            let connection = if let WaitTarget::File { dev, .. } = target { dev & MINOR_MASK } else { 0 };
            (state, target) = (State::Ipc, WaitTarget::FileServer { connection });
        }
        Wait {
            at: MonoNs(header.at_ns),
            open: false,
            peer: None,
            tgid: Tgid(header.tgid),
            tid: Tid(header.tid),
            comm: self.comms.get(&header.comm),
            accounted,
            state,
            syscall,
            waited: DurNs(header.waited_ns),
            weight: DurNs(header.weight_ns),
            target,
            waker: (!no_waker).then(|| Waker {
                tgid: Tgid(header.waker_tgid),
                tid: Tid(header.waker_tid),
                comm: self.comms.get(&header.waker_comm),
                takes_turns: header.takes_turns != 0,
                closes: polls && class::by_closing(&self.functions, waker_kernel),
                kernel: waker_kernel.into(),
                user: waker_user.into(),
            }),
            kernel: kernel.into(),
            user: if header.user_ip == 0 { Box::default() } else { [header.user_ip].into() },
        }
    }

    fn target(&mut self, header: &WaitHeader) -> WaitTarget {
        match header.target {
            TARGET_FUTEX => WaitTarget::Futex {
                addr: header.arg,
                owner: self
                    .owners
                    .is_owner(header.tgid, header.owner, header.flags & FLAG_SHARED != 0)
                    .then_some(Tid(header.owner)),
            },
            TARGET_FILE => WaitTarget::File { dev: header.dev, inode: header.inode },
            TARGET_PIPE => WaitTarget::Pipe { inode: header.inode },
            TARGET_UNIX => WaitTarget::Unix {
                peer: (header.owner != 0).then_some(Tgid(header.owner)),
                serves: match header.local_port {
                    UNIX_SERVES => Some(true),
                    UNIX_ASKS => Some(false),
                    _ => None,
                },
            },
            TARGET_SOCKET => {
                let [a, b, c, d, ..] = header.peer;
                let address: Option<IpAddr> = match header.family {
                    AF_INET => Some(Ipv4Addr::new(a, b, c, d).into()),
                    AF_INET6 => Some(Ipv6Addr::from(header.peer).to_canonical()),
                    _ => None,
                };
                WaitTarget::Socket {
                    protocol: header.protocol,
                    local_port: header.local_port,
                    peer: address.map(|address| (address, header.peer_port)),
                }
            }
            _ => WaitTarget::None,
        }
    }

    /// Takes a wait for a lock that has not ended, at the end of a window that began at `start`, if the lock has an
    /// owner, or had one that has ended.
    pub fn still_locked(&mut self, lock: &Lasting, start: MonoNs, end: MonoNs) {
        let (addr, owner) = (lock.wait.arg, lock.owner);
        let target = if self.owners.is_owner(lock.tgid.0, owner.0, lock.shared) {
            WaitTarget::Futex { addr, owner: Some(owner) }
        } else if self.owners.is_gone(lock) {
            WaitTarget::Orphaned { addr, owner }
        } else {
            return;
        };
        self.still_open(lock, Held { target, peer: None }, start, end);
    }

    /// Takes a wait that has not ended, and holds its thread up.
    pub fn still_open(&mut self, lasting: &Lasting, held: Held, start: MonoNs, end: MonoNs) {
        let Lasting { tgid, wait, .. } = *lasting;
        self.ready.push(Wait {
            at: end,
            open: true,
            peer: held.peer,
            tgid,
            tid: wait.tid,
            comm: self.comms.get(&lasting.comm),
            accounted: wait.state,
            state: if matches!(held.target, WaitTarget::FileServer { .. }) { State::Ipc } else { wait.state },
            syscall: wait.syscall,
            waited: wait.age,
            weight: wait.age.min(end.since(start)),
            target: held.target,
            waker: None,
            kernel: Box::default(),
            user: Box::default(),
        });
    }

    /// Closes the window: its waits, oldest first. One whose user stack has not come for a whole window (its thread does
    /// not get to run, or died in the call) goes without.
    pub fn take(&mut self) -> Vec<Wait> {
        self.owners.next_window();
        self.functions.refresh();
        let mut waits = std::mem::take(&mut self.ready);
        for pending in self.pending.values_mut() {
            pending.age += 1;
        }
        waits.extend(self.pending.extract_if(|_, pending| pending.age > 1).map(|(_, pending)| pending.wait));
        waits.sort_by_key(|wait| wait.at);
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id: u32, flags: u16) -> WaitHeader {
        WaitHeader {
            id,
            at_ns: u64::from(100 - id),
            tgid: 7,
            tid: 8,
            user_ip: 0x1000,
            nr: 0,
            flags,
            accounted: State::NetRecv as u8,
            target: TARGET_SOCKET,
            family: AF_INET6,
            peer: Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets(),
            peer_port: 443,
            waker_tgid: 9,
            waker_tid: 9,
            ..WaitHeader::default()
        }
    }

    fn ended(source: &mut OffcpuSource, header: &WaitHeader) {
        source.record(&WaitRecord::Wait { header, kernel: &[1], waker_kernel: &[2], waker_user: &[3] });
    }

    #[test]
    fn a_wait_gets_its_user_stack_or_goes_without_a_window_later() {
        let mut source = OffcpuSource::default();
        for (id, flags) in [(1, FLAG_WAIT_USER), (2, 0), (3, FLAG_WAIT_USER)] {
            ended(&mut source, &header(id, flags));
        }
        source.record(&WaitRecord::User { id: 3, user: &[0x2000, 0x3000], stale: false });
        source.record(&WaitRecord::User { id: 77, user: &[0x2000], stale: true });
        let first = source.take();
        assert_eq!(first.iter().map(|wait| wait.user.len()).collect::<Vec<_>>(), [2, 1], "oldest first");
        assert_eq!(source.take().len(), 1);
        assert_eq!(source.take(), []);
    }

    #[test]
    fn an_ipv4_peer_on_an_ipv6_socket_is_an_ipv4_peer() {
        let mut source = OffcpuSource::default();
        ended(&mut source, &header(1, 0));
        let wait = source.take().remove(0);
        let peer = Some((IpAddr::from([10, 0, 0, 1]), 443));
        assert_eq!(wait.target, WaitTarget::Socket { protocol: 0, local_port: 0, peer });
        assert_eq!(
            wait.waker.map(|waker| (waker.tgid, waker.kernel.len(), waker.user.len())),
            Some((Tgid(9), 1, 1))
        );
    }

    #[test]
    fn the_idle_task_is_no_waker() {
        let mut source = OffcpuSource::default();
        ended(&mut source, &WaitHeader { waker_tid: 0, waker_tgid: 0, ..header(1, 0) });
        assert_eq!(source.take()[0].waker, None);
    }
}

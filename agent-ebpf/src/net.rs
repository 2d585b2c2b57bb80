//! Trouble of sockets, by owner and peer.

use agent_common::abi::drops::DropReason;
use agent_common::abi::net::{NET_MAX, NetKey, NetValue, SOCK_OWNER_MAX};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap};

use crate::counters::{add, value_of, value_or_full};
use crate::kernel::{KernelPtr, layout};
use crate::{filter, settings};

#[map]
static NET: HashMap<NetKey, NetValue> = HashMap::with_max_entries(NET_MAX, 0);

/// Who connected a socket. Least recently used: what falls out is found by the socket's inode, if it has one still.
#[map]
static SOCK_OWNER: LruHashMap<u64, u32> = LruHashMap::with_max_entries(SOCK_OWNER_MAX, 0);

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// States of include/net/tcp_states.h.
const TCP_SYN_SENT: u32 = 2;
const TCP_TIME_WAIT: u8 = 6;
const TCP_CLOSE: u32 = 7;
const TCP_NEW_SYN_RECV: u8 = 12;

/// What happened to a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Retransmit,
    Reset,
    ReceiveDrop,
}

#[inline(always)]
pub(crate) fn try_state(socket: u64, state: u32) {
    if state == TCP_SYN_SENT {
        // In `connect`, so in the process that owns it.
        let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
        // LRU: an insertion makes room for itself. What fails all the same costs a look-up in user space.
        let _ = SOCK_OWNER.insert(socket, tgid, 0);
    } else if state == TCP_CLOSE {
        let _ = SOCK_OWNER.remove(socket);
    }
}

#[inline(always)]
fn key_of(socket: KernelPtr) -> Option<NetKey> {
    let family = socket.read::<u16>(layout!(sock_family))?;
    let mut key = NetKey { family, ..NetKey::default() };
    if family == AF_INET {
        let peer = socket.read::<[u8; 4]>(layout!(sock_peer))?;
        [key.peer[0], key.peer[1], key.peer[2], key.peer[3]] = peer;
    } else if family == AF_INET6 {
        key.peer = socket.read(layout!(sock_peer6))?;
    } else {
        return None;
    }
    key.local_port = socket.read(layout!(sock_port))?;
    key.peer_port = u16::from_be(socket.read(layout!(sock_peer_port))?);
    let state = socket.read::<u8>(layout!(sock_state))?;
    // These two are smaller structures with the same head: no process has them.
    if state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV {
        if key.local_port == 0 {
            key.local_port = u16::from_be(socket.read(layout!(sock_own_port)).unwrap_or_default());
        }
        let inode = socket.follow(layout!(sock_socket)).and_then(|s| s.read::<u64>(layout!(socket_inode)));
        key.inode = inode.unwrap_or_default() as u32;
        // SAFETY: the value is copied; another CPU may replace it, never free it while this program runs.
        if let Some(tgid) = unsafe { SOCK_OWNER.get(socket.0 as u64) } {
            key.tgid = *tgid;
            // Chosen by the kernel: one connection after another is the same trouble.
            key.local_port = 0;
            key.inode = 0;
        }
    }
    Some(key)
}

/// A reset that answers no packet is one of `close`: by then the socket has no descriptor left to be found by.
#[inline(always)]
pub(crate) fn try_reset_sent(socket: u64, packet: u64) {
    let closer = if packet == 0 { (bpf_get_current_pid_tgid() >> 32) as u32 } else { 0 };
    trouble_of(socket, Trouble::Reset, closer);
}

#[inline(always)]
pub(crate) fn try_trouble(socket: u64, trouble: Trouble) {
    trouble_of(socket, trouble, 0);
}

/// `owner`: the likely one where none is known.
#[inline(always)]
fn trouble_of(socket: u64, trouble: Trouble, owner: u32) {
    let Some(mut key) = key_of(KernelPtr(socket as *const u8)) else { return };
    if key.tgid == 0 {
        key.tgid = owner;
    }
    if settings::get().is_some_and(|s| s.filter_tgids != 0 && !filter::contains(key.tgid)) {
        return;
    }
    let empty = NetValue::default();
    let value = if let Some(value) = value_or_full(&NET, &key, &empty) {
        value
    } else {
        key = NetKey { tgid: key.tgid, ..NetKey::default() };
        let Some(value) = value_of(&NET, &key, &empty, DropReason::NetMapFull) else { return };
        value
    };
    // SAFETY: a map value; the sums are atomic.
    unsafe {
        match trouble {
            Trouble::Retransmit => add(&raw mut (*value).retransmits, 1),
            Trouble::Reset => add(&raw mut (*value).resets, 1),
            Trouble::ReceiveDrop => add(&raw mut (*value).receive_drops, 1),
        }
    }
}

//! Names the process of this host that serves the address for which a thread waited. Only for waits that timed out: no
//! thread ended them, so the kernel side has recorded no waker.

use std::collections::HashMap;
use std::net::IpAddr;

use agent_common::units::{MonoNs, Tgid};
use diagnosis::window::{Wait, WaitTarget};

use super::lasting::ends::{End, Ends};
use super::sockets::Sockets;

/// How long it is remembered: servers come and go.
const REMEMBERED_NS: u64 = 20_000_000_000;
/// Most addresses searched in a window: one message to the kernel each, and one scan of all descriptors for all of them.
const MAX_ADDRESSES: usize = 16;

/// The process that waits, protocol, address and port.
type Key = (Tgid, u16, IpAddr, u16);

#[derive(Debug)]
struct Known {
    at: MonoNs,
    /// The server's socket, as long as it is not known whose it is.
    end: Option<End>,
    server: Option<Tgid>,
}

/// The servers that were looked for.
#[derive(Debug, Default)]
pub struct Servers {
    known: HashMap<Key, Known>,
    ends: Ends,
}

impl Servers {
    /// Names the servers of these waits.
    pub fn name(&mut self, waits: &mut [Wait], sockets: &mut Sockets, now: MonoNs) {
        self.known.retain(|_, known| now.since(known.at).0 < REMEMBERED_NS);
        let mut looks = 0;
        for wait in waits.iter() {
            let Some(key) = key_of(wait).filter(|key| !self.known.contains_key(key)) else { continue };
            if looks == MAX_ADDRESSES {
                break;
            }
            looks += 1;
            let inode = sockets.server(key.0, key.1, (key.2, key.3));
            let end = inode.map(|inode| End::socket(key.0, inode));
            self.known.insert(key, Known { at: now, end, server: None });
        }
        if self.ends.look_for(self.known.values().filter_map(|known| known.end.as_ref())) {
            for known in self.known.values_mut() {
                known.server = known.end.take().and_then(|end| self.ends.of(&end)).or(known.server);
            }
        }
        for wait in waits {
            if let Some(known) = key_of(wait).and_then(|key| self.known.get(&key)) {
                wait.peer = known.server;
            }
        }
    }
}

/// The address to look for, if no thread ended the wait.
fn key_of(wait: &Wait) -> Option<Key> {
    match wait.target {
        WaitTarget::Socket { protocol, peer: Some((address, port)), .. }
            if wait.waker.is_none() && wait.peer.is_none() =>
        {
            Some((wait.tgid, protocol, address, port))
        }
        _ => None,
    }
}

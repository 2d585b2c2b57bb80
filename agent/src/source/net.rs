//! Sockets with errors or delays: what the probes counted, and the queues of listening sockets.

mod listeners;
mod owners;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use agent_common::abi::net::{NET_MAX, NetKey, NetValue};
use agent_common::units::Tgid;
use diagnosis::window::{NetRow, TaskSample};

use self::listeners::Listeners;
use self::owners::Owners;
use super::resources::{Closing, Differences};
use crate::bpf::Resources;

#[derive(Debug)]
pub(super) struct NetSource {
    values: Differences<NetKey, NetValue>,
    owners: Owners,
    listeners: Listeners,
}

/// What makes sockets one row.
type Place = (Tgid, u16, Option<(IpAddr, u16)>);

impl NetSource {
    pub(super) fn new() -> Self {
        let mut listeners = Listeners::default();
        // What was refused before the first window belongs to none.
        listeners.take(|| processes(&[]));
        Self { values: Differences::default(), owners: Owners::default(), listeners }
    }

    /// Network namespaces whose listening sockets are not watched.
    pub(super) fn unwatched(&self) -> usize {
        self.listeners.unwatched()
    }

    pub(super) fn take(
        &mut self,
        maps: &mut Resources,
        closing: &mut Closing<'_>,
    ) -> io::Result<Vec<NetRow>> {
        let changed = self.values.step(&mut maps.net, NET_MAX)?;
        let listeners = self.listeners.take(|| processes(closing.tasks));
        // One whose owner is known otherwise is not worth a search.
        let inodes = changed.iter().filter(|(key, ..)| key.tgid == 0).map(|(key, ..)| key.inode);
        self.owners.look_for(inodes.chain(listeners.iter().map(|l| l.inode)), || processes(closing.tasks));
        let mut rows: HashMap<Place, NetRow> = HashMap::new();
        for (key, before, now) in changed {
            let tgid = Some(self.owners.of(key.inode)).filter(|tgid| tgid.0 != 0).unwrap_or(Tgid(key.tgid));
            let peer = peer(&key);
            let row = row(&mut rows, (tgid, key.local_port, peer), closing);
            row.retransmits += now.retransmits - before.retransmits;
            row.resets += now.resets - before.resets;
            row.receive_drops += now.receive_drops - before.receive_drops;
        }
        for listener in listeners {
            let place = (self.owners.of(listener.inode), listener.port, None);
            let row = row(&mut rows, place, closing);
            row.accept_overflows += u64::from(listener.drops);
            let (queue, limit) = row.accept_queue.unwrap_or_default();
            row.accept_queue = Some((queue + listener.queue, limit + listener.limit));
        }
        let mut rows: Vec<NetRow> = rows.into_values().collect();
        rows.sort_unstable_by_key(|row| (row.tgid, row.local_port, row.peer));
        Ok(rows)
    }
}

/// Processes that can have sockets.
fn processes(tasks: &[Arc<TaskSample>]) -> Vec<Tgid> {
    if tasks.is_empty() {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        return entries.filter_map(|e| e.file_name().to_str()?.parse().ok().map(Tgid)).collect();
    }
    tasks.iter().filter(|task| !task.kernel).map(|task| task.tgid).collect()
}

fn row<'a>(rows: &'a mut HashMap<Place, NetRow>, place: Place, closing: &mut Closing<'_>) -> &'a mut NetRow {
    rows.entry(place).or_insert_with(|| NetRow {
        tgid: place.0,
        comm: (closing.comm)(place.0),
        local_port: place.1,
        peer: place.2,
        retransmits: 0,
        resets: 0,
        accept_overflows: 0,
        accept_queue: None,
        receive_drops: 0,
    })
}

/// The other end; IPv4 in IPv6 is IPv4.
fn peer(key: &NetKey) -> Option<(IpAddr, u16)> {
    let ip = if key.family == libc::AF_INET as u16 {
        IpAddr::V4(Ipv4Addr::new(key.peer[0], key.peer[1], key.peer[2], key.peer[3]))
    } else {
        IpAddr::V6(Ipv6Addr::from(key.peer)).to_canonical()
    };
    (!ip.is_unspecified()).then_some((ip, key.peer_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_an_address_or_none() {
        let mut key = NetKey { family: 2, peer_port: 80, ..NetKey::default() };
        assert_eq!(peer(&key), None);
        key.peer[..4].copy_from_slice(&[10, 0, 0, 7]);
        assert_eq!(peer(&key), Some((IpAddr::from([10, 0, 0, 7]), 80)));
        key.family = 10;
        key.peer = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
        assert_eq!(peer(&key), Some((IpAddr::from([192, 0, 2, 1]), 80)));
    }
}

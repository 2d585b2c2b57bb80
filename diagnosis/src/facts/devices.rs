//! Block devices over the span: utilization, latency, users.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::units::{DurNs, Tgid};

use crate::window::{BlockOp, Window};

/// One device over the span.
#[derive(Debug, Default)]
pub(crate) struct Device {
    pub(crate) name: Arc<str>,
    /// Share of the time with a request open; `None` where the kernel does not list it.
    pub(crate) busy: Option<f64>,
    /// Requests completed.
    pub(crate) count: u64,
    pub(crate) sequential: u64,
    pub(crate) queued: u64,
    pub(crate) served: u64,
    pub(crate) errors: u64,
    pub(crate) max: u64,
    /// Processes that used it, most service time first.
    pub(crate) users: Vec<Share>,
}

/// One process' use of a device.
#[derive(Debug, Clone, Default)]
pub(crate) struct Share {
    pub(crate) tgid: Tgid,
    pub(crate) comm: Arc<str>,
    pub(crate) count: u64,
    pub(crate) reads: u64,
    pub(crate) flushes: u64,
    pub(crate) bytes: u64,
    pub(crate) queued: u64,
    pub(crate) served: u64,
}

impl Device {
    /// Mean time of a request in the device, ns.
    pub(crate) fn mean_served(&self) -> f64 {
        self.served as f64 / self.count.max(1) as f64
    }

    /// Share of the device's service time that the processes `of` used, 0..=1.
    pub(crate) fn share(&self, of: impl Fn(&Share) -> bool) -> f64 {
        let used: u64 = self.users.iter().filter(|user| of(user)).map(|user| user.served).sum();
        used as f64 / self.served.max(1) as f64
    }
}

/// The devices, busiest first.
pub(super) fn devices(windows: &[Arc<Window>], span: DurNs) -> Vec<Device> {
    let mut devices: HashMap<Arc<str>, Device> = HashMap::new();
    let mut users: HashMap<(Arc<str>, Tgid), Share> = HashMap::new();
    for window in windows {
        for disk in &window.host.disks {
            let name: Arc<str> = disk.name.as_str().into();
            let device =
                devices.entry(Arc::clone(&name)).or_insert_with(|| Device { name, ..Device::default() });
            *device.busy.get_or_insert(0.0) += disk.busy.0 as f64 / span.0.max(1) as f64;
        }
        for row in &window.blockio {
            let device = devices
                .entry(Arc::clone(&row.device))
                .or_insert_with(|| Device { name: Arc::clone(&row.device), ..Device::default() });
            device.count += row.count;
            device.sequential += row.sequential;
            device.queued += row.queued.0;
            device.served += row.served.0;
            device.errors += row.errors;
            device.max = device.max.max(row.max.0);
            let user = users.entry((Arc::clone(&row.device), row.tgid)).or_insert_with(|| Share {
                tgid: row.tgid,
                comm: Arc::clone(&row.comm),
                ..Share::default()
            });
            user.count += row.count;
            user.bytes += row.bytes;
            user.queued += row.queued.0;
            user.served += row.served.0;
            match row.op {
                BlockOp::Read => user.reads += row.count,
                BlockOp::Flush => user.flushes += row.count,
                BlockOp::Write | BlockOp::Discard => {}
            }
        }
    }
    for ((device, _), user) in users {
        if let Some(device) = devices.get_mut(&device) {
            device.users.push(user);
        }
    }
    let mut devices: Vec<Device> = devices.into_values().collect();
    for device in &mut devices {
        device.users.sort_by_key(|user| (std::cmp::Reverse(user.served), user.tgid));
    }
    devices.sort_by(|a, b| {
        b.busy.unwrap_or(0.0).total_cmp(&a.busy.unwrap_or(0.0)).then_with(|| a.name.cmp(&b.name))
    });
    devices
}

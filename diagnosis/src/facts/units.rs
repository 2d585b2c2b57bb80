//! Units: processes of one name, one parent and one cgroup (the workers of a server, the jobs of a batch). Rules judge units.
//!
//! The cgroup distinguishes two services that run in the same interpreter: their name and parent are the same.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::units::Tgid;

use super::process::Process;
use super::times::Times;

/// A unit: processes of one name, parent and cgroup.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Index in [`super::Facts::units`].
    pub(crate) at: usize,
    pub(crate) comm: Arc<str>,
    pub(crate) parent: Tgid,
    /// Indices in [`super::Facts::processes`], the head first: the process with the lowest tgid.
    pub(crate) members: Vec<usize>,
    /// Tgid of the head.
    pub(crate) tgid: Tgid,
    pub(crate) cgroup: Arc<str>,
    pub(crate) cpu_cgroup: Arc<str>,
    pub(crate) kernel: bool,
    /// Refined time of all members.
    pub(crate) times: Times,
}

impl Unit {
    /// Identity of the unit from span to span.
    pub(crate) fn key(&self) -> String {
        if self.members.len() > 1 {
            format!("{}@{}{}", self.comm, self.parent, self.cgroup.trim_end_matches('/'))
        } else {
            self.tgid.to_string()
        }
    }
}

/// Name, parent, whether it is a kernel thread, cgroup, cgroup with its CPU quota.
type Key = (Arc<str>, Tgid, bool, Arc<str>, Arc<str>);

/// Puts the processes into units and marks each with its own.
pub(super) fn units(processes: &mut [Process]) -> Vec<Unit> {
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut units: Vec<Unit> = Vec::new();
    for (number, process) in processes.iter_mut().enumerate() {
        let key = (
            Arc::clone(&process.comm),
            process.parent,
            process.kernel,
            Arc::clone(&process.cgroup),
            Arc::clone(&process.cpu_cgroup),
        );
        let at = *places.entry(key).or_insert_with(|| {
            units.push(Unit {
                at: units.len(),
                comm: Arc::clone(&process.comm),
                parent: process.parent,
                members: Vec::new(),
                tgid: process.tgid,
                cgroup: Arc::clone(&process.cgroup),
                cpu_cgroup: Arc::clone(&process.cpu_cgroup),
                kernel: process.kernel,
                times: Times::default(),
            });
            units.len() - 1
        });
        process.unit = at;
        let unit = &mut units[at];
        if process.tgid < unit.tgid {
            unit.tgid = process.tgid;
            unit.members.insert(0, number);
        } else {
            unit.members.push(number);
        }
        unit.times.absorb(&process.times);
    }
    units
}

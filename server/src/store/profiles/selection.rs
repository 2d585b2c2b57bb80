//! What is asked of the store of profiles.

use agent_common::units::UnixNs;
use profile::block::{Group, Looked};

/// What of the processes is kept apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// Each process by itself.
    #[default]
    Process,
    /// Processes of one name together, in each container or service.
    Comm,
}

/// What is asked for. An empty list is all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// First time.
    pub from: UnixNs,
    /// Time past the last.
    pub to: UnixNs,
    /// Hosts by name.
    pub hosts: Vec<String>,
    /// Processes by number.
    pub pids: Vec<u32>,
    /// Processes by name.
    pub comms: Vec<String>,
    /// Processes by container: the beginning of its id; or by cgroup: a part of its path, such as a unit.
    pub places: Vec<String>,
    /// What was looked at.
    pub looked: Vec<Looked>,
    /// What is kept apart.
    pub by: By,
    /// Columns of the answer at most: 1 is one graph of the whole.
    pub columns: u32,
}

impl Selection {
    /// Everything in this time, as one graph.
    pub fn new(from: UnixNs, to: UnixNs) -> Self {
        Self {
            from,
            to,
            hosts: Vec::new(),
            pids: Vec::new(),
            comms: Vec::new(),
            places: Vec::new(),
            looked: Looked::ALL.to_vec(),
            by: By::Process,
            columns: 1,
        }
    }

    /// Whether this host is selected.
    pub fn takes_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|one| one == host)
    }

    /// Whether the processes of this group are selected.
    pub fn takes(&self, group: &Group) -> bool {
        let place = |wanted: &String| {
            (!group.container.is_empty() && group.container.starts_with(wanted.as_str()))
                || group.cgroup.split('/').any(|part| part == wanted)
                || *group.cgroup == **wanted
        };
        (self.pids.is_empty() || self.pids.contains(&group.tgid))
            && (self.comms.is_empty() || self.comms.iter().any(|comm| **comm == *group.comm))
            && (self.places.is_empty() || self.places.iter().any(place))
    }
}

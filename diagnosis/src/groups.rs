//! Groups of thread states for people, with letter and colour: the same in text, page and flame graph.

use agent_common::abi::sched::State;

/// A group of thread states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Ran in user mode.
    User,
    /// Ran in kernel mode.
    Kernel,
    /// Ran, mode unknown (single threads).
    Ran,
    /// Waited for a CPU.
    Runq,
    /// Waited for its cgroup's CPU quota.
    Quota,
    /// Waited for storage.
    Disk,
    /// Waited for memory: page faults, swap, reclaim.
    Memory,
    /// Waited for a lock.
    Lock,
    /// Waited for the network.
    Net,
    /// Waited for another process, a child, a device, input.
    Peer,
    /// Blocked, for an unknown reason.
    Other,
    /// Had nothing to do.
    Idle,
}

impl Group {
    /// In the order of a bar.
    pub const ALL: [Self; 12] = [
        Self::User,
        Self::Kernel,
        Self::Ran,
        Self::Runq,
        Self::Quota,
        Self::Disk,
        Self::Memory,
        Self::Lock,
        Self::Net,
        Self::Peer,
        Self::Other,
        Self::Idle,
    ];

    /// The group of a state.
    #[must_use]
    pub const fn of(state: State) -> Self {
        match state {
            State::Oncpu => Self::Ran,
            State::RunqWoken | State::RunqPreempted => Self::Runq,
            State::RunqThrottled => Self::Quota,
            State::DiskRead | State::DiskWrite | State::Fsync | State::Writeback | State::AsyncIo => {
                Self::Disk
            }
            State::FaultFile | State::Swap | State::Reclaim => Self::Memory,
            State::FutexLock | State::KernelLock | State::FileLock => Self::Lock,
            State::NetConnect | State::NetRecv | State::NetSend | State::Dns => Self::Net,
            State::Ipc | State::Child | State::Device | State::Interruptible => Self::Peer,
            State::Uninterruptible => Self::Other,
            State::FutexWait
            | State::NetAccept
            | State::Sleep
            | State::Poll
            | State::Stopped
            | State::KernelIdle => Self::Idle,
        }
    }

    /// The group of a key of a report's `states`.
    #[must_use]
    pub fn of_key(key: &str) -> Self {
        match key {
            "oncpu_kernel_ns" => Self::Kernel,
            "oncpu_user_ns" => Self::User,
            "runq_ns" => Self::Runq,
            _ => {
                let name = key.strip_suffix("_ns").unwrap_or(key);
                State::ALL.into_iter().find(|state| state.name() == name).map_or(Self::Other, Self::of)
            }
        }
    }

    /// Its letter in a bar without colours.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::User => 'U',
            Self::Kernel => 'K',
            Self::Ran => 'R',
            Self::Runq => 'W',
            Self::Quota => 'Q',
            Self::Disk => 'D',
            Self::Memory => 'M',
            Self::Lock => 'L',
            Self::Net => 'N',
            Self::Peer => 'P',
            Self::Other => '?',
            Self::Idle => '.',
        }
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user code",
            Self::Kernel => "kernel code",
            Self::Ran => "ran",
            Self::Runq => "waits for a CPU",
            Self::Quota => "CPU quota used up",
            Self::Disk => "storage",
            Self::Memory => "memory",
            Self::Lock => "lock",
            Self::Net => "network",
            Self::Peer => "other process, child, input",
            Self::Other => "blocked, cause not known",
            Self::Idle => "idle",
        }
    }

    /// Red, green, blue.
    #[must_use]
    pub const fn rgb(self) -> [u8; 3] {
        match self {
            Self::User => [0x3a, 0x9d, 0x5d],
            Self::Kernel => [0xa3, 0xcf, 0x62],
            Self::Ran => [0x5f, 0xb5, 0x60],
            Self::Runq => [0xf0, 0xa5, 0x1e],
            Self::Quota => [0xd9, 0x5f, 0x0e],
            Self::Disk => [0xc8, 0x3e, 0x35],
            Self::Memory => [0xb5, 0x4b, 0x9e],
            Self::Lock => [0x75, 0x57, 0xc4],
            Self::Net => [0x2f, 0x7f, 0xd1],
            Self::Peer => [0x3f, 0xae, 0xa6],
            Self::Other => [0x8a, 0x8f, 0x98],
            Self::Idle => [0xcf, 0xd4, 0xda],
        }
    }
}

/// True for states that are certainly lost time. Waits for a peer, a child or input may be idle: only recorded waits can tell.
#[must_use]
pub const fn is_lost(state: State) -> bool {
    match Group::of(state) {
        Group::Runq | Group::Quota | Group::Disk | Group::Memory | Group::Lock | Group::Other => true,
        Group::Net => !matches!(state, State::NetRecv),
        Group::User | Group::Kernel | Group::Ran | Group::Peer | Group::Idle => false,
    }
}

/// True for states that are lost time in refined time ([`crate::Refined`]), where waits for work are under idle states.
#[must_use]
pub const fn is_lost_when_refined(state: State) -> bool {
    is_lost(state) || matches!(state, State::Ipc | State::NetRecv)
}

/// Splits `width` cells among `parts` by their size (largest remainder): the cells add up to `width`.
#[must_use]
pub fn cells(parts: &[u64], width: usize) -> Vec<usize> {
    let total: u128 = parts.iter().map(|part| u128::from(*part)).sum();
    if total == 0 {
        return vec![0; parts.len()];
    }
    let exact = |part: u64| u128::from(part) * width as u128;
    let mut cells: Vec<usize> = parts.iter().map(|part| (exact(*part) / total) as usize).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(exact(parts[*at]) % total), *at));
    let left = width - cells.iter().sum::<usize>();
    for at in order.into_iter().take(left) {
        cells[at] += 1;
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_lost_or_idle_never_both_and_every_key_has_a_group() {
        for state in State::ALL {
            assert!(!(is_lost(state) && state.is_idle()), "{state:?}");
            assert_eq!(Group::of_key(&format!("{}_ns", state.name())), Group::of(state));
            assert_eq!(Group::of(state) == Group::Idle, state.is_idle(), "{state:?}");
        }
        assert_eq!(Group::of_key("offcpu_ns"), Group::Other);
        let letters: std::collections::HashSet<char> = Group::ALL.map(Group::letter).into();
        assert_eq!(letters.len(), Group::ALL.len());
    }

    #[test]
    fn cells_add_up_to_the_width() {
        assert_eq!(cells(&[1, 1, 1], 10), [4, 3, 3]);
        assert_eq!(cells(&[0, 0], 10), [0, 0]);
        assert_eq!(cells(&[u64::MAX, u64::MAX, 0], 9), [5, 4, 0]);
        for n in 1..40_u64 {
            assert_eq!(cells(&[n, 7, n * n, 1], 24).iter().sum::<usize>(), 24);
        }
    }
}

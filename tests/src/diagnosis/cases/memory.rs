//! Memory.

use crate::diagnosis::{Case, Fault, Harm, Need, Role, Whose};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "minor-faults",
        needs: &[],
        cast: &[Role::new("victim", "map 1024")],
        fault: Fault::Spoils("victim"),
        class: &["fault-minor"],
        culprit: &[Whose::Role("victim")],
        forbidden: &["swap", "fault-major-file", "cpu-user", "syscall-storm"],
        harm: Harm::Throughput,
    },
    Case {
        name: "swap",
        needs: &[Need::Swap(512), Need::Limit(64)],
        cast: &[Role::new("victim", "touch 32 96")],
        fault: Fault::Spoils("victim"),
        class: &["swap"],
        culprit: &[Whose::Cgroup],
        forbidden: &["fault-major-file", "cpu-user", "hang", "disk-read", "oom"],
        harm: Harm::Throughput,
    },
    Case {
        name: "reclaim",
        needs: &[Need::Cgroup],
        cast: &[Role::new("victim", "pour-file {dir}/data 64 100")],
        fault: Fault::Memory(16),
        class: &["reclaim"],
        culprit: &[Whose::Cgroup],
        forbidden: &["swap", "disk-read", "oom", "hang", "fsync"],
        harm: Harm::Throughput,
    },
    Case {
        name: "oom",
        needs: &[Need::Limit(32)],
        cast: &[Role::new("victim", "supervise 16 48")],
        fault: Fault::Spoils("victim"),
        class: &["oom"],
        culprit: &[Whose::Cgroup],
        forbidden: &["swap", "memory-leak", "hang"],
        harm: Harm::Throughput,
    },
];

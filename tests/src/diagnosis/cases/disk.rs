//! Disks and file systems.

use crate::diagnosis::{Case, Fault, Harm, Need, Role, Whose};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "fsync-storm",
        needs: &[Need::Mount(256)],
        cast: &[Role::new("victim", "append {mount}/log 300")],
        fault: Fault::Spoils("victim"),
        class: &["fsync"],
        culprit: &[Whose::Role("victim"), Whose::Disk],
        forbidden: &["disk-read", "hang", "cpu-user"],
        harm: Harm::Throughput,
    },
    Case {
        name: "slow-disk",
        needs: &[Need::Cgroup, Need::File(256)],
        cast: &[Role::new("victim", "read-direct {file} 256")],
        fault: Fault::ReadBytes(2 << 20),
        class: &["disk-read"],
        culprit: &[Whose::Cgroup],
        forbidden: &["fsync", "hang", "disk-write"],
        harm: Harm::Throughput,
    },
    Case {
        name: "disk-hog",
        needs: &[Need::File(256)],
        cast: &[
            Role::new("victim", "read-direct {file} 256"),
            Role::new("hog", "write-direct {dir}/big 256 8").late(),
        ],
        fault: Fault::Comes,
        class: &["disk-read"],
        culprit: &[Whose::Role("hog")],
        forbidden: &["hang", "futex"],
        harm: Harm::Throughput,
    },
    Case {
        name: "cold-file",
        needs: &[Need::File(256)],
        cast: &[Role::new("victim", "mapped {file} 256"), Role::new("evictor", "evict {file}").late()],
        fault: Fault::Comes,
        class: &["fault-major-file"],
        culprit: &[Whose::Disk],
        forbidden: &["swap", "reclaim", "hang"],
        harm: Harm::Throughput,
    },
    Case {
        name: "writeback",
        needs: &[Need::Mount(512)],
        cast: &[
            Role::new("victim", "pour-file {mount}/data 64 300"),
            Role::new("hog", "write-direct {mount}/big 256 16").late(),
        ],
        fault: Fault::Dirty(4),
        class: &["writeback"],
        culprit: &[Whose::Role("hog")],
        forbidden: &["hang", "fsync", "reclaim"],
        harm: Harm::Throughput,
    },
    Case {
        name: "full-disk",
        needs: &[Need::Mount(64)],
        cast: &[
            Role::new("victim", "replace {mount}/data 1000"),
            Role::new("hog", "fill {mount}/full").late(),
        ],
        fault: Fault::Comes,
        class: &["refused"],
        culprit: &[Whose::Role("victim")],
        forbidden: &["timer-storm", "hang", "syscall-storm"],
        harm: Harm::Throughput,
    },
    Case {
        name: "cascade",
        // Requests wait for a lock, its holder for its journal, and that for a disk which another program has.
        needs: &[Need::Mount(512)],
        cast: &[
            Role::new("victim", "journal {mount}/log 1"),
            Role::new("hog", "write-direct {mount}/big 256 64").late(),
        ],
        fault: Fault::Comes,
        class: &["fsync", "disk-write"],
        culprit: &[Whose::Role("hog")],
        forbidden: &["hang", "runq-neighbour", "futex"],
        harm: Harm::Throughput,
    },
];

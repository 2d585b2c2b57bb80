//! Locks of programs, of files and of the kernel.

use crate::diagnosis::{Case, Fault, Harm, Need, Role, Whose};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "futex",
        needs: &[],
        cast: &[Role::new("victim", "mutex 6 8000 300 3000")],
        fault: Fault::Spoils("victim"),
        class: &["futex"],
        culprit: &[Whose::Role("victim")],
        forbidden: &["runq-self", "runq-neighbour", "hang", "kernel-lock", "ipc-peer"],
        harm: Harm::Throughput,
    },
    Case {
        name: "deadlock",
        needs: &[],
        cast: &[Role::new("victim", "deadlock 3000")],
        fault: Fault::Spoils("victim"),
        class: &["futex"],
        culprit: &[Whose::Role("victim")],
        forbidden: &["runq-self", "runq-neighbour", "kernel-lock", "ipc-peer"],
        harm: Harm::Throughput,
    },
    Case {
        name: "shared-mutex",
        needs: &[],
        cast: &[
            Role::new("victim", "shared-mutex {dir}/lock 50 1000"),
            Role::new("keeper", "shared-mutex {dir}/lock 30000 500").late(),
        ],
        fault: Fault::Comes,
        class: &["futex"],
        culprit: &[Whose::Role("keeper")],
        forbidden: &["runq-self", "hang", "file-lock", "ipc-peer"],
        harm: Harm::Throughput,
    },
    Case {
        name: "file-lock",
        needs: &[],
        cast: &[
            Role::new("victim", "flock {dir}/lock 0 500"),
            Role::new("keeper", "flock {dir}/lock 8000 1000").late(),
        ],
        fault: Fault::Comes,
        class: &["file-lock"],
        culprit: &[Whose::Role("keeper")],
        forbidden: &["disk-read", "disk-write", "hang", "futex"],
        harm: Harm::Throughput,
    },
    Case {
        name: "kernel-lock",
        needs: &[Need::Mount(64)],
        cast: &[Role::new("victim", "rename {mount} 1 50"), Role::new("mover", "rename {mount} 3 0").late()],
        fault: Fault::Comes,
        class: &["kernel-lock"],
        culprit: &[Whose::Role("mover")],
        forbidden: &["hang", "futex", "disk-write", "fsync"],
        harm: Harm::Throughput,
    },
];

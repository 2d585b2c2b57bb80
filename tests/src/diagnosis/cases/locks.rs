//! Locks of programs, of files and of the kernel.

use crate::diagnosis::{Case, Fault, Harm, Need, Role, Whose};

/// A program that gets into its own way.
const fn of_its_own(name: &'static str, cast: &'static [Role], forbidden: &'static [&'static str]) -> Case {
    Case {
        name,
        needs: &[],
        cast,
        fault: Fault::Spoils("victim"),
        class: &["futex"],
        culprit: &[Whose::Role("victim")],
        forbidden,
        harm: Harm::Throughput,
    }
}

/// A keeper comes that holds a file's lock.
const fn of_a_file(name: &'static str, cast: &'static [Role], forbidden: &'static [&'static str]) -> Case {
    Case {
        name,
        needs: &[],
        cast,
        fault: Fault::Comes,
        class: &["file-lock"],
        culprit: &[Whose::Role("keeper")],
        forbidden,
        harm: Harm::Throughput,
    }
}

pub(super) const CASES: &[Case] = &[
    of_its_own(
        "futex",
        &[Role::new("victim", "mutex 6 8000 300 3000")],
        &["runq-self", "runq-neighbour", "hang", "kernel-lock", "ipc-peer"],
    ),
    of_its_own(
        "deadlock",
        &[Role::new("victim", "deadlock 3000")],
        &["runq-self", "runq-neighbour", "kernel-lock", "ipc-peer"],
    ),
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
        name: "dead-owner",
        needs: &[],
        cast: &[
            Role::new("victim", "shared-mutex {dir}/lock 50 1000"),
            Role::new("keeper", "die-locked {dir}/lock").late(),
        ],
        fault: Fault::Comes,
        class: &["futex"],
        culprit: &[Whose::Thread],
        forbidden: &["runq-self", "hang", "file-lock", "ipc-peer"],
        harm: Harm::Throughput,
    },
    of_a_file(
        "file-lock",
        &[
            Role::new("victim", "flock {dir}/lock 0 500"),
            Role::new("keeper", "flock {dir}/lock 8000 1000").late(),
        ],
        &["disk-read", "disk-write", "hang", "futex"],
    ),
    of_a_file(
        "try-lock",
        &[
            Role::new("victim", "try-lock {dir}/lock 0 500"),
            Role::new("keeper", "try-lock {dir}/lock 60000 1000").late(),
        ],
        &["disk-read", "disk-write", "hang", "futex", "timer-storm", "refused"],
    ),
    of_its_own(
        "slow-holder",
        &[Role::new("victim", "hold 40000")],
        &["runq-self", "runq-neighbour", "kernel-lock", "ipc-peer", "hang"],
    ),
    of_its_own(
        "mutual",
        &[Role::new("victim", "mutual 500")],
        &["runq-self", "runq-neighbour", "kernel-lock", "ipc-peer", "hang"],
    ),
    Case {
        name: "mmap-lock",
        needs: &[],
        cast: &[Role::new("victim", "remap 8 16")],
        fault: Fault::Spoils("victim"),
        class: &["kernel-lock"],
        culprit: &[Whose::Role("victim")],
        forbidden: &["runq-self", "runq-neighbour", "futex", "hang"],
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

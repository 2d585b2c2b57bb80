//! Processes: what they hand to each other, how they begin, end, and hang.

use crate::diagnosis::{Case, Fault, Harm, Need, Role, Whose};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "slow-consumer",
        needs: &[Need::Fifo],
        cast: &[Role::new("victim", "pour {fifo} 300"), Role::new("consumer", "drain {fifo} 500 4000")],
        fault: Fault::Spoils("consumer"),
        class: &["ipc-peer"],
        culprit: &[Whose::Role("consumer")],
        forbidden: &["disk-write", "futex", "hang"],
        harm: Harm::Throughput,
    },
    Case {
        name: "busy-consumer",
        needs: &[Need::Fifo],
        cast: &[Role::new("victim", "pour {fifo} 300"), Role::new("consumer", "drain {fifo} 4000 0")],
        fault: Fault::Spoils("consumer"),
        class: &["ipc-peer"],
        culprit: &[Whose::Role("consumer")],
        forbidden: &["disk-write", "futex", "hang", "runq-neighbour"],
        harm: Harm::Throughput,
    },
    Case {
        name: "churn",
        needs: &[],
        cast: &[Role::new("victim", "children 50 true")],
        fault: Fault::Spoils("victim"),
        class: &["process-churn"],
        culprit: &[Whose::Role("victim")],
        forbidden: &["child", "fault-minor", "syscall-storm", "hang"],
        harm: Harm::Throughput,
    },
    Case {
        name: "slow-children",
        needs: &[],
        // Each request starts a program, and that waits for a lock which another one has most of the time.
        cast: &[
            Role::new("victim", "children 1000 {actor} once {dir}/lock"),
            Role::new("keeper", "flock {dir}/lock 60000 500"),
        ],
        fault: Fault::Spoils("victim"),
        class: &["child", "file-lock"],
        culprit: &[Whose::Comm("actor"), Whose::Role("keeper")],
        forbidden: &["process-churn", "hang", "disk-write"],
        harm: Harm::Throughput,
    },
    Case {
        name: "hang",
        needs: &[],
        cast: &[Role::new("victim", "vfork")],
        fault: Fault::Spoils("victim"),
        class: &["hang"],
        culprit: &[Whose::Told("victim")],
        forbidden: &["disk-read", "disk-write", "child", "futex"],
        harm: Harm::Throughput,
    },
    Case {
        name: "fd-leak",
        needs: &[],
        cast: &[Role::new("victim", "descriptors 150")],
        fault: Fault::Spoils("victim"),
        class: &["fd-leak"],
        culprit: &[Whose::Role("victim")],
        forbidden: &["memory-leak", "syscall-storm", "table-full"],
        harm: Harm::Throughput,
    },
];

//! Time on a CPU, and for one.

use crate::diagnosis::{Case, Fault, Harm, Need, Role, Whose};

const VICTIM: &[Whose] = &[Whose::Role("victim")];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "cpu-hog",
        needs: &[],
        // A request that suddenly takes 60 ms in place of 0.3.
        cast: &[Role::new("victim", "serve 300 500 60000")],
        fault: Fault::Spoils("victim"),
        class: &["cpu-user"],
        culprit: VICTIM,
        forbidden: &["runq-neighbour", "runq-self", "cpu-quota", "syscall-storm", "cpu-kernel"],
        harm: Harm::Throughput,
    },
    Case {
        name: "tiny-reads",
        needs: &[],
        cast: &[Role::new("victim", "chunks {dir}/data")],
        fault: Fault::Spoils("victim"),
        class: &["syscall-storm"],
        culprit: VICTIM,
        forbidden: &["disk-read", "cpu-user"],
        harm: Harm::Throughput,
    },
    Case {
        name: "neighbour",
        needs: &[],
        cast: &[Role::new("victim", "serve 800 100 0").on(1), Role::new("hog", "spin 1").on(1).late()],
        fault: Fault::Comes,
        class: &["runq-neighbour"],
        culprit: &[Whose::Role("hog")],
        forbidden: &["runq-self", "cpu-quota", "cpu-steal"],
        harm: Harm::Throughput,
    },
    Case {
        name: "crowd",
        needs: &[],
        cast: &[Role::new("victim", "barrier 2 16")],
        fault: Fault::Spoils("victim"),
        class: &["runq-self"],
        culprit: VICTIM,
        forbidden: &["runq-neighbour", "cpu-quota", "cpu-steal", "futex"],
        harm: Harm::Throughput,
    },
    Case {
        name: "quota",
        needs: &[Need::Cgroup],
        cast: &[Role::new("victim", "serve 800 200 0")],
        fault: Fault::Quota(25_000),
        class: &["cpu-quota"],
        culprit: &[Whose::Cgroup],
        forbidden: &["runq-neighbour", "runq-self", "cpu-steal"],
        harm: Harm::Throughput,
    },
    Case {
        name: "quota-threads",
        needs: &[Need::Cgroup],
        cast: &[Role::new("victim", "mutex 4 4000 300 0")],
        fault: Fault::Quota(10_000),
        class: &["cpu-quota"],
        culprit: &[Whose::Cgroup],
        forbidden: &["runq-neighbour", "runq-self", "futex"],
        harm: Harm::Throughput,
    },
    Case {
        name: "dispatcher",
        needs: &[],
        cast: &[Role::new("victim", "dispatch 4 100 2500")],
        fault: Fault::Spoils("victim"),
        class: &["single-thread"],
        culprit: VICTIM,
        forbidden: &["futex", "runq-neighbour", "runq-self"],
        harm: Harm::Throughput,
    },
    Case {
        name: "inversion",
        needs: &[],
        cast: &[Role::new("victim", "invert 5000 400000"), Role::new("hog", "spin 1").on(1).late()],
        fault: Fault::Comes,
        class: &["priority-inversion"],
        culprit: &[Whose::Role("hog")],
        forbidden: &["runq-self", "futex", "cpu-quota"],
        harm: Harm::Throughput,
    },
];

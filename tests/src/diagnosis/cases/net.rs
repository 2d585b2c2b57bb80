//! Networks. All on a loopback of the case's own.

use crate::diagnosis::{Case, Fault, Harm, Need, Role, Whose};

const NETWORK: &[Need] = &[Need::Network];

/// A client waits for the answers of a server that, when faulty, sleeps before it answers.
const fn of_a_slow_server(name: &'static str, cast: &'static [Role], culprit: &'static [Whose]) -> Case {
    Case {
        name,
        needs: NETWORK,
        cast,
        fault: Fault::Spoils("server"),
        class: &["net-peer"],
        culprit,
        forbidden: &["net-retransmit", "net-connect"],
        harm: Harm::Throughput,
    }
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "loss",
        needs: NETWORK,
        cast: &[Role::new("victim", "ask 7000 300"), Role::new("server", "answer 7000 0")],
        fault: Fault::Packets(
            "table inet lossy {\n chain way {\n type filter hook input priority 0\n numgen random mod 100 < 8 drop\n }\n }\n",
        ),
        class: &["net-retransmit"],
        culprit: &[Whose::Peer(7000)],
        forbidden: &["net-peer", "net-connect", "ipc-peer"],
        harm: Harm::Throughput,
    },
    Case {
        name: "accept-queue",
        needs: NETWORK,
        cast: &[Role::new("victim", "connect 7001 16 10000"), Role::new("server", "accept 7001 8 20000")],
        fault: Fault::Spoils("server"),
        class: &["net-accept-queue"],
        culprit: &[Whose::Role("server"), Whose::Peer(7001)],
        forbidden: &["net-retransmit", "net-connect", "runq-neighbour"],
        harm: Harm::Throughput,
    },
    of_a_slow_server(
        "slow-server",
        &[Role::new("victim", "ask 7002 300"), Role::new("server", "answer 7002 4000")],
        &[Whose::Role("server"), Whose::Peer(7002)],
    ),
    of_a_slow_server(
        "patient-client",
        &[Role::new("victim", "ask-patient 7004 300"), Role::new("server", "answer 7004 4000")],
        &[Whose::Role("server"), Whose::Peer(7004)],
    ),
    of_a_slow_server(
        "loop-client",
        &[Role::new("victim", "ask-loop 7006 1000"), Role::new("server", "answer 7006 4000")],
        &[Whose::Role("server"), Whose::Peer(7006)],
    ),
    Case {
        name: "no-connection",
        needs: NETWORK,
        cast: &[Role::new("victim", "connect 7003 2 2000"), Role::new("server", "accept 7003 128 0")],
        fault: Fault::Packets(
            "table inet closed {\n chain way {\n type filter hook input priority 0\n tcp dport 7003 drop\n }\n }\n",
        ),
        class: &["net-connect"],
        culprit: &[Whose::Peer(7003)],
        forbidden: &["net-accept-queue", "net-peer", "dns"],
        harm: Harm::Throughput,
    },
    Case {
        name: "refused",
        needs: NETWORK,
        cast: &[Role::new("victim", "connect 7005 2 2000"), Role::new("server", "leave 7005")],
        fault: Fault::Spoils("server"),
        class: &["net-connect"],
        culprit: &[Whose::Peer(7005)],
        forbidden: &["net-accept-queue", "net-peer", "dns", "timer-storm", "refused"],
        harm: Harm::Throughput,
    },
    Case {
        name: "no-names",
        needs: NETWORK,
        cast: &[Role::new("victim", "resolve 2000"), Role::new("named", "names")],
        fault: Fault::Spoils("named"),
        class: &["dns"],
        culprit: &[Whose::Role("named")],
        forbidden: &["net-peer", "net-connect", "net-retransmit"],
        harm: Harm::Throughput,
    },
];

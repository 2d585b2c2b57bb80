//! Loud, and harmless: nothing is to be said.

use crate::diagnosis::{Case, Fault, Harm, Need, Role};

const fn decoy(name: &'static str, needs: &'static [Need], cast: &'static [Role]) -> Case {
    Case {
        name,
        needs,
        cast,
        fault: Fault::None,
        class: &[],
        culprit: &[],
        forbidden: &[],
        harm: Harm::Later,
    }
}

pub(super) const CASES: &[Case] = &[
    decoy("idle-server", &[], &[Role::new("idle", "idle 8")]),
    decoy(
        "polite-hog",
        &[Need::File(128)],
        &[Role::new("victim", "read-paced {file} 128 2000"), Role::new("hog", "crunch").nice(19)],
    ),
    decoy("busy-program", &[], &[Role::new("busy", "crunch")]),
    decoy("compile", &[], &[Role::new("make", "compile {dir} 2")]),
    decoy(
        "web-server",
        &[Need::Network],
        &[Role::new("nginx", "nginx {dir} 7010"), Role::new("wrk", "wrk 7010 16")],
    ),
    decoy(
        "small-server",
        &[Need::Network],
        &[Role::new("server", "answer 7011 0"), Role::new("client", "ask 7011 500").times(4)],
    ),
    decoy(
        "one-descriptor",
        &[Need::Network],
        &[Role::new("server", "wait-for-one 7012"), Role::new("client", "keep-alive 7012")],
    ),
    // An event loop that now and then asks a server which answers at once.
    decoy(
        "quiet-loop",
        &[Need::Network],
        &[Role::new("server", "answer 7013 0"), Role::new("client", "ask-loop 7013 300000")],
    ),
];

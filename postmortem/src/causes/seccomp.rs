//! # A system call that a filter forbids
//!
//! **Class** `seccomp`; the subject is the system call.
//!
//! **What.** SIGSYS of the kernel: a seccomp filter (`SystemCallFilter=`, a container's profile, a sandbox of the program's own) refused the call.
//! A shell reports it of its child as code 159.
//!
//! **Neighbours.** A filter that answers with an errno in place of the signal is seen as `permission`. SIGSYS that another
//! process sent is `killed-by-process`; one that the process raised itself says nothing of a filter.

use agent_common::wire::postmortem::{Blamed, CauseClass};

use crate::claim::{Claim, Tier, itself, kernel};
use crate::codes::{passes_on, signal};
use crate::scene::Scene;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let facts = scene.facts;
    let by_kernel = scene.sender().is_none()
        && (scene.signal() == Some(signal::SYS) && facts.ended.si_code > 0
            || facts.seccomp_call.is_some() && facts.ended.signal.is_some());
    if by_kernel {
        let name = facts.seccomp_call.as_deref().unwrap_or_default();
        let what = if name.is_empty() {
            "made a system call that its seccomp filter forbids".to_owned()
        } else {
            format!("called {name}, which its seccomp filter forbids")
        };
        let subject =
            Blamed { kind: "syscall".into(), call: facts.seccomp_call.clone(), ..itself(&facts.process) };
        let claim =
            Claim::new(CauseClass::Seccomp, Tier::Kernel, if name.is_empty() { 0.85 } else { 0.98 }, what)
                .subject(subject);
        return vec![claim.proof(kernel("seccomp refused a system call", facts.ended.at_ns))];
    }
    if facts.ended.code == Some(128 + i32::from(signal::SYS)) && passes_on(&facts.process) {
        let claim = Claim::new(
            CauseClass::Seccomp,
            Tier::Call,
            0.6,
            "had a child that made a system call which a seccomp filter forbids",
        );
        return vec![
            claim
                .subject(itself(&facts.process))
                .proof(kernel("code 159: its child was ended by SIGSYS", facts.ended.at_ns)),
        ];
    }
    Vec::new()
}

//! # Its configuration
//!
//! **Class** `config-error`; the subject is the file with its line, else the process.
//!
//! **What.** It complains of a configuration (a file `.conf`, `.yaml`, `.toml`, …, an option, an argument, an environment variable) that is invalid,
//! unknown, missing, or cannot be parsed. So do systemd's codes 200 to 241 for what a unit's file asks for and the host does not have. A
//! certificate that has expired, and an address to listen on that the host does not have, count as configuration.
//!
//! **Neighbours.** A configuration file that does not exist is `not-found`, one that may not be read `permission`. A parser's complaint about data
//! that is no configuration stays what it is. A changed file of the process just before is evidence; who changed it is named.

use agent_common::wire::postmortem::{Blamed, CauseClass, ProofKind};

use crate::claim::{Claim, Tier, itself, kernel, named, proof};
use crate::codes::{meaning, systemd_step};
use crate::hints::Hint;
use crate::scene::{Scene, changed};
use crate::target;
use crate::trouble::Trouble;

/// systemd: EXEC, which the rules on programs judge.
const EXEC: i32 = 203;
/// systemd: CHDIR.
const CHDIR: i32 = 200;
/// `sysexits.h`: configuration error.
const EX_CONFIG: i32 = 78;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let kinds = &[Trouble::Config, Trouble::Arguments, Trouble::Certificate, Trouble::NoAddress];
    let mut claims: Vec<_> = scene.hints_of(kinds).map(|hint| of_hint(scene, hint)).collect();
    claims.extend(of_systemd(scene));
    let complaint = scene.reading.reasons.first().filter(|_| scene.facts.ended.code == Some(EX_CONFIG));
    claims.extend(complaint.map(|said| {
        let what = format!("ended with the code for a wrong configuration after it said “{}”,", said.text);
        let claim = Claim::new(CauseClass::ConfigError, Tier::Pattern, 0.5, what)
            .subject(itself(&scene.facts.process));
        claim.proof(crate::claim::said(said))
    }));
    claims
}

fn of_hint(scene: &Scene<'_>, hint: &Hint<'_>) -> Claim {
    let facts = scene.facts;
    let text = hint.text();
    let place = target::file_line(text);
    let path = hint.path();
    let change = scene.changes(&["file"], text).last();
    let by = change
        .and_then(|change| change.by.as_ref())
        .map_or_else(String::new, |by| format!("; {} changed it just before", named(&by.comm, by.pid)));
    let what = match hint.trouble {
        Trouble::Arguments => format!("was called with wrong arguments: {text}"),
        Trouble::Certificate => format!("does not accept a certificate: {text}"),
        Trouble::NoAddress => {
            format!(
                "could not listen on {}: the host does not have this address",
                hint.peer().unwrap_or_else(|| "its address".into())
            )
        }
        _ => format!("does not accept its configuration: {text}{by}"),
    };
    let mut confidence = hint.confidence;
    if facts.ended.code == Some(EX_CONFIG) || change.is_some() {
        confidence = confidence.max(0.9);
    }
    let subject = match (&path, hint.trouble) {
        (_, Trouble::NoAddress) => Blamed { kind: "peer".into(), peer: hint.peer(), ..Blamed::default() },
        (Some(path), _) => {
            Blamed { kind: "file".into(), path: Some(path.clone()), line: place, ..Blamed::default() }
        }
        (None, _) => {
            let path = change.map(|change| change.what.clone());
            Blamed { path, line: place, ..itself(&facts.process) }
        }
    };
    Claim::new(CauseClass::ConfigError, hint.tier, confidence, what)
        .subject(subject)
        .proofs(hint.proofs())
        .proofs(change.map(changed))
}

/// systemd could not set up what the unit's file asks for.
fn of_systemd(scene: &Scene<'_>) -> Option<Claim> {
    let facts = scene.facts;
    let code = facts.ended.code?;
    let process = &facts.process;
    // Before exec the name is `(app)`.
    let of_systemd = process.parent.pid == 1
        && process.unit.is_some()
        && (process.comm.starts_with('(') || facts.ended.never_execed);
    let step = systemd_step(code).filter(|_| of_systemd && code != EXEC)?;
    let class = if code == CHDIR { CauseClass::NotFound } else { CauseClass::ConfigError };
    let call = facts.failed_calls.last();
    let path = call.map(|call| call.path.clone()).filter(|path| !path.is_empty());
    let what = format!("could not be started: systemd failed to set up {step}, as its unit asks for");
    let subject = Blamed { kind: "unit".into(), path, unit: process.unit.clone(), ..Blamed::default() };
    let claim = Claim::new(class, Tier::Recurs, 0.9, what).subject(subject);
    let claim = claim.proof(kernel(meaning(process, &facts.ended), facts.ended.at_ns));
    Some(claim.proofs(call.map(crate::claim::failed)).proof(proof(
        ProofKind::Kernel,
        format!("its unit is {}", process.unit.as_deref().unwrap_or_default()),
    )))
}

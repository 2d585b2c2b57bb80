//! # A change just before
//!
//! **Class** `bad-upgrade`, or `config-error` for a file; the subject is the package, build or file.
//!
//! **What.** A library, symbol or module that cannot be loaded, and within the ten minutes before a package or build changed that shares a name with
//! it or with the program: the new version does not fit. Without any other reason, a package, build or configuration file of the program that changed
//! just before is named with less confidence, if it did not end like this earlier.
//!
//! **Neighbours.** Changes that share no name with the process are no evidence. A crash keeps its class: the change is evidence there.

use agent_common::wire::postmortem::{Blamed, CauseClass};

use crate::claim::{Claim, Tier};
use crate::facts::Change;
use crate::scene::{Scene, changed};
use crate::trouble::Trouble;

/// Confidence in a change alone.
const ALONE: f64 = 0.5;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for hint in scene.hints_of(&[Trouble::Library, Trouble::Symbol, Trouble::Module]) {
        let about = format!("{} {}", hint.text(), hint.path().unwrap_or_default());
        let Some(change) = scene.changes(&["package", "build"], &about).last() else { continue };
        let missing = super::program::missing(hint.text())
            .or_else(|| hint.path())
            .unwrap_or_else(|| "what it needs".into());
        let what = format!(
            "does not fit the changed {}: {missing} cannot be loaded ({})",
            described(change),
            hint.text()
        );
        let claim = Claim::new(CauseClass::BadUpgrade, Tier::Abort, hint.confidence.max(0.94), what)
            .subject(subject(change))
            .proof(changed(change))
            .proofs(hint.proofs())
            .not(CauseClass::MissingLibrary, "it was there until the change");
        claims.push(claim);
    }
    let ended_before = scene.facts.earlier.iter().any(|earlier| {
        (earlier.code, earlier.signal) == (scene.facts.ended.code, scene.facts.ended.signal)
            && scene.facts.changes.first().is_some_and(|change| earlier.at_ns < change.at_ns)
    });
    let text = scene.reading.reasons.first().map_or("", |reason| &reason.text);
    if let Some(change) = scene.changes(&["package", "build", "file"], text).last().filter(|_| !ended_before)
    {
        let class = if change.kind == "file" { CauseClass::ConfigError } else { CauseClass::BadUpgrade };
        let what = format!("ends like this since {} changed", described(change));
        claims.push(
            Claim::new(class, Tier::Change, ALONE, what).subject(subject(change)).proof(changed(change)),
        );
    }
    claims
}

fn described(change: &Change) -> String {
    format!("{} {}", change.kind, change.what)
}

fn subject(change: &Change) -> Blamed {
    if change.kind == "file" {
        return crate::claim::file(change.what.clone());
    }
    let name = change.what.split_whitespace().next().unwrap_or_default().to_owned();
    let path = change.what.split_whitespace().find(|word| word.starts_with('/')).map(str::to_owned);
    Blamed { kind: "package".into(), name: Some(name), path, ..Blamed::default() }
}

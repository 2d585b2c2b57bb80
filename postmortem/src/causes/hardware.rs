//! # Faulty hardware
//!
//! **Class** `hardware-error`; the subject is the host, or the file on a faulty device.
//!
//! **What.** SIGBUS with a machine check: a memory module lost what the process had there. EIO of a read, write or sync: the device below the file
//! failed.
//!
//! **Neighbours.** SIGBUS behind the end of a file is `bad-pointer`. EIO of a terminal that went away is none: it has no path.

use agent_common::wire::postmortem::{Blamed, CauseClass};

use crate::claim::{Claim, Tier, file, itself, kernel};
use crate::codes::signal;
use crate::facts::Place;
use crate::scene::Scene;
use crate::trouble::Trouble;

/// `BUS_MCEERR_AR`, `BUS_MCEERR_AO`.
const MACHINE_CHECK: [i32; 2] = [4, 5];

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let facts = scene.facts;
    let mut claims = Vec::new();
    let is_bus = scene.signal() == Some(signal::BUS) && scene.sender().is_none();
    if is_bus && MACHINE_CHECK.contains(&facts.ended.si_code) {
        let claim = Claim::new(
            CauseClass::HardwareError,
            Tier::Kernel,
            0.98,
            "touched memory that the hardware reports as faulty",
        )
        .subject(Blamed { kind: "host".into(), name: Some("memory".into()), ..Blamed::default() })
        .proof(kernel("SIGBUS of a machine check", facts.ended.at_ns))
        .not(CauseClass::BadPointer, "the memory is its own");
        claims.push(claim);
    }
    if let Some(Place::Mapping { name, .. }) = facts.fault.as_ref().map(|fault| &fault.place) {
        let reads = facts.fault.as_ref().is_some_and(|fault| fault.write == Some(false));
        if scene.lacks_page() && reads && !name.is_empty() {
            let claim = Claim::new(
                CauseClass::HardwareError,
                Tier::Kernel,
                0.94,
                format!("could not read {name}, which is mapped: the device failed"),
            );
            claims.push(
                claim
                    .subject(file(name.clone()))
                    .proof(kernel("SIGBUS: a page of a mapped file could not be read", facts.ended.at_ns)),
            );
        }
    }
    // Files of the kernel and terminals answer with EIO for reasons of their own.
    let is_device = |path: &Option<String>| {
        !path.as_ref().is_some_and(|path| {
            ["/proc/", "/sys/", "/dev/pts/", "/dev/tty"].iter().any(|of| path.starts_with(of))
        })
    };
    for hint in scene.hints_of(&[Trouble::Io]).filter(|hint| is_device(&hint.path())) {
        let path = hint.path();
        let whom = path.clone().unwrap_or_else(|| "a device".into());
        let claim = Claim::new(
            CauseClass::HardwareError,
            hint.tier,
            hint.confidence,
            format!("could not read or write {whom} (I/O error of the device)"),
        );
        claims.push(claim.subject(path.map_or_else(|| itself(&facts.process), file)).proofs(hint.proofs()));
    }
    claims
}

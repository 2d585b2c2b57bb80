//! # Memory that it may not touch
//!
//! **Classes** `null-pointer`, `bad-pointer`, `stack-overflow`; the subject is the function.
//!
//! **What.** SIGSEGV or SIGBUS that the kernel made. The address decides:
//!
//! | address | class |
//! |---|---|
//! | below 64 KiB, where no process can have memory; or just below 0 | `null-pointer` with the offset |
//! | in a stack's guard, or within 1 MiB of the stack pointer with nothing there | `stack-overflow` |
//! | a mapped file behind its end: somebody cut it | `bad-pointer`, the subject is the file |
//! | a page that the kernel could not make, of SIGBUS | `bad-pointer` with less confidence |
//! | any other | `bad-pointer` |
//!
//! **Neighbours.** x86 does not say which address it was if the address is none (its upper bits differ): the kernel then reports 0 with
//! `SI_KERNEL`, and that is no null pointer. SIGSEGV that another process sent is `killed-by-process`. A signal that the program
//! raised itself, as run times do after they wrote a report, tells no address: what they wrote counts then. SIGBUS for a faulty memory
//! module is `hardware-error`, for a mapped file on a full disk `disk-full`.

use agent_common::wire::postmortem::{Blamed, CauseClass, Proof, ProofKind};

use crate::claim::{Claim, Tier, file, itself, kernel, proof};
use crate::codes::{passes_on, signal};
use crate::facts::{Fault, Place};
use crate::scene::{Scene, limited};
use crate::trouble::Trouble;

/// `si_code` of a fault whose address is not known.
const SI_KERNEL: i32 = 128;
/// `vm.mmap_min_addr`: nothing is mapped below it.
const MIN_MAPPED: u64 = 0x1_0000;
/// A page: offsets of most structures are less.
const PAGE: u64 = 4096;
/// How far from the stack pointer an access belongs to the stack: a large frame touches far below it.
pub const STACK_REACH: u64 = 1 << 20;
/// The same function so often in a row in a stack is a recursion.
const MIN_RECURSION: usize = 10;
/// `BUS_ADRALN`.
const UNALIGNED: i32 = 1;
/// `BUS_MCEERR_AR`.
const MCE_FIRST: i32 = 4;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let mut claims = of_words(scene);
    let facts = scene.facts;
    let of_child = facts.ended.code == Some(128 + i32::from(signal::SEGV)) && passes_on(&facts.process);
    if of_child {
        let claim = Claim::new(
            CauseClass::BadPointer,
            Tier::Call,
            0.5,
            "had a child that touched memory that it may not",
        )
        .subject(itself(&facts.process))
        .proof(kernel("code 139 of a shell: its child was ended by SIGSEGV", facts.ended.at_ns));
        claims.push(claim);
    }
    let is_fault = matches!(scene.signal(), Some(signal::SEGV | signal::BUS)) && scene.sender().is_none();
    let is_bus = scene.signal() == Some(signal::BUS);
    if !is_fault || is_bus && facts.ended.si_code >= MCE_FIRST && facts.ended.si_code < SI_KERNEL {
        return claims;
    }
    let Some(fault) = &facts.fault else {
        let confidence = if facts.ended.si_code > 0 { 0.6 } else { 0.5 };
        // Without the address, what it wrote can tell more.
        let claim =
            Claim::new(CauseClass::BadPointer, Tier::Recurs, confidence, "touched memory that it may not");
        claims.push(at_function(scene, claim));
        return claims;
    };
    claims.push(of_fault(scene, fault));
    claims
}

fn of_fault(scene: &Scene<'_>, fault: &Fault) -> Claim {
    let facts = scene.facts;
    let addr = fault.addr;
    let did = match (fault.fetch, fault.write) {
        (Some(true), _) => "ran code at",
        (_, Some(true)) => "wrote to",
        (_, Some(false)) => "read from",
        _ => "touched",
    };
    let unknown_address = facts.ended.si_code == SI_KERNEL;
    let claim = |class, confidence, what: String| {
        at_function(scene, Claim::new(class, Tier::Kernel, confidence, what))
    };
    let seen = kernel(
        format!("{did} {addr:#x}, instruction at {:#x}, stack pointer {:#x}", fault.ip, fault.sp),
        facts.ended.at_ns,
    );
    let is_bus = scene.signal() == Some(signal::BUS);
    if let Place::PastEnd { file: path } = &fault.place {
        let what = format!("{did} {path} behind its end: the file was cut while it was mapped");
        let cut = Claim::new(CauseClass::BadPointer, Tier::Kernel, 0.93, what)
            .subject(file(path.clone()))
            .proof(seen);
        return cut.proofs(stack(scene)).not(CauseClass::NullPointer, "the address lies in a mapped file");
    }
    if scene.lacks_page() {
        let of = match &fault.place {
            Place::Mapping { name, .. } if !name.is_empty() => format!(" of {name}"),
            _ => String::new(),
        };
        let what = format!(
            "{did} {addr:#x}, and the kernel had no page{of} for it: a mapped file was cut, or its device failed or is full"
        );
        return claim(CauseClass::BadPointer, 0.6, what).proof(seen);
    }
    let recursion = recursion(scene);
    let near_stack = fault.sp >= PAGE
        && addr >= PAGE
        && addr < fault.sp.saturating_add(PAGE)
        && fault.sp - addr.min(fault.sp) <= STACK_REACH;
    let may_be_stack = matches!(fault.place, Place::Nothing | Place::Unknown);
    if !unknown_address && (fault.place == Place::StackGuard || near_stack && may_be_stack) {
        let confidence = if fault.place == Place::StackGuard || recursion.is_some() { 0.97 } else { 0.9 };
        let again = recursion
            .as_ref()
            .map_or_else(String::new, |name| format!(": {name} calls itself again and again"));
        let what =
            format!("used up its stack ({did} {addr:#x}, next to the stack pointer {:#x}){again}", fault.sp);
        let limit = scene.limit("stack").map(limited);
        return claim(CauseClass::StackOverflow, confidence, what)
            .proof(seen)
            .proofs(limit)
            .not(CauseClass::BadPointer, "the address is where the stack would have to grow");
    }
    if is_bus && facts.ended.si_code == UNALIGNED {
        return claim(CauseClass::BadPointer, 0.9, format!("{did} {addr:#x}, which is not aligned"))
            .proof(seen);
    }
    if !unknown_address && scene.signal() == Some(signal::SEGV) {
        let before = addr.wrapping_neg();
        if addr < PAGE {
            let what = match addr {
                0 if fault.fetch == Some(true) || fault.ip == 0 => {
                    "called a function by a null pointer".to_owned()
                }
                0 => format!("{did} address 0, a null pointer"),
                _ => format!("{did} address {addr:#x}, a null pointer with offset {addr:#x}"),
            };
            return claim(CauseClass::NullPointer, 0.98, what)
                .proof(seen)
                .not(CauseClass::StackOverflow, "the address is not next to the stack pointer")
                .not(CauseClass::BadPointer, "nothing but null lies there");
        }
        if addr < MIN_MAPPED || before < PAGE {
            let offset = if addr < MIN_MAPPED { format!("{addr:#x}") } else { format!("-{before:#x}") };
            let what = format!("{did} address {addr:#x}, a null pointer with the large offset {offset}");
            return claim(CauseClass::NullPointer, 0.85, what).proof(seen);
        }
    }
    let (what, confidence) = match &fault.place {
        _ if unknown_address => (format!("{did} an address that cannot exist: the pointer is damaged"), 0.9),
        Place::Mapping { permissions, name } => {
            let name = if name.is_empty() { "anonymous memory" } else { name };
            (format!("{did} {addr:#x} in {name}, which allows {permissions} only"), 0.93)
        }
        _ => (format!("{did} {addr:#x}, where it has no memory{}", looks_like(addr)), 0.93),
    };
    claim(CauseClass::BadPointer, confidence, what)
        .proof(seen)
        .not(CauseClass::NullPointer, "the address is not near 0")
        .not(CauseClass::StackOverflow, "the address is not next to the stack pointer")
}

/// What a wild address is made of.
fn looks_like(addr: u64) -> &'static str {
    let bytes = addr.to_le_bytes();
    let text = bytes.iter().take_while(|byte| byte.is_ascii_graphic() || **byte == b' ').count();
    let repeated = addr != 0 && bytes[..4].iter().all(|byte| *byte == bytes[0]);
    match () {
        () if repeated => ": the address is a fill pattern, as of freed memory",
        () if text >= 6 => ": the address is text that overwrote a pointer",
        () => "",
    }
}

/// The function that calls itself.
fn recursion(scene: &Scene<'_>) -> Option<String> {
    let own = |name: &str| !name.is_empty() && name != "[unknown]";
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for frame in scene.facts.stack.iter().filter(|frame| own(&frame.function)) {
        *counts.entry(&frame.function).or_default() += 1;
    }
    let (name, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    (count >= MIN_RECURSION).then(|| name.to_owned())
}

fn stack(scene: &Scene<'_>) -> Option<Proof> {
    const SHOWN: usize = 6;
    let frames: Vec<_> = scene
        .facts
        .stack
        .iter()
        .take(SHOWN)
        .map(|frame| {
            if frame.line.is_empty() {
                format!("{} ({})", frame.function, frame.module)
            } else {
                format!("{} ({})", frame.function, frame.line)
            }
        })
        .collect();
    (!frames.is_empty()).then(|| proof(ProofKind::Stack, frames.join(" < ")))
}

/// The claim about the function in which it happened.
pub(super) fn at_function(scene: &Scene<'_>, mut claim: Claim) -> Claim {
    let frame = scene.own_frame().or_else(|| scene.facts.stack.first());
    let mut subject = itself(&scene.facts.process);
    if let Some(frame) = frame.filter(|frame| !frame.function.is_empty() && frame.function != "[unknown]") {
        let line = if frame.line.is_empty() { &frame.module } else { &frame.line };
        claim.what = format!(
            "{} in {}{}",
            claim.what,
            frame.function,
            if line.is_empty() { String::new() } else { format!(" ({line})") }
        );
        subject = Blamed {
            kind: "function".into(),
            function: Some(frame.function.clone()),
            line: Some(frame.line.clone()).filter(|line| !line.is_empty()),
            path: Some(frame.module.clone()).filter(|module| !module.is_empty()),
            ..subject
        };
    }
    claim.subject(subject).proofs(stack(scene))
}

fn of_words(scene: &Scene<'_>) -> Vec<Claim> {
    let hints = scene.hints_of(&[Trouble::NullPointer, Trouble::BadPointer, Trouble::StackOverflow]);
    let claim = |hint: &crate::hints::Hint<'_>| {
        let what = format!("reported “{}”", hint.text());
        // A run time or sanitizer says this as it gives up.
        let claim = Claim::new(hint.trouble.class(), hint.tier.max(Tier::Recurs), hint.confidence, what);
        at_function(scene, claim).proofs(hint.proofs())
    };
    hints.map(claim).collect()
}

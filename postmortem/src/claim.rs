//! A claim: what one rule takes for the cause, with its evidence.

use agent_common::wire::postmortem::{Blamed, CauseClass, Proof, ProofKind, RuledOut};

use crate::facts::{FailedCall, Other, Process};
use crate::words::Statement;

/// How strong a claim's evidence is by its kind. A stronger kind wins, whatever the confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// The code or signal alone.
    Code,
    /// A change on the host.
    Change,
    /// An error that was not seen before, or that says no reason.
    Pattern,
    /// A call that failed shortly before, of which the last words do not speak.
    Call,
    /// The last words name a reason; no failed call was seen for it.
    Words,
    /// A failed call of which the last words speak.
    Recurs,
    /// What the run time said as it gave up: an abort's text, an uncaught exception, a panic.
    Abort,
    /// The kernel's own word.
    Kernel,
}

/// What one rule takes for the cause.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claim {
    pub(crate) class: CauseClass,
    pub(crate) tier: Tier,
    pub(crate) confidence: f64,
    pub(crate) subject: Blamed,
    /// The sentence between who and how it ended: `could not connect to 127.0.0.1:5432`.
    pub(crate) what: String,
    /// Another process, not the one that ended, is the subject of the sentence: the sentence is whole.
    pub(crate) whole: bool,
    pub(crate) proofs: Vec<Proof>,
    pub(crate) lost: Vec<RuledOut>,
}

impl Claim {
    pub(crate) fn new(class: CauseClass, tier: Tier, confidence: f64, what: impl Into<String>) -> Self {
        Self {
            class,
            tier,
            confidence,
            subject: Blamed::default(),
            what: what.into(),
            whole: false,
            proofs: Vec::new(),
            lost: Vec::new(),
        }
    }

    pub(crate) fn subject(mut self, subject: Blamed) -> Self {
        self.subject = subject;
        self
    }

    /// The sentence has a subject and a verb of its own.
    pub(crate) fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    pub(crate) fn proof(mut self, proof: Proof) -> Self {
        self.proofs.push(proof);
        self
    }

    pub(crate) fn proofs(mut self, proofs: impl IntoIterator<Item = Proof>) -> Self {
        self.proofs.extend(proofs);
        self
    }

    pub(crate) fn not(mut self, class: CauseClass, why_not: impl Into<String>) -> Self {
        self.lost.push(RuledOut { class, why_not: why_not.into() });
        self
    }
}

/// Evidence of the kernel.
pub(crate) fn kernel(text: impl Into<String>, at_ns: u64) -> Proof {
    Proof { kind: ProofKind::Kernel, text: text.into(), at_ns, reference: String::new() }
}

/// Evidence of a kind without a place to read on.
pub(crate) fn proof(kind: ProofKind, text: impl Into<String>) -> Proof {
    Proof { kind, text: text.into(), at_ns: 0, reference: String::new() }
}

/// Something that it said.
pub(crate) fn said(statement: &Statement) -> Proof {
    let mut text = statement.text.clone();
    if let Some(trace) = &statement.trace {
        if !trace.line.is_empty() {
            text = format!("{text} ({})", trace.line);
        }
        if !trace.outer.is_empty() {
            text = format!("{text}; it led to: {}", trace.outer);
        }
    }
    Proof { kind: ProofKind::Log, text, at_ns: statement.at_ns, reference: statement.reference.clone() }
}

/// A call that failed.
pub(crate) fn failed(call: &FailedCall) -> Proof {
    let target = [&call.path, &call.peer].into_iter().find(|target| !target.is_empty());
    let target = target.map_or_else(String::new, |target| format!(" {target}"));
    let times = if call.count > 1 { format!(", {} times", call.count) } else { String::new() };
    Proof {
        kind: ProofKind::Syscall,
        text: format!("{}{target}: {}{times}", call.call, call.errno),
        at_ns: call.at_ns,
        reference: String::new(),
    }
}

/// A process as the subject.
pub(crate) fn other(process: &Other) -> Blamed {
    Blamed {
        kind: "process".into(),
        pid: Some(process.pid),
        comm: Some(process.comm.clone()),
        ..Blamed::default()
    }
}

/// The process that ended as the subject.
pub(crate) fn itself(process: &Process) -> Blamed {
    Blamed {
        kind: "process".into(),
        pid: Some(process.pid),
        comm: Some(process.comm.clone()),
        unit: process.unit.clone(),
        ..Blamed::default()
    }
}

/// A file as the subject.
pub(crate) fn file(path: impl Into<String>) -> Blamed {
    Blamed { kind: "file".into(), path: Some(path.into()), ..Blamed::default() }
}

/// An address or host as the subject.
pub(crate) fn peer(peer: impl Into<String>) -> Blamed {
    Blamed { kind: "peer".into(), peer: Some(peer.into()), ..Blamed::default() }
}

/// `worker (4711)`.
pub(crate) fn named(comm: &str, pid: u32) -> String {
    match (comm.is_empty(), pid) {
        (true, 0) => "the kernel".into(),
        (true, pid) => format!("process {pid}"),
        (false, 0) => comm.to_owned(),
        (false, pid) => format!("{comm} ({pid})"),
    }
}

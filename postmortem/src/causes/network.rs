//! # The other side
//!
//! **Classes** `connection-refused`, `name-resolution`, `timeout`, `broken-pipe`, `address-in-use`; the subject is the peer with its address or
//! name, for an address in use the process that has it.
//!
//! **What.** A call that failed (`connect` with ECONNREFUSED, `bind` with EADDRINUSE) or the words for it in the last lines, at best both.
//! A socket file without a listener counts as refused. A host or network that cannot be reached is `timeout` with that text. A connection that the
//! other side closed or reset is `broken-pipe`, as is SIGPIPE on a connection or of a unit's process. SIGALRM without a
//! handler is `timeout`: the program had set the timer itself.
//!
//! **Neighbours.** Programs try several addresses of a host (`::1`, then `127.0.0.1`), and services try again: a refusal that the last words do
//! not speak of, or that came fifty times, yields to whatever they speak of. A name server that does not answer is `name-resolution`.

use agent_common::wire::postmortem::{Blamed, CauseClass};

use crate::claim::{Claim, Tier, failed, itself, kernel, named, other, peer};
use crate::codes::signal;
use crate::hints::Hint;
use crate::scene::Scene;
use crate::target;
use crate::trouble::Trouble;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let network = &[
        Trouble::Refused,
        Trouble::Resolve,
        Trouble::Timeout,
        Trouble::Unreachable,
        Trouble::Reset,
        Trouble::InUse,
    ];
    let mut claims: Vec<_> = scene.hints_of(network).map(|hint| of_hint(scene, hint)).collect();
    let facts = scene.facts;
    match scene.signal().filter(|_| scene.sender().is_none()) {
        Some(signal::PIPE) => {
            let call = facts.failed_calls.iter().rev().find(|call| call.errno == "EPIPE");
            let to = call
                .map(|call| if call.peer.is_empty() { &call.path } else { &call.peer })
                .filter(|to| !to.is_empty());
            let whom = to.map_or("a pipe or connection", |to| to.as_str());
            let claim = Claim::new(
                CauseClass::BrokenPipe,
                Tier::Kernel,
                0.9,
                format!("wrote to {whom}, whose other end is gone,"),
            );
            let subject = to.map_or_else(|| itself(&facts.process), peer);
            claims.push(claim.subject(subject).proofs(call.map(failed)));
        }
        Some(signal::ALRM | signal::VTALRM) => {
            // What it waited for until then is known only by its waits.
            let wait = facts.waits.iter().max_by_key(|wait| wait.for_ns);
            let on = wait.map_or_else(String::new, |wait| {
                format!(" while it waited for {} {}", wait.kind, wait.object).trim_end().to_owned()
            });
            let claim = Claim::new(
                CauseClass::Timeout,
                Tier::Kernel,
                0.85,
                format!("had set a timer that ran out{on}"),
            );
            claims.push(
                claim
                    .subject(itself(&facts.process))
                    .proof(kernel("SIGALRM of a timer of its own", facts.ended.at_ns)),
            );
        }
        _ => {}
    }
    claims
}

fn of_hint(scene: &Scene<'_>, hint: &Hint<'_>) -> Claim {
    let to = hint.peer().or_else(|| hint.path());
    let whom = to.as_deref().unwrap_or("its peer").trim_start_matches("unix:").to_owned();
    let claim = |what: String| Claim::new(hint.trouble.class(), hint.tier, hint.confidence, what);
    let mut subject = to.as_ref().map_or_else(|| Blamed { kind: "peer".into(), ..Blamed::default() }, peer);
    if let Some(path) = to
        .as_deref()
        .and_then(|to| to.strip_prefix("unix:"))
        .or(to.as_deref().filter(|to| to.starts_with('/')))
    {
        subject.path = Some(path.to_owned());
    }
    match hint.trouble {
        Trouble::Refused => {
            let absent = hint.call.is_some_and(|call| call.errno == "ENOENT");
            let why =
                if absent { "there is no such socket" } else { "connection refused: nothing listens there" };
            claim(format!("could not connect to {whom} ({why})"))
                .not(CauseClass::Timeout, "an answer came, a refusal")
        }
        Trouble::Resolve => {
            let name = target::host(hint.text());
            let server = hint.call.map(|call| call.peer.clone()).filter(|peer| !peer.is_empty());
            let of = name.clone().unwrap_or_else(|| "a host name".into());
            let by = server
                .as_ref()
                .map_or_else(String::new, |server| format!(" (the name server {server} was asked)"));
            subject = Blamed { peer: name.or(server), ..peer("") };
            claim(format!("could not resolve {of}{by}"))
                .not(CauseClass::ConnectionRefused, "it did not come to a connection")
        }
        Trouble::Timeout => claim(format!("got no answer from {whom} in time"))
            .not(CauseClass::ConnectionRefused, "no answer came at all"),
        Trouble::Unreachable => {
            claim(format!("could not reach {whom} (no route, or the host does not answer)"))
        }
        Trouble::Reset => {
            if to.is_none() {
                subject = itself(&scene.facts.process);
            }
            claim(format!("lost the connection to {whom} (the other end closed it)"))
        }
        _ => {
            let holder = hint.call.and_then(|call| call.holder.as_ref());
            let has = holder
                .map_or_else(String::new, |holder| format!(": {} has it", named(&holder.comm, holder.pid)));
            if let Some(holder) = holder {
                subject = Blamed { peer: to.clone(), ..other(holder) };
            }
            claim(format!("could not listen on {whom} (address in use{has})"))
        }
    }
    .subject(subject)
    .proofs(hint.proofs())
}

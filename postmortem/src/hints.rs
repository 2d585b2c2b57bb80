//! Trouble, and where it shows: which failed call belongs to which words.

use agent_common::wire::postmortem::Proof;

use crate::claim::{Tier, failed, said};
use crate::facts::{Facts, FailedCall};
use crate::target::mention;
use crate::trouble::{Trouble, is_library};
use crate::words::{Reading, Statement};

/// A call that failed so long before the end can be its reason without a word about it, ns.
const NEAR_NS: u64 = 2_000_000_000;
/// The same for a file that was not there: programs look for files all the time.
const NEAR_FILE_NS: u64 = 50_000_000;
/// A call that failed more often than this did not end the program: it goes on after it.
const ROUTINE_CALLS: u64 = 50;
/// Confidence in words and call that name the same target.
const SURE: f64 = 0.95;
/// Confidence in words and call of the same errno.
const FIRM: f64 = 0.88;
/// Confidence in words alone, when no calls were seen at all.
const SAID: f64 = 0.8;
/// Confidence in words for which a call should have failed, and none did.
const UNSUPPORTED: f64 = 0.55;
/// Confidence in a call alone, when the program complains without a reason.
const CALL: f64 = 0.7;
/// Confidence in a call alone, when the program says nothing.
const SILENT_CALL: f64 = 0.55;
/// Confidence in a connection of which only its begin was seen.
const GUESSED: f64 = 0.5;
/// Most failed calls that are looked at, the newest: the collector keeps fewer.
const MAX_CALLS: usize = 128;
/// How much less confident each less likely reason is.
const STEP: f64 = 0.15;

/// Trouble, and where it shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hint<'a> {
    pub(crate) trouble: Trouble,
    pub(crate) statement: Option<&'a Statement>,
    pub(crate) call: Option<&'a FailedCall>,
    pub(crate) tier: Tier,
    pub(crate) confidence: f64,
}

impl Hint<'_> {
    /// Its evidence.
    pub(crate) fn proofs(&self) -> Vec<Proof> {
        self.call.map(failed).into_iter().chain(self.statement.map(said)).collect()
    }

    /// The text that names the trouble; empty: none.
    pub(crate) fn text(&self) -> &str {
        self.statement.map_or("", |statement| &statement.text)
    }

    /// The path that it is about: the call's, else the text's.
    pub(crate) fn path(&self) -> Option<String> {
        let called = self.call.map(|call| call.path.clone()).filter(|path| !path.is_empty());
        let has_peer = self.call.is_some_and(|call| !call.peer.is_empty());
        called.or_else(|| crate::target::path(self.text()).filter(|_| !has_peer))
    }

    /// The peer that it is about.
    pub(crate) fn peer(&self) -> Option<String> {
        let called = self.call.map(|call| call.peer.clone()).filter(|peer| !peer.is_empty());
        called.or_else(|| crate::target::address(self.text()))
    }
}

/// The newest failed calls, oldest first.
fn recent(facts: &Facts) -> &[FailedCall] {
    &facts.failed_calls[facts.failed_calls.len().saturating_sub(MAX_CALLS)..]
}

/// Hints of what was said, each with the failed call that belongs to it.
pub(crate) fn hints_of_words<'a>(facts: &'a Facts, reading: &'a Reading, hints: &mut Vec<Hint<'a>>) {
    let calls_seen = !facts.failed_calls.is_empty();
    let mut step = 0;
    for statement in &reading.reasons {
        let is_uncaught = statement.rank == 0;
        let troubled = recent(facts).iter().filter_map(|call| Some((call, Trouble::of_call(call)?)));
        let scored = troubled.filter_map(|(call, of)| {
            let about = mention(&statement.text, call);
            // Its own name stands in its words for another reason.
            let name = call.path.rsplit('/').next().unwrap_or_default();
            if !name.is_empty()
                && (name == facts.process.comm || facts.process.exe.ends_with(&format!("/{name}")))
            {
                return None;
            }
            let same = statement.trouble.is_some_and(|trouble| trouble.class() == of.class());
            let score = match (same, about.target, about.errno) {
                (_, true, _)
                    if !statement.text.contains(&call.path) && names_another(&statement.text, call) =>
                {
                    return None;
                }
                (true, true, _) => 4,
                (false, true, true) => 3,
                // An address of another peer in the text is about that one.
                (true, false, _) if names_another(&statement.text, call) => return None,
                (true, false, _) => 2,
                // Its errno, of a call that matters, and no other target.
                (false, false, true) if weight(call) > 2 && !names_another(&statement.text, call) => 2,
                // It names what the call was about, and no other reason.
                (false, true, false) if statement.trouble.is_none() && weight(call) > 0 => 1,
                _ => return None,
            };
            Some((score, call.at_ns, call, of))
        });
        // What failed before it spoke, and no search path, is likelier what it speaks of.
        let before = |call: &FailedCall| statement.at_ns == 0 || call.at_ns <= statement.at_ns;
        let best =
            scored.max_by_key(|(score, at_ns, call, _)| (*score, before(call), weight(call).min(2), *at_ns));
        let less = STEP * f64::from(step) + if statement.rank >= 4 { STEP } else { 0.0 };
        let under_way = statement.trouble.and_then(|trouble| under_way(facts, statement, trouble));
        let (trouble, call, confidence) = match (best, statement.trouble) {
            (Some((4 | 3, _, call, of)), said) => (more_exact(said, of), Some(call), SURE),
            (Some((2, _, call, of)), said) => (more_exact(said, of), Some(call), FIRM),
            (Some((_, _, call, of)), _) => (of, Some(call), FIRM - STEP / 2.0),
            (None, Some(trouble)) if under_way.is_some() => (trouble, under_way, FIRM),
            (None, Some(trouble)) => {
                let unsupported = calls_seen && trouble.shows_in_calls();
                (trouble, None, if unsupported { UNSUPPORTED } else { SAID })
            }
            (None, None) => continue,
        };
        let tier = match (call, is_uncaught) {
            (_, true) => Tier::Abort,
            (Some(_), false) => Tier::Recurs,
            (None, false) => Tier::Words,
        };
        // What only might be the reason does not outdo what is.
        let tier = if statement.rank >= 4 { tier.min(Tier::Pattern) } else { tier };
        hints.push(Hint {
            trouble,
            statement: Some(statement),
            call,
            tier,
            confidence: (confidence - less).max(0.3),
        });
        step += 1;
    }
}

/// The connection that was under way: of one that does not block, only the words tell how it ended.
fn under_way<'a>(facts: &'a Facts, statement: &Statement, trouble: Trouble) -> Option<&'a FailedCall> {
    let fits = matches!(trouble, Trouble::Refused | Trouble::Timeout | Trouble::Unreachable | Trouble::Reset);
    let mut calls = facts
        .failed_calls
        .iter()
        .rev()
        .filter(|call| fits && call.call == "connect" && call.errno == "EINPROGRESS");
    calls.find(|call| !call.peer.ends_with(":53") && !names_another(&statement.text, call))
}

/// The text can tell more exactly than the errno: a library that is not found; the errno more exactly than a word.
fn more_exact(said: Option<Trouble>, of_call: Trouble) -> Trouble {
    match (said, of_call) {
        (Some(said), Trouble::NotFound | Trouble::Permission)
        | (
            Some(
                said @ (Trouble::Resolve
                | Trouble::NoInterpreter
                | Trouble::Library
                | Trouble::Watches
                | Trouble::Tasks),
            ),
            _,
        ) => said,
        _ => of_call,
    }
}

/// The text has a target of its own that is not the call's.
fn names_another(text: &str, call: &FailedCall) -> bool {
    if !call.peer.is_empty() && !call.peer.starts_with("unix:") {
        return crate::target::address(text).is_some_and(|address| {
            let port = |address: &str| address.rsplit_once(':').map(|(_, port)| port.to_owned());
            port(&address) != port(&call.peer)
        });
    }
    !call.path.is_empty()
        && crate::target::path(text).is_some_and(|path| path.starts_with('/') && path != call.path)
}

/// Hints of failed calls of which no words speak.
pub(crate) fn hints_of_calls<'a>(facts: &'a Facts, reading: &'a Reading, hints: &mut Vec<Hint<'a>>) {
    let used: Vec<*const FailedCall> =
        hints.iter().filter_map(|hint| Some(std::ptr::from_ref(hint.call?))).collect();
    let silent = !reading.complains();
    let service = is_service(facts);
    let spoke = reading.all.iter().rev().find(|statement| !statement.on_stderr);
    let last_ns = spoke.map_or(0, |statement| statement.at_ns);
    let mut step = 0;
    let mut calls: Vec<&FailedCall> = recent(facts).iter().rev().collect();
    calls.sort_by_key(|call| std::cmp::Reverse(weight(call)));
    for call in calls {
        let Some(trouble) = Trouble::of_call(call).filter(|_| !used.contains(&std::ptr::from_ref(call)))
        else {
            continue;
        };
        let weight = weight(call);
        let age = facts.ended.at_ns.saturating_sub(call.at_ns);
        let near = if weight == 2 { NEAR_FILE_NS } else { NEAR_NS };
        if weight < 2 || age > near || call.count > ROUTINE_CALLS {
            continue;
        }
        // It went on to say other things, and no complaint: it did its work.
        if silent && last_ns > call.at_ns && !service {
            continue;
        }
        // Other words say that it was something else.
        let confidence = if silent { SILENT_CALL } else { CALL }
            - STEP * f64::from(step)
            - if weight == 2 { STEP } else { 0.0 };
        hints.push(Hint {
            trouble,
            statement: None,
            call: Some(call),
            tier: Tier::Call,
            confidence: confidence.max(0.3),
        });
        step += 1;
    }
}

/// A connection that does not block was under way, and at once it gave up without a reason: it was refused, most likely.
pub(crate) fn hint_of_connection<'a>(facts: &'a Facts, reading: &Reading) -> Option<Hint<'a>> {
    let vague =
        reading.reasons.first().is_some_and(|reason| reason.trace.is_none() && reason.trouble.is_none());
    let is_last = |call: &&FailedCall| {
        let age = facts.ended.at_ns.saturating_sub(call.at_ns);
        call.call == "connect"
            && call.errno == "EINPROGRESS"
            && age <= NEAR_FILE_NS
            && !call.peer.ends_with(":53")
    };
    let call = recent(facts).iter().rev().find(is_last).filter(|_| vague);
    call.map(|call| Hint {
        trouble: Trouble::Refused,
        statement: None,
        call: Some(call),
        tier: Tier::Call,
        confidence: GUESSED,
    })
}

/// curl's codes tell what its connection that does not block does not.
pub(crate) fn hint_of_curl(facts: &Facts) -> Option<Hint<'_>> {
    let trouble = match facts.ended.code.filter(|_| facts.process.comm == "curl")? {
        5 | 6 => Trouble::Resolve,
        7 => Trouble::Refused,
        28 => Trouble::Timeout,
        _ => return None,
    };
    let is_under_way = |call: &&FailedCall| call.call == "connect" && call.errno == "EINPROGRESS";
    let call = recent(facts).iter().rev().find(is_under_way);
    Some(Hint { trouble, statement: None, call, tier: Tier::Call, confidence: CALL })
}

/// The process is the main one of a unit or container, so that its code is an answer to a supervisor.
pub(crate) fn is_service(facts: &Facts) -> bool {
    let process = &facts.process;
    let parent = &process.parent;
    (process.unit.is_some() || process.container.is_some())
        && (parent.pid <= 1 || crate::codes::is_supervisor(&parent.comm))
}

/// How much a failed call matters: 0 not at all, 1 if the words speak of it, 2 just before the end, 3 always.
fn weight(call: &FailedCall) -> u8 {
    /// Calls that ask whether something is there.
    const ASKS: &[&str] = &[
        "access",
        "faccessat",
        "faccessat2",
        "stat",
        "lstat",
        "fstat",
        "newfstatat",
        "statx",
        "readlink",
        "readlinkat",
        "getxattr",
        "lgetxattr",
        "statfs",
        "unlink",
        "unlinkat",
        "rmdir",
        "mkdir",
        "mkdirat",
        "ioctl",
        "prctl",
    ];
    /// Where programs look for what need not be there.
    const NOISE: &[&str] = &[
        "/ld.so.",
        "/locale/",
        "/locale",
        "/gconv/",
        "/nscd/",
        "/glibc-hwcaps/",
        "/site-packages",
        "/dist-packages",
        "/python3",
        "/__pycache__/",
        "/terminfo/",
        "/zoneinfo",
        "/nsswitch",
        "/selinux",
        "/.",
        "/proc/",
        "/sys/",
        "/dev/tty",
        "/dev/shm/",
        "/etc/localtime",
        "/etc/host.conf",
        "/etc/gai.conf",
        "/etc/resolv",
        "/usr/lib/",
        "/lib/",
        "/lib64/",
        "/usr/local/lib/",
        "/usr/share/",
        "/run/user/",
        "/node_modules/",
        "/package.json",
        "/openssl",
        "/engines",
        "/etc/ssl/",
        "/tmp/hsperf",
        "/etc/bash",
        "/etc/profile",
        ".dwp",
        "/.build-id/",
    ];
    match call.errno.as_str() {
        "ENOENT" | "ENOTDIR"
            if call.call == "connect"
                && (call.peer.contains("/systemd/") || call.peer.contains("/dev/log")) =>
        {
            1
        }
        "ENOENT" | "ENOTDIR" if call.call == "connect" => 3,
        "ENOENT" | "ENOTDIR" | "EACCES" | "EPERM" if call.call.starts_with("execve") => 3,
        "ENOENT" | "ENOTDIR" | "EACCES" | "EPERM" if ASKS.contains(&call.call.as_str()) => 1,
        "ENOENT" | "ENOTDIR"
            if NOISE.iter().any(|noise| call.path.contains(noise)) || !call.path.starts_with('/') =>
        {
            1
        }
        "ENOENT" if is_library(&call.path) => 1,
        "EACCES" | "EPERM" if call.path.starts_with("/proc/") || call.path.starts_with("/sys/") => 1,
        "EACCES" | "EPERM" if call.path.is_empty() && call.peer.is_empty() => 1,
        "ENETUNREACH" | "EADDRNOTAVAIL" if call.call == "connect" => 1,
        "ENOENT" | "ENOTDIR" | "EACCES" | "EPERM" | "EPIPE" | "ECONNRESET" | "ENOMEM" => 2,
        _ if Trouble::of_call(call).is_some() => 3,
        _ => 0,
    }
}

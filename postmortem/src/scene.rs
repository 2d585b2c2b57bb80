//! The facts, read once for all rules: what was said, which calls failed for it, and which kind of trouble that is.

use agent_common::wire::postmortem::{Proof, ProofKind};

use crate::claim::{Tier, failed, said};
use crate::codes;
use crate::facts::{Change, Facts, FailedCall, Frame, Limit};
use crate::target::mention;
use crate::trouble::{Trouble, is_library};
use crate::words::{Reading, Statement};

/// A call that failed so long before the end can be its reason without a word about it, ns.
const NEAR_NS: u64 = 2_000_000_000;
/// The same for a file that was not there: programs look for files all the time.
const NEAR_FILE_NS: u64 = 50_000_000;
/// A change on the host so long before the end can be its reason, ns.
const CHANGE_NS: u64 = 600_000_000_000;
/// A call that failed more often than this did not end the program: it goes on after it.
const ROUTINE_CALLS: u64 = 50;
/// Shortest word that ties a change to a process.
const MIN_RELATED_BYTES: usize = 4;

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
        called.or_else(|| crate::target::path(self.text()))
    }

    /// The peer that it is about.
    pub(crate) fn peer(&self) -> Option<String> {
        let called = self.call.map(|call| call.peer.clone()).filter(|peer| !peer.is_empty());
        called.or_else(|| crate::target::address(self.text()))
    }
}

/// The facts, read.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) reading: &'a Reading,
    pub(crate) hints: Vec<Hint<'a>>,
}

impl<'a> Scene<'a> {
    pub(crate) fn of(facts: &'a Facts, reading: &'a Reading) -> Self {
        let mut hints = Vec::new();
        hints_of_words(facts, reading, &mut hints);
        hints_of_calls(facts, reading, &mut hints);
        Self { facts, reading, hints }
    }

    /// Hints of these kinds.
    pub(crate) fn hints_of(&self, troubles: &'static [Trouble]) -> impl Iterator<Item = &Hint<'a>> {
        self.hints.iter().filter(|hint| troubles.contains(&hint.trouble))
    }

    /// The signal, if one ended it.
    pub(crate) fn signal(&self) -> Option<u8> {
        self.facts.ended.signal
    }

    /// The sender, if it is another process than the one that ended.
    pub(crate) fn sender(&self) -> Option<&'a crate::facts::Other> {
        self.facts.ended.by.as_ref().filter(|by| by.pid != 0 && by.pid != self.facts.process.pid)
    }

    /// A limit by its name.
    pub(crate) fn limit(&self, name: &str) -> Option<&'a Limit> {
        self.facts.limits.iter().find(|limit| limit.name == name)
    }

    /// A limit that is used up: to this share at least.
    pub(crate) fn reached(&self, name: &str, share: f64) -> Option<&'a Limit> {
        let is_reached = |limit: &&Limit| match (limit.used, limit.limit) {
            (Some(used), Some(of)) => of > 0.0 && used >= of * share,
            _ => false,
        };
        self.limit(name).filter(is_reached)
    }

    /// The first frame that is the program's own, not the C library's or run time's way to end.
    pub(crate) fn own_frame(&self) -> Option<&'a Frame> {
        own_frame(&self.facts.stack)
    }

    /// The process is the main one of a unit or container, so that its code is an answer to a supervisor.
    pub(crate) fn is_service(&self) -> bool {
        let process = &self.facts.process;
        let parent = &process.parent;
        (process.unit.is_some() || process.container.is_some())
            && (parent.pid <= 1 || codes::is_supervisor(&parent.comm))
    }

    /// Changes of these kinds within the minutes before, that have a word in common with the process or the text.
    pub(crate) fn changes(&self, kinds: &[&str], text: &str) -> impl Iterator<Item = &'a Change> {
        let process = &self.facts.process;
        let mut about = vec![text.to_lowercase(), process.comm.to_lowercase(), process.exe.to_lowercase()];
        about.extend(process.unit.iter().map(|unit| unit.to_lowercase()));
        about.extend(self.facts.stack.iter().map(|frame| frame.module.to_lowercase()));
        about.push(process.cmdline.to_lowercase());
        let end = self.facts.ended.at_ns;
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        self.facts.changes.iter().filter(move |change| {
            kinds.contains(&change.kind)
                && change.at_ns <= end
                && end - change.at_ns <= CHANGE_NS
                && is_related(&change.what, &about)
        })
    }
}

/// Evidence of a change.
pub(crate) fn changed(change: &Change) -> Proof {
    let by = change.by.as_ref().map_or_else(String::new, |by| format!(", by {}", crate::claim::named(&by.comm, by.pid)));
    Proof {
        kind: ProofKind::Change,
        text: format!("{} changed: {}{by}", change.kind, change.what),
        at_ns: change.at_ns,
        reference: String::new(),
    }
}

/// Evidence of a limit.
pub(crate) fn limited(limit: &Limit) -> Proof {
    let number = |n: Option<f64>| n.map_or_else(|| "?".to_owned(), |n| format!("{n}"));
    let group = if limit.group.is_empty() { String::new() } else { format!(" of {}", limit.group) };
    crate::claim::proof(
        ProofKind::Limit,
        format!("{}{group}: {} of {}", limit.name, number(limit.used), number(limit.limit)),
    )
}

/// What changed shares a word with the process.
fn is_related(what: &str, about: &[String]) -> bool {
    const COMMON: &[&str] = &["conf", "config", "service", "local", "share", "home", "file", "x86_64", "linux", "site", "packages", "etc", "python3"];
    // `libssl3 3.0.15 → 3.0.16`: words of the name only.
    let what = what.to_lowercase();
    let mut words = what.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let stem = |word: &str| word.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    words.any(|word| {
        let word = stem(word);
        (word.len() >= MIN_RELATED_BYTES || word.len() >= 3 && word.starts_with("lib"))
            && !COMMON.contains(&word.as_str())
            && about.iter().any(|text| text.contains(&word))
    })
}

/// The first frame that is the program's own.
pub(crate) fn own_frame(stack: &[Frame]) -> Option<&Frame> {
    const WAY_OUT: &[&str] = &[
        "raise", "abort", "__assert", "__libc_message", "malloc_printerr", "__fortify_fail", "__stack_chk_fail", "__GI_", "pthread_kill",
        "__pthread_kill", "std::terminate", "__cxa_", "__gnu_cxx::", "std::__", "_int_free", "_int_malloc", "__libc_", "free", "malloc",
        "rust_panic", "rust_begin_unwind", "core::panicking", "std::panicking", "std::sys", "core::option::", "core::result::", "exit",
        "_exit", "__run_exit", "tgkill", "kill", "g_assertion", "g_log", "__chk_fail", "std::rt::", "[unknown]", "__memcpy", "memcpy",
        "__memset", "memset", "__memmove", "strlen", "__strlen", "strcpy", "__strcpy", "strcmp", "__strcmp", "memmove",
    ];
    let is_runtime = |frame: &&Frame| {
        let module = frame.module.rsplit('/').next().unwrap_or_default();
        ["libc.", "libc-", "ld-linux", "libstdc++", "libpthread", "libgcc_s", "ld-musl", "[vdso]", "libasan"]
            .iter()
            .any(|of| module.starts_with(of))
            || frame.function.is_empty()
            || WAY_OUT.iter().any(|of| frame.function.starts_with(of))
    };
    stack.iter().find(|frame| !is_runtime(frame))
}

fn hints_of_words<'a>(facts: &'a Facts, reading: &'a Reading, hints: &mut Vec<Hint<'a>>) {
    let calls_seen = !facts.failed_calls.is_empty();
    let mut step = 0;
    for statement in &reading.reasons {
        let is_uncaught = statement.rank == 0;
        let troubled = facts.failed_calls.iter().filter_map(|call| Some((call, Trouble::of_call(call)?)));
        let scored = troubled.filter_map(|(call, of)| {
            let about = mention(&statement.text, call);
            let same = statement.trouble.is_some_and(|trouble| trouble.class() == of.class());
            let score = match (same, about.target, about.errno) {
                (true, true, _) => 4,
                (false, true, true) => 3,
                // An address of another peer in the text is about that one.
                (true, false, _) if names_another(&statement.text, call) => return None,
                (true, false, _) => 2,
                // It names what the call was about, and no other reason.
                (false, true, false) if statement.trouble.is_none() && weight(call) > 0 => 1,
                _ => return None,
            };
            Some((score, call.at_ns, call, of))
        });
        let best = scored.max_by_key(|(score, at_ns, ..)| (*score, *at_ns));
        let less = STEP * f64::from(step) + if statement.rank >= 4 { STEP } else { 0.0 };
        let (trouble, call, confidence) = match (best, statement.trouble) {
            (Some((4 | 3, _, call, of)), said) => (more_exact(said, of), Some(call), SURE),
            (Some((2, _, call, of)), said) => (more_exact(said, of), Some(call), FIRM),
            (Some((_, _, call, of)), _) => (of, Some(call), FIRM - STEP / 2.0),
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
        hints.push(Hint { trouble, statement: Some(statement), call, tier, confidence: (confidence - less).max(0.3) });
        step += 1;
    }
}

/// The text can tell more exactly than the errno: a library that is not found; the errno more exactly than a word.
fn more_exact(said: Option<Trouble>, of_call: Trouble) -> Trouble {
    match (said, of_call) {
        (Some(said), Trouble::NotFound | Trouble::Permission) => said,
        (Some(said @ (Trouble::Resolve | Trouble::Library | Trouble::Watches | Trouble::Tasks)), _) => said,
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
    !call.path.is_empty() && crate::target::path(text).is_some_and(|path| path.starts_with('/') && path != call.path)
}

fn hints_of_calls<'a>(facts: &'a Facts, reading: &'a Reading, hints: &mut Vec<Hint<'a>>) {
    let used: Vec<*const FailedCall> = hints.iter().filter_map(|hint| Some(std::ptr::from_ref(hint.call?))).collect();
    let silent = !reading.complains();
    let mut step = 0;
    for call in facts.failed_calls.iter().rev() {
        let Some(trouble) = Trouble::of_call(call).filter(|_| !used.contains(&std::ptr::from_ref(call))) else { continue };
        let weight = weight(call);
        let age = facts.ended.at_ns.saturating_sub(call.at_ns);
        let near = if weight == 2 { NEAR_FILE_NS } else { NEAR_NS };
        if weight < 2 || age > near || call.count > ROUTINE_CALLS {
            continue;
        }
        // Other words say that it was something else.
        let confidence = if silent { SILENT_CALL } else { CALL } - STEP * f64::from(step) - if weight == 2 { STEP } else { 0.0 };
        hints.push(Hint { trouble, statement: None, call: Some(call), tier: Tier::Call, confidence: confidence.max(0.3) });
        step += 1;
    }
}

/// How much a failed call matters: 0 not at all, 1 if the words speak of it, 2 just before the end, 3 always.
fn weight(call: &FailedCall) -> u8 {
    /// Calls that ask whether something is there.
    const ASKS: &[&str] = &[
        "access", "faccessat", "faccessat2", "stat", "lstat", "fstat", "newfstatat", "statx", "readlink", "readlinkat", "getxattr",
        "lgetxattr", "statfs", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "ioctl", "prctl",
    ];
    /// Where programs look for what need not be there.
    const NOISE: &[&str] = &[
        "/ld.so.", "/locale/", "/locale", "/gconv/", "/nscd/", "/glibc-hwcaps/", "/site-packages", "/dist-packages", "/python3",
        "/__pycache__/", "/terminfo/", "/zoneinfo", "/nsswitch", "/selinux", "/.", "/proc/", "/sys/", "/dev/tty", "/dev/shm/",
        "/etc/localtime", "/etc/host.conf", "/etc/gai.conf", "/etc/resolv", "/usr/lib/", "/lib/", "/lib64/", "/usr/local/lib/", "/usr/share/",
        "/run/user/", "/node_modules/", "/package.json", "/openssl", "/engines", "/etc/ssl/", "/tmp/hsperf", "/etc/bash", "/etc/profile",
    ];
    match call.errno.as_str() {
        "ENOENT" | "ENOTDIR" if call.call == "connect" => 3,
        "ENOENT" | "ENOTDIR" | "EACCES" | "EPERM" if call.call.starts_with("execve") => 3,
        "ENOENT" | "ENOTDIR" | "EACCES" | "EPERM" if ASKS.contains(&call.call.as_str()) => 1,
        "ENOENT" | "ENOTDIR" if NOISE.iter().any(|noise| call.path.contains(noise)) || !call.path.starts_with('/') => 1,
        "ENOENT" if is_library(&call.path) => 1,
        "ENOENT" | "ENOTDIR" => 2,
        "EACCES" | "EPERM" if call.path.starts_with("/proc/") || call.path.starts_with("/sys/") => 1,
        "EACCES" | "EPERM" if call.path.is_empty() && call.peer.is_empty() => 1,
        "EACCES" | "EPERM" => 2,
        "ENETUNREACH" | "EADDRNOTAVAIL" if call.call == "connect" => 1,
        "EPIPE" | "ECONNRESET" => 2,
        "ENOMEM" => 2,
        _ if Trouble::of_call(call).is_some() => 3,
        _ => 0,
    }
}

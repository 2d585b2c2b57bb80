//! The facts, read once for all rules: what was said, which calls failed for it, and which kind of trouble that is.

use agent_common::wire::postmortem::{Proof, ProofKind};

use crate::codes::signal;
use crate::facts::{Change, Facts, Frame, Limit};
use crate::hints::{self, Hint, hint_of_connection, hint_of_curl, hints_of_calls, hints_of_words};
use crate::trouble::Trouble;
use crate::words::Reading;

/// A change on the host so long before the end can be its reason, ns.
const CHANGE_NS: u64 = 600_000_000_000;
/// Shortest word that ties a change to a process.
const MIN_RELATED_BYTES: usize = 4;

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
        // Nobody sends SIGKILL to itself for what it said.
        if facts.ended.signal != Some(signal::KILL) {
            hints_of_words(facts, reading, &mut hints);
            hints_of_calls(facts, reading, &mut hints);
            if hints.is_empty() {
                hints.extend(hint_of_curl(facts).or_else(|| hint_of_connection(facts, reading)));
            }
        }
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

    /// Whether the kernel had no page for the memory that it touched: SIGBUS with `BUS_ADRERR`.
    pub(crate) fn lacks_page(&self) -> bool {
        const BUS_ADRERR: i32 = 2;
        self.signal() == Some(signal::BUS)
            && self.facts.ended.si_code == BUS_ADRERR
            && self.sender().is_none()
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
        hints::is_service(self.facts)
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
    let by = change
        .by
        .as_ref()
        .map_or_else(String::new, |by| format!(", by {}", crate::claim::named(&by.comm, by.pid)));
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
    const COMMON: &[&str] = &[
        "conf", "config", "service", "local", "share", "home", "file", "x86_64", "linux", "site", "packages",
        "etc", "python3",
    ];
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
        "raise",
        "abort",
        "__assert",
        "__libc_message",
        "malloc_printerr",
        "__fortify_fail",
        "__stack_chk_fail",
        "__GI_",
        "pthread_kill",
        "__pthread_kill",
        "std::terminate",
        "__cxa_",
        "__gnu_cxx::",
        "std::__",
        "_int_free",
        "_int_malloc",
        "__libc_",
        "free",
        "malloc",
        "rust_panic",
        "rust_begin_unwind",
        "core::panicking",
        "std::panicking",
        "std::sys",
        "core::option::",
        "core::result::",
        "exit",
        "_exit",
        "__run_exit",
        "tgkill",
        "kill",
        "g_assertion",
        "g_log",
        "__chk_fail",
        "std::rt::",
        "[unknown]",
        "__memcpy",
        "memcpy",
        "__memset",
        "memset",
        "__memmove",
        "strlen",
        "__strlen",
        "strcpy",
        "__strcpy",
        "strcmp",
        "__strcmp",
        "memmove",
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

//! What a process said before its end: from pieces of text to the statements that can be its reason, the likeliest first.

mod trace;

use std::collections::HashMap;

pub(crate) use trace::{Kind, Trace};

use crate::facts::Facts;
use crate::trouble::Trouble;

/// Most bytes that are read of one stream, and of all lines of logs: the ring of last words has 4 KiB, a log more.
const MAX_STREAM_BYTES: usize = 64 << 10;
/// Most lines of a stream, the last ones.
const MAX_STREAM_LINES: usize = 1_000;
/// A pause of this length ends a burst of lines, ns: a program that fails says it at once.
const BURST_GAP_NS: u64 = 1_000_000_000;
/// The last burst begins at most so long before the end, ns.
const BURST_NS: u64 = 10_000_000_000;
/// What was said longer ago than this explains no end, ns.
const OLD_NS: u64 = 60_000_000_000;
/// A line that comes this often is the program's routine.
const ROUTINE_COUNT: usize = 3;
/// Longest statement, bytes.
const MAX_STATEMENT_BYTES: usize = 1_024;

/// How loud a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// Information.
    Plain,
    /// A warning, or an error that the program goes on after.
    Handled,
    /// An error.
    Error,
    /// It says itself that it ends for this.
    Fatal,
}

/// One thing that it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// When; 0: not known.
    pub(crate) at_ns: u64,
    /// The innermost cause, if it is a trace; else the line.
    pub(crate) text: String,
    pub(crate) weight: Weight,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) trace: Option<Trace>,
    /// Where to read on.
    pub(crate) reference: String,
    /// No line like it was seen before.
    pub(crate) is_new: bool,
    /// A program's own stderr, not its stdout: any text there is a complaint.
    pub(crate) on_stderr: bool,
    /// As a reason: 0 is an uncaught exception, 2 an error of the last burst, 3 an older one, 4 and more what was handled or is routine.
    pub(crate) rank: u8,
}

/// What the process said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What can be its reason, the likeliest first.
    pub(crate) reasons: Vec<Statement>,
    /// All, in the order of time.
    pub(crate) all: Vec<Statement>,
}

impl Reading {
    /// Reads last words and lines.
    pub(crate) fn of(facts: &Facts) -> Self {
        let mut all = Vec::new();
        let mut known: HashMap<String, (String, bool)> = HashMap::new();
        let words = facts.last_words.iter().map(|words| words.text.as_str()).collect::<String>();
        for line in &facts.lines {
            let first = line.text.lines().next().unwrap_or_default().trim();
            // The journal has what went to stderr, too.
            if !first.is_empty() && words.contains(first) {
                known.insert(first.to_owned(), (line.reference.clone(), line.new_pattern));
                continue;
            }
            let lines: Vec<_> = bounded(&line.text).lines().map(|text| (line.at_ns, text)).collect();
            statements(&lines, |mut statement| {
                statement.weight = match (line.severity, statement.weight) {
                    // The log says how loud it is.
                    (0..=2, _) => Weight::Fatal,
                    (3, weight) => weight.max(Weight::Error),
                    (4, _) => Weight::Handled,
                    // Whatever a service prints is information to the journal.
                    (_, weight) => weight,
                };
                line.reference.clone_into(&mut statement.reference);
                statement.is_new = line.new_pattern;
                all.push(statement);
            });
        }
        for fd in [1, 2] {
            let mut text = String::new();
            let mut starts = Vec::new();
            for words in facts.last_words.iter().filter(|words| (words.fd == 1) == (fd == 1)) {
                starts.push((text.len(), words.at_ns));
                text.push_str(&words.text);
                if text.len() > 2 * MAX_STREAM_BYTES {
                    let cut = text.ceil_char_boundary(text.len() - MAX_STREAM_BYTES);
                    text.drain(..cut);
                    starts.iter_mut().for_each(|(start, _)| *start = start.saturating_sub(cut));
                }
                // A piece that was cut does not go on in the next one.
                if words.cut {
                    text.push('\n');
                }
            }
            let mut at = 0;
            let mut lines: Vec<(u64, &str)> = Vec::new();
            for line in text.split('\n') {
                let piece = starts.partition_point(|(start, _)| *start <= at).saturating_sub(1);
                lines.push((starts.get(piece).map_or(0, |(_, at_ns)| *at_ns), line.trim_end_matches('\r')));
                at += line.len() + 1;
            }
            let skip = lines.len().saturating_sub(MAX_STREAM_LINES);
            statements(&lines[skip..], |mut statement| {
                statement.on_stderr = fd == 2;
                if let Some((reference, is_new)) = known.get(statement.text.trim()) {
                    reference.clone_into(&mut statement.reference);
                    statement.is_new = *is_new;
                }
                all.push(statement);
            });
        }
        if all.iter().all(|statement| statement.at_ns > 0) {
            all.sort_by_key(|statement| statement.at_ns);
        }
        let reasons = reasons(&all, facts.ended.at_ns);
        Self { reasons, all }
    }

    /// It complained of anything at all.
    pub(crate) fn complains(&self) -> bool {
        self.all.iter().any(|statement| statement.weight >= Weight::Error)
    }

    /// Any statement, of whatever weight, has one of these words (lower case).
    pub(crate) fn find(&self, words: &[&str]) -> Option<&Statement> {
        self.all.iter().rev().find(|statement| {
            let text = statement.text.to_lowercase();
            words.iter().any(|word| text.contains(word))
        })
    }
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_STREAM_BYTES)]
}

/// Reads lines of one source.
fn statements(lines: &[(u64, &str)], mut add: impl FnMut(Statement)) {
    let texts: Vec<_> = lines.iter().map(|(_, text)| *text).collect();
    let mut at = 0;
    while at < lines.len() {
        let (at_ns, line) = lines[at];
        if line.trim().is_empty() {
            at += 1;
            continue;
        }
        let (statement, used) = match trace::read(&texts[at..]) {
            Some((trace, used)) => (of_trace(at_ns, trace), used),
            None => (of_line(at_ns, line), 1),
        };
        at += used.max(1);
        add(statement);
    }
}

fn of_trace(at_ns: u64, trace: Trace) -> Statement {
    let text = trace.text();
    let routine = text.starts_with("KeyboardInterrupt") || text.starts_with("SystemExit");
    Statement {
        at_ns,
        weight: if routine { Weight::Plain } else { Weight::Fatal },
        trouble: Trouble::of_text(&text),
        text: cut(&text),
        trace: Some(trace),
        reference: String::new(),
        is_new: false,
        on_stderr: false,
        rank: 0,
    }
}

fn of_line(at_ns: u64, line: &str) -> Statement {
    let weight = weigh(line);
    let trouble = if weight == Weight::Plain { None } else { Trouble::of_text(line) };
    Statement {
        at_ns,
        text: cut(line.trim()),
        weight,
        trouble,
        trace: None,
        reference: String::new(),
        is_new: false,
        on_stderr: false,
        rank: 0,
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_STATEMENT_BYTES)].to_owned()
}

/// Names of levels at the head of a line.
const LEVELS: &[(&str, Weight)] = &[
    ("fatal", Weight::Fatal),
    ("critical", Weight::Fatal),
    ("crit", Weight::Fatal),
    ("panic", Weight::Fatal),
    ("emerg", Weight::Fatal),
    ("emergency", Weight::Fatal),
    ("alert", Weight::Fatal),
    ("error", Weight::Error),
    ("err", Weight::Error),
    ("eror", Weight::Error),
    ("severe", Weight::Error),
    ("warning", Weight::Handled),
    ("warn", Weight::Handled),
    ("notice", Weight::Plain),
    ("info", Weight::Plain),
    ("debug", Weight::Plain),
    ("trace", Weight::Plain),
    ("log", Weight::Plain),
];

/// How many words of a line are searched for its level: date, time, zone, host, program, thread come first.
const LEVEL_WORDS: usize = 8;

/// How loud a line is: by its level, else by its words.
fn weigh(line: &str) -> Weight {
    const HANDLED: &[&str] = &[
        "retrying", "will retry", "retry in", "try again", "trying again", "ignoring", "ignored", "continuing", "skipping",
        "skipped", "falling back", "fallback", "using default", "using the default", "recovered", "reconnect", "trying next",
        "going on without", "continue without", "running without", "disabled", "non-fatal", "not fatal", "instead",
    ];
    const GIVES_UP: &[&str] = &["giving up", "gave up", "aborting", "exiting", "cannot continue", "can not continue", "terminating", "shutting down", "bailing out"];
    const NEGATED: &[&str] = &[
        "0 error", "no error", "without error", "zero error", "errors: 0", "errors=0", "error=0", "0 fail", "no fail", "failed: 0",
        "failed=0", "failures: 0", "failures=0", "no problem", "error: none", "error=null", "error: null", "error=nil",
    ];
    const BAD: &[&str] = &[
        "error", "fatal", "fail", "cannot", "can't", "can not", "could not", "couldn't", "unable", "denied", "exception", "panic",
        "not found", "no such", "abort", "refused", "invalid", "timed out", "terminate called", "missing", "unknown", "illegal",
        "out of memory", "not permitted", "does not exist", "unrecognized", "must be", "not allowed", "corrupt", "expired",
        "unreachable", "not available", "unavailable", "no space", "too many", "already in use", "broken pipe", "unexpected",
        "required", "not running", "no route", "exceeded", "overflow", "smashing", "insufficient", "too large", "read-only",
        "bad ", "gave up", "segmentation fault", "killed", "not set", "unsupported", "not supported", "deadlock", "misconf",
        "free(): ", "malloc(): ", "lost", "conflict", "mismatch", "undefined", "permission",
    ];
    /// What a supervisor says after the end.
    const AFTER: &[&str] = &[
        "main process exited", "failed with result", "scheduled restart job", "start request repeated", "deactivated successfully",
        "stopped ", "started ", "control process exited", "with exit code", "exited with code",
    ];
    let lower = line.to_lowercase();
    if AFTER.iter().any(|words| lower.contains(words)) {
        return Weight::Plain;
    }
    let level = level(line);
    if matches!(level, Some(Weight::Plain | Weight::Handled)) {
        return level.unwrap_or(Weight::Plain);
    }
    let is_bad = BAD.iter().any(|word| lower.contains(word)) && !NEGATED.iter().any(|words| lower.contains(words));
    if level.is_none() && !is_bad {
        return Weight::Plain;
    }
    if GIVES_UP.iter().any(|words| lower.contains(words)) {
        return Weight::Fatal;
    }
    if HANDLED.iter().any(|words| lower.contains(words)) && level != Some(Weight::Fatal) {
        return Weight::Handled;
    }
    level.unwrap_or(Weight::Error)
}

/// The level that stands at the head of a line: `ERROR`, `[error]`, `level=error`, `"level":"error"`, `E1130 `.
fn level(line: &str) -> Option<Weight> {
    let of = |word: &str| LEVELS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight);
    for key in ["level=", "\"level\":", "severity=", "\"severity\":", "lvl=", "\"levelname\":"] {
        if let Some((_, rest)) = line.split_once(key) {
            let rest = rest.trim_start_matches([' ', '"']);
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            return of(&rest[..end]);
        }
    }
    // klog: a letter and the date.
    let bytes = line.as_bytes();
    if bytes.len() > 5 && bytes[1..5].iter().all(u8::is_ascii_digit) && bytes[5] == b' ' {
        match bytes[0] {
            b'F' => return Some(Weight::Fatal),
            b'E' => return Some(Weight::Error),
            b'W' => return Some(Weight::Handled),
            b'I' => return Some(Weight::Plain),
            _ => {}
        }
    }
    for word in line.split_whitespace().take(LEVEL_WORDS) {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphabetic());
        // A level is in upper case, in brackets, or ends with a colon: `error` in a sentence is none.
        let is_marked = bare.chars().all(|c| c.is_ascii_uppercase()) || word.starts_with(['[', '<']) || word.ends_with(':');
        if let Some(weight) = is_marked.then(|| of(bare)).flatten() {
            return Some(weight);
        }
    }
    None
}

/// The text with each run of digits as one sign: lines of one kind are equal.
fn template(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            _ => out.push(c),
        }
    }
    out
}

/// The statements that can be the reason, the likeliest first: an uncaught exception; errors of the last burst, the first of them
/// first; older errors, the newest first; what was handled or is routine.
fn reasons(all: &[Statement], end_ns: u64) -> Vec<Statement> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for statement in all {
        *counts.entry(template(&statement.text)).or_default() += 1;
    }
    let is_routine = |statement: &Statement| counts[&template(&statement.text)] >= ROUTINE_COUNT && statement.trace.is_none();
    let age = |statement: &Statement| if statement.at_ns == 0 { 0 } else { end_ns.saturating_sub(statement.at_ns) };
    // The burst is what stands after the last pause.
    let mut begin = all.len();
    for at in (0..all.len()).rev() {
        let gap = all.get(at + 1).map_or(0, |next| next.at_ns.saturating_sub(all[at].at_ns));
        let complains_after = all[at + 1..].iter().any(|statement| statement.weight >= Weight::Error);
        if (gap > BURST_GAP_NS && complains_after) || (age(&all[at]) > BURST_NS && complains_after) {
            break;
        }
        begin = at;
    }
    let bad = |statement: &&Statement| statement.weight >= Weight::Error;
    let (old, burst) = all.split_at(begin);
    let fresh = |statement: &&Statement| age(statement) <= OLD_NS;
    let mut order: Vec<(u8, &Statement)> = Vec::new();
    let uncaught = burst.iter().rev().find(|statement| {
        statement.weight == Weight::Fatal && statement.trace.as_ref().is_some_and(|trace| !trace.is_consequence())
    });
    let said_before = |one: &Statement, at: usize| {
        burst[..at].iter().any(|before| before.trace.is_none() && before.weight == Weight::Fatal && before.trouble.is_some() && one != before)
    };
    for (at, statement) in burst.iter().enumerate().filter(|(_, statement)| fresh(statement)) {
        let is_uncaught = uncaught.is_some_and(|one| std::ptr::eq(one, statement));
        let rank = match statement.weight {
            Weight::Plain => continue,
            _ if is_uncaught && !said_before(statement, at) => 0,
            Weight::Handled => 4,
            _ if is_routine(statement) => 4,
            Weight::Fatal if statement.trace.is_none() && statement.trouble.is_some() => 1,
            _ => 2,
        };
        // The first error counts, so errors and fatal ones are one rank unless the error is routine.
        order.push((if rank == 1 { 2 } else { rank }, statement));
    }
    for statement in old.iter().rev().filter(bad).filter(fresh) {
        order.push((if is_routine(statement) { 5 } else { 3 }, statement));
    }
    order.sort_by_key(|(rank, _)| *rank);
    order.into_iter().map(|(rank, statement)| Statement { rank, ..statement.clone() }).collect()
}

/// The first statement of a text that a run time left: an abort's message.
pub(crate) fn read_text(text: &str) -> Option<Statement> {
    let lines: Vec<_> = bounded(text).lines().map(|line| (0, line)).collect();
    let mut found = None;
    statements(&lines, |statement| {
        found.get_or_insert(statement);
    });
    found.map(|mut statement: Statement| {
        // Whatever stands there is why it gave up.
        statement.trouble = statement.trouble.or_else(|| Trouble::of_text(&statement.text));
        statement.weight = Weight::Fatal;
        statement
    })
}

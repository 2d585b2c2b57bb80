//! How loud a line is.

use crate::trouble::Trouble;

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
pub(super) fn weigh(line: &str) -> Weight {
    let lower = line.to_lowercase();
    if AFTER.iter().any(|words| lower.contains(words)) {
        return Weight::Plain;
    }
    let level = level(line);
    if matches!(level, Some(Weight::Plain | Weight::Handled)) {
        return level.unwrap_or(Weight::Plain);
    }
    let is_bad =
        BAD.iter().any(|word| lower.contains(word)) && !NEGATED.iter().any(|words| lower.contains(words));
    let is_trouble = || !matches!(Trouble::of_text(line), None | Some(Trouble::Config | Trouble::Arguments));
    if level.is_none() && !is_bad && !is_trouble() {
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
pub(super) fn level(line: &str) -> Option<Weight> {
    let of = |word: &str| {
        LEVELS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight)
    };
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
        let is_marked = bare.chars().all(|c| c.is_ascii_uppercase())
            || word.starts_with(['[', '<'])
            || word.ends_with(':');
        if let Some(weight) = is_marked.then(|| of(bare)).flatten() {
            return Some(weight);
        }
    }
    None
}

/// Words of a program that goes on.
const HANDLED: &[&str] = &[
    "retrying",
    "will retry",
    "retry in",
    "try again",
    "trying again",
    "ignoring",
    "ignored",
    "continuing",
    "skipping",
    "skipped",
    "falling back",
    "fallback",
    "using default",
    "using the default",
    "recovered",
    "reconnect",
    "trying next",
    "going on without",
    "continue without",
    "running without",
    "disabled",
    "non-fatal",
    "not fatal",
    "instead",
];

/// Words of one that does not.
const GIVES_UP: &[&str] = &[
    "giving up",
    "gave up",
    "aborting",
    "exiting",
    "cannot continue",
    "can not continue",
    "terminating",
    "shutting down",
    "bailing out",
];

/// Words that only look like an error.
const NEGATED: &[&str] = &[
    "0 error",
    "no error",
    "without error",
    "zero error",
    "errors: 0",
    "errors=0",
    "error=0",
    "0 fail",
    "no fail",
    "failed: 0",
    "failed=0",
    "failures: 0",
    "failures=0",
    "no problem",
    "error: none",
    "error=null",
    "error: null",
    "error=nil",
];

/// Words of an error.
const BAD: &[&str] = &[
    "error",
    "fatal",
    "fail",
    "cannot",
    "can't",
    "can not",
    "could not",
    "couldn't",
    "unable",
    "denied",
    "exception",
    "panic",
    "not found",
    "no such",
    "abort",
    "refused",
    "invalid",
    "timed out",
    "terminate called",
    "missing",
    "unknown",
    "illegal",
    "out of memory",
    "not permitted",
    "does not exist",
    "unrecognized",
    "must be",
    "not allowed",
    "corrupt",
    "expired",
    "unreachable",
    "not available",
    "unavailable",
    "no space",
    "too many",
    "already in use",
    "broken pipe",
    "unexpected",
    "required",
    "not running",
    "no route",
    "exceeded",
    "overflow",
    "smashing",
    "insufficient",
    "too large",
    "read-only",
    "bad ",
    "gave up",
    "segmentation fault",
    "killed",
    "not set",
    "unsupported",
    "not supported",
    "deadlock",
    "misconf",
    "free(): ",
    "malloc(): ",
    "lost",
    "conflict",
    "mismatch",
    "undefined",
    "unbound",
    "permission",
];

/// What a supervisor says after the end.
const AFTER: &[&str] = &[
    "main process exited",
    "failed with result",
    "scheduled restart job",
    "start request repeated",
    "deactivated successfully",
    "stopped ",
    "started ",
    "control process exited",
    "with exit code",
    "exited with code",
];

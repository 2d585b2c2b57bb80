//! How grave a line is, as far as it says so itself.

use crate::Severity;

/// Where a line's level stands if it has one: within so many bytes after its time.
const HEAD_BYTES: usize = 64;

/// Words that stand before a noun, never before a level: `the ERROR counter`, `NO ERROR`.
const PROSE: [&[u8]; 20] = [
    b"a", b"an", b"and", b"any", b"as", b"by", b"each", b"for", b"in", b"no", b"not", b"of", b"on", b"or",
    b"the", b"this", b"to", b"with", b"without", b"zero",
];

/// By a level's name, in any case.
#[must_use]
pub fn of_word(word: &[u8]) -> Option<Severity> {
    if !(3..=13).contains(&word.len()) {
        return None;
    }
    let mut lower = [0; 13];
    let lower = &mut lower[..word.len()];
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"emerg" | b"emergency" => Severity::Emergency,
        b"alert" => Severity::Alert,
        b"crit" | b"critical" | b"fatal" | b"panic" | b"dpanic" => Severity::Critical,
        b"err" | b"error" | b"eror" | b"severe" => Severity::Error,
        b"warn" | b"warning" | b"wrn" => Severity::Warning,
        b"notice" => Severity::Notice,
        b"info" | b"information" | b"informational" | b"inf" => Severity::Info,
        b"debug" | b"dbg" | b"trace" | b"trc" | b"verbose" | b"fine" | b"finer" | b"finest" => {
            Severity::Debug
        }
        _ => return None,
    })
}

/// By a field of a structured line: `level`, `lvl`, `severity`, … with a name, a letter, syslog's number or bunyan's (10 to 60).
#[must_use]
pub fn of_level(name: &str, value: &str) -> Option<Severity> {
    let name = name.rsplit('.').next().unwrap_or(name);
    let level = [
        "level",
        "lvl",
        "severity",
        "loglevel",
        "levelname",
        "level_name",
        "log_level",
        "severity_text",
        "@l",
        "@level",
    ];
    if !level.iter().any(|known| known.eq_ignore_ascii_case(name)) && !name.eq_ignore_ascii_case("priority") {
        return None;
    }
    if let Some(known) = of_word(value.as_bytes()) {
        return Some(known);
    }
    match value.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => of_letter(*letter),
        [digit] if digit.is_ascii_digit() && *digit < b'8' => {
            Some(Severity::of_number(u64::from(digit - b'0')))
        }
        _ => match value.parse::<u32>().ok()? {
            10..=29 => Some(Severity::Debug),
            30..=39 => Some(Severity::Info),
            40..=49 => Some(Severity::Warning),
            50..=59 => Some(Severity::Error),
            60..=69 => Some(Severity::Critical),
            _ => None,
        },
    }
}

fn of_letter(letter: u8) -> Option<Severity> {
    Some(match letter.to_ascii_uppercase() {
        b'F' | b'C' => Severity::Critical,
        b'E' => Severity::Error,
        b'W' => Severity::Warning,
        b'N' => Severity::Notice,
        b'I' => Severity::Info,
        b'D' | b'T' | b'V' => Severity::Debug,
        _ => return None,
    })
}

/// By the word in a line's head that is its level; `dated`: a time stood before the text. A level stands first, or behind
/// what is no prose: numbers, brackets, names with `:` or `.`. Upper case may have one word before it, as a program's name. So in
/// `0 errors`, `no error found` and `the ERROR counter` nothing is said.
#[must_use]
pub fn of_words(text: &[u8], dated: bool) -> Severity {
    let mut plain = [0; HEAD_BYTES];
    let mut words = Words { prose: 0, after_number: false, level: None, dated, first: true };
    for token in without_colours(text, &mut plain).split(|byte| matches!(byte, b' ' | b'\t' | b'|' | b'\n')) {
        match words.token(token) {
            Some(verdict) => return verdict,
            None if words.prose > 1 => return Severity::Unknown,
            None => {}
        }
    }
    Severity::Unknown
}

struct Words {
    /// Words in lower case, or with a capital, that stand alone.
    prose: u32,
    after_number: bool,
    /// A level's name that stands alone, as in `Fatal error: …`.
    level: Option<Severity>,
    dated: bool,
    first: bool,
}

impl Words {
    fn token(&mut self, token: &[u8]) -> Option<Severity> {
        let trimmed = token.trim_ascii();
        if trimmed.is_empty() || matches!(trimmed, b"-" | b"--" | b"---" | b"::" | b":") {
            return None;
        }
        let first = std::mem::replace(&mut self.first, false);
        if let Some(equals) = memchr::memchr(b'=', trimmed) {
            let (name, value) = (&trimmed[..equals], &trimmed[equals + 1..]);
            let value = value.trim_ascii_start().strip_prefix(b"\"").unwrap_or(value);
            let value = value.strip_suffix(b"\"").unwrap_or(value);
            return of_level(std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?);
        }
        let (core, marked) = core(trimmed);
        let follows_number = std::mem::replace(&mut self.after_number, false);
        let follows_level = self.level.take();
        if core.is_empty() || core.iter().any(|byte| !byte.is_ascii_alphabetic()) {
            // After the time and before the level stands a process's or thread's number; elsewhere it counts something.
            self.after_number =
                !marked.any() && core.iter().all(u8::is_ascii_digit) && !(first && self.dated);
            return None;
        }
        let upper = core.iter().all(u8::is_ascii_uppercase);
        if let [letter] = core
            && (marked.bracket || (first && marked.colon))
            && upper
        {
            return of_letter(*letter);
        }
        let Some(level) = of_word(core) else {
            if PROSE.iter().any(|word| core.eq_ignore_ascii_case(word)) {
                return Some(Severity::Unknown);
            }
            self.prose += u32::from(!(marked.any() || upper));
            return None;
        };
        let says = if marked.any() {
            self.prose == 0
        } else {
            (upper && self.prose <= 1 && !follows_number) || (first && self.dated)
        };
        if says {
            return Some(follows_level.map_or(level, |before| before.min(level)));
        }
        if follows_level.is_some() || !first {
            return Some(Severity::Unknown);
        }
        self.level = Some(level);
        None
    }
}

struct Marks {
    bracket: bool,
    colon: bool,
}

impl Marks {
    fn any(&self) -> bool {
        self.bracket || self.colon
    }
}

/// A token without its brackets and its colon.
fn core(token: &[u8]) -> (&[u8], Marks) {
    let mut marks = Marks { bracket: false, colon: false };
    let mut core = token;
    while let Some(rest) = core.strip_suffix(b":").or_else(|| core.strip_suffix(b",")) {
        marks.colon |= core.ends_with(b":");
        core = rest;
    }
    for (open, close) in [(b"[", b"]"), (b"<", b">"), (b"(", b")"), (b"*", b"*")] {
        if let Some(inner) = core.strip_prefix(open) {
            // `[ERROR]`, `[ERROR` of `[ERROR main]`, `[error]:`.
            core = inner.strip_suffix(close).unwrap_or(inner);
            marks.bracket = true;
        } else if let Some(inner) = core.strip_suffix(close) {
            core = inner;
            marks.bracket = true;
        }
    }
    (core, marks)
}

/// The head of a text, without the sequences that colour it.
fn without_colours<'a>(text: &'a [u8], into: &'a mut [u8; HEAD_BYTES]) -> &'a [u8] {
    let head = &text[..text.len().min(HEAD_BYTES)];
    if memchr::memchr(0x1b, head).is_none() {
        return whole_tokens(head, text.len());
    }
    let (mut len, mut bytes) = (0, text.iter());
    while len < HEAD_BYTES
        && let Some(byte) = bytes.next()
    {
        if *byte == 0x1b {
            // `ESC [ 3 1 m`, at most a few bytes of it.
            bytes.by_ref().take(16).find(|byte| byte.is_ascii_alphabetic());
        } else {
            into[len] = *byte;
            len += 1;
        }
    }
    whole_tokens(&into[..len], len + bytes.len())
}

/// Without a last token that goes on behind the head: `ERRORS` is not `ERROR`.
fn whole_tokens(head: &[u8], whole: usize) -> &[u8] {
    if head.len() == whole {
        return head;
    }
    let end = memchr::memrchr(b' ', head).unwrap_or(0);
    &head[..end]
}

/// Whether a line is the first of a stack trace, or of a report of a sanitizer.
pub(super) fn is_of_a_trace(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("Traceback (most recent call last)")
        || text.starts_with("panic: ")
        || text.starts_with("fatal error: ")
        || text.starts_with("Exception in thread ")
        || text.starts_with("Unhandled exception")
        || text.starts_with("terminate called ")
        || (text.starts_with("thread '")
            && (text.contains("' panicked at") || text.contains(") panicked at")))
        || (text.starts_with("==") && text.contains("Sanitizer: "))
        || is_exception(text)
}

/// `java.lang.IllegalStateException: text`, `ValueError: text`: a name that ends so, then nothing or a colon.
pub(super) fn is_exception(text: &str) -> bool {
    let end = text
        .bytes()
        .take(256)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$'))
        .count();
    let (name, rest) = text.split_at(end);
    let named = ["Exception", "Error", "Throwable"]
        .iter()
        .any(|last| name.ends_with(last) && name.len() > last.len());
    named && (rest.is_empty() || rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_taken_where_a_level_stands() {
        for (text, expected) in [
            ("ERROR something", Severity::Error),
            ("[error] 123#123: *1 open() failed", Severity::Error),
            ("nginx: [emerg] bind() failed", Severity::Emergency),
            ("[main] WARN  com.example.App - slow", Severity::Warning),
            (" INFO 1234 --- [main] c.e.App : up", Severity::Info),
            ("com.example.App - FATAL: gone", Severity::Critical),
            ("app DEBUG started", Severity::Debug),
            ("web_1  | ERROR boom", Severity::Error),
            ("gcc: error: no input files", Severity::Error),
            ("a.c:12:3: warning: unused variable 'x'", Severity::Warning),
            ("Fatal error: out of reach", Severity::Critical),
            ("PHP Warning:  Undefined variable", Severity::Warning),
            ("Error: x", Severity::Error),
            ("E: Unable to locate package", Severity::Error),
            ("[W] old syntax", Severity::Warning),
            ("\x1b[32mINFO\x1b[0m ready", Severity::Info),
            ("\x1b[2m\x1b[33m WARN\x1b[0m \x1b[2mhyper\x1b[0m: x", Severity::Warning),
            ("time=x level=warn msg=y", Severity::Warning),
            ("lvl=\"eror\" x", Severity::Error),
            ("ERROR", Severity::Error),
        ] {
            assert_eq!(of_words(text.as_bytes(), false), expected, "{text}");
        }
    }

    #[test]
    fn a_word_of_prose_says_nothing() {
        for text in [
            "",
            "0 errors",
            "0 ERROR found",
            "finished with 0 errors, 3 warnings",
            "no error found",
            "NO ERROR",
            "Starting error handler",
            "the ERROR counter is 7",
            "checked a list: the worst was ERROR",
            "found an error: none",
            "errors: 0",
            "error rate is 0.1",
            "information desk",
            "debugging",
            "GET /error HTTP/1.1",
            "request done in 12 ms without error: fine",
            "the quick brown fox jumps over the lazy dog and then some more ERROR: x",
        ] {
            assert_eq!(of_words(text.as_bytes(), false), Severity::Unknown, "{text}");
        }
    }

    #[test]
    fn behind_a_time_a_level_may_be_in_lower_case_or_behind_a_number() {
        assert_eq!(of_words(b" error opening", true), Severity::Error);
        assert_eq!(of_words(b" 1234 ERROR opening", true), Severity::Error);
        assert_eq!(of_words(b" [1234] ERROR:  relation", true), Severity::Error);
        assert_eq!(of_words(b" 3 found, 1234 ERROR opening", true), Severity::Unknown);
    }

    #[test]
    fn a_word_that_is_cut_at_the_end_of_the_head_is_not_read() {
        let text = format!("{}: ERRORS", "x".repeat(HEAD_BYTES - 7));
        assert_eq!(text.as_bytes()[HEAD_BYTES - 1], b'R');
        assert_eq!(of_words(text.as_bytes(), false), Severity::Unknown);
    }

    #[test]
    fn fields_say_it_by_name_letter_or_number() {
        for (name, value, expected) in [
            ("level", "warn", Some(Severity::Warning)),
            ("log.level", "ERROR", Some(Severity::Error)),
            ("severity", "3", Some(Severity::Error)),
            ("level", "50", Some(Severity::Error)),
            ("level", "30", Some(Severity::Info)),
            ("@l", "Fatal", Some(Severity::Critical)),
            ("lvl", "W", Some(Severity::Warning)),
            ("PRIORITY", "6", Some(Severity::Info)),
            ("level", "9000", None),
            ("level", "high", None),
            ("water_level", "3", None),
            ("message", "error", None),
        ] {
            assert_eq!(of_level(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn traces_are_known_by_their_first_line() {
        for text in [
            "Traceback (most recent call last):",
            "panic: runtime error: index out of range [5] with length 3",
            "thread 'main' panicked at src/main.rs:2:5:",
            "thread 'main' (12) panicked at src/main.rs:2:5:",
            "java.lang.IllegalStateException: x",
            "==12==ERROR: AddressSanitizer: heap-use-after-free on address",
            "ValueError: bad",
        ] {
            assert!(is_of_a_trace(text), "{text}");
        }
        for text in ["Error: x", "an Exception", "panicked", "SomeError happened", "thread 'main' is up"] {
            assert!(!is_of_a_trace(text), "{text}");
        }
    }
}

//! Which line may follow which. Formats: CPython `traceback`, Java `Throwable.printStackTrace`, Go `runtime/panic.go`, Rust
//! `std::panicking`, Node `lib/internal/errors`, LLVM `sanitizer_report`.

use super::super::severity::{is_exception, is_of_a_trace};

/// Where in a format the lines so far have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Any line; only one that begins with a blank follows, or a trace that it announces.
    Plain,
    /// `Exception in thread …:` of Python: a traceback follows.
    Announced,
    /// Frames of Python, until the exception.
    PythonFrames,
    /// An exception group: all its lines begin with a blank.
    PythonGroup,
    /// The exception is there; behind an empty line another may be chained.
    PythonDone,
    /// "During handling of the above exception …": an empty line and a traceback follow.
    PythonChained,
    /// An exception of Java, .NET or Node; its message may have several lines before the frames.
    Exception,
    /// Frames of Java, .NET, or Node: `at …`.
    At,
    /// `/app/a.js:3` of Node: an excerpt follows.
    NodePath,
    /// The excerpt: a caret follows.
    NodeExcerpt,
    /// The caret below an excerpt of Node: an empty line and the error follow.
    NodeCaret,
    /// `panic: …` or `fatal error: …` of Go.
    GoHead,
    /// Within a goroutine.
    GoRoutine,
    /// `thread … panicked at …:`; the message follows.
    RustHead,
    /// The message is there, or its first line.
    RustMessage,
    /// The backtrace, and notes.
    RustBacktrace,
    /// A line of `=`, before a sanitizer's report.
    SanitizerRule,
    /// A sanitizer's report, before its summary.
    Sanitizer,
    /// After the summary.
    SanitizerSummary,
    /// A private key, until its end.
    Key,
    /// Done: nothing follows.
    End,
}

impl State {
    /// For the first line of a record.
    pub(super) fn begin(line: &str) -> Self {
        let text = line.trim_start();
        match text.as_bytes().first() {
            Some(b'+') if is_traceback(text) => Self::PythonGroup,
            Some(b'T' | b'E') if is_traceback(text) => Self::PythonFrames,
            Some(b'p') if text.starts_with("panic: ") => Self::GoHead,
            Some(b'f') if text.starts_with("fatal error: ") => Self::GoHead,
            Some(b'S') if text.starts_with("SIGQUIT: quit") || text.starts_with("SIGABRT: abort") => {
                Self::GoHead
            }
            Some(b't') if is_rust_panic(text) => rust_head(text),
            Some(b'=') if is_sanitizer(text) => Self::Sanitizer,
            Some(b'=') if text.len() >= 18 && text.bytes().all(|byte| byte == b'=') => Self::SanitizerRule,
            Some(b'W') if text.starts_with("WARNING: ThreadSanitizer: ") => Self::Sanitizer,
            Some(b'/' | b'n' | b'f') if is_node_path(line) => Self::NodePath,
            Some(b'E') if line.starts_with("Exception ") && line.ends_with(':') => Self::Announced,
            Some(b'E') if line.starts_with("Exception in thread \"") || line.starts_with("Error: ") => {
                Self::Exception
            }
            Some(b'U') if line.starts_with("Unhandled exception") || line.starts_with("Uncaught ") => {
                Self::Exception
            }
            Some(byte) if byte.is_ascii_alphabetic() && is_exception(line) => Self::Exception,
            Some(b'-') if text.starts_with("-----BEGIN ") && text.contains("PRIVATE KEY-----") => Self::Key,
            _ => Self::Plain,
        }
    }

    /// Whether it waits for more as a trace does.
    pub(super) fn is_trace(self) -> bool {
        !matches!(
            self,
            Self::Plain | Self::Announced | Self::Exception | Self::NodePath | Self::NodeExcerpt | Self::End
        )
    }

    /// Whether lines of any kind may stand between, which belong to it only if what it waits for comes: a message has several lines.
    pub(super) fn awaits(self) -> bool {
        matches!(self, Self::Exception | Self::RustMessage)
    }

    /// Whether a line is what it waits for.
    pub(super) fn is_confirmed_by(self, line: &str) -> bool {
        match self {
            Self::Exception => line.starts_with([' ', '\t']) && is_frame(line.trim_start()),
            Self::RustMessage => is_rust_note(line) || line.starts_with("  left: "),
            _ => false,
        }
    }

    /// Whether its lines are a report of an error.
    pub(super) fn is_error(self) -> bool {
        !matches!(self, Self::Plain | Self::NodePath | Self::NodeExcerpt | Self::Key | Self::SanitizerRule)
    }

    /// After a line more; none: it begins a record of its own. `near`: within a second; `headed`: the record's first line has a time
    /// of its own, so that a trace without one belongs to it.
    pub(super) fn next(self, line: &str, near: bool, headed: bool) -> Option<Self> {
        let blank = line.starts_with([' ', '\t']);
        let text = line.trim_start();
        match self {
            Self::End => None,
            Self::Plain => plain(line, text, blank, near, headed),
            Self::Announced if is_traceback(line) => Some(Self::PythonFrames),
            Self::Announced | Self::Exception => {
                let next = plain(line, text, blank, near, false)?;
                Some(if next == Self::Plain { self } else { next })
            }
            Self::NodePath => near.then_some(Self::NodeExcerpt),
            Self::NodeExcerpt => is_caret(text).then_some(Self::NodeCaret),
            Self::PythonFrames if blank => Some(Self::PythonFrames),
            Self::PythonFrames => is_python_exception(line).then_some(Self::PythonDone),
            Self::PythonGroup if blank || line.is_empty() => Some(Self::PythonGroup),
            Self::PythonDone if blank || line.is_empty() => Some(Self::PythonDone),
            Self::PythonGroup | Self::PythonDone => is_chained(line).then_some(Self::PythonChained),
            Self::PythonChained if line.is_empty() => Some(Self::PythonChained),
            Self::PythonChained => is_traceback(text).then(|| Self::begin(line)),
            Self::At => at(line, text, blank),
            Self::NodeCaret if line.is_empty() => Some(Self::NodeCaret),
            Self::NodeCaret => Some(Self::At),
            Self::GoHead => go_head(line, text, blank),
            Self::GoRoutine => go_routine(line, blank),
            Self::RustHead => Some(Self::RustMessage),
            Self::RustMessage | Self::RustBacktrace if is_rust_note(line) => Some(Self::RustBacktrace),
            Self::RustMessage | Self::RustBacktrace => blank.then_some(self),
            Self::SanitizerRule => (is_sanitizer(line) || line.starts_with("WARNING: ThreadSanitizer"))
                .then_some(Self::Sanitizer),
            Self::Sanitizer if line.starts_with("SUMMARY: ") => Some(Self::SanitizerSummary),
            Self::Sanitizer if line.starts_with("==") && line.ends_with("==ABORTING") => Some(Self::End),
            Self::Sanitizer => Some(Self::Sanitizer),
            Self::SanitizerSummary if line.starts_with("==") => Some(Self::End),
            Self::SanitizerSummary => {
                let is_of_shadow = line.starts_with("Shadow ") || line.starts_with("=>");
                (blank || line.is_empty() || is_of_shadow).then_some(Self::SanitizerSummary)
            }
            Self::Key if line.starts_with("-----END ") => Some(Self::End),
            Self::Key => is_of_key(line).then_some(Self::Key),
        }
    }
}

fn plain(line: &str, text: &str, blank: bool, near: bool, headed: bool) -> Option<State> {
    if blank && near {
        if is_frame(text) {
            return Some(State::At);
        }
        return match State::begin(line) {
            State::PythonGroup | State::PythonFrames if !headed => None,
            state @ (State::PythonGroup | State::PythonFrames) => Some(state),
            _ => Some(State::Plain),
        };
    }
    if is_goroutine(line) {
        return Some(State::GoRoutine);
    }
    // The line of the logger, then the trace, as `logging.exception` and log4j write them.
    if near && headed && is_of_a_trace(line) {
        return Some(State::begin(line));
    }
    None
}

fn is_traceback(text: &str) -> bool {
    // The first line of a group has `+ ` before it.
    let text = text.strip_prefix("+ ").unwrap_or(text);
    text.starts_with("Traceback (most recent call last):")
        || text.starts_with("Exception Group Traceback (most recent call last):")
}

/// `ValueError: text`, `KeyboardInterrupt`, `package.Error: text`: a dotted name, then nothing or a colon.
fn is_python_exception(line: &str) -> bool {
    let end = line.find([':', ' ', '(']).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    !name.is_empty()
        && name.split('.').all(|part| {
            !part.is_empty()
                && part.chars().all(|one| one.is_alphanumeric() || matches!(one, '_' | '<' | '>'))
        })
        && (rest.is_empty() || rest.starts_with(':'))
}

fn is_chained(line: &str) -> bool {
    line.starts_with("During handling of the above exception, another exception occurred:")
        || line.starts_with("The above exception was the direct cause of the following exception:")
}

/// `/app/a.js:3`, `node:internal/a:3`, `file:///app/a.mjs:3`.
fn is_node_path(line: &str) -> bool {
    let Some((path, number)) = line.rsplit_once(':') else { return false };
    let is_path = ["/", "node:", "file://"].iter().any(|begin| path.starts_with(begin));
    is_path && !path.contains(' ') && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_caret(text: &str) -> bool {
    text.starts_with('^') && text.bytes().all(|byte| byte == b'^')
}

fn is_frame(text: &str) -> bool {
    text.starts_with("at ")
        || text.starts_with("eval at ")
        || text.starts_with("... ") && text.contains(" more")
}

fn at(line: &str, text: &str, blank: bool) -> Option<State> {
    let goes_on = blank
        || ["Caused by: ", "Suppressed: ", "Wrapped by: ", "--- End of ", "}", "] {"]
            .iter()
            .any(|begin| line.starts_with(begin))
        || is_frame(text);
    if goes_on {
        return Some(State::At);
    }
    // Node says its version behind an empty line.
    if line.is_empty() {
        return Some(State::At);
    }
    (line.starts_with("Node.js v")).then_some(State::End)
}

fn is_goroutine(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("goroutine ") else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && rest[digits..].trim_start_matches(" gp=").contains('[') && rest.ends_with("]:")
}

fn go_head(line: &str, text: &str, blank: bool) -> Option<State> {
    if is_goroutine(line) {
        return Some(State::GoRoutine);
    }
    let goes_on = blank
        || line.is_empty()
        || ["[signal ", "panic: ", "PC=", "runtime stack:", "runtime: ", "fatal error: "]
            .iter()
            .any(|begin| text.starts_with(begin))
        || is_go_call(line);
    goes_on.then_some(State::GoHead)
}

fn go_routine(line: &str, blank: bool) -> Option<State> {
    if line.starts_with("exit status ") {
        return Some(State::End);
    }
    let goes_on = blank
        || line.is_empty()
        || is_goroutine(line)
        || line.starts_with("created by ")
        || line.starts_with("...additional frames elided...")
        || line.starts_with("runtime stack:")
        || is_go_call(line)
        || is_register(line);
    goes_on.then_some(State::GoRoutine)
}

/// `main.f(0x1, {0x2, 0x3})`, `net/http.(*conn).serve(...)`.
fn is_go_call(line: &str) -> bool {
    let Some(open) = line.find('(') else { return false };
    line.ends_with(')')
        && open > 0
        && !line[..open].contains(' ')
        && (line[..open].contains('.') || line.starts_with("panic("))
}

/// `rax    0x0`.
fn is_register(line: &str) -> bool {
    let mut parts = line.split_ascii_whitespace();
    let (Some(name), Some(value), None) = (parts.next(), parts.next(), parts.next()) else { return false };
    name.len() <= 7 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && value.starts_with("0x")
}

fn is_rust_panic(text: &str) -> bool {
    text.starts_with("thread '") && (text.contains("' panicked at ") || text.contains(") panicked at "))
}

/// Since 1.73 the message stands on a line of its own, behind a colon.
fn rust_head(text: &str) -> State {
    if text.ends_with(':') { State::RustHead } else { State::RustMessage }
}

fn is_rust_note(line: &str) -> bool {
    ["stack backtrace:", "note: ", "thread panicked while ", "fatal runtime error: "]
        .iter()
        .any(|begin| line.starts_with(begin))
}

/// `==1234==ERROR: AddressSanitizer: …`.
fn is_sanitizer(text: &str) -> bool {
    text.starts_with("==")
        && (text.contains("==ERROR: ") || text.contains("==WARNING: "))
        && text.contains("Sanitizer")
}

/// A line of base64, or of a header of PEM.
fn is_of_key(line: &str) -> bool {
    let line = line.trim();
    line.len() <= 100
        && (line.is_empty()
            || line.contains(": ")
            || line.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')))
}

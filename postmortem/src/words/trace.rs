//! Traces of run times: from several lines to the innermost cause.
//!
//! Python prints the cause first, Java, .NET, Node and Rust last, Go in one line from the outside to the inside.

use super::frames::{headless, marked, with_frames};
use crate::trouble::Trouble;

/// Most lines of one trace that are read: a Java trace has a few hundred.
const MAX_TRACE_LINES: usize = 600;
/// Most lines of a message that belong to an exception.
pub(super) const MAX_MESSAGE_LINES: usize = 3;

/// What kind of end a trace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An exception that nothing caught.
    Exception,
    /// A panic of Go, Rust or Swift.
    Panic,
    /// An error that `main` returned: anyhow, eyre.
    Returned,
}

/// The innermost cause of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) kind: Kind,
    /// `KeyError`; empty: none.
    pub(crate) name: String,
    /// The message.
    pub(crate) message: String,
    /// `app.py:12`; empty: not known.
    pub(crate) line: String,
    /// Function; empty: not known.
    pub(crate) function: String,
    /// What the outermost error says, if it is another one.
    pub(crate) outer: String,
}

impl Trace {
    pub(super) fn new(kind: Kind, name: &str, message: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            message: message.trim().to_owned(),
            line: String::new(),
            function: String::new(),
            outer: String::new(),
        }
    }

    /// Name and message.
    pub(crate) fn text(&self) -> String {
        match (self.name.is_empty(), self.message.is_empty()) {
            (true, _) => self.message.clone(),
            (_, true) => self.name.clone(),
            _ => format!("{}: {}", self.name, self.message),
        }
    }

    /// It says only that something is not there which an earlier failure should have made.
    pub(crate) fn is_consequence(&self) -> bool {
        let text = self.text();
        [
            "NoneType",
            "NullPointerException",
            "NullReferenceException",
            "nil pointer",
            "on a `None`",
            "of undefined",
            "of null",
        ]
        .iter()
        .any(|sign| text.contains(sign))
    }

    /// It says that something failed, not what: the reason stands elsewhere. Mistakes in the program's own code are no such.
    pub(crate) fn is_vague(&self) -> bool {
        const OWN: &[&str] = &[
            "KeyError",
            "ValueError",
            "TypeError",
            "IndexError",
            "AttributeError",
            "NameError",
            "ZeroDivisionError",
            "NumberFormat",
            "IllegalArgument",
            "ClassCast",
            "OutOfBounds",
            "out_of_range",
            "ReferenceError",
            "SyntaxError",
            "RangeError",
            "UnicodeDecodeError",
            "JSONDecodeError",
            "NoMethodError",
        ];
        const VAGUE: &[&str] = &[
            "fail",
            "cannot",
            "could not",
            "unable",
            "not available",
            "unavailable",
            "connect",
            "transport",
            "broker",
            "retries",
            "unreachable",
            "giving up",
            "gave up",
            "not ready",
            "not start",
            "no response",
            "not reachable",
            "went wrong",
        ];
        let message = self.message.to_lowercase();
        !OWN.iter().any(|name| self.name.contains(name)) && VAGUE.iter().any(|words| message.contains(words))
    }
}

/// The trace that begins with the first line, and how many lines it has.
pub(super) fn read(lines: &[&str]) -> Option<(Trace, usize)> {
    let lines = &lines[..lines.len().min(MAX_TRACE_LINES)];
    let first = lines.first()?;
    if first.trim_start_matches([' ', '|', '+', '-']).starts_with("Traceback (most recent call last)")
        || first.contains("Exception Group Traceback (most recent call last)")
    {
        return python(lines);
    }
    if first.contains(" panicked at ") {
        return Some(rust_panic(lines));
    }
    go(lines)
        .or_else(|| cpp(lines))
        .or_else(|| anyhow(lines))
        .or_else(|| marked(lines))
        .or_else(|| with_frames(lines))
        .or_else(|| headless(lines))
        .or_else(|| ruby(first))
        .or_else(|| {
            let (name, message) = exception(first)?;
            Some((Trace::new(Kind::Exception, name, message), 1))
        })
}

/// `pkg.SomeError: message`, `SomeException`, `Error [CODE]: message`.
pub(super) fn exception(line: &str) -> Option<(&str, &str)> {
    const ENDS: [&str; 8] =
        ["Error", "Exception", "Failure", "Interrupt", "Exit", "Fault", "Timeout", "ExceptionGroup"];
    let (name, message) = line.split_once(": ").unwrap_or((line.trim_end().trim_end_matches(':'), ""));
    let bare = name.split_once(" [").map_or(name, |(bare, _)| bare);
    let is_name = bare.chars().all(|c| c.is_alphanumeric() || "._$:".contains(c));
    // `Error: x` alone is a line of any program; with an upper-case letter within, or a path of packages, it is a name.
    let last = bare.rsplit(['.', ':']).next().unwrap_or_default();
    let is_error =
        ENDS.iter().any(|end| last.ends_with(end)) && last.starts_with(|c: char| c.is_ascii_uppercase());
    (is_name && is_error && !ENDS.contains(&bare)).then(|| (name, message.trim_end()))
}

fn python(lines: &[&str]) -> Option<(Trace, usize)> {
    let strip = |line: &str| line.trim_start_matches([' ', '|', '+']).to_owned();
    let is_group = lines[0].contains("Group") || lines[0].trim_start().starts_with(['|', '+']);
    let mut chain: Vec<(Trace, bool)> = Vec::new();
    let mut handling = false;
    let mut frame = (String::new(), String::new());
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let inner = if is_group { strip(line) } else { line.to_owned() };
        let trimmed = inner.trim();
        if let Some(rest) = trimmed.strip_prefix("File \"") {
            // `File "a.py", line 3, in f`
            let mut parts = rest.split("\", line ");
            let file = parts.next().unwrap_or_default();
            let rest = parts.next().unwrap_or_default();
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let function = rest.split_once(", in ").map_or("", |(_, function)| function);
            // The program's own frame tells more than one of a library that it calls.
            let is_library = file.starts_with("<frozen") || file.contains("/lib/python");
            if frame.0.is_empty() || !is_library {
                frame = (format!("{file}:{number}"), function.to_owned());
            }
        } else if trimmed.starts_with("During handling of the above exception") {
            handling = true;
        } else if trimmed.starts_with("The above exception was the direct cause") {
            handling = false;
        } else if trimmed.is_empty()
            || trimmed.contains("Traceback (most recent call last)")
            || trimmed.starts_with("---")
        {
        } else if is_group || !line.starts_with([' ', '\t']) {
            let named = exception(trimmed).or_else(|| {
                let (name, message) = trimmed.split_once(": ").unwrap_or((trimmed, ""));
                name.chars().all(|c| c.is_alphanumeric() || "._".contains(c)).then_some((name, message))
            });
            let Some((name, message)) = named.filter(|_| !frame.0.is_empty() || exception(trimmed).is_some())
            else {
                if is_group {
                    at += 1;
                    continue;
                }
                break;
            };
            let mut trace = Trace::new(Kind::Exception, name, message);
            let more = lines[at + 1..]
                .iter()
                .take(MAX_MESSAGE_LINES)
                .take_while(|line| !line.trim().is_empty() && !line.contains("Traceback (most") && !is_group);
            // The message goes on, as psycopg's does, if the next lines are indented.
            for line in more.take_while(|line| line.starts_with([' ', '\t'])) {
                trace.message = format!("{} {}", trace.message, line.trim());
                at += 1;
            }
            (trace.line, trace.function) = std::mem::take(&mut frame);
            chain.push((trace, std::mem::take(&mut handling)));
            // Only a chain goes on.
            let next = lines[at + 1..].iter().map(|line| line.trim()).find(|line| !line.is_empty());
            let goes_on = next.is_some_and(|next| {
                next.starts_with("During handling of")
                    || next.starts_with("The above exception")
                    || is_group && next.starts_with(['|', '+'])
            });
            if !goes_on {
                at += 1;
                break;
            }
        }
        at += 1;
    }
    let outer = chain.last()?.0.text();
    // A group stands before what is in it.
    let mut root = usize::from(is_group && chain.len() > 1 && chain[0].0.name.ends_with("Group"));
    // A lookup that failed led to another way, and that failed for a reason of its own.
    while root + 1 < chain.len()
        && chain[root + 1].1
        && Trouble::of_text(&chain[root].0.text()).is_none()
        && Trouble::of_text(&chain[root + 1].0.text()).is_some()
    {
        root += 1;
    }
    let mut trace = chain.swap_remove(root).0;
    if outer != trace.text() {
        trace.outer = outer;
    }
    Some((trace, at.max(1)))
}

fn rust_panic(lines: &[&str]) -> (Trace, usize) {
    let rest = lines[0].split_once(" panicked at ").map_or("", |(_, rest)| rest);
    let mut trace = Trace::new(Kind::Panic, "", "");
    let mut used = 1;
    if let Some(quoted) = rest.strip_prefix('\'') {
        let (message, line) = quoted.rsplit_once("', ").unwrap_or((quoted, ""));
        (trace.message, trace.line) = (message.to_owned(), line.to_owned());
    } else {
        rest.trim_end_matches(':').clone_into(&mut trace.line);
        let message = lines[1..].iter().take(MAX_MESSAGE_LINES).take_while(|line| {
            !line.is_empty() && !line.starts_with("note: ") && !line.starts_with("stack backtrace")
        });
        for line in message {
            if !trace.message.is_empty() {
                trace.message.push(' ');
            }
            trace.message.push_str(line.trim());
            used += 1;
        }
    }
    // The backtrace belongs to it.
    for line in &lines[used..] {
        let trimmed = line.trim_start();
        let frame = trimmed
            .split_once(": ")
            .filter(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
        if let Some((_, function)) = frame {
            let of_runtime = ["core::", "std::", "__rust", "rust_", "<core::", "<std::", "_", "main"];
            if trace.function.is_empty() && !of_runtime.iter().any(|of| function.starts_with(of)) {
                function.clone_into(&mut trace.function);
            }
        } else if !(trimmed.starts_with("stack backtrace:")
            || trimmed.starts_with("at ")
            || trimmed.starts_with("note: "))
        {
            break;
        }
        used += 1;
    }
    (trace, used)
}

fn go(lines: &[&str]) -> Option<(Trace, usize)> {
    let message = lines[0].strip_prefix("panic: ").or_else(|| lines[0].strip_prefix("fatal error: "))?;
    let message = message.trim_end_matches(" [recovered]");
    let is_go = lines.iter().take(12).any(|line| line.starts_with("goroutine "))
        || lines[0].starts_with("fatal error: ");
    let mut trace = Trace::new(Kind::Panic, "", message);
    let mut used = 1;
    for pair in lines.windows(2).skip(1) {
        let is_frame = pair[1].starts_with('\t') && pair[1].contains(".go:");
        if is_frame && trace.line.is_empty() {
            let function = pair[0].rsplit_once('(').map_or(pair[0], |(function, _)| function);
            if !function.starts_with("runtime.")
                && !function.starts_with("panic")
                && !function.starts_with("goroutine ")
            {
                function.clone_into(&mut trace.function);
                let line = pair[1].trim().split(" +0x").next().unwrap_or_default();
                line.clone_into(&mut trace.line);
            }
        }
        let belongs = is_go
            && (pair[0].is_empty()
                || pair[0].starts_with(['\t', '['])
                || pair[0].starts_with("goroutine ")
                || is_frame
                || pair[0].starts_with("exit status"));
        if !belongs {
            break;
        }
        used += 1;
    }
    Some((trace, used))
}

fn cpp(lines: &[&str]) -> Option<(Trace, usize)> {
    let first = lines[0];
    if let Some((_, name)) = first.split_once("terminate called after throwing an instance of ") {
        let what = lines.get(1).and_then(|line| line.trim().strip_prefix("what():"));
        let trace = Trace::new(Kind::Exception, name.trim_matches(['\'', ' ']), what.unwrap_or_default());
        return Some((trace, 1 + usize::from(what.is_some())));
    }
    let (_, rest) = first.split_once("uncaught exception of type ")?;
    let (name, message) = rest.split_once(": ").unwrap_or((rest, ""));
    Some((Trace::new(Kind::Exception, name, message), 1))
}

/// `Error: outer`, an empty line, `Caused by:`, then the causes, the innermost last.
fn anyhow(lines: &[&str]) -> Option<(Trace, usize)> {
    let outer = lines[0].strip_prefix("Error: ").or_else(|| lines[0].strip_prefix("error: "))?;
    let head = lines[1..].iter().take(3).position(|line| line.trim_end() == "Caused by:")? + 1;
    let causes =
        lines[head + 1..].iter().take_while(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty());
    let causes: Vec<_> = causes.collect();
    let last = causes.last()?.trim();
    let numbered = last.split_once(": ").filter(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()));
    let mut trace = Trace::new(Kind::Returned, "", numbered.map_or(last, |(_, message)| message));
    outer.clone_into(&mut trace.outer);
    Some((trace, head + 1 + causes.len()))
}

/// ``a.rb:3:in `f': message (KeyError)``
fn ruby(line: &str) -> Option<(Trace, usize)> {
    let (place, rest) = line.split_once(":in ")?;
    let (function, rest) = rest.split_once("': ")?;
    let (message, name) = rest.trim_end().strip_suffix(')')?.rsplit_once(" (")?;
    let mut trace = Trace::new(Kind::Exception, name, message);
    place.clone_into(&mut trace.line);
    function.trim_start_matches(['`', '\'']).clone_into(&mut trace.function);
    Some((trace, 1))
}

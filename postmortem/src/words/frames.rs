//! Traces of an error with the frames below it: Java, Node, .NET, and what marks an uncaught one elsewhere.

use super::trace::{Kind, MAX_MESSAGE_LINES, Trace, exception};

/// Lines that only an uncaught exception has, of several run times.
pub(super) fn marked(lines: &[&str]) -> Option<(Trace, usize)> {
    const MARKS: [&str; 7] = [
        "Unhandled exception. ",
        "Unhandled Exception: ",
        "PHP Fatal error:  Uncaught ",
        "Fatal error: Uncaught ",
        "Fatal error: exception ",
        "** (",
        "Uncaught ",
    ];
    let first = lines[0];
    let is_thread = first.starts_with("Exception in thread ");
    if is_thread {
        let rest = first.splitn(3, '"').nth(2)?.trim_start();
        return Some(frames(rest, lines));
    }
    let rest =
        MARKS.iter().find_map(|mark| first.split_once(mark).filter(|(before, _)| before.len() < 40))?.1;
    if let Some((name, message)) = rest.split_once(") ").filter(|_| first.starts_with("** (")) {
        return Some((Trace::new(Kind::Exception, name, message), 1));
    }
    Some(frames(rest, lines))
}

/// Frames whose head was not kept: a long trace fills the ring of last words.
pub(super) fn headless(lines: &[&str]) -> Option<(Trace, usize)> {
    const MIN_FRAMES: usize = 3;
    const MIN_RECURSION: usize = 20;
    let kept: Vec<_> = lines.iter().take_while(|line| line.starts_with("\tat ")).collect();
    if kept.len() < MIN_FRAMES {
        return None;
    }
    let same = kept.iter().filter(|frame| **frame == kept[kept.len() / 2]).count();
    let name =
        if same >= MIN_RECURSION { "a stack overflow" } else { "an exception whose name was not kept" };
    // `Caused by` below tells more.
    Some(frames(name, lines))
}

/// An error and the frames below it: Java, Node, .NET.
pub(super) fn with_frames(lines: &[&str]) -> Option<(Trace, usize)> {
    let is_frame = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("at ") && (line.contains('(') || line.contains(':'))
    };
    let first = lines[0];
    // `stack backtrace:`, `Require stack:` are no errors.
    if first.starts_with([' ', '\t']) || first.trim_end().ends_with(':') {
        return None;
    }
    let follows = lines[1..].iter().take(MAX_MESSAGE_LINES).any(is_frame);
    // `2026-11-30 ERROR Main: java.lang.X: y` with frames is a logged one; still, it is what went wrong.
    follows.then(|| frames(first, lines))
}

fn frames(head: &str, lines: &[&str]) -> (Trace, usize) {
    let of = |text: &str| {
        let text = text.trim_end_matches('{').trim();
        match text.split_once(": ") {
            Some((name, message)) if !name.contains(' ') || name.ends_with(']') => {
                Trace::new(Kind::Exception, name, message)
            }
            _ => match exception(text) {
                Some((name, message)) => Trace::new(Kind::Exception, name, message),
                None => Trace::new(Kind::Exception, "", text),
            },
        }
    };
    let mut trace = of(head);
    let outer = trace.text();
    let mut used = 1;
    // A message can have several lines before the first frame.
    let message = lines[1..]
        .iter()
        .take(MAX_MESSAGE_LINES)
        .position(|line| line.trim_start().starts_with("at "))
        .unwrap_or(0);
    for (at, line) in lines[1..].iter().enumerate() {
        let trimmed = line.trim();
        if at < message && !trimmed.starts_with("---> ") {
            used += 1;
            continue;
        }
        let cause = line
            .strip_prefix("Caused by: ")
            .or_else(|| trimmed.strip_prefix("---> "))
            .or_else(|| trimmed.strip_prefix("[cause]: "));
        if let Some(cause) = cause {
            trace = of(cause);
        } else if let Some(frame) = trimmed.strip_prefix("at ") {
            if trace.line.is_empty() && !is_of_runtime(frame) {
                (trace.function, trace.line) = place(frame);
            }
        } else if trimmed.starts_with("code: '")
            || trimmed.starts_with("address: '")
            || trimmed.starts_with("port: ")
        {
            let detail = trimmed.trim_end_matches(',');
            if trace.message.len() < 200 && !trace.message.contains(detail) {
                trace.message = format!("{} ({detail})", trace.message);
            }
        } else if !(line.starts_with([' ', '\t', '}'])
            || trimmed.is_empty()
            || trimmed.starts_with("--- End of"))
        {
            break;
        }
        used += 1;
    }
    if outer != trace.text() && !trace.text().starts_with(&outer) {
        trace.outer = outer;
    }
    (trace, used)
}

fn is_of_runtime(frame: &str) -> bool {
    ["java.", "javax.", "jdk.", "sun.", "node:", "System.", "Microsoft.", "internal/"]
        .iter()
        .any(|of| frame.starts_with(of))
        || frame.contains("(node:")
}

/// Function and line of `com.x.Main.run(Main.java:12)`, `f (/app/x.js:3:9)`, `X.F() in /a/x.cs:line 4`.
fn place(frame: &str) -> (String, String) {
    if let Some((function, line)) = frame.split_once(" in ").filter(|(_, line)| line.contains(":line ")) {
        return (function.to_owned(), line.replace(":line ", ":"));
    }
    match frame.split_once('(') {
        Some((function, line)) => (function.trim().to_owned(), line.trim_end_matches(')').to_owned()),
        None => (String::new(), frame.to_owned()),
    }
}

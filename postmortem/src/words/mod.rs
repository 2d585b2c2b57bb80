//! What a process said before its end: from pieces of text to the statements that can be its reason, the likeliest first.

mod frames;
mod order;
mod trace;
mod weight;

use std::collections::HashMap;

pub(crate) use trace::{Kind, Trace};
pub(crate) use weight::Weight;

use order::reasons;
use weight::weigh;

use crate::facts::{Facts, Line};
use crate::trouble::Trouble;

/// Most bytes that are read of one stream, and of all lines of logs: the ring of last words has 4 KiB, a log more.
const MAX_STREAM_BYTES: usize = 64 << 10;
/// Most lines of a stream, the last ones.
const MAX_STREAM_LINES: usize = 1_000;
/// Longest statement, bytes.
const MAX_STATEMENT_BYTES: usize = 1_024;

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
        for line in newest(&facts.lines) {
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
                    for (start, _) in &mut starts {
                        *start = start.saturating_sub(cut);
                    }
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
                // `sed: …` on stderr is how programs complain.
                let complains = fd == 2
                    && statement
                        .text
                        .strip_prefix(&facts.process.comm)
                        .is_some_and(|rest| rest.starts_with(": "));
                if complains && statement.weight == Weight::Plain && weight::level(&statement.text).is_none()
                {
                    statement.weight = Weight::Error;
                    statement.trouble = Trouble::of_text(&statement.text);
                }
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

/// The last lines of logs, which are nearest to the end: as many as are read.
fn newest(lines: &[Line]) -> &[Line] {
    let mut bytes = 0;
    let fits = lines.iter().rev().take(MAX_STREAM_LINES).take_while(|line| {
        bytes += line.text.len();
        bytes <= MAX_STREAM_BYTES
    });
    // The last one is cut if it alone is too long.
    let count = fits.count().max(1).min(lines.len());
    &lines[lines.len() - count..]
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

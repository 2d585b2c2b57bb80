//! The language of the `.test` files.

use crate::common::duration;

/// A command with the lines that belong to it.
pub(crate) struct Command<'a> {
    /// Its line in the file, from 1.
    pub(crate) line: usize,
    pub(crate) kind: Kind<'a>,
    pub(crate) lines: Vec<&'a str>,
}

pub(crate) enum Kind<'a> {
    Clear,
    /// Series, of which a sample comes each so many ms. With `nhcb`, their buckets make native histograms, too.
    Load {
        step_ms: i64,
        nhcb: bool,
    },
    Eval(Eval<'a>),
}

pub(crate) struct Eval<'a> {
    pub(crate) when: When,
    pub(crate) query: &'a str,
    /// `fail`, `warn`, `info`, `ordered`, or nothing.
    pub(crate) mode: &'a str,
}

/// Moments in ms.
#[derive(Clone, Copy)]
pub(crate) enum When {
    Instant(i64),
    Range { from: i64, to: i64, step: i64 },
}

impl<'a> Command<'a> {
    pub(crate) fn query(&self) -> &'a str {
        match &self.kind {
            Kind::Eval(eval) => eval.query,
            Kind::Clear | Kind::Load { .. } => "",
        }
    }
}

/// The commands of a file.
pub(crate) fn commands(text: &str) -> Vec<Command<'_>> {
    let mut commands: Vec<Command<'_>> = Vec::new();
    let mut open = false;
    for (nth, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            open = false;
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        if let Some(kind) = kind(line) {
            commands.push(Command { line: nth + 1, kind, lines: Vec::new() });
            open = true;
        } else if let Some(command) = commands.last_mut().filter(|_| open) {
            command.lines.push(line);
        } else {
            panic!("line {}: no command: {line}", nth + 1);
        }
    }
    commands
}

fn kind(line: &str) -> Option<Kind<'_>> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    if word == "clear" {
        return Some(Kind::Clear);
    }
    if word == "load" || word == "load_with_nhcb" {
        return Some(Kind::Load { step_ms: duration(rest)?, nhcb: word != "load" });
    }
    let mode = word.strip_prefix("eval")?.trim_start_matches('_');
    let (when, query) = if let Some(rest) = rest.strip_prefix("instant") {
        let rest = rest.trim_start();
        let rest = rest.strip_prefix("at").map_or(rest, str::trim_start);
        let (at, query) = rest.split_once(char::is_whitespace)?;
        (When::Instant(duration(at)?), query)
    } else {
        let rest = rest.strip_prefix("range")?.trim_start().strip_prefix("from")?.trim_start();
        let mut words = rest.splitn(6, ' ');
        let (from, to_word, to, step_word, step) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        assert!(to_word == "to" && step_word == "step", "{line}");
        (When::Range { from: duration(from)?, to: duration(to)?, step: duration(step)? }, words.next()?)
    };
    Some(Kind::Eval(Eval { when, query: query.trim(), mode }))
}

//! One line of text, taken apart.

use std::borrow::Cow;

use agent_common::units::UnixNs;

use super::fields::Fields;
use super::json::object;
use super::logfmt::pairs;
use super::severity::{is_of_a_trace, of_level, of_words};
use super::syslog::{Head, priority, rfc3164, rfc5424, rsyslog};
use super::time::{Clock, leading};
use crate::{Record, Severity};

/// Fields that hold what a structured line says.
const MESSAGE: [&str; 6] = ["msg", "message", "@m", "@message", "log", "event"];
/// Fields that hold its time.
const TIME: [&str; 8] = ["time", "ts", "timestamp", "@timestamp", "@t", "t", "datetime", "time_local"];
/// Fields that hold its process.
const PID: [&str; 3] = ["pid", "process.pid", "process_id"];

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// When, where it says so.
    pub at: Option<UnixNs>,
    /// How grave.
    pub severity: Severity,
    /// The process, where it says so.
    pub pid: Option<u32>,
    /// The host, in a head of syslog.
    pub host: Option<&'a str>,
    /// The program, in a head of syslog.
    pub tag: Option<&'a str>,
    /// The line; without a head of syslog, and of a structured line that was taken whole the message alone.
    pub message: Cow<'a, str>,
    /// Of JSON, logfmt, structured syslog.
    pub fields: Vec<(String, String)>,
    /// It begins with a time of the program's own, or is structured: it is no part of the line before it. A head of syslog says nothing
    /// of that, as each line of a trace has one.
    pub is_headed: bool,
}

impl Parsed<'_> {
    /// The record. A line that does not say its time has that of reading.
    #[must_use]
    pub fn into_record(self, read_at: UnixNs, position: u64) -> Record {
        Record {
            at: self.at.unwrap_or(read_at),
            severity: self.severity,
            pid: self.pid.unwrap_or(0),
            start_ns: 0,
            position,
            message: self.message.into_owned(),
            fields: self.fields,
        }
    }
}

/// Takes a line apart: head of syslog or time, fields, severity. Severity is that of the priority, else of a level field, else of
/// glog's letter or redis's sign, else of the word where a level stands, else of its shape: the first line of a trace is an error.
#[must_use]
pub fn line<'a>(text: &'a str, clock: &Clock) -> Parsed<'a> {
    let (stated, rest) = match priority(text) {
        Some((severity, rest)) => (Some(severity), rest),
        None => (None, text),
    };
    let of_5424 = stated.and_then(|_| rfc5424(rest, clock));
    if let Some(head) = of_5424.or_else(|| rsyslog(rest, clock)).or_else(|| rfc3164(rest, clock)) {
        return of_syslog(head, stated, clock);
    }
    let mut parsed = plain(rest, clock);
    if let Some(severity) = stated {
        parsed.severity = severity;
    }
    parsed
}

fn of_syslog<'a>(head: Head<'a>, stated: Option<Severity>, clock: &Clock) -> Parsed<'a> {
    let message = head.message.strip_prefix("@cee:").map_or(head.message, str::trim_start);
    let mut parsed = plain(message, clock);
    if matches!(parsed.message, Cow::Borrowed(_)) && parsed.fields.is_empty() {
        parsed.message = head.message.into();
    }
    parsed.at = head.at.or(parsed.at);
    parsed.pid = head.pid.or(parsed.pid);
    parsed.host = head.host;
    parsed.tag = head.tag;
    parsed.severity = stated.unwrap_or(parsed.severity);
    if !head.fields.pairs.is_empty() {
        let own = std::mem::replace(&mut parsed.fields, head.fields.pairs);
        parsed.fields.extend(own);
    }
    parsed
}

fn plain<'a>(text: &'a str, clock: &Clock) -> Parsed<'a> {
    let mut parsed = Parsed {
        at: None,
        severity: Severity::Unknown,
        pid: None,
        host: None,
        tag: None,
        message: text.into(),
        fields: Vec::new(),
        is_headed: false,
    };
    let stamp = leading(text.as_bytes(), clock);
    let mut said = text;
    if let Some(stamp) = &stamp {
        parsed.at = Some(stamp.at);
        parsed.is_headed = true;
        said = text.get(stamp.end..).unwrap_or_default();
        // In an access log the time stands behind the address: a level is nowhere.
        if let Some(severity) = stamp.severity {
            parsed.severity = severity;
        }
    }
    if let Some(fields) = object(said) {
        structured(&mut parsed, fields, stamp.is_none(), clock);
    } else if let Some((fields, is_whole)) = pairs(said) {
        structured(&mut parsed, fields, is_whole && stamp.is_none(), clock);
    }
    if parsed.severity == Severity::Unknown && parsed.fields.is_empty() {
        parsed.severity = of_words(said.as_bytes(), stamp.is_some());
        if parsed.severity == Severity::Unknown && is_of_a_trace(said) {
            parsed.severity = Severity::Error;
        }
    }
    parsed
}

/// Takes level, time, process and message out of the fields. The message replaces the line, and time and message are no fields
/// any more, only if nothing of the line is lost by it.
fn structured(parsed: &mut Parsed<'_>, mut fields: Fields, is_whole: bool, clock: &Clock) {
    let level = fields.pairs.iter().find_map(|(name, value)| of_level(name, value));
    if let Some(level) = level
        && parsed.severity == Severity::Unknown
    {
        parsed.severity = level;
    }
    if let Some(pid) = fields.first(&PID).and_then(|(_, value)| value.parse().ok()) {
        parsed.pid = Some(pid);
    }
    let time = fields.first(&TIME).and_then(|(at, value)| {
        let stamp = leading(value.as_bytes(), clock)?;
        (stamp.end == value.len()).then_some((at, stamp.at))
    });
    parsed.at = parsed.at.or(time.map(|(_, at)| at));
    parsed.is_headed = true;
    let is_whole = is_whole && fields.short == 0;
    let message = fields.first(&MESSAGE).filter(|(_, value)| is_whole && !value.is_empty()).map(|(at, _)| at);
    if let Some(message) = message {
        let mut removed = vec![message];
        removed.extend(time.map(|(at, _)| at).filter(|at| *at != message));
        removed.sort_unstable();
        for at in removed.into_iter().rev() {
            let (_, value) = fields.pairs.remove(at);
            if at == message {
                parsed.message = Cow::Owned(value);
            }
        }
    }
    if fields.short > 0 {
        fields.pairs.push(("fields_short".to_owned(), fields.short.to_string()));
    }
    parsed.fields = fields.pairs;
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;

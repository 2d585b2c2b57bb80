//! Lines of syslog files: RFC 3164, RFC 5424, and with ISO times as rsyslog writes them.

use agent_common::units::UnixNs;

use super::fields::Fields;
use super::severity::of_word;
use super::time::{Clock, bsd, iso};
use crate::Severity;

/// A tag's length; RFC 5424 allows 48 for a program's name.
const MAX_TAG_BYTES: usize = 64;
/// A host name's length, as DNS has it.
const MAX_HOST_BYTES: usize = 255;

/// What stands before a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) at: Option<UnixNs>,
    pub(super) host: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
    pub(super) pid: Option<u32>,
    pub(super) fields: Fields,
    pub(super) message: &'a str,
}

/// `<11>` at the start of a line: the severity, and what follows.
pub(super) fn priority(line: &str) -> Option<(Severity, &str)> {
    let rest = line.strip_prefix('<')?;
    let digits = rest.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let number: u64 = rest[..digits].parse().ok()?;
    let rest = rest[digits..].strip_prefix('>')?;
    // 24 facilities of 8.
    (number < 192).then(|| (Severity::of_number(number & 7), rest))
}

/// `Nov 30 12:00:00 host tag[pid]: message`; rsyslog writes files so. In `/dev/log`'s own form the host is missing.
pub(super) fn rfc3164<'a>(line: &'a str, clock: &Clock) -> Option<Head<'a>> {
    let (at, end) = bsd(line.as_bytes(), clock)?;
    let rest = line[end..].strip_prefix(' ')?;
    Some(host_and_tag(at, rest).or_else(|| without_host(at, rest)).unwrap_or(Head {
        at: Some(at),
        message: rest,
        ..Head::default()
    }))
}

/// `2026-11-30T12:00:00.123456+01:00 host tag[pid]: message`. A line of another program that begins so has its level, or a
/// bracket, where the host is.
pub(super) fn rsyslog<'a>(line: &'a str, clock: &Clock) -> Option<Head<'a>> {
    if line.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let (at, end) = iso(line.as_bytes(), clock)?;
    let head = host_and_tag(at, line[end..].strip_prefix(' ')?)?;
    // Rsyslog writes the offset, also in UTC. With `Z`, `two words: more` after the time is text rather than host and tag.
    (head.pid.is_some() || line.as_bytes()[end - 1] != b'Z').then_some(head)
}

fn host_and_tag(at: UnixNs, rest: &str) -> Option<Head<'_>> {
    let (host, rest) = rest.split_once(' ')?;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || host.len() > MAX_HOST_BYTES || host.ends_with(':') || !host.bytes().all(is_host) {
        return None;
    }
    if of_word(host.as_bytes()).is_some() {
        return None;
    }
    let (tag, pid, message) = tag(rest)?;
    Some(Head { at: Some(at), host: Some(host), tag: Some(tag), pid, fields: Fields::default(), message })
}

fn without_host(at: UnixNs, rest: &str) -> Option<Head<'_>> {
    let (tag, pid, message) = tag(rest)?;
    Some(Head { at: Some(at), host: None, tag: Some(tag), pid, fields: Fields::default(), message })
}

/// `tag[pid]: message` or `tag: message`.
fn tag(text: &str) -> Option<(&str, Option<u32>, &str)> {
    let bytes = text.as_bytes();
    let window = &bytes[..bytes.len().min(MAX_TAG_BYTES + 16)];
    let is_tag =
        |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'[' | b']' | b':' | b'"' | b'{' | b'=');
    let end = window.iter().take_while(|byte| is_tag(byte)).count();
    if end == 0 || end > MAX_TAG_BYTES {
        return None;
    }
    let (tag, mut rest) = (&text[..end], &text[end..]);
    let mut pid = None;
    if let Some(inner) = rest.strip_prefix('[') {
        let close = inner.bytes().take(16).position(|byte| byte == b']')?;
        pid = inner[..close].parse().ok();
        rest = &inner[close + 1..];
    }
    let rest = rest.strip_prefix(':')?;
    // `a::b` is a name of a program's own, no tag.
    if !(rest.is_empty() || rest.starts_with(' ')) {
        return None;
    }
    Some((tag, pid, rest.strip_prefix(' ').unwrap_or(rest)))
}

/// What follows the priority of RFC 5424: `1 time host program pid id [structured data] message`. `-` is none.
pub(super) fn rfc5424<'a>(line: &'a str, clock: &Clock) -> Option<Head<'a>> {
    let mut parts = line.strip_prefix("1 ")?.splitn(6, ' ');
    let mut next = || parts.next().map(|part| (part != "-").then_some(part));
    let at = match next()? {
        Some(time) => Some(iso(time.as_bytes(), clock)?.0),
        None => None,
    };
    let (host, tag, pid, id) = (next()?, next()?, next()?, next()?);
    let rest = parts.next()?;
    let mut fields = Fields::default();
    if let Some(id) = id {
        fields.push("msgid", id);
    }
    let rest = match rest.strip_prefix('-') {
        Some(rest) => rest,
        None => structured(rest, &mut fields)?,
    };
    let message = rest.strip_prefix(' ').unwrap_or(rest);
    let message = message.strip_prefix('\u{feff}').unwrap_or(message);
    Some(Head { at, host, tag, pid: pid.and_then(|pid| pid.parse().ok()), fields, message })
}

/// `[id name="value" …][…]`: what follows it. Names become `id.name`.
fn structured<'a>(mut text: &'a str, fields: &mut Fields) -> Option<&'a str> {
    while let Some(inner) = text.strip_prefix('[') {
        let end = inner.find([' ', ']'])?;
        let id = &inner[..end];
        text = &inner[end..];
        while let Some(pair) = text.strip_prefix(' ') {
            let (name, rest) = pair.split_once("=\"")?;
            let (mut value, mut at) = (String::new(), 0);
            loop {
                let found = at + rest.get(at..)?.find(['"', '\\'])?;
                value.push_str(&rest[at..found]);
                at = found + 1;
                if rest.as_bytes()[found] == b'"' {
                    break;
                }
                // `\"`, `\\` and `\]` are escaped; before all else the backslash is itself.
                let next = rest[at..].chars().next()?;
                if !matches!(next, '"' | '\\' | ']') {
                    value.push('\\');
                }
                value.push(next);
                at += next.len_utf8();
            }
            fields.push(&format!("{id}.{}", name.trim_ascii_start()), &value);
            text = &rest[at..];
        }
        text = text.strip_prefix(']')?;
    }
    Some(text)
}

//! From an entry to a record and its stream.

use std::borrow::Cow;

use agent_common::units::UnixNs;

use super::Entry;
use crate::{Record, Severity, Stream};

/// What of a field's value a record keeps. Only the journal has longer ones: core dumps, whole programs' output.
pub const MAX_RECORD_FIELD_BYTES: usize = 4 << 10;

/// Fields that a record does not keep: they are in the stream's labels or the record, are the same on every line of a host, or, as
/// the command line, may hold a secret on every line.
pub const SKIPPED: [&str; 31] = [
    "CONTAINER_ID",
    "CONTAINER_ID_FULL",
    "CONTAINER_NAME",
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "SYSLOG_RAW",
    "SYSLOG_TIMESTAMP",
    "_AUDIT_LOGINUID",
    "_AUDIT_SESSION",
    "_BOOT_ID",
    "_CAP_EFFECTIVE",
    "_CMDLINE",
    "_COMM",
    "_GID",
    "_HOSTNAME",
    "_LINE_BREAK",
    "_MACHINE_ID",
    "_PID",
    "_RUNTIME_SCOPE",
    "_SELINUX_CONTEXT",
    "_SOURCE_BOOTTIME_TIMESTAMP",
    "_SOURCE_MONOTONIC_TIMESTAMP",
    "_SOURCE_REALTIME_TIMESTAMP",
    "_STREAM_ID",
    "_SYSTEMD_CGROUP",
    "_SYSTEMD_OWNER_UID",
    "_SYSTEMD_SLICE",
    "_SYSTEMD_UNIT",
    "_SYSTEMD_USER_SLICE",
];

/// Id of the message in which journald says how many lines of a service it left out.
const SUPPRESSED_ID: &[u8] = b"a596d6fe7bfa4994828e72309e95d61e";
/// How much earlier than journald wrote it a sender may have stamped a line; beyond it the stamp is not believed.
const MAX_LATE_US: u64 = 24 * 3_600_000_000;

/// A record, where it belongs, and what journald says is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Labels `source=journal`, and `unit`, `comm`, `container` as far as they are known.
    pub stream: Stream,
    /// The record; its position is the entry's number.
    pub record: Record,
    /// Lines that journald left out, by this line of its own ("Suppressed 5 messages from …").
    pub suppressed: u64,
}

/// An entry as a record. Its time is the sender's, where journald noted one that can be right.
#[must_use]
pub fn line(entry: &Entry) -> Line {
    let mut known = Known::default();
    let mut fields = Vec::new();
    for (name, value) in entry.fields() {
        known.note(name, value);
        if !skipped(name) {
            fields.push((text(name).into_owned(), text(begin(value)).into_owned()));
        }
    }
    fields.extend(entry.cut().map(|(name, whole)| (format!("{}.length", text(name)), whole.to_string())));
    let mut labels = vec![("source", Cow::Borrowed("journal"))];
    let own = [
        ("unit", known.unit.or(known.user_unit)),
        ("comm", known.identifier.or(known.comm)),
        ("container", known.container.or(known.container_id)),
    ];
    labels.extend(own.into_iter().filter_map(|(label, value)| Some((label, text(value?)))));
    let at_us = match known.source_us {
        Some(at) if at <= entry.realtime_us && entry.realtime_us - at <= MAX_LATE_US => at,
        _ => entry.realtime_us,
    };
    Line {
        stream: Stream::new(labels),
        suppressed: known.suppressed(),
        record: Record {
            at: UnixNs(at_us.saturating_mul(1000)),
            severity: known.priority.map_or(Severity::Unknown, Severity::of_number),
            pid: known.pid.or(known.syslog_pid).unwrap_or(0),
            start_ns: 0,
            position: entry.seqnum,
            message: text(known.message.unwrap_or_default()).into_owned(),
            fields,
        },
    }
}

#[derive(Default)]
struct Known<'a> {
    message: Option<&'a [u8]>,
    priority: Option<u64>,
    pid: Option<u32>,
    syslog_pid: Option<u32>,
    identifier: Option<&'a [u8]>,
    comm: Option<&'a [u8]>,
    unit: Option<&'a [u8]>,
    user_unit: Option<&'a [u8]>,
    container: Option<&'a [u8]>,
    container_id: Option<&'a [u8]>,
    source_us: Option<u64>,
    of_driver: bool,
    of_suppression: bool,
    dropped: Option<u64>,
}

impl<'a> Known<'a> {
    /// Of several values the first counts.
    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        let slot = match name {
            b"MESSAGE" => &mut self.message,
            b"SYSLOG_IDENTIFIER" => &mut self.identifier,
            b"_COMM" => &mut self.comm,
            b"_SYSTEMD_UNIT" => &mut self.unit,
            b"_SYSTEMD_USER_UNIT" => &mut self.user_unit,
            b"CONTAINER_NAME" => &mut self.container,
            b"CONTAINER_ID" => &mut self.container_id,
            b"PRIORITY" => return self.priority = self.priority.or_else(|| number(value)),
            b"_PID" => return self.pid = self.pid.or_else(|| number(value)),
            b"SYSLOG_PID" => return self.syslog_pid = self.syslog_pid.or_else(|| number(value)),
            b"_SOURCE_REALTIME_TIMESTAMP" => return self.source_us = number(value),
            b"_TRANSPORT" => return self.of_driver = value == b"driver",
            b"MESSAGE_ID" => return self.of_suppression |= value == SUPPRESSED_ID,
            b"N_DROPPED" => return self.dropped = number(value),
            _ => return,
        };
        slot.get_or_insert(value);
    }

    /// Only journald itself can say so: the transport is a field that senders cannot set.
    fn suppressed(&self) -> u64 {
        if !(self.of_driver && self.of_suppression) {
            return 0;
        }
        // Before systemd 235 the number stands in the text alone.
        let in_text =
            || number(self.message?.strip_prefix(b"Suppressed ")?.split(|byte| *byte == b' ').next()?);
        self.dropped.or_else(in_text).unwrap_or(0)
    }
}

fn skipped(name: &[u8]) -> bool {
    SKIPPED.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn begin(value: &[u8]) -> &[u8] {
    if value.len() <= MAX_RECORD_FIELD_BYTES {
        return value;
    }
    // Not within a character.
    let mut end = MAX_RECORD_FIELD_BYTES;
    while end > MAX_RECORD_FIELD_BYTES - 4 && value[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &value[..end]
}

fn number<N: std::str::FromStr>(value: &[u8]) -> Option<N> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::entry::Span;
    use super::*;

    fn entry(fields: &[(&str, &[u8])]) -> Entry {
        let mut entry = Entry { seqnum: 7, realtime_us: 1_700_000_000_000_000, ..Entry::default() };
        for (name, value) in fields {
            let start = entry.bytes.len();
            entry.bytes.extend([name.as_bytes(), b"=", value].concat());
            let (equals, end) = (start + name.len(), entry.bytes.len());
            entry.fields.push(Span { start, equals, end, whole: value.len() as u64 });
        }
        entry
    }

    #[test]
    fn the_skipped_are_sorted_as_the_search_needs() {
        assert!(SKIPPED.is_sorted());
    }

    #[test]
    fn an_entry_is_a_record_and_a_stream() {
        let line = line(&entry(&[
            ("MESSAGE", b"disk \xff full\nsecond"),
            ("PRIORITY", b"3"),
            ("_PID", b"42"),
            ("_COMM", b"appd"),
            ("SYSLOG_IDENTIFIER", b"app"),
            ("_SYSTEMD_UNIT", b"app.service"),
            ("CONTAINER_NAME", b"web"),
            ("_SOURCE_REALTIME_TIMESTAMP", b"1699999999999999"),
            ("_CMDLINE", b"app --password=x"),
            ("CODE_LINE", b"12"),
            ("TAG", b"a"),
            ("TAG", b"b"),
        ]));
        let labels = [("source", "journal"), ("unit", "app.service"), ("comm", "app"), ("container", "web")];
        assert_eq!(line.stream, Stream::new(labels));
        let pairs = [("CODE_LINE", "12"), ("TAG", "a"), ("TAG", "b")];
        let expected = Record {
            at: UnixNs(1_699_999_999_999_999_000),
            severity: Severity::Error,
            pid: 42,
            start_ns: 0,
            position: 7,
            message: "disk \u{fffd} full\nsecond".into(),
            fields: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        };
        assert_eq!((line.record, line.suppressed), (expected, 0));
    }

    #[test]
    fn a_stamp_from_the_future_or_long_ago_is_not_believed() {
        for stamp in ["1700000000000001", "1600000000000000", "-1", "x", "99999999999999999999999"] {
            let line = line(&entry(&[("MESSAGE", b"m"), ("_SOURCE_REALTIME_TIMESTAMP", stamp.as_bytes())]));
            assert_eq!(line.record.at, UnixNs(1_700_000_000_000_000_000), "{stamp}");
        }
    }

    #[test]
    fn only_journald_says_how_many_it_left_out() {
        let said = |transport: &[u8], more: &[(&str, &[u8])]| {
            let mut fields = vec![("_TRANSPORT", transport), ("MESSAGE_ID", SUPPRESSED_ID)];
            fields.extend(more);
            line(&entry(&fields)).suppressed
        };
        assert_eq!(said(b"driver", &[("N_DROPPED", b"12")]), 12);
        assert_eq!(said(b"driver", &[("MESSAGE", b"Suppressed 5 messages from app.service")]), 5);
        assert_eq!(said(b"journal", &[("N_DROPPED", b"12")]), 0);
    }

    #[test]
    fn a_long_field_is_cut_between_characters() {
        let value = "xx\u{20ac}".repeat(3000);
        let line = line(&entry(&[("BIG", value.as_bytes())]));
        let kept = &line.record.fields[0].1;
        assert!(
            value.starts_with(kept.as_str()) && kept.len() > MAX_RECORD_FIELD_BYTES - 4,
            "{}",
            kept.len()
        );
    }
}

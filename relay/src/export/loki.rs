//! Loki's push API: `POST /loki/api/v1/push` with JSON, gzip-packed.
//!
//! A Loki has an index of label sets and keeps them few: the labels are where a line comes from, and its level. Everything else of
//! a line is structured metadata. It refuses label sets beyond 5,000, lines beyond 256 KiB, 128 entries or 64 KiB of metadata
//! (its defaults): what is sent stays below these, and says what it leaves out.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use logs::{Record, Severity, Stream};
use serde::Serialize;

use agent_common::text;

use super::logs::Lines;
use super::send::Rejected;

/// Below the receiver's address.
pub(super) const PATH: &str = "/loki/api/v1/push";
/// Of each request.
pub(super) const HEADERS: [(&str, &str); 2] =
    [("content-type", "application/json"), ("content-encoding", "gzip")];

/// Labels of a stream that are labels there.
const LABELS: [&str; 7] = ["source", "unit", "container", "pod", "namespace", "file", "comm"];
/// Those that have few values, whatever runs on the host.
const FEW: [&str; 3] = ["host", "source", "level"];
/// Label sets in use: a tenth of what a Loki takes from all hosts. Each has some hundred bytes here.
const MAX_LABEL_SETS: usize = 500;
/// A label set that no line had for so long is not in use: a Loki closes its chunk after half as long.
const IN_USE: Duration = Duration::from_hours(1);
/// Characters of a label's value; a Loki takes 2,048 bytes.
const MAX_VALUE_CHARS: usize = 500;
/// Bytes of a line.
const MAX_LINE_BYTES: usize = 250 << 10;
/// Entries of a line's metadata, and their bytes.
const MAX_ENTRIES: usize = 100;
const MAX_ENTRY_BYTES: usize = 48 << 10;
/// Bytes of an entry's name.
const MAX_NAME_BYTES: usize = 200;

type Labels = BTreeMap<&'static str, String>;
/// Time in ns, line, metadata.
type Entry = (String, String, BTreeMap<String, String>);

#[derive(Serialize)]
struct Push {
    streams: Vec<Pushed>,
}

#[derive(Serialize)]
struct Pushed {
    stream: Labels,
    values: Vec<Entry>,
}

/// Makes requests of lines.
pub(super) struct Encoder {
    host: String,
    /// Label sets in use, and when a line had them.
    sets: HashMap<Labels, Instant>,
}

impl Encoder {
    pub(super) fn new(host: &str) -> Self {
        Self { host: host.to_owned(), sets: HashMap::new() }
    }

    /// A request of these lines: the lines of a label set together, by time.
    pub(super) fn encode(&mut self, lines: &[Lines], now: Instant) -> std::io::Result<Vec<u8>> {
        let mut streams: BTreeMap<Labels, Vec<(u64, Entry)>> = BTreeMap::new();
        for Lines { stream, records } in lines {
            let mut levels: BTreeMap<Severity, (Labels, Labels)> = BTreeMap::new();
            for record in records {
                let (labels, others) = levels
                    .entry(record.severity)
                    .or_insert_with(|| self.labels(stream, level(record.severity), now));
                let entry = (record.at.0, entry(record, others));
                match streams.get_mut(labels) {
                    Some(entries) => entries.push(entry),
                    None => _ = streams.insert(labels.clone(), vec![entry]),
                }
            }
        }
        let streams = streams.into_iter().map(|(stream, mut entries)| {
            entries.sort_by_key(|(at, _)| *at);
            Pushed { stream, values: entries.into_iter().map(|(_, entry)| entry).collect() }
        });
        let mut out = GzEncoder::new(Vec::new(), Compression::default());
        serde_json::to_writer(&mut out, &Push { streams: streams.collect() })?;
        out.finish()
    }

    /// Labels of a stream's lines of one level, and what is metadata of each.
    fn labels(&mut self, stream: &Stream, level: &str, now: Instant) -> (Labels, Labels) {
        let own = LABELS.into_iter().filter_map(|name| Some((name, stream.get(name)?)));
        let own = own.chain([("host", self.host.as_str()), ("level", level)]);
        let mut labels: Labels = own.map(|(name, text)| (name, value(text))).collect();
        let mut others = Labels::new();
        if !self.is_in_use(&labels, now) {
            others.clone_from(&labels);
            others.retain(|name, _| !FEW.contains(name));
            labels.retain(|name, _| FEW.contains(name));
        }
        others.extend(stream.get("stream").map(|text| ("stream", value(text))));
        (labels, others)
    }

    /// Whether a label set is one of those in use, or becomes one.
    fn is_in_use(&mut self, labels: &Labels, now: Instant) -> bool {
        if let Some(used) = self.sets.get_mut(labels) {
            *used = now;
            return true;
        }
        if self.sets.len() >= MAX_LABEL_SETS {
            self.sets.retain(|_, used| now.duration_since(*used) < IN_USE);
        }
        let has_room = self.sets.len() < MAX_LABEL_SETS;
        if has_room {
            self.sets.insert(labels.clone(), now);
        }
        has_room
    }
}

/// A level as Grafana colours it.
fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Emergency => "emerg",
        other => other.name(),
    }
}

fn value(text: &str) -> String {
    text::clean(text).chars().take(MAX_VALUE_CHARS).collect()
}

/// A line with its metadata.
fn entry(record: &Record, others: &Labels) -> Entry {
    let line = &record.message[..record.message.floor_char_boundary(MAX_LINE_BYTES)];
    let mut metadata: BTreeMap<String, String> =
        others.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    if record.pid > 0 {
        metadata.insert("pid".to_owned(), record.pid.to_string());
    }
    if line.len() < record.message.len() {
        metadata.insert("bytes_left_out".to_owned(), (record.message.len() - line.len()).to_string());
    }
    let (mut bytes, mut left_out) = (0, 0_u32);
    for (field, value) in &record.fields {
        let name = name(field);
        let of = name.len() + value.len();
        if metadata.len() >= MAX_ENTRIES || bytes + of > MAX_ENTRY_BYTES || metadata.contains_key(&name) {
            left_out += 1;
        } else {
            bytes += of;
            metadata.insert(name, value.clone());
        }
    }
    if left_out > 0 {
        metadata.insert("fields_left_out".to_owned(), left_out.to_string());
    }
    (record.at.0.to_string(), line.to_owned(), metadata)
}

/// A field's name as a query can write it: letters, digits and `_`. One that is a label's or our own has `_extracted` behind it, as
/// Loki does with names that it finds in lines.
fn name(field: &str) -> String {
    let end = field.floor_char_boundary(MAX_NAME_BYTES);
    let mut name: String =
        field[..end].chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    let own = ["host", "level", "stream", "pid", "bytes_left_out", "fields_left_out"];
    if LABELS.contains(&name.as_str()) || own.contains(&name.as_str()) {
        name.push_str("_extracted");
    }
    name
}

/// Its answer to a success is empty.
pub(super) fn rejected(_: &[u8]) -> Option<Rejected> {
    None
}

#[cfg(test)]
mod tests {
    use agent_common::units::UnixNs;

    use super::*;

    fn record(severity: Severity, fields: &[(&str, &str)]) -> Record {
        Record {
            at: UnixNs(1),
            severity,
            pid: 7,
            start_ns: 0,
            position: 1,
            message: "text".to_owned(),
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn label_sets_beyond_the_bound_have_the_few_labels_and_the_others_as_metadata() {
        let mut encoder = Encoder::new("web-1");
        let begun = Instant::now();
        let stream = |nth: usize| Stream::new([("source", "stdio".to_owned()), ("comm", format!("c{nth}"))]);
        for nth in 0..MAX_LABEL_SETS {
            assert_eq!(encoder.labels(&stream(nth), "info", begun).0["comm"], format!("c{nth}"));
        }
        let (labels, others) = encoder.labels(&stream(MAX_LABEL_SETS), "info", begun);
        assert_eq!(labels.keys().copied().collect::<Vec<_>>(), ["host", "level", "source"]);
        assert_eq!(others["comm"], format!("c{MAX_LABEL_SETS}"));
        assert!(encoder.labels(&stream(0), "info", begun + IN_USE / 2).0.contains_key("comm"), "it is known");
        // What was not seen for long makes room.
        let (labels, _) = encoder.labels(&stream(MAX_LABEL_SETS), "info", begun + IN_USE);
        assert!(labels.contains_key("comm"));
        assert_eq!(encoder.sets.len(), 2);
    }

    #[test]
    fn metadata_is_bounded_and_says_what_it_leaves_out() {
        let long = "v".repeat(MAX_ENTRY_BYTES);
        let mut line = record(
            Severity::Info,
            &[
                ("a.b", "1"),
                ("a-b", "2"),
                ("", "3"),
                ("9é", "4"),
                ("host", "5"),
                ("pid", "6"),
                ("long", &long),
            ],
        );
        line.message = "é".repeat(MAX_LINE_BYTES);
        let (_, text, metadata) = entry(&line, &Labels::new());
        assert_eq!(text.len(), MAX_LINE_BYTES);
        let expected = [
            ("_", "3"),
            ("_9_", "4"),
            ("a_b", "1"),
            ("bytes_left_out", "256000"),
            ("fields_left_out", "2"),
            ("host_extracted", "5"),
            ("pid", "7"),
            ("pid_extracted", "6"),
        ];
        assert!(
            metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected),
            "{metadata:?}"
        );
        let many: Vec<(String, String)> = (0..1000).map(|nth| (format!("f{nth}"), String::new())).collect();
        let (_, _, metadata) = entry(&Record { fields: many, ..line }, &Labels::new());
        assert_eq!(metadata.len(), MAX_ENTRIES + 1);
        assert_eq!(metadata["fields_left_out"], "902");
    }
}

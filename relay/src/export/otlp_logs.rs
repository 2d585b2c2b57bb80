//! OTLP logs over HTTP: `opentelemetry.proto.collector.logs.v1`, stable.
//!
//! A resource is a stream: host, service, container, pod, unit. The process and the fields of a line are attributes of its record.

mod message;

use std::collections::HashSet;

use agent_common::units::UnixNs;
use logs::{Record, Severity, Stream};
use prost::Message as _;

use self::message::{LogRecord, Request, ResourceLogs, Response, ScopeLogs};
use super::logs::Lines;
use super::otlp::common::{AnyValue, KeyValue, Resource, Scope, any_value, attribute, gzip, string};
use super::otlp::said;
use super::send::Rejected;

/// Below the receiver's address.
pub(super) const PATH: &str = "/v1/logs";

/// Makes requests of lines.
pub(super) struct Encoder {
    host: String,
}

impl Encoder {
    pub(super) fn new(host: &str) -> Self {
        Self { host: host.to_owned() }
    }

    /// A request of these lines, which were read `now`.
    pub(super) fn encode(&self, lines: &[Lines], now: UnixNs) -> std::io::Result<Vec<u8>> {
        let resources = lines.iter().map(|Lines { stream, records }| ResourceLogs {
            resource: Some(self.resource(stream)),
            scope_logs: vec![ScopeLogs {
                scope: Some(Scope::own()),
                log_records: records.iter().map(|record| log_record(stream, record, now)).collect(),
            }],
        });
        gzip(&Request { resource_logs: resources.collect() }.encode_to_vec())
    }

    fn resource(&self, stream: &Stream) -> Resource {
        let label = |name| stream.get(name).unwrap_or_default();
        let (pod, container) = (label("pod"), label("container"));
        let all = [
            ("host.name", self.host.as_str()),
            ("service.name", service(stream)),
            ("k8s.namespace.name", label("namespace")),
            ("k8s.pod.name", pod),
            (if pod.is_empty() { "container.name" } else { "k8s.container.name" }, container),
            ("systemd.unit.name", label("unit")),
        ];
        let all = all.into_iter().filter(|(_, value)| !value.is_empty());
        Resource { attributes: all.map(|(key, value)| attribute(key, value)).collect() }
    }
}

/// What the protocol calls a service: the container, the unit, the program.
fn service(stream: &Stream) -> &str {
    let unit = stream.get("unit").map(|unit| unit.strip_suffix(".service").unwrap_or(unit));
    let known = stream.get("container").or(unit).or(stream.get("comm"));
    known.or(stream.get("source")).unwrap_or("unknown_service")
}

fn log_record(stream: &Stream, record: &Record, now: UnixNs) -> LogRecord {
    let own = [
        ("s7mpa.source", "source"),
        ("s7mpa.comm", "comm"),
        ("log.file.path", "file"),
        ("log.iostream", "stream"),
    ];
    let own = own.into_iter().filter_map(|(key, label)| Some(attribute(key, stream.get(label)?)));
    let mut attributes: Vec<KeyValue> = own.collect();
    if record.pid > 0 {
        let value = Some(AnyValue { value: Some(any_value::Value::Int(record.pid.into())) });
        attributes.push(KeyValue { key: "process.pid".to_owned(), value });
    }
    // A key stands once in a record, and is not empty.
    let mut keys: HashSet<String> = attributes.iter().map(|one| one.key.clone()).collect();
    keys.insert(String::new());
    let mut dropped = 0;
    for (name, value) in &record.fields {
        if keys.insert(name.clone()) {
            attributes.push(attribute(name, value));
        } else {
            dropped += 1;
        }
    }
    LogRecord {
        time_unix_nano: record.at.0,
        severity_number: severity_number(record.severity),
        severity_text: match record.severity {
            Severity::Unknown => String::new(),
            known => known.name().to_owned(),
        },
        body: Some(string(&record.message)),
        attributes,
        dropped_attributes_count: dropped,
        observed_time_unix_nano: now.0,
    }
}

/// `SeverityNumber` of syslog's severities, as the data model's appendix maps them.
const fn severity_number(severity: Severity) -> i32 {
    match severity {
        Severity::Emergency => 21,
        Severity::Alert => 19,
        Severity::Critical => 18,
        Severity::Error => 17,
        Severity::Warning => 13,
        Severity::Notice => 10,
        Severity::Info => 9,
        Severity::Debug => 5,
        Severity::Unknown => 0,
    }
}

/// What a receiver says that it left out.
pub(super) fn rejected(answer: &[u8]) -> Option<Rejected> {
    let partial = Response::decode(answer).ok()?.partial_success?;
    let lines = u64::try_from(partial.rejected_log_records).ok().filter(|lines| *lines > 0)?;
    let why = format!("the receiver left out {lines} lines: {}", said(&partial.error_message));
    Some(Rejected { why, samples: Some(lines) })
}

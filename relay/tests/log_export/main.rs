//! Log lines to other engines. No Loki and no collector of OpenTelemetry can be had from package registries: a small receiver takes
//! the requests. OTLP is read by OpenTelemetry's own Python package. What address, headers and JSON of Loki must be is recorded of
//! another client (`PyPI`'s loki-logger-handler 1.1.2).

#[path = "../common/python.rs"]
mod python;
#[path = "../common/reached.rs"]
mod reached;
#[path = "../common/receiver.rs"]
mod receiver;

use std::io::Read as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use agent_common::pair::ExportFigures;
use agent_common::settings::Content;
use agent_common::settings::relay::EngineExport;
use agent_common::units::UnixNs;
use logs::block::{Builder, Codec};
use logs::message::{Message, Part};
use logs::{Record, Severity, Stream};
use relay::export::{LogExporter, LogFormat};
use serde_json::{Value, json};

use python::read;
use reached::{PATIENCE, until};
use receiver::{Receiver, Request};

const SPOOL: &str = "0123456789abcdef";
const FROM: u64 = 1_700_000_000_000_000_000;
/// Lines of [`message`].
const LINES: u64 = 5;

fn record(at: u64, severity: Severity, pid: u32, message: &str, fields: &[(&str, &str)]) -> Record {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Record {
        at: UnixNs(FROM + at),
        severity,
        pid,
        start_ns: 0,
        position: at,
        message: message.to_owned(),
        fields,
    }
}

fn part(source: u64, labels: &[(&str, &str)], records: &[Record]) -> Part {
    let mut builder = Builder::new(Stream::new(labels.iter().copied())).expect("labels");
    for record in records {
        builder.push(record).expect("a line");
    }
    let block = builder.finish(&mut Codec::new()).expect("a block").expect("lines");
    Part { source, block }
}

/// Lines of a unit, of which two sources have some, and one of a pod with hostile names.
fn message() -> Vec<u8> {
    let unit =
        [("host", "web-1"), ("source", "journal"), ("unit", "shop.service"), ("comm", "shop\u{1b}[31m\"}")];
    let pod = [
        ("source", "container"),
        ("pod", "web-7d9"),
        ("namespace", "shop"),
        ("container", "nginx"),
        ("stream", "stderr"),
        ("evil=\"label", "x"),
    ];
    let parts = vec![
        part(
            1,
            &unit,
            &[
                record(1, Severity::Info, 7, "one", &[("trace.id", "a"), ("pid", "fake"), ("level", "fake")]),
                record(5, Severity::Info, 8, "five\n  at shop", &[]),
                record(6, Severity::Emergency, 0, "six", &[]),
            ],
        ),
        part(2, &unit, &[record(3, Severity::Info, 7, "three", &[])]),
        part(
            3,
            &pod,
            &[record(2, Severity::Unknown, 9, "\"quoted\"\u{0}", &[("", "x"), ("k", "v"), ("k", "w")])],
        ),
    ];
    Message { parts, lost: Vec::new() }.pack()
}

fn start(format: LogFormat, url: String, max_bytes: u64, timeout: Duration) -> LogExporter {
    let token = Some(Content::Text("a token\n".to_owned()));
    let export = EngineExport { url: Content::Text(url), token, max_bytes, timeout };
    LogExporter::start(format, &export, "web-1").expect("settings")
}

fn to(format: LogFormat, receiver: &Receiver) -> LogExporter {
    start(format, format!("{}/prefix/", receiver.url()), 8 << 20, Duration::from_secs(10))
}

/// Sends the message, twice as after a restart of the connection; what the receiver got.
async fn sent(format: LogFormat) -> Request {
    let receiver = Receiver::start(&[204]);
    let mut exporter = to(format, &receiver);
    exporter.message(SPOOL, 1, &message());
    exporter.message(SPOOL, 1, &message());
    until(&exporter.gauge(), "it was taken", |figures| figures.sent_samples == LINES).await;
    exporter.close(Duration::from_secs(5)).await;
    let mut requests = receiver.stop();
    assert_eq!(requests.len(), 1);
    let request = requests.remove(0);
    assert_eq!(request.header("content-encoding"), "gzip");
    assert_eq!(request.header("authorization"), "Bearer a token");
    request
}

fn unpacked(request: &Request) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&request.body[..]).read_to_end(&mut bytes).expect("gzip");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn loki_gets_streams_of_few_labels_with_their_lines_in_order() {
    let request = sent(LogFormat::Loki).await;
    assert_eq!(request.line, "POST /prefix/loki/api/v1/push HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/json");
    let body: Value = serde_json::from_slice(&unpacked(&request)).expect("JSON");
    let unit = |level| {
        let comm = agent_common::text::clean("shop\u{1b}[31m\"}");
        json!({"host": "web-1", "source": "journal", "unit": "shop.service", "comm": comm, "level": level})
    };
    let at = |at: u64| (FROM + at).to_string();
    let pod = json!({
        "host": "web-1", "source": "container", "pod": "web-7d9", "namespace": "shop", "container": "nginx",
        "level": "unknown",
    });
    let mut streams = body["streams"].as_array().expect("streams").clone();
    streams.sort_by_key(|stream| stream["values"][0][0].as_str().map(str::to_owned));
    let expected = json!([
        {"stream": unit("info"), "values": [
            [at(1), "one", {"pid": "7", "trace_id": "a", "pid_extracted": "fake", "level_extracted": "fake"}],
            [at(3), "three", {"pid": "7"}],
            [at(5), "five\n  at shop", {"pid": "8"}],
        ]},
        {"stream": pod, "values": [
            [at(2), "\"quoted\"\u{0}", {"pid": "9", "stream": "stderr", "_": "x", "k": "v", "fields_left_out": "1"}],
        ]},
        {"stream": unit("emerg"), "values": [[at(6), "six", {}]]},
    ]);
    assert_eq!(Value::from(streams), expected);
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));
}

/// What OpenTelemetry's own messages say of a request.
const OTLP: &str = r#"
import gzip, json, sys
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
request = ExportLogsServiceRequest.FromString(gzip.decompress(open(sys.argv[1], "rb").read()))
def attributes(them):
    assert len({one.key for one in them}) == len(them)
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in them}
answer = []
for resource in request.resource_logs:
    [scope] = resource.scope_logs
    assert scope.scope.name == "s7mpa"
    for record in scope.log_records:
        assert record.observed_time_unix_nano > record.time_unix_nano
        answer.append([record.time_unix_nano, SeverityNumber.Name(record.severity_number), record.severity_text,
            record.body.string_value, attributes(resource.resource.attributes), attributes(record.attributes),
            record.dropped_attributes_count])
print(json.dumps(sorted(answer, key=lambda one: one[0])))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn otlp_logs_are_read_by_opentelemetry_s_own_messages() {
    let request = sent(LogFormat::Otlp).await;
    assert_eq!(request.line, "POST /prefix/v1/logs HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/x-protobuf");
    let Some(records) = read(OTLP, &request.body) else { return };
    let unit = json!({"host.name": "web-1", "service.name": "shop", "systemd.unit.name": "shop.service"});
    let pod = json!({
        "host.name": "web-1", "service.name": "nginx", "k8s.namespace.name": "shop", "k8s.pod.name": "web-7d9",
        "k8s.container.name": "nginx",
    });
    let comm = "shop\u{1b}[31m\"}";
    let own = |pid: u32| json!({"s7mpa.source": "journal", "s7mpa.comm": comm, "process.pid": pid});
    let one = json!({
        "s7mpa.source": "journal", "s7mpa.comm": comm, "process.pid": 7, "trace.id": "a", "pid": "fake",
        "level": "fake",
    });
    let two = json!({"s7mpa.source": "container", "log.iostream": "stderr", "process.pid": 9, "k": "v"});
    let info = "SEVERITY_NUMBER_INFO";
    let expected = json!([
        [FROM + 1, info, "info", "one", unit, one, 0],
        [FROM + 2, "SEVERITY_NUMBER_UNSPECIFIED", "", "\"quoted\"\u{0}", pod, two, 2],
        [FROM + 3, info, "info", "three", unit, own(7), 0],
        [FROM + 5, info, "info", "five\n  at shop", unit, own(8), 0],
        [FROM + 6, "SEVERITY_NUMBER_FATAL", "emergency", "six", unit,
            {"s7mpa.source": "journal", "s7mpa.comm": comm}, 0],
    ]);
    assert_eq!(records, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_does_not_take_now_is_sent_again_and_what_it_never_takes_is_counted() {
    for format in [LogFormat::Loki, LogFormat::Otlp] {
        let receiver = Receiver::answering(&[
            (500, b""),
            (429, b"slow down"),
            (204, b""),
            (400, b"entry too far behind"),
            (204, b""),
            (400, b"at least one label"),
        ]);
        let mut exporter = to(format, &receiver);
        for seq in 1..=2 {
            exporter.message(SPOOL, seq, &message());
        }
        until(&exporter.gauge(), "one is refused", |figures| figures.lost_samples > 0).await;
        let figures = exporter.gauge().figures();
        assert_eq!((figures.sent_samples, figures.lost_samples), (LINES, LINES), "{format:?}");
        assert!(figures.error.is_some_and(|error| error.contains("400") && error.contains("too far behind")));
        exporter.message(SPOOL, 3, &message());
        until(&exporter.gauge(), "one is taken", |figures| figures.sent_samples == 2 * LINES).await;
        assert_eq!(exporter.gauge().figures().error, None);
        // What is damaged is counted, too, and the others of its message are sent.
        exporter.message(SPOOL, 4, b"nonsense");
        until(&exporter.gauge(), "nonsense is counted", |figures| figures.lost_samples == LINES + 1).await;
        let mut half = Message::unpack(&message()).expect("a message");
        half.parts[0].block.pop();
        // Not even its header can be read: how many lines it had, nobody knows.
        let damaged = 1;
        exporter.message(SPOOL, 5, &half.pack());
        until(&exporter.gauge(), "the damaged block and the refused ones are counted", |figures| {
            figures.lost_samples == LINES + 1 + damaged + 2
        })
        .await;
        exporter.close(Duration::from_secs(5)).await;
        let requests = receiver.stop();
        assert!(requests[0].body == requests[1].body && requests[1].body == requests[2].body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_otlp_leaves_out_are_counted_one_by_one() {
    // ExportLogsServiceResponse { partial_success { rejected_log_records: 2, error_message: "full" } }
    let answer: &[u8] = b"\x0a\x08\x08\x02\x12\x04full";
    let receiver = Receiver::answering(&[(200, answer)]);
    let mut exporter = to(LogFormat::Otlp, &receiver);
    exporter.message(SPOOL, 1, &message());
    until(&exporter.gauge(), "some are lost", |figures| figures.lost_samples > 0).await;
    let figures = exporter.gauge().figures();
    assert_eq!((figures.sent_samples, figures.lost_samples), (LINES - 2, 2));
    assert_eq!(figures.error.as_deref(), Some("the receiver left out 2 lines: full"));
    exporter.close(Duration::from_secs(5)).await;
    receiver.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_costs_a_bounded_queue_and_no_time() {
    for format in [LogFormat::Loki, LogFormat::Otlp] {
        // Connections are made, and nobody answers.
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut exporter = start(format, url, 4 << 10, Duration::from_millis(200));
        let message = message();
        let begun = Instant::now();
        let mut taken = 0;
        for seq in 1..=200 {
            let before = Instant::now();
            exporter.message(SPOOL, seq, &message);
            taken += before.elapsed().as_millis();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(taken < 1000, "{taken} ms");
        let all = |figures: &ExportFigures| figures.waiting_samples + figures.lost_samples == 200 * LINES;
        until(&exporter.gauge(), "all wait or are lost", all).await;
        let figures = exporter.gauge().figures();
        assert!(figures.waiting_samples > 0 && figures.lost_samples > 100 * LINES, "{figures:?}");
        until(&exporter.gauge(), "it says so", |figures| figures.error.is_some()).await;
        assert!(begun.elapsed() < PATIENCE);
        let closing = Instant::now();
        exporter.close(Duration::from_millis(300)).await;
        assert!(closing.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_lines_become_requests_of_about_a_megabyte() {
    for format in [LogFormat::Loki, LogFormat::Otlp] {
        let receiver = Receiver::start(&[204, 204, 204]);
        let mut exporter = to(format, &receiver);
        let line = "x".repeat(1000);
        let parts = (0..3).map(|source| {
            let records: Vec<Record> =
                (0..900).map(|nth| record(1000 * source + nth, Severity::Info, 1, &line, &[])).collect();
            part(source, &[("source", "file"), ("file", "/var/log/a")], &records)
        });
        let message = Message { parts: parts.collect(), lost: Vec::new() };
        exporter.message(SPOOL, 1, &message.pack());
        until(&exporter.gauge(), "all is taken", |figures| figures.sent_samples == 2700).await;
        exporter.close(Duration::from_secs(5)).await;
        for request in receiver.stop() {
            assert!(unpacked(&request).len() < 2 << 20, "{format:?}");
        }
    }
}

/// What is written of a line beside its text counts, too.
#[tokio::test(flavor = "multi_thread")]
async fn short_lines_do_not_make_large_requests() {
    const LINES: u64 = 100_000;
    for format in [LogFormat::Loki, LogFormat::Otlp] {
        let receiver = Receiver::start(&[204; 10]);
        let mut exporter = start(format, receiver.url(), 64 << 20, Duration::from_secs(10));
        let parts = (0..25).map(|source| {
            let records: Vec<Record> = (0..LINES / 25)
                .map(|nth| record(1_000_000 * source + nth, Severity::Info, 4_711, "ok", &[]))
                .collect();
            part(source, &[("source", "container"), ("container", "web"), ("stream", "stdout")], &records)
        });
        let message = Message { parts: parts.collect(), lost: Vec::new() };
        exporter.message(SPOOL, 1, &message.pack());
        until(&exporter.gauge(), "all is taken", |figures| figures.sent_samples == LINES).await;
        exporter.close(Duration::from_secs(5)).await;
        for request in receiver.stop() {
            assert!(unpacked(&request).len() < 4 << 20, "{format:?}: {}", unpacked(&request).len());
        }
    }
}

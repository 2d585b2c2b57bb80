//! Profiles to other engines. Neither Pyroscope nor a collector of OpenTelemetry can be had from package registries: a small
//! receiver takes the requests, and other readers than ours read them: Google's `pprof` and OpenTelemetry's own Python package.
//! What the address, headers and messages of Pyroscope must be is recorded of its own client (pyroscope-rs 2.1).

#[path = "../common/python.rs"]
mod python;
#[path = "../common/reached.rs"]
mod reached;
#[path = "../common/receiver.rs"]
mod receiver;

use std::process::Command;
use std::time::Duration;

use agent_common::settings::Content;
use agent_common::settings::relay::EngineExport;
use agent_common::units::{BootNs, DurNs, UnixNs};
use profile::block::{Block, Builder, Group, Looked, MAX_MESSAGE, pack};
use profile::testing::example;
use relay::export::{ProfileExporter, ProfileFormat};

use python::read;
use reached::until;
use receiver::{Receiver, Request};

const SPOOL: &str = "0123456789abcdef";
const FROM: u64 = 1_700_000_000_000_000_000;
const MINUTE: u64 = 60_000_000_000;

/// A minute of three threads, which ran and waited; one of the processes is in a container.
fn block() -> Block {
    let mut builder = Builder::new(UnixNs(FROM), DurNs(MINUTE / 6), 6, 100, usize::MAX);
    for (column, looked) in [(0, Looked::Cpu), (3, Looked::Cpu), (5, Looked::Wait)] {
        builder.add(looked, column, &example(), |thread| Group {
            tgid: thread.tgid,
            start: BootNs(1),
            comm: thread.process_name().clone(),
            cgroup: "/".into(),
            container: if thread.tgid == 9 { "0123456789abcdef0123".into() } else { "".into() },
        });
    }
    builder.finish()
}

fn message(block: &Block) -> Vec<u8> {
    pack(block, MAX_MESSAGE).remove(0)
}

fn samples(block: &Block) -> u64 {
    block.total(Looked::Cpu).0 + block.total(Looked::Wait).0
}

fn start(format: ProfileFormat, url: String) -> ProfileExporter {
    let export = EngineExport {
        url: Content::Text(url),
        token: Some(Content::Text("a token\n".to_owned())),
        max_bytes: 8 << 20,
        timeout: Duration::from_secs(10),
    };
    ProfileExporter::start(format, &export, "web-1").expect("settings")
}

/// Sends a block; what the receiver got.
async fn sent(format: ProfileFormat) -> Request {
    let receiver = Receiver::start(&[200]);
    let mut exporter = start(format, format!("{}/prefix/", receiver.url()));
    let block = block();
    exporter.block(SPOOL, 1, &message(&block));
    // Again, as after a restart of the connection; and the evidence of an alert, which has nothing new.
    exporter.block(SPOOL, 1, &message(&block));
    exporter.block(SPOOL, 2, &message(&Block { alerts: vec!["cpu/1".to_owned()], ..block.clone() }));
    until(&exporter.gauge(), "it was taken", |figures| figures.sent_samples == samples(&block)).await;
    assert_eq!(exporter.gauge().figures().waiting_samples, 0, "nothing else was queued");
    exporter.close(Duration::from_secs(5)).await;
    let mut requests = receiver.stop();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

/// Series of a `push.v1.PushRequest`: labels, and the profile in hexadecimal digits. The numbers are those that Pyroscope's own
/// client has.
const PUSH: &str = r#"
import json, sys
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
file = descriptor_pb2.FileDescriptorProto(name="push.proto", package="push.v1", syntax="proto3")
def message(name, *fields):
    made = file.message_type.add(name=name)
    for number, (field, kind, repeated) in enumerate(fields, 1):
        one = made.field.add(name=field, number=number, label=3 if repeated else 1)
        if kind in ("string", "bytes"):
            one.type = {"string": 9, "bytes": 12}[kind]
        else:
            one.type, one.type_name = 11, ".push.v1." + kind
message("LabelPair", ("name", "string", False), ("value", "string", False))
message("RawSample", ("raw_profile", "bytes", False), ("id", "string", False))
message("RawProfileSeries", ("labels", "LabelPair", True), ("samples", "RawSample", True))
message("PushRequest", ("series", "RawProfileSeries", True))
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
request = message_factory.GetMessageClass(pool.FindMessageTypeByName("push.v1.PushRequest"))()
request.ParseFromString(open(sys.argv[1], "rb").read())
print(json.dumps([
    {"labels": {pair.name: pair.value for pair in series.labels}, "profiles": [one.raw_profile.hex() for one in series.samples]}
    for series in request.series]))
"#;

/// The samples of an OTLP request by service: kind, weight and stack, leaf first.
const OTLP: &str = r#"
import gzip, json, sys
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest
request = ExportProfilesServiceRequest.FromString(gzip.decompress(open(sys.argv[1], "rb").read()))
words = request.dictionary
text = lambda index: words.string_table[index]
for name in ("mapping", "location", "function", "link", "attribute", "stack"):
    table = getattr(words, name + "_table")
    assert not table[0].ByteSize(), name + ": index 0 is nothing"
assert text(0) == ""
def attributes(indices):
    found = [words.attribute_table[index] for index in indices]
    return {text(one.key_strindex): one.value.int_value or one.value.string_value for one in found}
def stack(index):
    frames = []
    for location in words.stack_table[index].location_indices:
        location = words.location_table[location]
        assert attributes(location.attribute_indices)["profile.frame.type"] in ("native", "kernel", "cpython")
        frames += [text(words.function_table[line.function_index].name_strindex) for line in location.lines]
    return frames
answer = []
for resource in request.resource_profiles:
    own = {one.key: one.value.string_value for one in resource.resource.attributes}
    for profile in resource.scope_profiles[0].profiles:
        answer.append({
            "resource": own,
            "kind": text(profile.sample_type.type_strindex), "unit": text(profile.sample_type.unit_strindex),
            "period": profile.period, "from": profile.time_unix_nano, "length": profile.duration_nano,
            "samples": [[sum(one.values), attributes(one.attribute_indices)["process.pid"], stack(one.stack_index)]
                        for one in profile.samples]})
print(json.dumps(answer))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn pyroscope_gets_a_pprof_of_each_service() {
    let request = sent(ProfileFormat::Pyroscope).await;
    assert_eq!(request.line, "POST /prefix/push.v1.PusherService/Push HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/proto");
    assert_eq!(request.header("authorization"), "Bearer a token");
    let Some(series) = read(PUSH, &request.body) else { return };
    let series = series.as_array().expect("series");
    let block = block();
    let mut totals = [0_u64; 2];
    let mut containers = 0;
    for one in series {
        let labels = &one["labels"];
        assert_eq!(labels["host"], "web-1");
        assert!(!labels["service_name"].as_str().expect("a service").is_empty());
        containers += usize::from(labels["container"] == "0123456789ab");
        let is_cpu = labels["__name__"] == "process_cpu";
        assert!(is_cpu || labels["__name__"] == "off_cpu", "{labels}");
        let profiles = one["profiles"].as_array().expect("profiles");
        assert_eq!(profiles.len(), 1);
        let raw = pprof_raw(profiles[0].as_str().expect("digits"));
        let types = if is_cpu { "samples/count cpu/nanoseconds" } else { "time/nanoseconds" };
        assert!(raw.contains(types), "{raw}");
        let period = if is_cpu { "Period: 10000000" } else { "Period: 1" };
        assert!(raw.contains(period) && raw.contains("Duration: 1m"), "{raw}");
        totals[usize::from(!is_cpu)] += weights(&raw);
    }
    assert!(containers > 0 && containers < series.len(), "some are in a container");
    assert_eq!(totals, [block.total(Looked::Cpu).0, block.total(Looked::Wait).1]);
}

/// A profile as `go tool pprof -raw` shows it.
fn pprof_raw(digits: &str) -> String {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    let dir = tempfile::tempdir().expect("tempdir");
    let file = dir.path().join("profile.pb.gz");
    std::fs::write(&file, bytes).expect("the profile");
    let output = Command::new("go")
        .args(["tool", "pprof", "-raw"])
        .arg(&file)
        .env("HOME", dir.path())
        .env("PPROF_TMPDIR", dir.path())
        .output()
        .expect("go tool pprof");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The sum of the first value of all samples.
fn weights(raw: &str) -> u64 {
    let samples = raw.split("Samples:\n").nth(1).and_then(|rest| rest.split("Locations\n").next());
    let samples = samples.unwrap_or_else(|| panic!("no samples: {raw}"));
    let first = |line: &str| line.split_once(':')?.0.split_whitespace().next()?.parse::<u64>().ok();
    samples.lines().filter_map(first).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_profiles_are_read_by_opentelemetry_s_own_messages() {
    let request = sent(ProfileFormat::Otlp).await;
    assert_eq!(request.line, "POST /prefix/v1development/profiles HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/x-protobuf");
    assert_eq!(request.header("content-encoding"), "gzip");
    assert_eq!(request.header("authorization"), "Bearer a token");
    let Some(profiles) = read(OTLP, &request.body) else { return };
    let block = block();
    let mut totals = [0_u64; 2];
    let mut stacks = 0;
    for profile in profiles.as_array().expect("profiles") {
        assert_eq!(profile["resource"]["host.name"], "web-1");
        let is_cpu = profile["kind"] == "samples";
        assert_eq!(profile["unit"], if is_cpu { "count" } else { "nanoseconds" });
        assert_eq!(profile["period"], if is_cpu { 10_000_000 } else { 0 });
        assert_eq!((profile["from"].as_u64(), profile["length"].as_u64()), (Some(FROM), Some(MINUTE)));
        for sample in profile["samples"].as_array().expect("samples") {
            totals[usize::from(!is_cpu)] += sample[0].as_u64().expect("a weight");
            assert!(sample[1].as_u64().is_some_and(|pid| pid > 0), "{sample}");
            stacks += usize::from(sample[2].as_array().is_some_and(|stack| stack.len() > 1));
        }
    }
    assert_eq!(totals, [block.total(Looked::Cpu).0, block.total(Looked::Wait).1]);
    assert!(stacks > 0, "stacks have frames");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_does_not_take_now_is_sent_again_and_what_it_never_takes_is_counted() {
    for format in [ProfileFormat::Pyroscope, ProfileFormat::Otlp] {
        let receiver = Receiver::start(&[503, 429, 200, 400, 200]);
        let mut exporter = start(format, receiver.url());
        let block = block();
        for seq in 1..=3 {
            exporter.block(SPOOL, seq, &message(&block));
        }
        let samples = samples(&block);
        until(&exporter.gauge(), "all is sent or lost", |figures| figures.waiting_samples == 0).await;
        let figures = exporter.gauge().figures();
        assert_eq!((figures.sent_samples, figures.lost_samples), (2 * samples, samples), "{format:?}");
        // A block that is none is counted, too.
        exporter.block(SPOOL, 4, b"nonsense");
        assert_eq!(exporter.gauge().figures().lost_samples, samples + 1);
        exporter.close(Duration::from_secs(5)).await;
        let requests = receiver.stop();
        assert_eq!(requests.len(), 5);
        assert!(requests[0].body == requests[1].body && requests[1].body == requests[2].body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_otlp_leaves_out_is_a_loss_with_its_words() {
    // ExportProfilesServiceResponse { partial_success { rejected_profiles: 2, error_message: "full" } }
    let short: &[u8] = b"\x0a\x08\x08\x02\x12\x04full";
    // The same with a message of 1,000 bytes.
    let long = [b"\x0a\xed\x07\x08\x02\x12\xe8\x07full".as_slice(), &[b'!'; 996]].concat();
    for answer in [short, &long] {
        let receiver = Receiver::answering(&[(200, answer)]);
        let mut exporter = start(ProfileFormat::Otlp, receiver.url());
        let block = block();
        exporter.block(SPOOL, 1, &message(&block));
        until(&exporter.gauge(), "it is lost", |figures| figures.lost_samples == samples(&block)).await;
        let error = exporter.gauge().figures().error.expect("its words");
        assert!(error.contains("left out 2 profiles: full"), "{error}");
        exporter.close(Duration::from_secs(5)).await;
        receiver.stop();
    }
}

//! Log lines, events and post-mortems: what is in the store is in the answers, as they are described.

use logs::block::{Builder, Codec};
use logs::message::Part;
use logs::{Record, Severity, Stream};
use server::store::logs::{LogStore, Message, Options};

use super::v1::{checked, document};
use super::*;

/// A store of lines of a host: two hundred of a unit, one of a trace, an event that came again, and a post-mortem.
async fn with_lines() -> Setup {
    let setup = Setup::new().await;
    let at = |seconds: u64| UnixNs((T0_S + seconds) * 1_000_000_000);
    let line = |position: u64, message: String, fields: &[(&str, &str)]| Record {
        at: at(position.min(100)),
        severity: if position.is_multiple_of(10) { Severity::Error } else { Severity::Info },
        pid: 7,
        start_ns: 1,
        position,
        message,
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let part = |labels: &[(&str, &str)], records: &[Record]| {
        let own = [("host", "h")].into_iter().chain(labels.iter().copied());
        let mut builder = Builder::new(Stream::new(own)).expect("labels");
        for record in records {
            builder.push(record).expect("it fits");
        }
        let block = builder.finish(&mut Codec::new()).expect("compressed").expect("lines");
        Part { source: 1 + labels.len() as u64 * 100 + records.len() as u64, block }
    };
    let lines: Vec<Record> =
        (1..=200).map(|n| line(n, format!("request {n} took {} ms", n % 7), &[("nth", "x")])).collect();
    let long = line(50, "x".repeat(100_000), &[]);
    let event = |count| {
        let fields =
            [("class", "out-of-memory"), ("subject_kind", "process"), ("subject", "db"), ("count", count)];
        line(60, "Killed process 7 (db)".to_owned(), &[&fields[..], &[("explains", "oom,reclaim")]].concat())
    };
    let again = Record { position: 61, at: at(60), ..event("2") };
    let postmortem = json!({
        "process": { "pid": 7, "start_ns": 1, "comm": "db", "exe": "/usr/bin/db", "cmdline": "db", "unit": null, "container": null },
        "ended": { "at_ns": 1, "kind": "signal", "code": null, "signal": 11, "core": false, "by": null },
        "cause": { "class": "null-pointer", "subject": { "kind": "process" }, "text": "it died", "confidence": 0.9 },
        "evidence": [], "ruled_out": [], "loop": null,
    });
    let end = line(70, "it died".to_owned(), &[("id", "end/7"), ("postmortem", &postmortem.to_string())]);
    let parts = vec![
        part(&[("source", "journal"), ("unit", "web.service")], &lines),
        part(&[("source", "file")], &[long]),
        part(&[("source", "event")], &[event("1"), again]),
        part(&[("source", "postmortem"), ("comm", "x")], &[end]),
    ];
    let head = window(1).head;
    let lines = logs::message::Message { parts, lost: Vec::new() };
    let store = LogStore::open(
        setup.dir.path(),
        Options { max_age: Duration::from_hours(1_000_000), ..Options::default() },
    );
    let store = store.expect("store");
    let written = store.write(&[Message::from_payload(&Message::payload(&head, &lines)).expect("a message")]);
    assert_eq!(written.expect("written").lines, 204);
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_listed_counted_and_shortened() {
    let setup = with_lines().await;
    let document = document(&setup).await;
    let time = format!("from={T0_S}&to={}", T0_S + 200);
    let ask = async |query: &str| checked(&setup, &document, "/logs", &format!("/logs?{time}&{query}")).await;
    let (_, all) = ask("limit=1000").await;
    let lines = all["lines"].as_array().expect("lines");
    assert_eq!(
        (lines.len(), &all["more"]),
        (201, &json!(false)),
        "events and post-mortems are not lines of programs"
    );
    let (_, some) = ask("query=unit%3Dweb.service%20severity%3E%3Derror&limit=5").await;
    assert_eq!((some["lines"].as_array().map(Vec::len), &some["more"]), (Some(5), &json!(true)));
    assert!(some["lines"][0]["fields"] == json!([["nth", "x"]]) && some["lines"][0]["pid"] == 7);
    let before = some["lines"][4]["at_ns"].as_str().expect("a time").to_owned();
    let (_, older) = ask(&format!("query=severity%3E%3Derror&limit=1&before_ns={before}")).await;
    assert!(older["lines"][0]["at_ns"].as_str() < Some(&before));
    let (_, long) = ask("query=source%3Dfile").await;
    assert_eq!(
        (&long["lines"][0]["cut"], long["lines"][0]["message"].as_str().map(str::len)),
        (&json!(100_000), Some(16 << 10))
    );
    let (_, whole) = ask("query=source%3Dfile&whole=true").await;
    assert_eq!(whole["lines"][0]["message"].as_str().map(str::len), Some(100_000));
    for wrong in ["query=~%28", "query=%22open", "limit=0", "limit=5001", "before_ns=x"] {
        assert_eq!(ask(wrong).await.0, 400, "{wrong}");
    }
    let (_, counts) =
        checked(&setup, &document, "/logs/histogram", &format!("/logs/histogram?{time}&step=50s")).await;
    let bars = counts["bars"].as_array().expect("bars");
    assert_eq!((&counts["lines"], &bars[0]["counts"]["error"]), (&json!(201), &json!(4)));
    let (_, streams) =
        checked(&setup, &document, "/logs/streams", &format!("/logs/streams?{time}&host=h")).await;
    assert_eq!(streams["streams"][0]["labels"]["unit"], "web.service");
    let (_, none) =
        checked(&setup, &document, "/logs/streams", &format!("/logs/streams?{time}&host=other")).await;
    assert_eq!(none["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_there_once_and_post_mortems_whole() {
    let setup = with_lines().await;
    let document = document(&setup).await;
    let time = format!("from={T0_S}&to={}", T0_S + 200);
    let (_, events) = checked(&setup, &document, "/events", &format!("/events?{time}&host=h")).await;
    let all = events["events"].as_array().expect("events");
    assert_eq!(
        (all.len(), &all[0]["count"], &all[0]["explains"]),
        (1, &json!(2), &json!(["oom", "reclaim"]))
    );
    assert_eq!(all[0]["subject"], json!({ "kind": "process", "name": "db", "pid": 7 }));
    let (_, ends) = checked(&setup, &document, "/postmortems", &format!("/postmortems?{time}")).await;
    let one = &ends["postmortems"][0];
    assert_eq!(
        (&one["cause"]["class"], &one["host"], &one["id"]),
        (&json!("null-pointer"), &json!("h"), &json!("end/7"))
    );
    let (status, _) = checked(&setup, &document, "/events", &format!("/events?{time}&limit=100000")).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_lines_are_kept_it_says_so() {
    let setup = Setup::new().await;
    for path in ["logs", "logs/histogram", "logs/streams", "events", "postmortems"] {
        let answer = setup.get(&format!("/api/s7mpa/v1/{path}")).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

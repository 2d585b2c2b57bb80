//! What a broken or hostile client may send: counted by reason, and the stream goes on.

use super::*;

#[test]
fn what_is_no_window_is_rejected_by_reason_and_the_stream_goes_on() {
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        let head = |text: &str| metrics(format!("s7mpa_window,host=h,stream={STREAM} {text} 5\n"));
        let mut messages = vec![metrics(payload(1))];
        messages.extend([metrics(""), metrics([0xff, 0xfe, 0x00, 0x80]), metrics(vec![0x80; 256 << 10])]);
        messages.extend([metrics("{\"json\":true}"), metrics(vec![b'x'; 256 << 10])]);
        messages.extend([metrics("cpu,host=h usage=1 5\n"), head("seq=0i,points=0i,span_ns=1i")]);
        messages.push(head("points=0i,span_ns=1i"));
        messages.push(("s7mpa/v1/another/metrics".into(), payload(2)));
        messages.push(metrics(payload(2)));
        publisher.publish(messages).await;
        until("both good windows stored", || server.ingest.stats().stored == 2).await;
        let stats = server.stop().await;
        let r = stats.rejected;
        assert_eq!((r.empty, r.binary, r.malformed, r.head, r.wrong_host), (1, 2, 2, 3, 1), "{stats:?}");
        assert_eq!((r.total(), stats.received, stats.points), (9, 11, 6), "{stats:?}");
        assert_eq!(stats.streams[&format!("h/{STREAM}")].contiguous, 2);
    });
}

/// The relay keeps a message until its number is stored: one that can never be read would be sent again for ever.
#[test]
fn profiles_and_log_lines_that_cannot_be_read_are_not_sent_again() {
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        let message = |channel: &str, host: &str, seq: u64, bytes: usize| {
            let head =
                String::from_utf8(payload(seq)).expect("text").lines().next().expect("a head").to_owned();
            let mut payload = format!("{head}\n").into_bytes();
            payload.resize(payload.len() + bytes, 0xee);
            (format!("s7mpa/v1/{host}/{channel}"), payload)
        };
        for channel in ["profile", "log"] {
            publisher.publish([message(channel, "h", 1, 100), message(channel, "another", 2, 100)]).await;
        }
        publisher.publish([message("log", "h", 2, (4 << 20) + 1)]).await;
        until("their numbers are stored", || {
            let stats = server.ingest.stats();
            (stats.profiles.new, stats.logs.new) == (1, 2)
        })
        .await;
        publisher.publish([message("log", "h", 1, 100)]).await;
        until("known", || server.ingest.stats().logs.duplicates == 1).await;
        let r = server.stop().await.rejected;
        assert_eq!((r.malformed, r.too_large, r.wrong_host), (3, 1, 2), "{r:?}");
    });
}

/// rumqttd drops a link whose acknowledgements do not come in the order of its messages: what is rejected at once must
/// not overtake a window that waits for the store. Without a spool that sends again, what was lost would be seen.
#[test]
fn bursts_of_large_and_bad_messages_leave_the_embedded_brokers_link_alone() {
    const BURSTS: u64 = 20;
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        for burst in 0..BURSTS {
            let good = |n: u64| metrics(large(burst * 3 + n, 256 << 10));
            publisher
                .publish([
                    good(1),
                    metrics(vec![b'x'; 256 << 10]),
                    metrics(vec![0x80; 1 << 20]),
                    good(2),
                    ("s7mpa/v1/h/status".to_owned(), b"{}".to_vec()),
                    metrics(vec![b'x'; 5 << 20]),
                    good(3),
                    metrics(""),
                ])
                .await;
            until("the burst is stored", || server.ingest.stats().stored == burst * 3 + 3).await;
        }
        until("all rejected", || server.ingest.stats().rejected.total() == 4 * BURSTS).await;
        let stats = server.stop().await;
        assert_eq!((stats.connections, stats.received, stats.duplicates), (1, 7 * BURSTS, 0), "{stats:?}");
    });
}

#[test]
fn a_malformed_line_costs_itself_and_is_counted() {
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        let mut window = payload(1);
        window.extend_from_slice(b"this is no line\n");
        publisher.publish([metrics(window)]).await;
        until("stored", || server.ingest.stats().stored == 1).await;
        let stats = server.stop().await;
        assert_eq!((stats.points, stats.malformed_lines, stats.rejected.total()), (3, 1, 0));
    });
}

/// Mosquitto lets 64 MiB through. An ingester with a packet limit would break the connection there, get the message
/// again, and never get past it.
#[test]
fn sixty_four_mebibytes_are_rejected_and_the_stream_goes_on() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = Mosquitto::start(dir.path(), "");
    runtime().block_on(async {
        let server = Running::behind(Options::new(broker.url(), "p"), dir.path(), "ingest", None).await;
        let mut publisher = Publisher::connect(&server.options).await;
        publisher.publish([metrics(payload(1)), metrics(vec![b'x'; 64 << 20]), metrics(payload(2))]).await;
        until("both good windows stored", || server.ingest.stats().stored == 2).await;
        let stats = server.stop().await;
        assert_eq!((stats.rejected.too_large, stats.connections), (1, 1), "{stats:?}");
    });
}

/// The embedded broker throws out who sends too much, before it has read it.
#[test]
fn the_embedded_broker_refuses_sixty_four_mebibytes_from_one_counts_it_and_serves_the_others() {
    tracing_subscriber::registry().with(broker::refusals()).try_init().expect("the only subscriber here");
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut good = Publisher::connect(&server.options).await;
        let mut bad =
            Publisher::connect(&Options { client_id: "bad".into(), ..server.options.clone() }).await;
        bad.0
            .publish(Message { topic: TOPIC.into(), payload: vec![b'x'; 64 << 20], retain: false })
            .expect("room");
        good.publish([metrics(payload(1))]).await;
        loop {
            if let Event::Closed(failure) = bad.0.next().await {
                assert_eq!(failure.kind, FailureKind::Closed, "{failure}");
                break;
            }
        }
        good.publish([metrics(payload(2))]).await;
        until("both good windows stored", || server.ingest.stats().stored == 2).await;
        // Behind a small packet in one read, too: another form of the same error.
        for _ in 0..2 {
            let mut bad =
                Publisher::connect(&Options { client_id: "worse".into(), ..server.options.clone() }).await;
            for payload in [Vec::new(), vec![b'x'; 64 << 20]] {
                bad.0.publish(Message { topic: TOPIC.into(), payload, retain: false }).expect("room");
            }
            while !matches!(bad.0.next().await, Event::Closed(_)) {}
        }
        until("all counted", || server.ingest.stats().refused_by_broker == 3).await;
        assert_eq!(server.stop().await.connections, 1);
    });
}

/// One stolen password must not forge every host: what comes on the topics of `h` is about `h`.
#[test]
fn what_names_another_host_than_its_topic_is_refused_and_counted() {
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        let points_of = |tags: &str| {
            let text = String::from_utf8(payload(1)).expect("text");
            metrics(text.replace("m,n=2", &format!("m,{tags},n=2")))
        };
        let on = |channel: &str, json: &str| (format!("s7mpa/v1/h/{channel}"), json.as_bytes().to_vec());
        let mut forged = notes::alert("a", AlertState::Open, 5);
        forged.host = "i".into();
        publisher
            .publish([
                points_of("host=i"),
                points_of("host=h,host=i"),
                on("status", r#"{"state":"online","host":"i"}"#),
                on("report", r#"{"host":"i"}"#),
                (topic::alert("h", "a"), serde_json::to_vec(&forged).expect("JSON")),
                // Another spelling of the topic of `h`, which an access list would not know.
                ("s7mpa/v1/%68/metrics".to_owned(), payload(1)),
                points_of("host=h"),
            ])
            .await;
        until("the good window stored", || server.ingest.stats().stored == 1).await;
        until("the rest refused", || server.ingest.stats().rejected.total() == 6).await;
        let reader = Reader::open(&dir.path().join("state").join(FILE)).expect("reader");
        let hosts: BTreeSet<String> = reader
            .series("m")
            .expect("series")
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| (name == "host").then_some(value))
            .collect();
        assert_eq!(hosts.into_iter().collect::<Vec<_>>(), ["h"]);
        assert!(reader.reporting_hosts().expect("hosts").is_empty());
        let stats = server.stop().await;
        assert_eq!((stats.rejected.wrong_host, stats.rejected.topic), (5, 1), "{stats:?}");
        assert!(stats.hosts.is_empty(), "{stats:?}");
    });
}

/// A clock a day ahead: the store keeps the points with their times, and the statistics name the host and its skew.
#[test]
fn a_clock_that_is_ahead_is_said_with_its_host() {
    const DAY: u64 = 86_400_000_000_000;
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        publisher.publish([metrics(payload_at(1, now_ns() + DAY))]).await;
        until("stored", || server.ingest.stats().stored == 1).await;
        let ahead = server.ingest.stats().clocks_ahead_ns["h"];
        assert!((DAY - 60_000_000_000..=DAY).contains(&ahead), "{ahead}");
        let reader = Reader::open(&dir.path().join("state").join(FILE)).expect("reader");
        let hosts = reader.hosts_ahead(UnixNs(now_ns())).expect("hosts");
        assert!(
            matches!(&hosts[..], [(host, end)] if host == "h" && end.0 > now_ns() + DAY / 2),
            "{hosts:?}"
        );
        // The clock is set right.
        publisher.publish([metrics(payload(2))]).await;
        until("stored", || server.ingest.stats().stored == 2).await;
        assert!(server.stop().await.clocks_ahead_ns.is_empty());
    });
}

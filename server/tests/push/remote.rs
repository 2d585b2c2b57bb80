//! Prometheus's remote write.

use super::*;

#[tokio::test]
async fn series_come_as_they_are_and_end_with_their_marker() {
    let setup = Setup::new().await;
    let (now, labels) = (now_ms(), [("instance", "a:9100"), ("job", "node"), ("odd", "a=b,c\\d\n\u{1}ü")]);
    let at = |second: i64| now - 60_000 + second * 1000;
    let counter: Vec<(i64, f64)> = (0..30).map(|n| (at(n), 1e15 + 5.0 * n as f64)).collect();
    let ended = [(at(0), 1.0), (at(10), 1.0), (at(11), STALE)];
    let nan = [(at(0), f64::NAN), (at(1), f64::INFINITY), (at(2), -0.0)];
    let all = vec![
        one("requests_total", &labels, &counter),
        one("up", &labels, &ended),
        one("odd", &labels, &nan),
        // An end of what never was.
        one("never", &labels, &[(at(5), STALE)]),
        one("empty", &[("a", "")], &[(at(5), 4.0)]),
    ];
    let written = setup.series(all.clone()).await;
    assert_eq!((written.status, &*written.body), (204, ""));
    for settled in [false, true] {
        assert_eq!(
            setup.value("rate(requests_total[20s])", at(29)).await.to_bits(),
            5f64.to_bits(),
            "{settled}"
        );
        assert_eq!(setup.value("requests_total", at(29)).await.to_bits(), f64::to_bits(1e15 + 145.0));
        assert_eq!(setup.ask("up{odd=\"a=b,c\\\\d\\n\\u0001ü\"}", at(10)).await.len(), 1);
        assert!(setup.ask("up", at(11)).await.is_empty(), "it has ended");
        assert!(setup.ask("never", at(11)).await.is_empty());
        assert!(setup.value("odd", at(0)).await.is_nan());
        assert!(setup.value("odd", at(1)).await.is_infinite());
        assert_eq!(setup.ask("empty", at(6)).await, [(r#"{"__name__":"empty"}"#.to_owned(), 4.0)]);
        // Sent again, as after a lost answer: nothing changes.
        assert_eq!(setup.series(all.clone()).await.status, 204);
        assert_eq!(
            setup.value("count_over_time(requests_total[1m])", at(40)).await.to_bits(),
            30f64.to_bits()
        );
        setup.store.settle().expect("settled");
    }
}

#[tokio::test]
async fn old_and_mixed_times_are_found_also_when_they_were_put_together() {
    // Everything older than a minute becomes one in ten seconds, and one in a minute after an hour.
    let options = embedded::Options {
        written_age: Duration::from_mins(1),
        ten_seconds_age: Duration::from_hours(1),
        silent: Duration::ZERO,
        ..embedded::Options::default()
    };
    let setup = Setup::with(options).await;
    let now = now_ms();
    // Two instances, scraped at other moments, over ten hours; the second ends an hour ago.
    let time = |n: i64, offset: i64| now - 36_000_000 + n * 15_000 + offset;
    let mut times: Vec<i64> = (0..2_400).collect();
    // The older half after the newer.
    times.rotate_left(1_200);
    for part in times.chunks(200) {
        let counter =
            |offset: i64| part.iter().map(|n| (time(*n, offset), 10.0 * *n as f64)).collect::<Vec<_>>();
        let mut second = counter(7_300);
        second.retain(|(at, _)| *at < now - 3_600_000);
        if part.contains(&2_399) {
            second.push((now - 3_600_000, STALE));
        }
        let written = setup
            .series(vec![one("c_total", &[("i", "a")], &counter(0)), one("c_total", &[("i", "b")], &second)])
            .await;
        assert_eq!((written.status, &*written.body), (204, ""));
    }
    setup.store.settle().expect("settled");
    let checked = setup.store.reader().expect("a reader").check(|_, _| ()).expect("checked");
    assert_eq!(checked.damages, Vec::<String>::new());
    assert!(
        setup.store.health().expect("health").dropped.iter().any(|(what, _)| what == "samples put together")
    );
    for hours in [1, 2, 5, 9] {
        let at = now - hours * 3_600_000 - 60_000;
        for instance in ["a", "b"] {
            let rate = setup.value(&format!("rate(c_total{{i=\"{instance}\"}}[30m])"), at).await;
            assert!((rate - 10.0 / 15.0).abs() < 0.02, "{hours} h ago, {instance}: {rate}");
        }
    }
    assert_eq!(setup.ask("c_total", now - 3_600_000 + 60_000).await.len(), 1, "the other has ended");
    let newest = setup.value("c_total", time(2_399, 0)).await;
    assert_eq!(newest.to_bits(), 23_990f64.to_bits());
}

#[tokio::test]
async fn what_is_no_request_is_the_senders_last_word() {
    let setup = Setup::new().await;
    let body = WriteRequest { timeseries: vec![one("up", &[], &[(now_ms(), 1.0)])], metadata: Vec::new() }
        .encode_body();
    assert_eq!(answer(setup.remote(body[..body.len() - 3].to_vec())).await.status, 400);
    assert_eq!(answer(setup.remote(b"up 1".to_vec())).await.status, 400);
    assert_eq!(answer(setup.remote(Vec::new())).await.status, 400);
    let text = answer(setup.remote(vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0])).await;
    assert_eq!(text.status, 413, "{}", text.body);
    let version_2 = setup
        .post("/api/v1/write", body.clone())
        .header("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
        .header("content-encoding", "snappy");
    assert_eq!(answer(version_2).await.status, 415);
    assert_eq!(answer(setup.remote(body)).await.status, 204);
    let now = now_ms();
    let names: Vec<String> = (0..41).map(|n| format!("x{n}")).collect();
    let labels = |count: usize| -> Vec<(&str, &str)> {
        names[..count].iter().map(|name| (name.as_str(), "y")).collect()
    };
    let mixed = vec![
        one("good", &[], &[(now, 1.0)]),
        one("late", &[], &[(now + 7_200_000, 1.0)]),
        one("s7mpa_host_load1", &[("host", "h")], &[(now, 99.0)]),
        one("", &[("a", "b")], &[(now, 1.0)]),
        one("twice", &[("a", "b"), ("a", "c")], &[(now, 1.0)]),
        one("many", &labels(41), &[(now, 1.0)]),
        one("enough", &labels(40), &[(now, 1.0)]),
    ];
    let written = setup.series(mixed).await;
    assert_eq!(written.status, 400);
    for part in [
        "late: its time",
        "names that begin with s7mpa_",
        "it has no name",
        "`a` is there twice",
        "it has 41 labels, and 40 are allowed",
        "dropped=5",
    ] {
        assert!(written.body.contains(part), "{part}: {}", written.body);
    }
    for name in ["good", "enough"] {
        assert_eq!(setup.value(name, now).await.to_bits(), 1f64.to_bits(), "{name}");
    }
}

#[tokio::test]
async fn alerts_of_a_prometheus_elsewhere_and_scraped_node_exporters_are_their_own() {
    let setup = Setup::new().await;
    let now = now_ms();
    let all = vec![
        one("ALERTS", &[("alertname", "Down"), ("alertstate", "firing")], &[(now, 1.0)]),
        one("node_load1", &[("instance", "web:9100"), ("job", "node")], &[(now, 0.5)]),
    ];
    assert_eq!(setup.series(all).await.status, 204);
    assert_eq!(setup.value("ALERTS", now).await.to_bits(), 1f64.to_bits());
    assert_eq!(setup.value("node_load1", now).await.to_bits(), 0.5f64.to_bits());
}

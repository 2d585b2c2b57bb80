//! Alerts and reports on their way into the store.

use super::*;

pub(super) fn alert(id: &str, state: AlertState, at: u64) -> Alert {
    let subject = Subject { kind: "process".into(), pid: Some(42), comm: Some("a b,c".into()) };
    let finding = Finding {
        rule: "cpu".into(),
        class: "cpu-user".into(),
        subject,
        culprit: None,
        lost_ns_per_s: 900_000_000,
        share_pct: 90.0,
        confidence: 0.5,
        evidence: Vec::new(),
        stacks: Vec::new(),
        alternatives: Vec::new(),
        caused: Vec::new(),
        headline: None,
        advice: "look".into(),
    };
    Alert {
        id: id.into(),
        host: "h".into(),
        state,
        opened_unix_ns: 1,
        at_unix_ns: at,
        finding,
        of_rule: None,
    }
}

/// Alerts come again after each reconnect (they are retained), reports too.
#[test]
fn alerts_and_the_latest_report_are_stored_once_and_read_back() {
    let dir = tempfile::tempdir().expect("tempdir");
    runtime().block_on(async {
        let server = Running::embedded(dir.path()).await;
        let mut publisher = Publisher::connect(&server.options).await;
        let now = now_ns();
        let states = [AlertState::Open, AlertState::Update, AlertState::Resolved];
        let life: Vec<Alert> = (0_u64..).zip(states).map(|(n, state)| alert("a", state, now + n)).collect();
        let message =
            |alert: &Alert| (topic::alert("h", &alert.id), serde_json::to_vec(alert).expect("JSON"));
        let report =
            |n: u32| ("s7mpa/v1/h/report".to_owned(), format!("{{\"host\":\"h\",\"n\":{n}}}").into_bytes());
        let mut messages = vec![report(1), metrics(payload(1))];
        for _ in 0..2 {
            messages.extend(life.iter().map(message));
            // Clears the retained one.
            messages.push((topic::alert("h", "a"), Vec::new()));
        }
        messages.extend([
            (topic::alert("another", "a"), message(&life[0]).1),
            (topic::alert("h", "b"), b"{}".to_vec()),
            (topic::alert("h", "c"), vec![0xff; 100]),
            (topic::alert("h", "d"), vec![b' '; MAX_NOTE_BYTES + 1]),
            ("s7mpa/v1/h/report".to_owned(), b"{\"host\":\"i\"}".to_vec()),
            report(2),
        ]);
        publisher.publish(messages).await;
        let reader = Reader::open(&dir.path().join("state").join(FILE)).expect("reader");
        let latest = || reader.report("h").expect("report").map(|(_, json)| json);
        until("the last report", || latest().as_deref() == Some("{\"host\":\"h\",\"n\":2}")).await;
        let read = |host, from| reader.alerts(host, UnixNs(from), UnixNs(u64::MAX), 10).expect("alerts");
        assert_eq!(read(None, now), life);
        assert_eq!(read(Some("h"), now + 1), life[1..]);
        assert_eq!(read(Some("i"), now), []);
        assert_eq!(reader.alerts(None, UnixNs(0), UnixNs(u64::MAX), 1).expect("alerts"), life[2..]);
        assert_eq!(reader.reporting_hosts().expect("hosts"), ["h"]);
        let stats = server.stop().await;
        let r = stats.rejected;
        assert_eq!(
            (r.wrong_host, r.malformed, r.binary, r.too_large, r.total()),
            (2, 1, 1, 1, 5),
            "{stats:?}"
        );
        assert_eq!(stats.notes, 5, "three steps of the alert, two reports: {stats:?}");
        assert_eq!((stats.connections, stats.stored), (1, 1), "{stats:?}");
    });
}

//! Reports that are kept: one a minute and those of alerts, within their share of the store.

use std::time::{SystemTime, UNIX_EPOCH};

use server::store::{Note, ReportNote};

use super::*;

/// The wall clock, in ns.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}

pub(super) fn note(host: &str, at: u64, json: &str) -> Note {
    Note::Report(ReportNote { host: host.into(), at: UnixNs(at), of_alert: false, json: json.into() })
}

fn of_alert(host: &str, at: u64, json: &str) -> Note {
    Note::Report(ReportNote { host: host.into(), at: UnixNs(at), of_alert: true, json: json.into() })
}

/// As long as a real one, and different in each minute: names and numbers that a dictionary saves, and some that it cannot.
fn json(at: u64) -> String {
    let mut text = format!("{{\"host\":\"h\",\"until_unix_ns\":{at},\"processes\":[");
    for pid in 0..40_u64 {
        let noise = (at / SECOND + pid).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let _ = write!(
            text,
            "{{\"pid\":{pid},\"comm\":\"worker-{pid}\",\"cgroup\":\"/system.slice/x{pid}.service\",\"states\":{{\"sleep_ns\":{noise}}}}},"
        );
    }
    text.push_str("{}]}");
    text
}

fn times(reader: &Reader, host: Option<&str>, from: u64, to: u64) -> Vec<u64> {
    let found = reader.reports(host, UnixNs(from), UnixNs(to), 100_000).expect("reports");
    for one in &found {
        assert_eq!(one.json, json(one.at.0), "as it came");
    }
    found.iter().map(|one| one.at.0).collect()
}

#[test]
fn one_report_a_minute_is_kept_and_each_that_an_alert_made() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    let start = now() - 7_200 * SECOND;
    let at = |seconds: u64| start + seconds * SECOND;
    // Two hours, every ten seconds, as many at a time as after an outage.
    let all: Vec<Note> =
        (0..7_200).step_by(10).map(|second| note("h", at(second), &json(at(second)))).collect();
    for some in all.chunks(50) {
        store.keep(some).expect("keep");
    }
    for host in ["h", "i"] {
        store.keep(&[of_alert(host, at(7_195), &json(at(7_195)))]).expect("keep");
    }
    let reader = store.reader().expect("reader");
    let minutes: Vec<u64> = (0..120).map(|minute| at(minute * 60)).chain([at(7_195)]).collect();
    assert_eq!(times(&reader, Some("h"), 0, u64::MAX), minutes);
    assert_eq!(times(&reader, Some("h"), at(60), at(180)), [at(60), at(120)]);
    assert_eq!(times(&reader, Some("i"), 0, u64::MAX), [at(7_195)]);
    assert_eq!(times(&reader, None, at(7_150), u64::MAX), [at(7_195), at(7_195)]);
    assert_eq!(reader.report("h").expect("report").expect("latest").at, UnixNs(at(7_195)));
    for (asked, nearest) in [(0, 0), (29, 0), (31, 60), (3_599, 3_600), (7_180, 7_195), (90_000, 7_195)] {
        let found = reader.report_near("h", UnixNs(at(asked))).expect("near").expect("a report");
        assert_eq!((found.at.0, found.json), (at(nearest), json(at(nearest))), "{asked}");
    }
    assert_eq!(reader.report_near("j", UnixNs(at(0))).expect("near"), None);
    // Once again: nothing is new.
    assert_eq!(store.keep(&[note("h", at(7_195), &json(at(7_195)))]).expect("keep"), 0);
    assert_eq!(times(&reader, Some("h"), 0, u64::MAX).len(), minutes.len());
}

#[test]
fn a_clock_that_is_set_back_does_not_end_the_keeping() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    let (now, ahead) = (now(), now() + 86_400 * SECOND);
    for at in [ahead, now, now + 60 * SECOND, now + 120 * SECOND] {
        store.keep(&[note("h", at, &json(at))]).expect("keep");
    }
    let reader = store.reader().expect("reader");
    assert_eq!(reader.report("h").expect("report").expect("latest").at, UnixNs(now + 120 * SECOND));
    assert!(times(&reader, None, 0, u64::MAX).starts_with(&[now]));
}

#[test]
fn the_oldest_hours_go_when_reports_have_their_share_of_the_store() {
    let dir = tempfile::tempdir().expect("tempdir");
    let max_bytes = 1 << 20;
    let store = EmbeddedStore::open(dir.path(), Options { max_bytes, ..Options::default() }).expect("open");
    let start = now() - 86_400 * SECOND;
    for hour in 0..24 {
        let times = (0..60).map(|minute| start + (hour * 60 + minute) * 60 * SECOND);
        let notes: Vec<Note> = times.map(|at| note("h", at, &json(at))).collect();
        store.keep(&notes).expect("keep");
    }
    let reader = store.reader().expect("reader");
    let kept = times(&reader, None, 0, u64::MAX);
    assert!(kept.len() < 24 * 60 && kept.len() > 60, "{} are kept", kept.len());
    assert_eq!(*kept.last().expect("some"), start + (24 * 60 - 1) * 60 * SECOND);
    assert!(kept.is_sorted());
    let health = store.health().expect("health");
    let used = health.counts.iter().find(|(name, _)| *name == "used_bytes").expect("bytes").1;
    assert!(used < max_bytes / 2, "{used} bytes with an eighth for reports");
    let gone = health.dropped.iter().find(|(what, _)| what == "reports by retention").expect("counted").1;
    assert_eq!(gone as usize + kept.len(), 24 * 60);
    // What is past its time goes.
    store.keep(&[note("old", T0, &json(T0))]).expect("keep");
    assert_eq!(reader.reporting_hosts().expect("hosts"), ["h"]);
    assert_eq!(times(&reader, Some("old"), 0, u64::MAX), [0; 0]);
}

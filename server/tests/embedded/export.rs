//! What is exported is what is there: read into a second store, and into Debian's InfluxDB (`tests/influx`), it is the same.

use std::collections::{BTreeMap, HashMap};

use promql::{Matcher, Operator, Reader as _, Span, is_stale};
use server::store::embedded::Export;

use super::*;

/// Lines as windows of a host, one for each time.
fn windows(text: &str) -> Vec<Window> {
    let mut by_time: BTreeMap<u64, String> = BTreeMap::new();
    for line in text.lines() {
        let time = line.rsplit(' ').next().and_then(|time| time.parse().ok()).expect("a time");
        let lines = by_time.entry(time).or_default();
        lines.push_str(line);
        lines.push('\n');
    }
    let window = |(seq, (time, lines)): (usize, (u64, String))| {
        let head = format!(
            "s7mpa_window,host=h,stream=00000000000000aa seq={}i,points={}i,span_ns=1i {time}\n",
            seq + 1,
            lines.lines().count()
        );
        Window::from_payload(format!("{head}{lines}").as_bytes()).expect("a window")
    };
    by_time.into_iter().enumerate().map(window).collect()
}

type Found = HashMap<String, Vec<(i64, u64)>>;

/// All samples but the markers of ends.
fn all(reader: &Reader) -> Found {
    let view = reader.view().expect("view");
    let found = view.select(&[], Span { from_ms: 0, to_ms: i64::MAX }).expect("select");
    found
        .map(|series| {
            let series = series.expect("series");
            let samples = series.samples.iter().filter(|sample| !is_stale(sample.value));
            let samples = samples.map(|sample| (sample.at_ms, sample.value.to_bits())).collect();
            (series.labels.to_string(), samples)
        })
        .collect()
}

fn export(reader: &Reader, what: &Export) -> (String, server::store::embedded::Exported) {
    let mut out = Vec::new();
    let exported = reader.export_lines(what, &mut out, |_, _| ()).expect("export");
    (String::from_utf8(out).expect("text"), exported)
}

fn everything() -> Export {
    Export { from: UnixNs(0), to: UnixNs(u64::MAX), sets: Vec::new() }
}

#[test]
fn lines_that_are_read_into_a_second_store_make_it_the_same() {
    let dir = tempfile::tempdir().expect("tempdir");
    let options = Options { written_age: Duration::from_mins(20), ..Options::default() };
    let store = EmbeddedStore::open(dir.path(), options).expect("open");
    for seq in 1..=700 {
        store.write(&[sparse("h", seq)]).expect("write");
    }
    let reader = store.reader().expect("reader");
    let (text, exported) = export(&reader, &everything());
    let counts = reader.counts().expect("counts");
    assert_eq!((exported.points, exported.samples), (text.lines().count() as u64, counts.samples));
    assert!(text.contains("state=\"R\"") && text.contains("share=") && text.contains("cpu_ns="));

    let second_dir = tempfile::tempdir().expect("tempdir");
    let second = open(second_dir.path());
    for window in windows(&text) {
        second.write(&[window]).expect("write");
    }
    let again = second.reader().expect("reader");
    assert_eq!(all(&again), all(&reader));
    let mut lines: Vec<String> = export(&again, &everything()).0.lines().map(str::to_owned).collect();
    let mut first: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    first.sort_unstable();
    assert_eq!(lines, first);
}

#[test]
fn an_export_is_of_the_time_and_series_that_were_asked_for() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    for seq in 1..=200 {
        store.write(&[sparse("h", seq), sparse("i", seq)]).expect("write");
    }
    let reader = store.reader().expect("reader");
    let matcher = |label, value| Matcher::new(label, Operator::Equal, value).expect("a matcher");
    let what = Export {
        from: UnixNs(T0 + 500 * SECOND),
        to: UnixNs(T0 + 1_500 * SECOND),
        sets: vec![vec![
            matcher("__name__", "s7mpa_process_cpu_ns"),
            matcher("host", "i"),
            matcher("pid", "3"),
        ]],
    };
    let (text, exported) = export(&reader, &what);
    assert_eq!((exported.points, exported.samples), (100, 100));
    assert_eq!(text.lines().next(), Some("s7mpa_process,host=i,pid=3 cpu_ns=50003i 1700000500000000000"));

    let mut out = Vec::new();
    reader.export_openmetrics(&what, &mut out, |_, _| ()).expect("export");
    let text = String::from_utf8(out).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "# TYPE s7mpa_process_cpu_ns gauge");
    assert_eq!(lines[1], "s7mpa_process_cpu_ns{host=\"i\",pid=\"3\"} 50003 1700000500.000");
    assert_eq!((lines.len(), lines[lines.len() - 1]), (102, "# EOF"));
}

#[test]
fn what_rules_recorded_is_exported_under_its_own_name() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    let end = UnixNs(T0);
    let point = Point::new("s7mpa_rule", end).tag("comm", "web").field("job:cpu:rate1m", 0.5);
    let head = WindowHead {
        host: "h".into(),
        stream: "0123456789abcdef".into(),
        seq: 1,
        points: 1,
        span_ns: SECOND,
        end,
    };
    store.write(&[Window::from_points(head, &[point])]).expect("write");
    let reader = store.reader().expect("reader");
    let of = |name: &str| {
        let matcher = Matcher::new("__name__", Operator::Equal, name).expect("a matcher");
        Export { sets: vec![vec![matcher]], ..everything() }
    };
    assert_eq!(export(&reader, &of("job:cpu:rate1m")).1.points, 1);
    assert_eq!(export(&reader, &of("s7mpa_rule_job:cpu:rate1m")).1.points, 0);
    let mut text = Vec::new();
    reader.export_openmetrics(&everything(), &mut text, |_, _| ()).expect("export");
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("\njob:cpu:rate1m{comm=\"web\"} 0.5 "), "{text}");
}

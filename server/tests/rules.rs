//! Rules over a real store: what they record is there for the next query, their alerts begin, end, and live through a restart.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use agent_common::settings::server::{RuleFile, Rules as Settings};
use agent_common::units::UnixNs;
use agent_common::wire::finding::{Alert, AlertState};
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use promql::{Options, Query, Value};
use server::rules::{Loaded, Rules};
use server::store::embedded::{self, EmbeddedStore, FILE};
use server::store::{Store, Window};

/// Far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(90);

const RULES: &str = r#"
groups:
  - name: load
    interval: 1s
    rules:
      - record: host:load:max
        expr: max by (host) (s7mpa_host_load1)
        labels: { source: rules }
      - alert: Loaded
        expr: host:load:max > 10
        labels: { severity: warning }
        annotations: { summary: "{{ $labels.host }} has {{ $value }}" }
      - alert: Slow
        expr: host:load:max > 5
        annotations: { s7mpa_depends_on: Loaded }
      - record: wrong
        expr: s7mpa_host_load1 * on () group_left s7mpa_host_load5
"#;

struct Host {
    store: Arc<dyn Store>,
    seq: u64,
}

impl Host {
    fn load(&mut self, load: f64) {
        self.seq += 1;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_nanos();
        let end = UnixNs(u64::try_from(now).expect("a time"));
        let point = |host: &str| {
            Point::new("s7mpa_host", end)
                .tag("host", host.to_owned())
                .field("load1", load)
                .field("load5", 1.0)
        };
        let head = WindowHead {
            host: "web-1".to_owned(),
            stream: "0123456789abcdef".to_owned(),
            seq: self.seq,
            points: 2,
            span_ns: 1_000_000_000,
            end,
        };
        let points = [point("web-1"), Point::new("s7mpa_host", end).tag("host", "web-2").field("load5", 2.0)];
        self.store.write(&[Window::from_points(head, &points)]).expect("written");
    }
}

fn settings(text: &str) -> Settings {
    let file = RuleFile { path: "/etc/s7mpa/rules.d/load.yml".into(), text: text.to_owned() };
    Settings { host: "keeper".to_owned(), files: vec![file], ..Settings::default() }
}

/// Rules, and the alerts that they post.
fn started(text: &str, store: &Arc<dyn Store>, dir: &Path) -> (Rules, Arc<Mutex<Vec<Alert>>>) {
    let posted: Arc<Mutex<Vec<Alert>>> = Arc::default();
    let to = Arc::clone(&posted);
    let post = Box::new(move |alert: &Alert| to.lock().expect("alerts").push(alert.clone()));
    let rules = Rules::start(Loaded::read(&settings(text)), Arc::clone(store), &dir.join(FILE), post);
    (rules.expect("rules"), posted)
}

fn ask(dir: &Path, query: &str) -> Vec<(String, f64)> {
    let reader = embedded::Reader::open(&dir.join(FILE)).expect("the store");
    let view = reader.view().expect("a view");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
    let at_ms = i64::try_from(now.as_millis()).expect("a time");
    let answer = Query::parse(query).expect(query).instant(&view, at_ms, &Options::default()).expect(query);
    let Value::Vector(vector) = answer.value else { panic!("{query}") };
    vector.into_iter().map(|one| (one.labels.to_string(), one.sample.value)).collect()
}

/// Sends the load each 100 ms until something is true.
fn until(host: &mut Host, load: f64, what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        host.load(load);
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn states(posted: &Mutex<Vec<Alert>>) -> Vec<(String, AlertState)> {
    let posted = posted.lock().expect("alerts");
    posted.iter().map(|alert| (alert.finding.class.name().to_owned(), alert.state)).collect()
}

#[test]
fn rules_record_and_alert_and_go_on_after_a_restart() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store: Arc<dyn Store> =
        Arc::new(EmbeddedStore::open(dir.path(), embedded::Options::default()).expect("a store"));
    let mut host = Host { store: Arc::clone(&store), seq: 0 };
    let (rules, posted) = started(RULES, &store, dir.path());

    // What is recorded has its own name, its labels and the rule's.
    let recorded = r#"host:load:max{host="web-1",source="rules"}"#;
    until(&mut host, 1.0, "a recorded series", || {
        ask(dir.path(), "host:load:max") == [(recorded.to_owned(), 1.0)]
    });
    assert!(states(&posted).is_empty());
    let board = rules.board().groups();
    assert!(board[0].rules[3].error.is_some(), "a rule that fails says why, the others go on");
    assert!(board[0].rules[..3].iter().all(|rule| rule.error.is_none()), "{board:?}");

    // The alert begins; the one that depends on it is not passed on, though it fires.
    until(&mut host, 20.0, "the alert", || states(&posted) == [("Loaded".to_owned(), AlertState::Open)]);
    let opened = posted.lock().expect("alerts")[0].clone();
    assert_eq!((opened.host.as_str(), opened.finding.headline.as_deref()), ("web-1", Some("web-1 has 20")));
    let of_rule = opened.of_rule.expect("labels");
    assert_eq!(of_rule.labels["severity"], "warning");
    assert_eq!(of_rule.annotations["summary"], "web-1 has 20");
    let firing = r#"ALERTS{alertstate="firing"}"#;
    until(&mut host, 20.0, "series of both alerts", || ask(dir.path(), firing).len() == 2);

    // The program ends and comes again: the same alert, and its receivers learn of it.
    rules.stop();
    let (rules, posted) = started(RULES, &store, dir.path());
    until(&mut host, 20.0, "the alert after the restart", || !states(&posted).is_empty());
    let again = posted.lock().expect("alerts")[0].clone();
    assert_eq!((again.id.as_str(), again.state), (opened.id.as_str(), AlertState::Update));
    assert_eq!(again.opened_unix_ns / 1_000_000_000, opened.opened_unix_ns / 1_000_000_000);

    // It ends; the other one still fires, and is passed on now.
    until(&mut host, 7.0, "its end", || {
        states(&posted).contains(&("Loaded".to_owned(), AlertState::Resolved))
    });
    until(&mut host, 7.0, "the other one", || {
        let last = states(&posted).pop();
        last.is_some_and(|(name, state)| name == "Slow" && state != AlertState::Resolved)
    });
    until(&mut host, 7.0, "the end of its series", || {
        ask(dir.path(), r#"ALERTS{alertname="Loaded"}"#).is_empty()
    });

    // The rule goes: its alert ends.
    rules.stop();
    let (rules, posted) =
        started("groups: [{name: other, interval: 1s, rules: [{record: x, expr: '1'}]}]", &store, dir.path());
    until(&mut host, 7.0, "the orphan's end", || {
        states(&posted) == [("Slow".to_owned(), AlertState::Resolved)]
    });
    rules.stop();

    let reader = embedded::Reader::open(&dir.path().join(FILE)).expect("the store");
    let kept = reader.alerts(Some("web-1"), UnixNs(0), UnixNs(i64::MAX as u64), 100).expect("alerts");
    assert!(kept.iter().any(|alert| alert.id == opened.id && alert.state == AlertState::Resolved));
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_place_and_the_rest_is_evaluated() {
    let loaded = Loaded::read(&settings(
        "groups:\n- name: a\n  rules:\n  - {record: x, expr: 'sum('}\n  - {record: y, expr: '1'}\n",
    ));
    assert!(!loaded.is_empty());
    let [fault] = loaded.faults.as_slice() else { panic!("{:?}", loaded.faults) };
    assert!(fault.starts_with("/etc/s7mpa/rules.d/load.yml:4:"), "{fault}");
    let macros = Settings { macros: "f(x) = g(x)\ng(x) = f(x)\n".to_owned(), ..Settings::default() };
    assert!(Loaded::read(&macros).faults[0].contains("calls itself"));
}

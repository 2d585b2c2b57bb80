//! Rule files, and the life of an alert.

use promql::rules::Context;
use promql::{Alert, AlertState, Alerting, Alerts, Group, Labels, Macros, Options, QueryError, Rule};

use crate::common::Store;
use crate::{MINUTE, SECOND};

const FILE: &str = r#"
groups:
  - name: lost
    interval: 10s
    rules:
      - record: comm:lost:rate1m
        expr: lost_share("make")
        labels: { source: rules, pid: "" }
      - alert: MuchLost
        expr: |
          lost > 2
        for: 2m
        keep_firing_for: 1m
        labels:
          severity: 1
          what: '{{ $labels.comm }}'
        annotations:
          summary: "{{ $labels.comm }} loses {{ $value | humanize }} s"
"#;

fn groups(text: &str) -> Vec<Group> {
    let macros = Macros::parse("lost_share(p) = sum without (pid) (lost{comm=p})").expect("macros");
    Group::parse(text, &macros).unwrap_or_else(|error| panic!("{error}"))
}

/// Calls with what rules are evaluated with.
fn with<T>(store: &Store, evaluate: impl FnOnce(&Context<'_>) -> T) -> T {
    let (options, nothing) = (Options::default(), Labels::default());
    evaluate(&Context {
        reader: store,
        options: &options,
        macros: &Macros::default(),
        external_labels: &nothing,
        external_url: "",
        query_offset_ms: 0,
        limit: 0,
    })
}

fn evaluate(
    alerts: &mut Alerts,
    rule: &Alerting,
    store: &Store,
    at_ms: i64,
) -> Result<Vec<Alert>, QueryError> {
    with(store, |context| alerts.evaluate(rule, context, at_ms))
}

fn alerting(text: &str) -> Alerting {
    match groups(text)[0].rules.pop() {
        Some(Rule::Alert(rule)) => rule,
        other => panic!("no alert: {other:?}"),
    }
}

#[test]
fn recorded_series_have_the_name_and_labels_of_the_rule() {
    let groups = groups(FILE);
    assert_eq!((groups[0].name.as_str(), groups[0].interval_ms), ("lost", Some(10 * SECOND)));
    let Rule::Record(rule) = &groups[0].rules[0] else { panic!("a recording") };
    let store = Store::of(
        SECOND,
        "lost{comm=\"make\",pid=\"1\"} 1\nlost{comm=\"make\",pid=\"2\"} 2\nlost{comm=\"cc\"} 5",
    );
    let elements = with(&store, |context| rule.evaluate(context, 0)).expect("elements");
    let found: Vec<(String, f64)> =
        elements.iter().map(|element| (element.labels.to_string(), element.sample.value)).collect();
    assert_eq!(found, [("comm:lost:rate1m{comm=\"make\",source=\"rules\"}".to_owned(), 3.0)]);
}

#[test]
fn an_alert_is_pending_fires_and_is_resolved() {
    let rule = alerting(FILE);
    // Above the threshold from 1 to 4 min, gone at 5, kept until 6.
    let store = Store::of(MINUTE, "lost{comm=\"make\"} 0 3 4 5 6 0 0 0 0 3");
    let mut alerts = Alerts::default();
    let mut states = Vec::new();
    for minute in 0..9 {
        let changed = evaluate(&mut alerts, &rule, &store, minute * MINUTE).expect("alerts");
        states.extend(changed.iter().map(|alert| (minute, alert.state)));
        if minute == 4 {
            let alert: &Alert = alerts.iter().next().expect("an alert");
            assert_eq!(
                alert.labels.to_string(),
                "{alertname=\"MuchLost\",comm=\"make\",severity=\"1\",what=\"make\"}"
            );
            assert_eq!(alert.annotations.get("summary"), "make loses 6 s");
            assert_eq!((alert.active_at_ms, alert.fired_at_ms), (MINUTE, Some(3 * MINUTE)));
        }
    }
    assert_eq!(states, [(1, AlertState::Pending), (3, AlertState::Firing), (6, AlertState::Resolved)]);
    assert_eq!(alerts.iter().next().expect("an alert").resolved_at_ms, Some(6 * MINUTE));
    // It comes back as a new one.
    let changed = evaluate(&mut alerts, &rule, &store, 9 * MINUTE).expect("alerts");
    assert_eq!((changed[0].state, changed[0].active_at_ms), (AlertState::Pending, 9 * MINUTE));
}

#[test]
fn a_pending_alert_whose_series_goes_is_forgotten() {
    let rule = alerting(FILE);
    let store = Store::of(MINUTE, "lost{comm=\"make\"} 3 0 3");
    let mut alerts = Alerts::default();
    for minute in 0..3 {
        let changed = evaluate(&mut alerts, &rule, &store, minute * MINUTE).expect("alerts");
        assert!(changed.iter().all(|alert| alert.state == AlertState::Pending));
        assert_eq!(alerts.iter().count(), usize::from(minute != 1));
    }
}

#[test]
fn a_resolved_alert_is_listed_for_a_quarter_of_an_hour() {
    let rule = alerting("groups: [{name: a, rules: [{alert: A, expr: lost > 2}]}]");
    let store = Store::of(MINUTE, "lost 3 0+0x60");
    let mut alerts = Alerts::default();
    for minute in 0..=17 {
        evaluate(&mut alerts, &rule, &store, minute * MINUTE).expect("alerts");
        assert_eq!(alerts.iter().count(), usize::from(minute <= 16), "{minute}");
    }
}

#[test]
fn faults_of_a_file_are_named_with_their_line() {
    for (text, line, message) in [
        ("groups:\n  - rules: []", 2, "a group has a name"),
        ("groups:\n  - name: a\n    rule: []", 3, "a group has no field rule"),
        ("groups:\n - name: a\n   rules:\n    - record: x", 4, "a rule has an expr"),
        ("groups:\n - name: a\n   rules:\n    - {record: x, expr: 'sum('}", 4, "unclosed left parenthesis"),
        (
            "groups:\n - name: a\n   rules:\n    - {record: x, alert: y, expr: '1'}",
            4,
            "either a record or an alert",
        ),
        ("groups:\n - name: a\n   rules:\n    - {record: 'x y', expr: '1'}", 4, "not the name of a metric"),
        ("groups:\n - name: a\n   rules:\n    - {record: x, expr: '1', for: 1m}", 4, "are of alerts"),
        ("groups:\n - name: a\n   rules:\n    - {alert: x, expr: '1', for: 1x}", 4, "no duration"),
        (
            "groups:\n - name: a\n   rules:\n    - {alert: x, expr: '1', annotations: {a: '{{ if 1 }}'}}",
            4,
            "has no {{ end }}",
        ),
        ("groups:\n - {name: a}\n - {name: a}", 3, "there is a group a"),
        ("groups:\n - &a {name: a}\n - *a", 3, "aliases"),
        ("groups: {", 1, ""),
    ] {
        let error = Group::parse(text, &Macros::default()).expect_err(text);
        assert!(error.message.contains(message), "{text}: {error}");
        assert!(error.place.line == line || message.is_empty(), "{text}: {error}");
    }
    assert!(Group::parse("", &Macros::default()).expect("empty").is_empty());
    assert!(Group::parse(&format!("groups: {}", "[".repeat(100_000)), &Macros::default()).is_err());
}

#[test]
fn all_faults_of_a_file_are_told_and_the_right_rules_stay() {
    let text = "groups:\n - name: a\n   rules:\n    - {record: x, expr: 'sum('}\n    - {record: y, expr: x}\n    - alert: z\n      expr: x[5m]\n";
    let parsed = Group::parse_all(text, &Macros::default());
    assert_eq!(parsed.groups[0].rules.iter().map(Rule::name).collect::<Vec<_>>(), ["y"]);
    let faults: Vec<String> = parsed.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("4:"), "{faults:?}");
    assert!(
        faults[1].starts_with("7:13: expr: a rule needs an instant vector")
            && faults[1].contains("; a range"),
        "{faults:?}"
    );
}

#[test]
fn an_alert_with_a_recovery_query_fires_until_that_has_an_answer() {
    let rule = alerting(
        "groups: [{name: a, rules: [{alert: A, expr: lost > 5, annotations: \
         {s7mpa_recovery: 'lost{comm=\"{{ $labels.comm }}\"} < 2'}}]}]",
    );
    let store = Store::of(MINUTE, "lost{comm=\"a\\\"b\"} 9 4 4 1 1\nlost{comm=\"other\"} 0 0 0 0 0");
    let mut alerts = Alerts::default();
    let states: Vec<AlertState> = (0..5)
        .filter_map(|minute| {
            evaluate(&mut alerts, &rule, &store, minute * MINUTE).expect("alerts");
            alerts.iter().next().map(|alert| alert.state)
        })
        .collect();
    let names: Vec<String> = states.iter().map(|state| format!("{state:?}")).collect();
    assert_eq!(names, ["Firing", "Firing", "Firing", "Resolved", "Resolved"]);
}

#[test]
fn the_series_of_alerts_are_those_of_prometheus() {
    let rule = alerting(FILE);
    let store = Store::of(MINUTE, "lost{comm=\"make\"} 0 3 4 5 6");
    let mut alerts = Alerts::default();
    for (minute, state) in [(1, "pending"), (2, "pending"), (3, "firing")] {
        evaluate(&mut alerts, &rule, &store, minute * MINUTE).expect("alerts");
        let series = alerts.series(minute * MINUTE);
        let [of_state, since] = series.as_slice() else { panic!("{series:?}") };
        assert_eq!((of_state.labels.get("__name__"), of_state.labels.get("alertstate")), ("ALERTS", state));
        assert_eq!((since.labels.get("__name__"), since.sample.value), ("ALERTS_FOR_STATE", 60.0));
    }
}

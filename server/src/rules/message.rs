//! An alert of a rule as a message like those of the diagnosis.

use std::collections::BTreeMap;

use agent_common::wire::finding::{self, AlertState, Class, Evidence, Finding, OfRule, Side, Subject};
use promql::{Alert, Alerting, Labels};

use super::record::digest;

/// Longest text of an annotation that goes out, characters.
const MAX_TEXT_CHARS: usize = 2_000;
/// Longest text that is shown in one line: query, summary, advice, characters. One may take six bytes.
const MAX_LINE_CHARS: usize = 300;
/// Most bytes of labels and annotations: a message to the collector has 16 KiB.
const MAX_BYTES: usize = 7 << 10;

/// The message. `state`: what is new.
pub(super) fn message(
    host: &str,
    rule: &Alerting,
    alert: &Alert,
    state: AlertState,
    at_ms: i64,
) -> finding::Alert {
    let value = alert.value.is_finite().then(|| Evidence {
        what: cut(&rule.text, MAX_LINE_CHARS),
        value: alert.value,
        unit: "count".to_owned(),
        threshold: None,
        side: Side::Above,
    });
    let annotation = |name: &str| Some(alert.annotations.get(name)).filter(|text| !text.is_empty());
    let summary = annotation("summary").or_else(|| annotation("description"));
    finding::Alert {
        state,
        opened_unix_ns: nanoseconds(alert.fired_at_ms.unwrap_or(alert.active_at_ms)),
        at_unix_ns: nanoseconds(at_ms),
        finding: Finding {
            evidence: value.into_iter().collect(),
            advice: cut(annotation("description").or(summary).unwrap_or_default(), MAX_LINE_CHARS),
            headline: summary.map(|text| cut(text, MAX_LINE_CHARS)),
            ..finding(&alert.labels)
        },
        of_rule: Some(Box::new(of_rule(&alert.labels, &alert.annotations))),
        ..of_labels(host, &alert.labels, alert.active_at_ms)
    }
}

/// The end of an alert of which there is no rule any longer.
pub(super) fn orphaned(host: &str, labels: &Labels, active_at_ms: i64, at_ms: i64) -> finding::Alert {
    finding::Alert { at_unix_ns: nanoseconds(at_ms), ..of_labels(host, labels, active_at_ms) }
}

fn of_labels(host: &str, labels: &Labels, active_at_ms: i64) -> finding::Alert {
    finding::Alert {
        id: id(labels, active_at_ms),
        host: host_of(labels).unwrap_or(host).to_owned(),
        state: AlertState::Resolved,
        opened_unix_ns: nanoseconds(active_at_ms),
        at_unix_ns: nanoseconds(active_at_ms),
        finding: finding(labels),
        of_rule: Some(Box::new(of_rule(labels, &Labels::default()))),
    }
}

fn finding(labels: &Labels) -> Finding {
    let name = labels.get("alertname");
    let mut others = labels.clone();
    for known in ["alertname", "host", "instance", "job", "severity"] {
        others.remove(known);
    }
    Finding {
        rule: name.to_owned(),
        class: Class::External(name.into()),
        subject: Subject {
            kind: "series".to_owned(),
            pid: labels.get("pid").parse().ok(),
            comm: (!others.is_empty()).then(|| cut(&others.to_string(), MAX_LINE_CHARS)),
        },
        culprit: None,
        lost_ns_per_s: 0,
        share_pct: 0.0,
        confidence: 1.0,
        evidence: Vec::new(),
        stacks: Vec::new(),
        alternatives: Vec::new(),
        caused: Vec::new(),
        headline: None,
        advice: String::new(),
    }
}

/// The host that an alert is of, if its labels name one.
pub(super) fn host_of(labels: &Labels) -> Option<&str> {
    ["host", "instance"].into_iter().map(|name| labels.get(name)).find(|host| !host.is_empty())
}

/// Stable while the alert is open, also over a restart.
fn id(labels: &Labels, active_at_ms: i64) -> String {
    let texts = labels.iter().flat_map(|(name, value)| [&**name, &**value]);
    let name: String =
        labels.get("alertname").chars().map(|c| if c == '/' { '-' } else { c }).take(100).collect();
    format!("rule/{name}/{:016x}/{}", digest(texts), active_at_ms.div_euclid(1000))
}

/// Labels and annotations, as many as fit.
fn of_rule(labels: &Labels, annotations: &Labels) -> OfRule {
    let mut bytes = 0;
    let mut take = |texts: &Labels| -> BTreeMap<String, String> {
        let fits = |(name, text): (&std::sync::Arc<str>, &std::sync::Arc<str>)| {
            let text = cut(text, MAX_TEXT_CHARS);
            bytes += name.len() + serde_json::Value::from(text.as_str()).to_string().len() + 8;
            (bytes <= MAX_BYTES).then(|| (name.to_string(), text))
        };
        texts.iter().filter_map(fits).collect()
    };
    OfRule { labels: take(labels), annotations: take(annotations) }
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn nanoseconds(ms: i64) -> u64 {
    ms.max(0).unsigned_abs().saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use promql::{AlertState as State, Group, Macros, Rule};

    use super::*;

    fn alert(text: &str) -> finding::Alert {
        let mut groups = Group::parse(
            "groups: [{name: g, rules: [{alert: Full, expr: x > 1, annotations: {summary: s}}]}]",
            &Macros::default(),
        )
        .expect("a rule");
        let Some(Rule::Alert(rule)) = groups[0].rules.pop() else { panic!("no alert") };
        let labels = Labels::new(
            [("alertname", "Full"), ("instance", "web-1"), ("device", "sda"), ("severity", "warning")]
                .map(|(name, value)| (name.into(), value.into())),
        );
        let alert = Alert {
            labels,
            annotations: Labels::new([("summary".into(), text.into())]),
            value: f64::NAN,
            state: State::Firing,
            active_at_ms: 1_700_000_000_000,
            fired_at_ms: Some(1_700_000_060_000),
            resolved_at_ms: None,
            kept_since_ms: None,
        };
        message("keeper", &rule, &alert, AlertState::Open, 1_700_000_060_000)
    }

    #[test]
    fn an_alert_of_a_rule_is_an_alert_like_ours() {
        let alert = alert("disk of web-1");
        assert_eq!((alert.host.as_str(), alert.finding.class.name()), ("web-1", "Full"));
        assert_eq!(alert.finding.subject.comm.as_deref(), Some("{device=\"sda\"}"));
        assert_eq!(alert.finding.headline.as_deref(), Some("disk of web-1"));
        assert!(alert.id.starts_with("rule/Full/") && alert.id.ends_with("/1700000000"), "{}", alert.id);
        assert_eq!(alert.opened_unix_ns, 1_700_000_060_000_000_000);
        let json = serde_json::to_string(&alert).expect("JSON");
        assert_eq!(
            serde_json::from_str::<finding::Alert>(&json).expect("back"),
            alert,
            "NaN has no form in JSON"
        );
    }

    #[test]
    fn a_message_to_the_collector_stays_small() {
        let json = serde_json::to_string(&alert(&"\u{1}\n\"x".repeat(10_000))).expect("JSON");
        assert!(json.len() < 16 << 10, "{}", json.len());
    }
}

//! A webhook: `POST` of a list of alerts as Alertmanager's API v2 takes them (`/api/v2/alerts`).
//!
//! Labels identify the alert (constant while it is open), annotations describe it. `endsAt` is some minutes ahead while it is open:
//! if this agent dies, Alertmanager resolves it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use agent_common::text;
use agent_common::wire::finding::{Alert, AlertState};
use notifier::{Deliver, NotifyError, REPEAT_OPEN_EVERY};
use serde::Serialize;

/// Time after which an open alert that is not sent again is over: four times the pause between two.
const VALID_NS: u64 = 4 * REPEAT_OPEN_EVERY.as_secs() * 1_000_000_000;

/// See the module.
#[derive(Debug)]
pub struct Webhook {
    client: reqwest::Client,
    url: reqwest::Url,
}

/// One alert of `POST /api/v2/alerts`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    labels: BTreeMap<Cow<'static, str>, String>,
    annotations: BTreeMap<Cow<'static, str>, String>,
    starts_at: String,
    ends_at: String,
}

impl Webhook {
    /// Where to post, and what one try may take.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, NotifyError> {
        let never = |error: String| NotifyError::Never(format!("alerts.webhook: {error}"));
        let url = url.parse().map_err(|error| never(format!("`{url}`: {error}")))?;
        let client =
            reqwest::Client::builder().timeout(timeout).build().map_err(|error| never(error.to_string()))?;
        Ok(Self { client, url })
    }
}

fn posted(alert: &Alert) -> Posted {
    let alert = &alert.clone().cleaned();
    let ends = match alert.state {
        AlertState::Resolved => alert.at_unix_ns,
        AlertState::Open | AlertState::Update => alert.at_unix_ns + VALID_NS,
    };
    let (starts_at, ends_at) = (text::utc(alert.opened_unix_ns), text::utc(ends));
    // An alert of a rule file is what Prometheus would post.
    let (labels, annotations) = if let Some(of_rule) = &alert.of_rule {
        let owned = |texts: &BTreeMap<String, String>| {
            texts.iter().map(|(name, text)| (name.clone().into(), text.clone())).collect()
        };
        (owned(&of_rule.labels), owned(&of_rule.annotations))
    } else {
        let borrowed = |texts: BTreeMap<&'static str, String>| {
            texts.into_iter().map(|(name, text)| (name.into(), text)).collect()
        };
        let (labels, annotations) = of_finding(alert);
        (borrowed(labels), borrowed(annotations))
    };
    Posted { labels, annotations, starts_at, ends_at }
}

/// Labels and annotations of a finding.
fn of_finding(alert: &Alert) -> (BTreeMap<&'static str, String>, BTreeMap<&'static str, String>) {
    let finding = &alert.finding;
    let mut labels = BTreeMap::from([
        ("alertname", finding.class.to_string()),
        ("host", alert.host.clone()),
        ("rule", finding.rule.clone()),
        ("alert_id", alert.id.clone()),
        ("subject_kind", finding.subject.kind.clone()),
    ]);
    labels.extend(finding.subject.pid.map(|pid| ("pid", pid.to_string())));
    labels.extend(finding.subject.comm.clone().map(|comm| ("comm", comm)));
    let name = |pid: Option<u32>, comm: Option<&String>, kind: &str| {
        let comm = comm.map_or(kind, String::as_str);
        pid.map_or_else(|| comm.to_owned(), |pid| format!("{comm} ({pid})"))
    };
    let subject = name(finding.subject.pid, finding.subject.comm.as_ref(), &finding.subject.kind);
    let summary = format!(
        "{} {subject}: {} ms lost per second, {:.0} % of its time",
        finding.class,
        finding.lost_ns_per_s / 1_000_000,
        finding.share_pct
    );
    let evidence =
        finding.evidence.iter().map(|line| format!("{}: {:.2} {}", line.what, line.value, line.unit));
    let mut annotations = BTreeMap::from([
        ("summary", summary),
        ("description", evidence.collect::<Vec<_>>().join("\n")),
        ("advice", finding.advice.clone()),
        ("lost_ns_per_s", finding.lost_ns_per_s.to_string()),
        ("confidence", format!("{:.2}", finding.confidence)),
    ]);
    if let Some(culprit) = &finding.culprit {
        annotations.insert("culprit", name(culprit.pid, culprit.comm.as_ref(), &culprit.kind));
    }
    let culprit = finding.culprit.as_ref().and_then(|culprit| culprit.pid);
    for (key, pid) in [("place", finding.subject.pid), ("culprit_place", culprit)] {
        annotations.extend(finding.place(pid).map(|place| (key, place)));
    }
    (labels, annotations)
}

impl Deliver for Webhook {
    fn name(&self) -> &'static str {
        "alerts.webhook"
    }

    async fn deliver(&mut self, alerts: &[Alert]) -> Result<(), NotifyError> {
        let body: Vec<Posted> = alerts.iter().map(posted).collect();
        let body = serde_json::to_vec(&body).map_err(|error| NotifyError::Never(error.to_string()))?;
        let request = self
            .client
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body);
        // The URL may contain a password: errors omit it.
        let answer =
            request.send().await.map_err(|error| NotifyError::Again(error.without_url().to_string()))?;
        let status = answer.status();
        if status.is_success() {
            Ok(())
        } else if status.is_client_error() && status != reqwest::StatusCode::TOO_MANY_REQUESTS {
            Err(NotifyError::Never(format!("the receiver refuses it: {status}")))
        } else {
            Err(NotifyError::Again(format!("the receiver answers {status}")))
        }
    }

    fn repeats(&self) -> bool {
        true
    }
}

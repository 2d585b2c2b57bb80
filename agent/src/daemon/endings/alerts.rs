//! Alerts of post-mortems: `crash`, `crash-loop`, `service-failed`.

use std::collections::BTreeMap;

use agent_common::units::UnixNs;
use agent_common::wire::finding::{
    Alert, AlertState, Alternative, Class, Culprit, Evidence, Finding, FoundPlace, Place, Side, Subject,
};
use agent_common::wire::postmortem::{Blamed, CauseClass, EndKind, PostMortem};

/// How long an alert stays open after the last such end.
const OPEN_NS: u64 = 600_000_000_000;
/// Bad ends in a loop.
const LOOP_ENDS: u32 = 3;
const PLAIN_LOOP_ENDS: u32 = 10;
/// Updates of an alert are so far apart.
const UPDATE_NS: u64 = 10_000_000_000;
/// Alerts open at once; ends beyond have a post-mortem and no alert.
const MAX_OPEN: usize = 256;

/// Signals that say that a program is broken: ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ, SYS.
const CRASHES: u32 = 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 24 | 1 << 25 | 1 << 31;

/// Alerts that are open.
#[derive(Debug)]
pub(super) struct EndAlerts {
    host: String,
    open: BTreeMap<String, Alert>,
}

impl EndAlerts {
    pub(super) fn new(host: &str) -> Self {
        Self { host: host.to_owned(), open: BTreeMap::new() }
    }

    /// The name of a post-mortem, and the change of an alert that it makes: a second end of the same opens no second alert.
    pub(super) fn take(
        &mut self,
        postmortem: &PostMortem,
        is_main: bool,
        now: UnixNs,
    ) -> (String, Option<Alert>) {
        let process = &postmortem.process;
        let class = class(postmortem, is_main);
        let name = class.unwrap_or("end");
        let id = format!("{name}/process/{}/{}", process.pid, postmortem.ended.at_ns / 1_000_000_000);
        let Some(class) = class else { return (id, None) };
        let key = format!(
            "{class} {} {} {} {}",
            process.unit.as_deref().unwrap_or_default(),
            process.container.as_deref().unwrap_or_default(),
            process.exe,
            process.comm
        );
        let finding = finding(postmortem, class, &id);
        if let Some(open) = self.open.get_mut(&key) {
            let told = now.0.saturating_sub(open.at_unix_ns) < UPDATE_NS;
            (open.finding, open.state) = (finding, AlertState::Update);
            if told {
                return (id, None);
            }
            open.at_unix_ns = now.0;
            return (id, Some(open.clone()));
        }
        if self.open.len() >= MAX_OPEN {
            return (id, None);
        }
        let alert = Alert {
            id: id.clone(),
            host: self.host.clone(),
            state: AlertState::Open,
            opened_unix_ns: now.0,
            at_unix_ns: now.0,
            finding,
            of_rule: None,
        };
        self.open.insert(key, alert.clone());
        (id, Some(alert))
    }

    /// Alerts that are over.
    pub(super) fn expire(&mut self, now: UnixNs) -> Vec<Alert> {
        let over = self.open.extract_if(.., |_, alert| now.0.saturating_sub(alert.at_unix_ns) > OPEN_NS);
        over.map(|(_, alert)| Alert { state: AlertState::Resolved, at_unix_ns: now.0, ..alert }).collect()
    }
}

fn class(postmortem: &PostMortem, is_main: bool) -> Option<&'static str> {
    let crashed = postmortem.ended.kind == EndKind::Oom
        || postmortem.ended.signal.is_some_and(|signal| signal < 32 && CRASHES >> signal & 1 != 0)
        || matches!(postmortem.cause.class, CauseClass::UncaughtException | CauseClass::Panic);
    let repeats = postmortem.repeats.map_or(0, |repeats| repeats.count);
    // Of a plain command it takes more to be a loop: who calls it in one knows what it answers.
    if repeats >= if is_main || crashed { LOOP_ENDS } else { PLAIN_LOOP_ENDS } {
        return Some("crash-loop");
    }
    match (is_main, crashed) {
        (true, _) => Some("service-failed"),
        (false, true) => Some("crash"),
        // A command that failed: whoever started it knows.
        (false, false) => None,
    }
}

fn finding(postmortem: &PostMortem, class: &str, id: &str) -> Finding {
    let process = &postmortem.process;
    let mut evidence = Vec::new();
    if let Some(repeats) = postmortem.repeats {
        let number = |what: &str, value, unit: &str| Evidence {
            what: what.to_owned(),
            value,
            unit: unit.to_owned(),
            threshold: None,
            side: Side::Above,
        };
        evidence.push(number("bad ends", repeats.count.into(), "count"));
        evidence.push(number("within", repeats.span_s as f64, "s"));
    }
    let place =
        Place { unit: process.unit.clone(), container: process.container.clone(), ..Place::default() };
    Finding {
        rule: "endings".to_owned(),
        class: Class::of(class),
        subject: Subject {
            kind: "process".to_owned(),
            pid: Some(process.pid),
            comm: Some(process.comm.clone()),
        },
        culprit: culprit(&postmortem.cause.subject),
        lost_ns_per_s: 0,
        share_pct: 0.0,
        confidence: postmortem.cause.confidence,
        evidence,
        stacks: Vec::new(),
        alternatives: postmortem
            .ruled_out
            .iter()
            .map(|out| Alternative { class: out.class.name().to_owned(), why_not: out.why_not.clone() })
            .collect(),
        caused: Vec::new(),
        headline: Some(postmortem.cause.text.clone()),
        advice: format!(
            "{}. All that is known: agent explain --event {id}",
            postmortem.cause.text.trim_end_matches('.')
        ),
        places: if place == Place::default() {
            Vec::new()
        } else {
            vec![FoundPlace { pid: process.pid, place }]
        },
    }
}

fn culprit(blamed: &Blamed) -> Option<Culprit> {
    let kind @ ("process" | "cgroup" | "peer" | "host") = blamed.kind.as_str() else { return None };
    let named = [&blamed.comm, &blamed.peer, &blamed.path, &blamed.name];
    Some(Culprit {
        kind: kind.to_owned(),
        pid: blamed.pid,
        comm: named.into_iter().flatten().next().cloned(),
    })
}

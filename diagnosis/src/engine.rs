//! Windows → verdicts of all rules → suspicions, ranked, each symptom below its root.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::sched::STATES;
use agent_common::units::{DurNs, Tgid, Tid};
use agent_common::wire::finding::{Class, Finding, FoundPlace};

use crate::explain::explain;
use crate::facts::Facts;
use crate::rules::lost::doubt;
use crate::rules::{RULES, Rule};
use crate::suspicion::{ALERT_CONFIDENCE, Level, Suspicion, Verdict};
use crate::trend::Trend;
use crate::window::Window;

/// Span that a daemon judges once a second: short enough to alert within 10 s, long enough that a start-up or a build step does
/// not count.
pub const SPAN: DurNs = DurNs(5_000_000_000);

/// Least windows of a span whose first one can be left out.
const MIN_WINDOWS_TO_SKIP_FIRST: usize = 4;

/// Shortest span that rules judge: a shorter one shows a moment only.
pub const MIN_SPAN: DurNs = DurNs(1_900_000_000);

/// The newest windows of [`SPAN`] together.
#[must_use]
pub fn recent(windows: &[Arc<Window>]) -> &[Arc<Window>] {
    let mut span = 0;
    let from = windows.iter().rposition(|window| {
        span += window.span().0;
        span >= SPAN.0
    });
    &windows[from.unwrap_or(0)..]
}

/// The verdict of each rule on these windows; `trend` is the history of the processes.
#[must_use]
pub fn verdicts(windows: &[Arc<Window>], trend: &Trend) -> Verdicts {
    by_rule(&Facts::new(windows), trend)
}

/// Rules' names and their verdicts.
pub type Verdicts = Vec<(&'static str, Verdict)>;

fn by_rule(facts: &Facts, trend: &Trend) -> Verdicts {
    RULES.iter().map(|rule| (rule.name, judge(rule, facts, trend))).collect()
}

fn judge(rule: &Rule, facts: &Facts, trend: &Trend) -> Verdict {
    let missing = too_short(facts.span.as_secs_f64());
    match missing.or_else(|| rule.needs.missing(facts).map(str::to_owned)) {
        Some(why) => Verdict::NotEnoughData { why },
        None => (rule.judge)(facts, trend),
    }
}

/// The reason why a span of so many seconds is too short to judge; `None` if it is not.
#[must_use]
pub fn too_short(seconds: f64) -> Option<String> {
    let needed = MIN_SPAN.as_secs_f64();
    (seconds < needed).then(|| format!("{seconds:.1} s observed, {needed:.1} s needed"))
}

/// The agent itself among the observed processes.
struct Own {
    /// 0: not known.
    tgid: Tgid,
    /// It started less than [`START_UP`] ago.
    fresh: bool,
}

/// Time after its start in which the agent reads the unwind tables of all programs.
const START_UP: DurNs = DurNs(15_000_000_000);

fn own(windows: &[Arc<Window>]) -> Own {
    let tgid = windows.last().map(|window| window.own).unwrap_or_default();
    let first = windows.first().filter(|_| tgid.0 != 0);
    let age = first.and_then(|first| {
        let task = first.tasks.iter().find(|task| task.tgid == tgid)?;
        Some(first.start_boot()?.since(task.start_boot_ns))
    });
    Own { tgid, fresh: age.is_some_and(|age| age < START_UP) }
}

impl Own {
    /// True for suspicions about the agent itself that are not shown: its cost is reported elsewhere; only its leaks are findings.
    fn is_silent(&self, suspicion: &Suspicion) -> bool {
        let leaks = [
            Class::FdLeak,
            Class::ThreadLeak,
            Class::ZombieLeak,
            Class::MemoryLeak,
            Class::TableFull,
            Class::Oom,
        ];
        self.tgid.0 != 0
            && suspicion.finding.subject.pid == Some(self.tgid.0)
            && !leaks.contains(&suspicion.finding.class)
    }

    /// Doubts suspicions whose culprit is the agent's own start: it is over in seconds.
    fn weigh(&self, suspicion: &mut Suspicion) {
        let finding = &mut suspicion.finding;
        let by = finding.culprit.as_ref().and_then(|culprit| culprit.pid);
        if self.fresh && by == Some(self.tgid.0) && finding.subject.pid != by {
            doubt(finding);
            "the agent itself is starting: this takes some seconds once, look again then"
                .clone_into(&mut finding.advice);
        }
    }
}

/// All suspicions, firm ones first, most lost time first, without those that another one explains.
#[must_use]
pub fn suspicions(windows: &[Arc<Window>], trend: &Trend) -> Vec<Suspicion> {
    placed(ranked(verdicts(windows, trend), &own(windows)), windows)
}

/// Notes what the processes of each finding belong to, as of the newest window that has them.
fn placed(mut suspicions: Vec<Suspicion>, windows: &[Arc<Window>]) -> Vec<Suspicion> {
    let place = |pid: u32| {
        let newest =
            windows.iter().rev().find_map(|window| window.tasks.iter().find(|task| task.tgid.0 == pid));
        let place = newest.map(|task| task.place()).filter(|place| !place.is_empty())?;
        Some(FoundPlace { pid, place })
    };
    for Suspicion { finding, .. } in &mut suspicions {
        let culprit = finding.culprit.as_ref().and_then(|culprit| culprit.pid);
        let culprit = culprit.filter(|pid| Some(*pid) != finding.subject.pid);
        finding.places = finding.subject.pid.into_iter().chain(culprit).filter_map(place).collect();
    }
    suspicions
}

fn ranked(verdicts: Verdicts, own: &Own) -> Vec<Suspicion> {
    let all = verdicts.into_iter().flat_map(|(_, verdict)| match verdict {
        Verdict::Suspect(suspicions) => suspicions,
        Verdict::Ok | Verdict::NotEnoughData { .. } => Vec::new(),
    });
    let mut all: Vec<Suspicion> = all.collect();
    for suspicion in &mut all {
        own.weigh(suspicion);
    }
    all.retain(|suspicion| !own.is_silent(suspicion) && !suspicion.contradicts_itself());
    let mut suspicions = explain(all);
    suspicions.sort_by(|a, b| {
        let alerts = |suspicion: &Suspicion| suspicion.finding.confidence >= ALERT_CONFIDENCE;
        alerts(b)
            .cmp(&alerts(a))
            .then_with(|| b.finding.lost_ns_per_s.cmp(&a.finding.lost_ns_per_s))
            .then_with(|| a.key.cmp(&b.key))
    });
    suspicions
}

/// The diagnosis of some windows.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// Findings: those that would open an alert first, then those that may be normal operation; each most lost time first.
    pub findings: Vec<Finding>,
    /// Refined thread time of each process.
    pub refined: HashMap<Tgid, Refined>,
    /// What the rules cannot judge for lack of data: one line a reason, with the rules concerned.
    pub unknown: Vec<String>,
}

/// Judges these windows alone (all of them; a daemon passes [`recent`]). For process `pid` the result has its threads, too.
#[must_use]
pub fn diagnose(windows: &[Arc<Window>], pid: Option<Tgid>) -> Diagnosis {
    diagnose_after(&[], windows, pid)
}

/// The same; the history of the processes begins with the windows `before`.
#[must_use]
pub fn diagnose_after(before: &[Arc<Window>], windows: &[Arc<Window>], pid: Option<Tgid>) -> Diagnosis {
    let history = |windows: &[Arc<Window>]| {
        let mut trend = Trend::of(before);
        for window in windows {
            trend.push(window);
        }
        trend
    };
    let facts = Facts::new(windows);
    let verdicts = by_rule(&facts, &history(windows));
    let (refined, unknown) = (refined(&facts, pid), unknown(&verdicts));
    let own_now = own(windows);
    // An observation that begins with the agent has its start-up in the first window.
    let suspicions = if windows.len() > MIN_WINDOWS_TO_SKIP_FIRST && own_now.fresh {
        suspicions(&windows[1..], &history(&windows[1..]))
    } else {
        placed(ranked(verdicts, &own_now), windows)
    };
    let firm = suspicions.into_iter().filter(|suspicion| suspicion.level == Level::Enter);
    Diagnosis { findings: firm.map(|suspicion| suspicion.finding).collect(), refined, unknown }
}

/// One process' thread time, by the states' numbers.
#[derive(Debug, Clone)]
pub struct Refined {
    /// As the kernel side accounted it.
    pub accounted: [u64; STATES],
    /// Refined by recorded waits: waits for work are under an idle state.
    pub states: [u64; STATES],
    /// The same by thread, for the requested process only; of threads that never woke only those with a known wait.
    pub threads: Vec<(Tid, Arc<str>, [u64; STATES])>,
}

fn refined(facts: &Facts, pid: Option<Tgid>) -> HashMap<Tgid, Refined> {
    let rows = facts.processes.iter().filter(|_| facts.has_states).map(|process| {
        let tids = process.threads.iter().filter(|_| pid == Some(process.tgid));
        let threads =
            tids.filter_map(|(tid, (comm, _))| Some((*tid, Arc::clone(comm), process.thread(*tid)?.0)));
        let of =
            Refined { accounted: process.accounted.0, states: process.times.0, threads: threads.collect() };
        (process.tgid, of)
    });
    rows.collect()
}

fn unknown(verdicts: &[(&'static str, Verdict)]) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (rule, verdict) in verdicts {
        let Verdict::NotEnoughData { why } = verdict else { continue };
        match reasons.iter_mut().find(|(known, _)| known == why) {
            Some((_, rules)) => rules.push(rule),
            None => reasons.push((why, vec![rule])),
        }
    }
    let mut lines: Vec<String> = reasons
        .into_iter()
        .map(|(why, rules)| format!("{why}, so these rules do not judge: {}", rules.join(", ")))
        .collect();
    lines.push("memory bandwidth and cache misses: the agent reads no hardware counters".to_owned());
    lines
}

/// Suspicions that would open an alert.
#[cfg(test)]
pub(crate) fn alarming(windows: &[Arc<Window>]) -> Vec<Finding> {
    let findings = diagnose(windows, None).findings;
    findings.into_iter().filter(|finding| finding.confidence >= ALERT_CONFIDENCE).collect()
}

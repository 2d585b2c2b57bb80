//! Windows → verdicts of all rules → suspicions, ranked, each symptom below its root.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::sched::STATES;
use agent_common::units::{DurNs, Tgid, Tid};
use agent_common::wire::finding::{Class, Finding};

use crate::explain::explain;
use crate::facts::Facts;
use crate::rules::lost::doubt;
use crate::rules::{RULES, Rule};
use crate::suspicion::{ALERT_CONFIDENCE, Level, Suspicion, Verdict};
use crate::trend::Trend;
use crate::window::Window;

/// Span of the newest windows that a daemon has judged, once a second: short enough to tell within 10 s, long enough
/// that a start-up or a build step does not count.
pub const SPAN: DurNs = DurNs(5_000_000_000);

/// Windows from which one can be left out.
const FEW: usize = 4;

/// Shortest span that a rule judges: below it one busy moment is all there is.
pub const MIN_SPAN: DurNs = DurNs(1_900_000_000);

/// The newest windows, as many as [`SPAN`] takes.
#[must_use]
pub fn recent(windows: &[Arc<Window>]) -> &[Arc<Window>] {
    let mut span = 0;
    let from = windows.iter().rposition(|window| {
        span += window.span().0;
        span >= SPAN.0
    });
    &windows[from.unwrap_or(0)..]
}

/// What each rule says about these windows, with the longer memory of a daemon.
#[must_use]
pub fn verdicts(windows: &[Arc<Window>], trend: &Trend) -> Verdicts {
    by_rule(&Facts::new(windows), trend)
}

/// Rules and what they say.
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

/// Why so many seconds are not enough to judge by, if they are not.
#[must_use]
pub fn too_short(seconds: f64) -> Option<String> {
    let needed = MIN_SPAN.as_secs_f64();
    (seconds < needed).then(|| format!("{seconds:.1} s observed, {needed:.1} s needed"))
}

/// The agent among what it looks at.
struct Own {
    /// 0: not known.
    tgid: Tgid,
    /// It has just begun.
    fresh: bool,
}

/// For so long it makes ready: reads the tables of all programs.
const START: DurNs = DurNs(15_000_000_000);

fn own(windows: &[Arc<Window>]) -> Own {
    let tgid = windows.last().map(|window| window.own).unwrap_or_default();
    let first = windows.first().filter(|_| tgid.0 != 0);
    let age = first.and_then(|first| {
        let task = first.tasks.iter().find(|task| task.tgid == tgid)?;
        Some(first.start_boot()?.since(task.start_boot_ns))
    });
    Own { tgid, fresh: age.is_some_and(|age| age < START) }
}

impl Own {
    /// What it loses is no trouble of the host: what it costs is told apart, and only what it leaks is worth a finding.
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

    /// Whom its own start holds up is as it will be in a moment.
    fn weigh(&self, suspicion: &mut Suspicion) {
        let finding = &mut suspicion.finding;
        let by = finding.culprit.as_ref().and_then(|culprit| culprit.pid);
        if self.fresh && by == Some(self.tgid.0) && finding.subject.pid != by {
            doubt(finding);
            "this is the agent's own start: it takes seconds once, look again after it"
                .clone_into(&mut finding.advice);
        }
    }
}

/// All suspicions, most lost time first, without those that another one explains.
#[must_use]
pub fn suspicions(windows: &[Arc<Window>], trend: &Trend) -> Vec<Suspicion> {
    ranked(verdicts(windows, trend), &own(windows))
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

/// What there is to say of some windows.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// What the rules find: what holds somebody back first, then what may be as it should be; in both most lost time first.
    pub findings: Vec<Finding>,
    /// Where the time of each process went as the rules see it.
    pub refined: HashMap<Tgid, Refined>,
    /// What the rules cannot know, for want of data: one line a reason, with the rules that it silences.
    pub unknown: Vec<String>,
}

/// Looks at these windows alone (all of them: for a daemon pass [`recent`]). Of process `pid` the threads are told, too.
#[must_use]
pub fn diagnose(windows: &[Arc<Window>], pid: Option<Tgid>) -> Diagnosis {
    let facts = Facts::new(windows);
    let verdicts = by_rule(&facts, &Trend::of(windows));
    let (refined, unknown) = (refined(&facts, pid), unknown(&verdicts));
    let own_now = own(windows);
    // A look that begins with the agent has its start in the first second.
    let suspicions = if windows.len() > FEW && own_now.fresh {
        suspicions(&windows[1..], &Trend::of(&windows[1..]))
    } else {
        ranked(verdicts, &own_now)
    };
    let firm = suspicions.into_iter().filter(|suspicion| suspicion.level == Level::Enter);
    Diagnosis { findings: firm.map(|suspicion| suspicion.finding).collect(), refined, unknown }
}

/// One process' thread time, by the states' numbers.
#[derive(Debug, Clone)]
pub struct Refined {
    /// As it was accounted.
    pub accounted: [u64; STATES],
    /// As the rules see it: waits told by their stacks and ends, waits for work under an idle state.
    pub states: [u64; STATES],
    /// The same of its threads, for the process that was asked for: those that never woke where a wait of theirs is known.
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
        .map(|(why, rules)| format!("{why}: not judged are {}", rules.join(", ")))
        .collect();
    lines.push("memory bandwidth and cache misses: there are no hardware counters in the data".to_owned());
    lines
}

/// What would open an alert.
#[cfg(test)]
pub(crate) fn alarming(windows: &[Arc<Window>]) -> Vec<Finding> {
    let findings = diagnose(windows, None).findings;
    findings.into_iter().filter(|finding| finding.confidence >= ALERT_CONFIDENCE).collect()
}

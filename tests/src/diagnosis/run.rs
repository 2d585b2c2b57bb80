//! One case, once.

use std::fmt;

use agent_common::wire::finding::Finding;
use anyhow::{Context as _, Result};

use super::recorded::Recorder;
use super::stage::Stage;
use super::watch::{Second, Watch};
use super::{Case, Harm, Whose};

/// By how much the victim's work must fall at least.
pub const FALL: f64 = 0.30;

/// Seconds until all is at its pace, and of the run without the fault.
const SETTLE: usize = 2;
const CLEAN: usize = 4;
/// Seconds of the run with the fault.
pub const FAULTY: usize = 10;
/// Of the last ones the victim's pace is taken.
const PACE: usize = 4;

/// What a case brought.
#[derive(Debug)]
pub struct Outcome {
    /// The case's name.
    pub case: Case,
    /// Beside a load.
    pub loaded: bool,
    /// What the victim got done a second, without and with the fault.
    pub pace: (f64, f64),
    /// Seconds from the fault to the first alert of a right class, on this case's processes.
    pub detected: Option<usize>,
    /// What the report at the end says of this case's processes, worst first: others may be at work on this host.
    pub verdict: Vec<Judged>,
    /// All that it says, of whomever, in the order in which a user reads it.
    pub report: Vec<Judged>,
    /// Alerts about the case's processes while nothing was wrong.
    pub false_alerts: Vec<Finding>,
    /// Alerts about any other process while nothing was wrong with the case.
    pub calm_others: Vec<Finding>,
    /// Seconds in which nothing was wrong.
    pub calm: usize,
    /// Alerts of other classes while the fault was there.
    pub more: Vec<Finding>,
    /// Alerts about processes that are not of the case while the fault was there: right or wrong is not known.
    pub others: Vec<Finding>,
    /// Times that it was run: one that is void is run once more.
    pub tries: usize,
}

/// A finding and whether it is right.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// What the rules say.
    pub finding: Finding,
    /// Its class is one of those expected.
    pub class: bool,
    /// Its culprit is.
    pub culprit: bool,
}

impl Outcome {
    /// The victim did not get less done: nothing was to be found.
    #[must_use]
    pub fn is_void(&self) -> bool {
        !self.case.is_decoy() && self.case.harm == Harm::Throughput && self.fall() < FALL
    }

    /// By which share the victim's work fell.
    #[must_use]
    pub fn fall(&self) -> f64 {
        1.0 - self.pace.1 / self.pace.0.max(f64::MIN_POSITIVE)
    }

    /// A right class is among the first `n`.
    #[must_use]
    pub fn class_in(&self, n: usize) -> bool {
        self.verdict.iter().take(n).any(|judged| judged.class)
    }

    /// The first finding of a right class has a right culprit.
    #[must_use]
    pub fn culprit(&self) -> bool {
        self.verdict.iter().find(|judged| judged.class).is_some_and(|judged| judged.culprit)
    }

    /// The first finding of the whole report: whether its class is right, and its culprit as well.
    #[must_use]
    pub fn first_of_all(&self) -> (bool, bool) {
        let first = self.report.first();
        first.map_or((false, false), |first| (first.class, first.class && first.culprit))
    }

    /// What was said first.
    #[must_use]
    pub fn said(&self) -> &str {
        self.verdict.first().map_or("nothing", |judged| judged.finding.class.name())
    }

    /// Forbidden classes that opened an alert or stand first.
    pub fn forbidden(&self) -> impl Iterator<Item = &str> {
        let first = self.verdict.first().map(|judged| judged.finding.class.name());
        let all = self.more.iter().map(|finding| finding.class.name()).chain(first);
        all.filter(|class| self.case.forbidden.contains(class))
    }

    /// As it should be.
    #[must_use]
    pub fn is_right(&self) -> bool {
        if self.case.is_decoy() {
            return self.false_alerts.is_empty() && self.more.is_empty();
        }
        self.class_in(1) && self.culprit() && self.detected.is_some() && self.forbidden().next().is_none()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_void(), self.is_right()) {
            (true, _) => "void",
            (_, true) => "ok",
            _ => "WRONG",
        };
        let load = if self.loaded { "loaded" } else { "bare" };
        let detected = self.detected.map_or("-".to_owned(), |seconds| format!("{seconds} s"));
        write!(
            f,
            "{state:<6}{:<18}{load:<7}{:>10.0} → {:<9.0}{:>4.0} %  {detected:>5}  {}",
            self.case.name,
            self.pace.0,
            self.pace.1,
            self.fall() * 100.0,
            self.verdict.iter().take(3).map(described).collect::<Vec<_>>().join(", "),
        )?;
        if self.tries > 1 {
            write!(f, "\n      try {}: the one before was void", self.tries)?;
        }
        if let Some(first) = self.report.first().filter(|first| Some(*first) != self.verdict.first()) {
            write!(f, "\n      the report begins with: {}", short(&first.finding))?;
        }
        for finding in &self.false_alerts {
            write!(f, "\n      false alert: {}", short(finding))?;
        }
        for finding in &self.calm_others {
            write!(f, "\n      of others, before the fault: {}", short(finding))?;
        }
        for finding in &self.more {
            write!(f, "\n      also: {}", short(finding))?;
        }
        for finding in &self.others {
            write!(f, "\n      of others: {}", short(finding))?;
        }
        Ok(())
    }
}

fn described(judged: &Judged) -> String {
    let mark = |right| if right { "" } else { "!" };
    let culprit = judged.finding.culprit.as_ref().map_or("?".to_owned(), |culprit| {
        let pid = culprit.pid.map_or(String::new(), |pid| format!(" {pid}"));
        format!("{} {}{pid}", culprit.kind, culprit.comm.as_deref().unwrap_or("?"))
    });
    format!("{}{} by {}{culprit}", mark(judged.class), judged.finding.class, mark(judged.culprit))
}

/// A finding in a few words.
pub fn short(finding: &Finding) -> String {
    let comm = finding.subject.comm.as_deref().unwrap_or("");
    let culprit = finding.culprit.as_ref().and_then(|culprit| culprit.comm.as_deref()).unwrap_or("?");
    format!("{} of {comm} by {culprit}, {:.0} ms/s", finding.class, finding.lost_ns_per_s as f64 / 1e6)
}

/// Runs a case, and once more where it was void: what else the machine did may have robbed the clean phase of what the fault
/// would take. Each try has a recorder of its own.
pub fn run_until_harmed(
    case: &Case,
    watch: &mut Watch,
    loaded: bool,
    mut recorder: impl FnMut() -> Result<Option<Recorder>>,
) -> Result<Outcome> {
    let first = run(case, watch, loaded, recorder()?)?;
    if !first.is_void() {
        return Ok(first);
    }
    Ok(Outcome { tries: 2, ..run(case, watch, loaded, recorder()?)? })
}

/// Runs a case. A stage that cannot be set up here is an error.
pub fn run(case: &Case, watch: &mut Watch, loaded: bool, mut recorder: Option<Recorder>) -> Result<Outcome> {
    let mut stage = Stage::new(case).with_context(|| format!("{} cannot be set up", case.name))?;
    watch.forget();
    let mut outcome = Outcome {
        case: *case,
        loaded,
        pace: (0.0, 0.0),
        detected: None,
        verdict: Vec::new(),
        report: Vec::new(),
        false_alerts: Vec::new(),
        calm_others: Vec::new(),
        calm: SETTLE + CLEAN,
        more: Vec::new(),
        others: Vec::new(),
        tries: 1,
    };
    let mut false_alert = |second: Second, stage: &Stage| {
        let (ours, others) = second
            .opened
            .into_iter()
            .partition::<Vec<_>, _>(|finding| concerns(finding, stage) && !is_by_others(finding, stage));
        outcome.false_alerts.extend(ours);
        outcome.calm_others.extend(others);
    };
    for _ in 0..SETTLE {
        false_alert(watch.second(), &stage);
    }
    let mut paces = Vec::new();
    let mut second = |watch: &mut Watch, stage: &Stage, paces: &mut Vec<f64>| -> Result<Second> {
        let before = stage.victim().meter.done();
        let second = watch.second();
        let done = stage.victim().meter.done() - before;
        paces.push(done as f64 / second.window.span().as_secs_f64());
        if let Some(recorder) = &mut recorder {
            recorder.window(&second.window, stage)?;
        }
        Ok(second)
    };
    for _ in 0..CLEAN {
        false_alert(second(watch, &stage, &mut paces)?, &stage);
    }
    stage.check()?;
    outcome.pace.0 = mean(&paces);
    paces.clear();
    stage.spoil()?;
    let mut last = None;
    for at in 1..=FAULTY {
        let second = second(watch, &stage, &mut paces)?;
        for finding in second.opened {
            let concerns = concerns(&finding, &stage) && !is_by_others(&finding, &stage);
            let right = concerns && case.class.contains(&&*finding.class);
            if right && outcome.detected.is_none() {
                outcome.detected = Some(at);
            }
            match concerns {
                true if !right => outcome.more.push(finding),
                true => {}
                false => outcome.others.push(finding),
            }
        }
        last = Some(second.findings);
    }
    stage.check()?;
    outcome.pace.1 = mean(&paces[FAULTY - PACE..]);
    let judged = |finding: Finding| Judged {
        class: case.class.contains(&&*finding.class),
        culprit: case.culprit.iter().any(|whose| is_culprit(*whose, &finding, &stage)),
        finding,
    };
    outcome.report = last.unwrap_or_default().into_iter().map(judged).collect();
    let of_the_case = outcome.report.iter().filter(|judged| {
        let finding = &judged.finding;
        concerns(finding, &stage)
            && !is_by_others(finding, &stage)
            && finding.confidence >= diagnosis::ALERT_CONFIDENCE
    });
    outcome.verdict = of_the_case.cloned().collect();
    if let Some(recorder) = recorder {
        recorder.finish()?;
    }
    Ok(outcome)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Whether a finding is about a process of the case, or names a process or the cgroup of the case as culprit.
fn concerns(finding: &Finding, stage: &Stage) -> bool {
    let ours = |pid: Option<u32>| {
        let acts = |pid| stage.cast().iter().any(|actor| actor.pid() == pid || actor.meter.told() == pid);
        pid.is_some_and(acts)
    };
    let named = |comm: Option<&String>| comm.is_some_and(|comm| stage.cast().iter().any(|a| a.name == comm));
    // Who is killed in a cgroup may be a child of the cast's.
    let group = stage.cgroup.as_ref().map(super::ground::Cgroup::name);
    let in_group = |comm: Option<&String>| group.is_some_and(|group| comm.is_some_and(|c| c.contains(group)));
    in_group(finding.culprit.as_ref().and_then(|culprit| culprit.comm.as_ref()))
        || ours(finding.subject.pid)
        || named(finding.subject.comm.as_ref())
        || finding.culprit.as_ref().is_some_and(|culprit| ours(culprit.pid) || named(culprit.comm.as_ref()))
}

/// Whether a finding is about a CPU that the case shares with other processes: a true finding, but not the case's fault.
fn is_by_others(finding: &Finding, stage: &Stage) -> bool {
    let ours = |pid| stage.cast().iter().any(|actor| actor.pid() == pid || actor.meter.told() == pid);
    let culprit = finding.culprit.as_ref().filter(|culprit| culprit.kind == "process");
    let by_running = matches!(&*finding.class, "runq-neighbour" | "priority-inversion");
    by_running
        && !(finding.subject.pid.is_some_and(ours) && culprit.is_some_and(|by| by.pid.is_some_and(ours)))
}

fn is_culprit(whose: Whose, finding: &Finding, stage: &Stage) -> bool {
    let Some(culprit) = &finding.culprit else { return false };
    let is_process = matches!(&*culprit.kind, "process" | "lock");
    let comm = culprit.comm.as_deref().unwrap_or("");
    match whose {
        Whose::Role(name) => {
            let mut actors = stage.cast().iter().filter(|actor| actor.name == name);
            is_process && actors.any(|actor| culprit.pid == Some(actor.pid()))
        }
        Whose::Told(name) => {
            let mut actors = stage.cast().iter().filter(|actor| actor.name == name);
            is_process && actors.any(|actor| culprit.pid == Some(actor.meter.told()))
        }
        Whose::Thread => culprit.kind == "thread",
        Whose::Comm(name) => is_process && comm == name,
        Whose::Cgroup => {
            culprit.kind == "cgroup" && stage.cgroup.as_ref().is_some_and(|group| comm.contains(group.name()))
        }
        Whose::Disk => culprit.kind == "device" && stage.disk().is_some_and(|disk| disk == comm),
        Whose::Peer(port) => culprit.kind == "peer" && comm.ends_with(&format!(":{port}")),
    }
}

//! # `leaks`: growth without end
//!
//! **Classes** `fd-leak`, `thread-leak`, `zombie-leak`, `memory-leak`; subject and culprit are the process.
//!
//! **What.** The agent keeps a history of each process, longer than the span. The whole history, or its newest quarter (a minute
//! at most), is cut into four equal parts. Each part grows at 30 % of the mean pace at least: no step, no plateau, no saw-tooth.
//! And:
//!
//! | class | observed at least | grown by | limit reached within | the limit |
//! |---|---|---|---|---|
//! | `fd-leak` | 6 s | 50 descriptors | 1 day | `RLIMIT_NOFILE` |
//! | `thread-leak` | 6 s | 20 threads | 1 day | `kernel.threads-max`, `pid_max` |
//! | `zombie-leak` | 6 s | 10 zombies | 1 day | `pid_max` |
//! | `memory-leak` | 60 s | 50 MiB | 4 hours | available memory and swap of the host |
//!
//! For descriptors and memory, the limit must also be within [`MAX_HORIZON_RATIO`] times the observed time: a cache that fills for
//! ten seconds is no leak. At [`LIMIT_REACHED_SHARE`] of the limit, the growth up to there is judged. Half the growth is enough to
//! stay. The confidence rises with the observed time, from 0.6 to 0.9 within a minute (memory: ten).
//!
//! **Why.** The limit is hit at night. Programs often have good reasons to take memory at first, so it must grow for longer.
//!
//! **Cure.** `ls -l /proc/PID/fd` (which files), `/proc/PID/task` (which threads), `wait` for children; for memory a heap
//! profile, or a limit with a restart.

use super::lost::suspect_other;
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, evidence, evidence_below, level, verdict};
use crate::facts::Facts;
use crate::trend::{Life, Measure, Series};
use agent_common::units::Tgid;
use agent_common::wire::finding::{Culprit, Subject};

/// Equal parts of a series that must all grow.
const SERIES_PARTS: usize = 4;
/// Newest share of the history that is judged by itself.
const NEWEST_SHARE: f64 = 0.25;
/// Longest such part, s.
const MAX_NEWEST_S: f64 = 60.0;
/// Share of the limit from which it counts as reached: it cannot grow much further.
const LIMIT_REACHED_SHARE: f64 = 0.95;
/// Tolerance of the observed time, s: windows do not end exactly on the second.
const SPAN_SLACK_S: f64 = 0.5;
/// Growth to stay, as a share of that to enter.
const LEAVE_GROWTH_RATIO: f64 = 0.5;
/// Most time to the limit, as a multiple of the observed time.
const MAX_HORIZON_RATIO: f64 = 200.0;
const DAY_S: f64 = 86_400.0;
const MIB_BYTES: f64 = 1_048_576.0;

/// What makes growth a leak.
struct Kind {
    class: Class,
    what: &'static str,
    unit: &'static str,
    scale: f64,
    seconds: f64,
    grown: f64,
    horizon: f64,
    /// Caches of this kind grow for a while, and then stop.
    caches: bool,
    advice: &'static str,
}

const fn kind(measure: Measure) -> Kind {
    match measure {
        Measure::Fds => Kind {
            class: Class::FdLeak,
            what: "open descriptors",
            unit: "count",
            scale: 1.0,
            seconds: 6.0,
            grown: 50.0,
            horizon: DAY_S,
            caches: true,
            advice: "opens descriptors and does not close them: `ls -l /proc/PID/fd` shows which",
        },
        Measure::Threads => Kind {
            class: Class::ThreadLeak,
            what: "threads",
            unit: "count",
            scale: 1.0,
            seconds: 6.0,
            grown: 20.0,
            horizon: DAY_S,
            caches: false,
            advice: "starts threads that do not end: use a bounded pool, or join them",
        },
        Measure::Zombies => Kind {
            class: Class::ZombieLeak,
            what: "zombie children",
            unit: "count",
            scale: 1.0,
            seconds: 6.0,
            grown: 10.0,
            horizon: DAY_S,
            caches: false,
            advice: "does not wait for its children: call wait, or ignore SIGCHLD",
        },
        Measure::Memory => Kind {
            class: Class::MemoryLeak,
            what: "memory",
            unit: "MiB",
            scale: MIB_BYTES,
            seconds: 60.0,
            grown: 50.0 * MIB_BYTES,
            horizon: 4.0 * 3600.0,
            caches: true,
            advice: "takes memory and keeps it: a heap profile shows where; MemoryMax= with a restart bounds the harm",
        },
    }
}

pub(super) const RULE: Rule = Rule {
    name: "leaks",
    classes: &[Class::FdLeak, Class::ThreadLeak, Class::ZombieLeak, Class::MemoryLeak],
    needs: Need::Nothing,
    judge,
};

fn judge(facts: &Facts, trend: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    let own = facts.windows.last().map(|window| window.own);
    for (tgid, life) in trend.lives() {
        for measure in Measure::ALL {
            // The agent keeps a bounded number of files of other processes open: it grows with them.
            if measure == Measure::Fds && Some(tgid) == own {
                continue;
            }
            let limit = match measure {
                Measure::Fds => life.fd_limit.map(|limit| limit as f64),
                Measure::Threads => left(life, measure, trend.threads_left, trend.pids_left),
                Measure::Zombies => left(life, measure, trend.pids_left, None),
                Measure::Memory => Some(life.series[measure as usize].value() + trend.memory_left),
            };
            suspicions.extend(leak(tgid, life, measure, limit));
        }
    }
    verdict(suspicions)
}

/// A process' limit by tables of the host: what it has, and what is left in the smaller table.
fn left(life: &Life, measure: Measure, one: Option<f64>, other: Option<f64>) -> Option<f64> {
    let least = match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    least.map(|least| least + life.series[measure as usize].value())
}

fn leak(tgid: Tgid, life: &Life, measure: Measure, limit: Option<f64>) -> Option<Suspicion> {
    let kind = kind(measure);
    // At the limit it cannot grow any more; the growth up to there still counts.
    let mut all: &Series = &life.series[measure as usize];
    let before;
    if let Some(full) = limit.map(|limit| LIMIT_REACHED_SHARE * limit).filter(|full| all.value() >= *full) {
        before = all.up_to(full);
        all = &before;
    }
    if all.seconds() < kind.seconds - SPAN_SLACK_S {
        return None;
    }
    // A process that was stable for long must grow for longer to leak.
    let newest = all.newest((NEWEST_SHARE * all.seconds()).min(MAX_NEWEST_S).max(kind.seconds));
    [all, &newest].into_iter().find_map(|series| grows(tgid, life, &kind, series, limit))
}

fn grows(tgid: Tgid, life: &Life, kind: &Kind, series: &Series, limit: Option<f64>) -> Option<Suspicion> {
    let slope = series.steady_growth(SERIES_PARTS)?;
    let grown = slope * series.seconds();
    let level = level(grown, kind.grown, kind.grown * LEAVE_GROWTH_RATIO)?;
    let to_limit = limit.map(|limit| (limit - series.value()).max(0.0) / slope);
    let horizon =
        if kind.caches { kind.horizon.min(MAX_HORIZON_RATIO * series.seconds()) } else { kind.horizon };
    if to_limit.is_some_and(|seconds| seconds > horizon) {
        return None;
    }
    let mut numbers = vec![
        evidence(kind.what, series.value() / kind.scale, kind.unit, None),
        evidence("growth in the observed time", grown / kind.scale, kind.unit, Some(kind.grown / kind.scale)),
        evidence("observed time", series.seconds(), "s", Some(kind.seconds - SPAN_SLACK_S)),
        evidence("growth rate", slope / kind.scale * 60.0, &growth_unit(kind.unit), None),
    ];
    if let (Some(limit), Some(seconds)) = (limit, to_limit) {
        numbers.push(evidence("limit", limit / kind.scale, kind.unit, None));
        numbers.push(evidence_below("time to the limit", seconds / 60.0, "min", horizon / 60.0));
    }
    let subject =
        Subject { kind: "process".into(), pid: Some(tgid.0), comm: Some(life.comm.as_ref().into()) };
    let mut suspicion = suspect_other(RULE.name, kind.class.clone(), subject, level, numbers);
    let finding = &mut suspicion.finding;
    finding.culprit =
        Some(Culprit { kind: "process".into(), pid: Some(tgid.0), comm: Some(life.comm.as_ref().into()) });
    // No time is lost yet; at the limit all is. The share of the limit stands for it.
    let share = limit.map_or(0.0, |limit| series.value() / limit.max(1.0)).min(1.0);
    finding.lost_ns_per_s = (share * 1e9) as u64;
    finding.share_pct = share * 100.0;
    finding.confidence = (0.6 + 0.3 * series.seconds() / (10.0 * kind.seconds)).min(0.9);
    finding.advice = format!("{} {}", life.comm, kind.advice.replace("PID", &tgid.to_string()));
    let _ = &life.cgroup;
    Some(suspicion)
}
/// Numbers of things have no unit.
fn growth_unit(unit: &str) -> String {
    if unit == "count" { "a minute".to_owned() } else { format!("{unit} a minute") }
}

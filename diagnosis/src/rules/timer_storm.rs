//! # `timer_storm`: very short sleeps, over and over
//!
//! **Class** `timer-storm`; the culprit is the process.
//!
//! **What.** All of these are true:
//!
//! - A process sleeps at least [`RATE_ENTER`] times a second (to stay, and in four of five windows: [`RATE_LEAVE`]): `nanosleep`,
//!   a timer, a futex wait that times out.
//! - Sleeps are at least [`MIN_SLEEP_SHARE`] of all its calls.
//! - It uses at least [`MIN_CORES`] of a core, and at most [`MAX_CPU_PER_SLEEP_NS`] ns of CPU for each sleep: it finds no work.
//!
//! **Why.** Each wake-up costs an interrupt, two switches and a CPU that leaves its sleep state: polling in place of waiting.
//!
//! **Cure.** Wait for the event (condition, `eventfd`, `epoll`); a longer interval; timer slack (`PR_SET_TIMERSLACK`).

use std::collections::HashMap;

use agent_common::units::Tgid;

use super::lost::{Loss, not, process_culprit, suspect};
use super::{Class, Need, Rule, Trend, Verdict, evidence, evidence_below, level, verdict};
use crate::facts::{Calls, Facts, lasts};
use crate::syscall_names;

/// Sleeps a second, to enter.
const RATE_ENTER: f64 = 2_000.0;
/// The same, to stay, and in each single window.
const RATE_LEAVE: f64 = 1_000.0;
/// Least share of sleeps among all calls of the process.
const MIN_SLEEP_SHARE: f64 = 0.4;
/// Least CPU time of the process, cores.
const MIN_CORES: f64 = 0.03;

/// Most CPU time a sleep, ns: a process that uses more has work, and paces it.
const MAX_CPU_PER_SLEEP_NS: f64 = 50_000.0;

/// Least mean time of a failing call, ns, from which it is a wait that times out.
const MIN_TIMED_OUT_NS: f64 = 20_000.0;
/// Least share of failing calls, from which they are waits that time out.
const MIN_FAILED_SHARE: f64 = 0.9;

/// True for a call that sleeps, or waits until it times out.
pub(super) fn is_sleep(name: &str, calls: &Calls) -> bool {
    match name {
        "nanosleep" | "clock_nanosleep" | "timerfd_settime" | "setitimer" | "timer_settime" => true,
        "futex" | "rt_sigtimedwait" | "semtimedop" | "mq_timedreceive" => timed_out(calls),
        _ => false,
    }
}

fn timed_out(calls: &Calls) -> bool {
    let long = calls.mean_ns().is_some_and(|mean| mean >= MIN_TIMED_OUT_NS);
    calls.errors as f64 >= MIN_FAILED_SHARE * calls.count as f64 && long
}

pub(super) const RULE: Rule =
    Rule { name: "timer_storm", classes: &[Class::TimerStorm], needs: Need::Syscalls, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut sleeps: HashMap<Tgid, (u64, Vec<f64>)> = HashMap::new();
    for ((tgid, abi, nr), calls) in &facts.calls {
        let name = syscall_names::name(*abi, *nr);
        if name.is_some_and(|name| is_sleep(name, calls)) {
            let of = sleeps.entry(*tgid).or_insert_with(|| (0, vec![0.0; calls.rates.len()]));
            of.0 += if timed_out(calls) { calls.errors } else { calls.count };
            let length = of.1.len().max(calls.rates.len());
            of.1.resize(length, 0.0);
            of.1.iter_mut().zip(&calls.rates).for_each(|(sum, rate)| *sum += rate);
        }
    }
    let mut suspicions = Vec::new();
    for (tgid, (count, series)) in sleeps {
        let rate = facts.per_second(count);
        let share = count as f64 / facts.all_calls.get(&tgid).copied().unwrap_or(0).max(1) as f64;
        let Some(level) = level(rate, RATE_ENTER, RATE_LEAVE)
            .filter(|_| share >= MIN_SLEEP_SHARE && lasts(&series, RATE_LEAVE))
        else {
            continue;
        };
        let (Some(row), Some(unit)) = (facts.process(tgid), facts.unit_of(tgid)) else { continue };
        let cpu = facts.per_second(row.cpu().0) / 1e9;
        let each = row.cpu().0 as f64 / count.max(1) as f64;
        if cpu < MIN_CORES || each > MAX_CPU_PER_SLEEP_NS {
            continue;
        }
        let loss = Loss { ns: row.cpu().0, rate: cpu, share: 1.0, level };
        let mut suspicion = suspect(RULE.name, Class::TimerStorm, unit, loss);
        suspicion.key = format!("timer-storm/{tgid}");
        suspicion.culprit_unit = Some(unit.at);
        let finding = &mut suspicion.finding;
        finding.subject.pid = Some(tgid.0);
        finding.culprit = Some(process_culprit(unit));
        finding.confidence = 0.7;
        finding.evidence = vec![
            evidence("sleeps", rate, "1/s", Some(RATE_ENTER)),
            evidence(
                "share of sleeps among all its calls",
                share * 100.0,
                "%",
                Some(MIN_SLEEP_SHARE * 100.0),
            ),
            evidence("CPU time", cpu * 100.0, "% of a core", Some(MIN_CORES * 100.0)),
            evidence_below("CPU time a sleep, mean", each / 1e3, "µs", MAX_CPU_PER_SLEEP_NS / 1e3),
        ];
        finding.alternatives.push(not(&Class::SyscallStorm, "the call is a sleep: the cost is the wake-up"));
        finding.advice = format!("{} polls with short sleeps: block until there is an event", unit.comm);
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

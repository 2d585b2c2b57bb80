//! # `timer_storm`: sleeping for no time, over and over
//!
//! **Class** `timer-storm`; the culprit is the process.
//!
//! **What.** A process sleeps at least [`RATE_ENTER`] times a second (`nanosleep`, a timer, a futex with a time-out that nobody wakes; to
//! stay, and in four of five windows: [`RATE_LEAVE`]), sleeps are at least [`SHARE`] of all its calls, it uses at
//! least [`CPU`] of a core, and at most [`WORK`] ns of CPU for each sleep: it finds nothing to do.
//!
//! **Why.** Each wake-up costs an interrupt, two switches and a CPU that leaves its sleep state, and mostly finds nothing to
//! do: polling in place of waiting.
//!
//! **Cure.** Wait for the event (condition, `eventfd`, `epoll`); a longer interval; timer slack (`PR_SET_TIMERSLACK`).

use std::collections::HashMap;

use agent_common::units::Tgid;

use super::lost::{Loss, not, process_culprit, suspect};
use super::{Class, Need, Rule, Trend, Verdict, evidence, evidence_below, level, verdict};
use crate::facts::{Calls, Facts, lasts};
use crate::syscall_names;

/// Sleeps a second.
const RATE_ENTER: f64 = 2_000.0;
/// The same, to stay, and in single windows.
const RATE_LEAVE: f64 = 1_000.0;
/// Of all its calls.
const SHARE: f64 = 0.4;
/// CPU time of the process, share of a core.
const CPU: f64 = 0.03;

/// CPU time of a turn, ns: who does more than look has work, and paces it.
const WORK: f64 = 50_000.0;

/// Mean time of a failing call from which it has waited, ns.
const WAITED: f64 = 20_000.0;
/// Share of the calls that fail, from which waiting is all they do.
const FAILS: f64 = 0.9;

/// A call that sleeps, or waits for what never comes until its time is over.
pub(super) fn is_sleep(name: &str, calls: &Calls) -> bool {
    match name {
        "nanosleep" | "clock_nanosleep" | "timerfd_settime" | "setitimer" | "timer_settime" => true,
        "futex" | "rt_sigtimedwait" | "semtimedop" | "mq_timedreceive" => timed_out(calls),
        _ => false,
    }
}

fn timed_out(calls: &Calls) -> bool {
    let mean = calls.total.0 as f64 / calls.timed.max(1) as f64;
    calls.errors as f64 >= FAILS * calls.count as f64 && mean >= WAITED
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
        let Some(level) =
            level(rate, RATE_ENTER, RATE_LEAVE).filter(|_| share >= SHARE && lasts(&series, RATE_LEAVE))
        else {
            continue;
        };
        let (Some(row), Some(unit)) = (facts.process(tgid), facts.unit_of(tgid)) else { continue };
        let cpu = facts.per_second(row.cpu().0) / 1e9;
        let each = row.cpu().0 as f64 / count.max(1) as f64;
        if cpu < CPU || each > WORK {
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
            evidence("of all its calls", share * 100.0, "%", Some(SHARE * 100.0)),
            evidence("CPU", cpu * 100.0, "% of a core", Some(CPU * 100.0)),
            evidence_below("CPU for each sleep", each / 1e3, "µs", WORK / 1e3),
        ];
        finding.alternatives.push(not(&Class::SyscallStorm, "the call is a sleep: what costs is waking up"));
        finding.advice =
            format!("{} sleeps in place of waiting for an event: block until there is one", unit.comm);
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

//! Calls that are refused and tried again: how often, and what that costs.
//!
//! One refusal is an answer; two a second, on and on, are a program that makes no progress. The rules are `refused` (resources),
//! `file_lock` and `net_connect`.

use agent_common::abi::sched::State;
use agent_common::units::Tid;

use super::lost::{Loss, suspect};
use super::{Class, Level, Suspicion, evidence, level};
use crate::facts::{Facts, Map, Refused, Unit, Want, lasts};
use crate::syscall_names;

/// Refusals a second, to enter.
const RATE_ENTER: f64 = 2.0;
/// The same for local ports, where few refusals are normal: all ports in use means some 28,000 connections in the minute of
/// `TIME_WAIT`.
const PORTS_RATE_ENTER: f64 = 100.0;
/// Rate to stay, and in each single window, as a share of the rate to enter.
const LEAVE_RATE_RATIO: f64 = 0.5;
/// Most tries a sleep, and most sleeps a try, of a thread that sleeps between its tries; another timer of the process has another
/// pace.
const MAX_SLEEPS_PER_TRY: f64 = 2.5;
/// Confidence of such a finding: the refusals are certain, that they are a fault is not.
const REFUSED_CONFIDENCE: f64 = 0.75;

/// Lasting refusals of these kinds; of each unit only the most frequent.
pub(super) fn lasting<'a>(
    facts: &'a Facts,
    is: impl Fn(Want) -> bool,
) -> impl Iterator<Item = (&'a Refused, &'a Unit, Level)> {
    let mut wanted: Vec<_> = facts
        .refused
        .iter()
        .filter(|one| is(one.want) && !facts.units[one.unit].kernel)
        .filter_map(|one| Some((one, &facts.units[one.unit], one.level(facts)?)))
        .collect();
    wanted.sort_by_key(|(one, ..)| (one.unit, std::cmp::Reverse(one.count), one.nr, one.errno));
    wanted.dedup_by_key(|(one, ..)| one.unit);
    wanted.into_iter()
}

impl Refused {
    /// Refusals a second, to enter.
    fn rate_enter(&self) -> f64 {
        if i32::from(self.errno) == libc::EADDRNOTAVAIL { PORTS_RATE_ENTER } else { RATE_ENTER }
    }

    /// The level; `None` unless the refusals last.
    fn level(&self, facts: &Facts) -> Option<Level> {
        let leave = self.rate_enter() * LEAVE_RATE_RATIO;
        let level = level(facts.per_second(self.count), self.rate_enter(), leave)?;
        (self.refused_share(facts) >= self.share && lasts(&self.rates, leave)).then_some(level)
    }

    /// Calls of this kind, and the time in them, ns.
    fn calls(&self, facts: &Facts) -> (u64, u64) {
        let members = facts.members(&facts.units[self.unit]);
        let calls = members.filter_map(|process| facts.calls.get(&(process.tgid, self.abi, self.nr)));
        calls.fold((0, 0), |(count, ns), calls| (count + calls.count, ns + calls.total.0))
    }

    /// Share of these calls that are refused, 0..=1.
    fn refused_share(&self, facts: &Facts) -> f64 {
        self.count as f64 / self.calls(facts).0.max(1) as f64
    }

    /// The lost time: in the refused calls, and asleep between the tries. The latter is that of the thread that blocks about as often
    /// as the unit is refused, and sleeps most.
    fn loss(&self, facts: &Facts, level: Level) -> Loss {
        let unit = &facts.units[self.unit];
        let in_them = (self.calls(facts).1 as f64 * self.refused_share(facts)) as u64;
        let mut threads: Map<Tid, (u64, u64)> = Map::default();
        let members: Vec<_> = facts.members(unit).map(|process| process.tgid).collect();
        for times in
            facts.windows.iter().flat_map(|window| &window.times).filter(|of| members.contains(&of.tgid))
        {
            for thread in &times.threads {
                let asleep = thread.states.iter().filter(|(state, _)| *state == State::Sleep);
                let of = threads.entry(thread.tid).or_default();
                of.0 += thread.voluntary;
                of.1 += asleep.map(|(_, ns)| ns.0).sum::<u64>();
            }
        }
        let because = self.count as f64 / MAX_SLEEPS_PER_TRY..=self.count as f64 * MAX_SLEEPS_PER_TRY;
        let asleep = threads.into_values().filter(|(blocked, _)| because.contains(&(*blocked as f64)));
        let asleep = asleep.map(|(_, ns)| ns).max().unwrap_or(0);
        let ns = in_them + asleep;
        let busy = (unit.times.non_idle() + asleep).max(1);
        Loss { ns, rate: facts.per_second(ns) / 1e9, share: (ns as f64 / busy as f64).min(1.0), level }
    }

    /// The suspicion about these refusals.
    pub(super) fn suspect(&self, facts: &Facts, rule: &'static str, class: Class, level: Level) -> Suspicion {
        let unit = &facts.units[self.unit];
        let errno = syscall_names::errno(self.errno);
        let call = syscall_names::display(self.abi, self.nr);
        let key = format!("{class}/{}/{errno}", unit.key());
        let mut suspicion = suspect(rule, class, unit, self.loss(facts, level));
        suspicion.key = key;
        suspicion.call = Some((self.abi, self.nr));
        let finding = &mut suspicion.finding;
        finding.confidence = REFUSED_CONFIDENCE;
        // The lost time is no condition of this finding.
        finding.evidence.iter_mut().for_each(|number| number.threshold = None);
        let rate = facts.per_second(self.count);
        let first = [
            evidence(format!("{call} is refused: {errno}"), rate, "1/s", Some(self.rate_enter())),
            evidence(
                format!("share of its {call} calls that are refused"),
                self.refused_share(facts) * 100.0,
                "%",
                Some(self.share * 100.0),
            ),
        ];
        finding.evidence.splice(0..0, first);
        suspicion
    }
}

//! Calls that are refused and tried again: how often, and what that costs. Once is an answer; twice a second, on and on, is a
//! program that does not get on. The rules are `refused` (resources), `file_lock` and `net_connect`.

use agent_common::abi::sched::State;
use agent_common::units::Tid;

use super::lost::{Loss, suspect};
use super::{Class, Level, Suspicion, evidence, level};
use crate::facts::{Facts, Map, Refused, Unit, Want, lasts};
use crate::syscall_names;

/// Refusals a second.
const RATE: f64 = 2.0;
/// The same where few are an answer like any other: all local ports in use are some 28,000 connections in the minute of
/// `TIME_WAIT`.
const RATE_OF_PORTS: f64 = 100.0;
/// Of the rate: to stay, and in single windows.
const LEAVE: f64 = 0.5;
/// Tries for each sleep, and sleeps for each try, up to which the one is because of the other: a timer of the same process
/// keeps another time.
const SLEEPS: f64 = 2.5;
/// That it goes on is sure; that nobody expects it is not.
const CONFIDENCE: f64 = 0.75;

/// What units are refused of this kind, and goes on; of each unit what it is refused most.
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
    /// Refusals a second from which it is told.
    fn least(&self) -> f64 {
        if i32::from(self.errno) == libc::EADDRNOTAVAIL { RATE_OF_PORTS } else { RATE }
    }

    /// Whether it goes on and on.
    fn level(&self, facts: &Facts) -> Option<Level> {
        let leave = self.least() * LEAVE;
        let level = level(facts.per_second(self.count), self.least(), leave)?;
        (self.part(facts) >= self.share && lasts(&self.rates, leave)).then_some(level)
    }

    /// Calls of this kind, and the time in them, ns.
    fn calls(&self, facts: &Facts) -> (u64, u64) {
        let members = facts.members(&facts.units[self.unit]);
        let calls = members.filter_map(|process| facts.calls.get(&(process.tgid, self.abi, self.nr)));
        calls.fold((0, 0), |(count, ns), calls| (count + calls.count, ns + calls.total.0))
    }

    /// Of these, those refused, 0..=1.
    fn part(&self, facts: &Facts) -> f64 {
        self.count as f64 / self.calls(facts).0.max(1) as f64
    }

    /// What it costs: the time in the refused calls, and what is slept before it is tried again: that of the thread which
    /// blocks about as often as the unit is refused, and sleeps most.
    fn loss(&self, facts: &Facts, level: Level) -> Loss {
        let unit = &facts.units[self.unit];
        let in_them = (self.calls(facts).1 as f64 * self.part(facts)) as u64;
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
        let because = self.count as f64 / SLEEPS..=self.count as f64 * SLEEPS;
        let asleep = threads.into_values().filter(|(blocked, _)| because.contains(&(*blocked as f64)));
        let asleep = asleep.map(|(_, ns)| ns).max().unwrap_or(0);
        let ns = in_them + asleep;
        let busy = (unit.times.non_idle() + asleep).max(1);
        Loss { ns, rate: facts.per_second(ns) / 1e9, share: (ns as f64 / busy as f64).min(1.0), level }
    }

    /// The suspicion of it.
    pub(super) fn suspect(&self, facts: &Facts, rule: &'static str, class: Class, level: Level) -> Suspicion {
        let unit = &facts.units[self.unit];
        let errno = syscall_names::errno(self.errno);
        let call = syscall_names::display(self.abi, self.nr);
        let key = format!("{class}/{}/{errno}", unit.key());
        let mut suspicion = suspect(rule, class, unit, self.loss(facts, level));
        suspicion.key = key;
        suspicion.call = Some((self.abi, self.nr));
        let finding = &mut suspicion.finding;
        finding.confidence = CONFIDENCE;
        // How much is lost decides nothing here.
        finding.evidence.iter_mut().for_each(|number| number.threshold = None);
        let rate = facts.per_second(self.count);
        let first = [
            evidence(format!("{call} is refused: {errno}"), rate, "1/s", Some(self.least())),
            evidence(format!("of its {call} calls"), self.part(facts) * 100.0, "%", Some(self.share * 100.0)),
        ];
        finding.evidence.splice(0..0, first);
        suspicion
    }
}

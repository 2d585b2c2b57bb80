//! No finding says what its own numbers deny: all rules, on windows of all kinds.

use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{DurNs, Tgid, Tid};

use super::scene::*;
use crate::testing::{MS, calls, exit, shared};
use crate::window::host::{CpuId, CpuTimes};
use crate::window::{BlockOp, FrozenRow, LockRow, NetRow, OomKill, ThreadPriority, WaitTarget, Window};
use crate::{ALERT_CONFIDENCE, Level, Suspicion, Trend, Verdict, verdicts};

/// Numbers that are the same in each run: xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most.max(1)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// One in so many.
    fn hits(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// Small, or large, or between: what thresholds lie in is met at all scales.
    fn amount(&mut self, most: u64) -> u64 {
        let scale = self.one(&[1, 10, 100, 1000]);
        self.below(most / scale)
    }
}

/// States of a thread that add up to a second.
fn thread(dice: &mut Dice, few: &[State]) -> Vec<(State, u64)> {
    let mut left = 1000;
    let mut states = Vec::new();
    for _ in 0..dice.below(4) {
        let ms = dice.below(left + 1);
        let state = if dice.hits(3) { dice.one(&State::ALL) } else { dice.one(few) };
        if !states.iter().any(|(known, _)| *known == state) {
            states.push((state, ms));
            left -= ms;
        }
    }
    let rest = dice.one(&[State::Poll, State::Oncpu, State::Sleep]);
    match states.iter_mut().find(|(known, _)| *known == rest) {
        Some((_, ms)) => *ms += left,
        None => states.push((rest, left)),
    }
    states
}

fn target(dice: &mut Dice) -> WaitTarget {
    let tid = Tid(10 * (1 + dice.below(6) as u32));
    match dice.below(8) {
        0 | 1 => WaitTarget::Futex { addr: 64 * dice.below(3), owner: dice.hits(2).then_some(tid) },
        2 => WaitTarget::Unix { peer: None, serves: dice.one(&[None, Some(true), Some(false)]) },
        3 | 4 => {
            let (local_port, port) = (dice.one(&[80, 40_000, 50_000]), dice.one(&[53, 80, 45_000]));
            WaitTarget::Socket { protocol: 6, local_port, peer: Some(peer(port)) }
        }
        5 => WaitTarget::FileServer { connection: 1 },
        6 => WaitTarget::Orphaned { addr: 64, owner: Tid(4242) },
        _ => WaitTarget::None,
    }
}

/// What else there may be of a process: calls, requests, children, trouble of all kinds.
fn trouble(dice: &mut Dice, window: &mut Window, (tgid, name): (u32, &str), count: u32) {
    for nr in [READ, WRITE, FUTEX, 35, 61] {
        let calls_made = dice.amount(400_000);
        let errors = dice.below(calls_made + 1);
        let mut row = calls(tgid, name, nr, calls_made, errors, 1 + dice.amount(20_000));
        row.errnos = vec![(dice.one(&[2, 11, 24, 110, 111]), errors)];
        window.syscalls.push(row);
    }
    let other = 10 * (1 + dice.below(u64::from(count)) as u32);
    blame(window, tgid, other, dice.amount(3_000));
    let op = dice.one(&[BlockOp::Read, BlockOp::Write]);
    requests(window, tgid, op, 1 + dice.amount(5_000), dice.amount(900), dice.amount(900));
    for _ in 0..dice.amount(300) {
        window.exits.push(exit(1000 + window.exits.len() as u32, tgid, "job", dice.amount(20)));
    }
    if dice.hits(2) {
        window.net.push(NetRow {
            tgid: Tgid(tgid),
            comm: name.into(),
            local_port: 80,
            peer: dice.hits(2).then(|| peer(80)),
            retransmits: dice.amount(200),
            resets: dice.amount(50),
            accept_overflows: dice.amount(20),
            accept_queue: Some((dice.below(130) as u32, 128)),
            receive_drops: 0,
        });
        window.locks.push(LockRow {
            tgid: Tgid(tgid),
            comm: name.into(),
            lock: 7,
            kind: "mutex",
            count: 10,
            waited: DurNs(dice.amount(3_000) * MS),
            holder: dice.hits(2).then_some(Tid(other)),
        });
        let priority = dice.one(&[-11, 20, 39]);
        window.priorities.push(ThreadPriority { tgid: Tgid(tgid), tid: Tid(tgid), priority });
    }
    if dice.hits(8) {
        let (cgroup, file) = ("/box".into(), "/sys/fs/cgroup/box/cgroup.freeze".into());
        window.frozen.push(FrozenRow { tgid: Tgid(tgid), cgroup, file, age: DurNs(9) });
    }
    if dice.hits(30) {
        let comm = name.into();
        window.oom_kills.push(OomKill { tgid: Tgid(tgid), comm, cgroup: "/box".into(), rss_bytes: 1 });
    }
}

/// Five windows of some processes that do the same things in each, more or less.
fn any(seed: u64) -> Vec<Arc<Window>> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (seed + 1));
    (0..20).for_each(|_| _ = dice.below(2));
    let few: Vec<State> = (0..3).map(|_| dice.one(&State::ALL)).collect();
    let count = 1 + dice.below(6) as u32;
    let shapes: Vec<Vec<Vec<(State, u64)>>> =
        (0..count).map(|_| (0..=dice.below(8)).map(|_| thread(&mut dice, &few)).collect()).collect();
    let names = ["app", "db", "cc1", "app"];
    let mut windows = Vec::new();
    for index in 0..5 {
        let mut window = host(index);
        for (at, shape) in shapes.iter().enumerate() {
            let tgid = 10 * (1 + at as u32);
            let name = names[at % names.len()];
            let threads: Vec<&[(State, u64)]> = shape.iter().map(Vec::as_slice).collect();
            process(&mut window, tgid, name, &threads);
            let (oncpu, share) = (dice.below(1000), dice.below(101));
            change(&mut window, tgid, |sample| {
                (sample.user, sample.system) =
                    (DurNs(oncpu * share / 100 * MS), DurNs(oncpu * (100 - share) / 100 * MS));
                sample.maj_flt = oncpu * share;
                sample.min_flt = oncpu * share * 3;
                (sample.fds, sample.fd_limit) = (Some(900 + (index * share) as u32), Some(1024));
            });
            if dice.hits(2) {
                in_cgroup(&mut window, tgid, "/box");
            }
            for (offset, states) in shape.iter().enumerate() {
                for (state, ms) in states.iter().filter(|(state, ms)| state.is_blocked() && *ms > 0) {
                    let by = 10 * (1 + dice.below(u64::from(count)) as u32);
                    let by = dice.hits(2).then_some((by, by));
                    let nr = dice.one(&[READ, WRITE, RECVFROM, FUTEX, 232, 257]);
                    let real = if dice.hits(4) { dice.one(&few) } else { *state };
                    let one = W {
                        target: target(&mut dice),
                        state: real,
                        ..simple(tgid, tgid + offset as u32, *state, nr, *ms, by)
                    };
                    wait(&mut window, &one);
                    let wait = window.waits.last_mut().expect("just put there");
                    wait.open = dice.hits(3);
                    wait.waited = DurNs(dice.amount(5_000) * MS + 1);
                    if wait.open {
                        (wait.waker, wait.peer) = (None, by.map(|(by, _)| Tgid(by)));
                    }
                }
            }
            if dice.hits(3) {
                open(&mut window, tgid, dice.one(&few), dice.below(8), READ);
            }
            trouble(&mut dice, &mut window, (tgid, name), count);
        }
        let user = dice.below(1001);
        let (taken, softirq) = (dice.below(300), dice.amount(900));
        let times = CpuTimes {
            user: DurNs(user * MS),
            idle: DurNs((1000 - user) * MS),
            steal: DurNs(taken * MS),
            softirq: DurNs(softirq * MS),
            ..CpuTimes::default()
        };
        window.host.cpus = vec![(CpuId(0), times), (CpuId(1), times)];
        window.host.cpu = times;
        window.host.memory.available_bytes = (8 << 30) / 100 * dice.below(101);
        window.host.memory.swap_in_bytes = dice.amount(4_000) << 12;
        window.host.tables.files = Some((dice.below(101), 100));
        disk(&mut window, dice.below(1001));
        windows.push(window);
    }
    shared(windows)
}

/// Why a finding must not be shown as it is.
fn contradiction(suspicion: &Suspicion) -> Option<String> {
    let finding = &suspicion.finding;
    if suspicion.level != Level::Enter {
        return None;
    }
    let against = finding.evidence.iter().find(|line| !line.holds())?;
    // A doubtful one says why it may be as it should be.
    let excused = finding.confidence < ALERT_CONFIDENCE
        && finding.alternatives.iter().any(|other| other.why_not.starts_with("not ruled out"));
    (!excused).then(|| format!("{} is shown although {against:?}", finding.class))
}

fn said(windows: &[Arc<Window>]) -> Vec<Suspicion> {
    let all = verdicts(windows, &Trend::of(windows)).into_iter().flat_map(|(_, verdict)| match verdict {
        Verdict::Suspect(suspicions) => suspicions,
        Verdict::Ok | Verdict::NotEnoughData { .. } => Vec::new(),
    });
    all.collect()
}

#[test]
fn no_finding_is_shown_that_its_own_numbers_deny() {
    let mut classes = std::collections::BTreeMap::new();
    let mut wrong = std::collections::BTreeMap::new();
    for seed in 0..500 {
        for suspicion in said(&any(seed)) {
            *classes.entry(suspicion.finding.class.clone()).or_insert(0) += 1;
            let first =
                suspicion.finding.evidence.first().map(|line| (line.threshold.is_some(), line.what.clone()));
            if let Some(why) = contradiction(&suspicion) {
                wrong
                    .entry(suspicion.finding.class.clone())
                    .or_insert(format!("{why}; {first:?}, seed {seed}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Windows that are wild enough to make the rules speak.
    assert!(classes.len() >= 25, "only {classes:?}");
}

#[test]
fn what_contradicts_itself_is_left_out_of_the_report() {
    let windows =
        scene(|window| process(window, 10, "app", &[&[(State::FileLock, 900), (State::Oncpu, 100)]]));
    let mut suspicions = said(&windows);
    let mut denied = suspicions.remove(0);
    assert!(!denied.contradicts_itself());
    denied.finding.evidence[0].value = 0.9;
    assert!(denied.contradicts_itself());
    denied.finding.confidence = 0.4;
    assert!(!denied.contradicts_itself(), "it is reported as a doubt");
}

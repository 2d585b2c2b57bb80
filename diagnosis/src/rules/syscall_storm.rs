//! # `syscall_storm`: one short call, over and over
//!
//! **Class** `syscall-storm`.
//!
//! **What.** A process makes one syscall at least [`RATE_ENTER`] times a second (to stay, and in four of five windows:
//! [`RATE_LEAVE`]), and all of these are true:
//!
//! - The call is at least [`MIN_CALL_SHARE`] of all its calls. For an event loop (waits for events are [`MIN_EVENT_WAIT_SHARE`] of
//!   all calls) at least [`MIN_EVENT_LOOP_CALL_SHARE`]: it reads until there is no more data.
//! - A call takes [`MAX_MEAN_CALL_NS`] ns at most (where calls are timed).
//! - The process spends at least [`MIN_KERNEL_CORES`] of a core in the kernel, and at most [`MAX_KERNEL_NS_PER_CALL`] ns for each of its
//!   calls: more is what the calls do (large copies, page faults), not that they are many.
//!
//! **Why.** Entering the kernel costs 0.1 to 1 µs whatever the call does; larger calls save that time. A server under load makes as
//! many calls, but several kinds in turn (wait, read, write: a third each); a storm is one kind.
//!
//! **Cure.** By call: bigger buffers, vectored or batched calls, caching the answer, waiting instead of polling.

use std::collections::HashMap;

use agent_common::units::Tgid;
use agent_common::wire::finding::{Alternative, Class, Culprit, Finding, Subject};

use super::lost::doubt;
use super::{Need, Rule, Suspicion, Trend, Verdict, evidence, evidence_below, level, verdict};
use crate::facts::{Facts, Unit, lasts};
use crate::syscall_names;

/// Calls a second, to enter.
const RATE_ENTER: f64 = 20_000.0;
/// The same, to stay, and in each single window.
const RATE_LEAVE: f64 = 10_000.0;
/// Least share of this call among all calls of the process.
const MIN_CALL_SHARE: f64 = 0.45;
/// The same for an event loop.
const MIN_EVENT_LOOP_CALL_SHARE: f64 = 0.80;
/// Least share of waits for events among all calls, from which a process is an event loop.
const MIN_EVENT_WAIT_SHARE: f64 = 0.05;
/// Most mean time of a call, ns.
const MAX_MEAN_CALL_NS: f64 = 5_000.0;
/// Most kernel CPU time of the process for each of its calls, ns.
const MAX_KERNEL_NS_PER_CALL: f64 = 10_000.0;
/// Least kernel CPU time of the process, cores.
const MIN_KERNEL_CORES: f64 = 0.15;

/// Blocks a call, from which the calls are a conversation with another process: the cost is the switching.
const MIN_BLOCKS_PER_CALL: f64 = 0.4;

pub(super) const RULE: Rule =
    Rule { name: "syscall_storm", classes: &[Class::SyscallStorm], needs: Need::Syscalls, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for ((tgid, abi, nr), calls) in &facts.calls {
        let rate = facts.per_second(calls.count);
        let Some(level) = level(rate, RATE_ENTER, RATE_LEAVE) else { continue };
        let all = facts.all_calls.get(tgid).copied().unwrap_or(0);
        let share = calls.count as f64 / all.max(1) as f64;
        let least_share =
            if is_event_loop(facts, *tgid, all) { MIN_EVENT_LOOP_CALL_SHARE } else { MIN_CALL_SHARE };
        let mean = calls.mean_ns().filter(|_| calls.timed * 2 > calls.count);
        let Some(row) = facts.process(*tgid) else { continue };
        let kernel = facts.per_second(row.system.0) / 1e9;
        let short = mean.is_none_or(|mean| mean <= MAX_MEAN_CALL_NS);
        // Kernel time that is not that of entering it: of large calls, of page faults.
        let small = kernel * 1e9 <= MAX_KERNEL_NS_PER_CALL * facts.per_second(all);
        let enough = share >= least_share && kernel >= MIN_KERNEL_CORES;
        if !enough || !short || !small || !lasts(&calls.rates, RATE_LEAVE) {
            continue;
        }
        let name = syscall_names::display(*abi, *nr);
        let of_cpu = row.system.0 as f64 / row.cpu().0.max(1) as f64;
        let mut numbers = vec![
            evidence(format!("{name} calls"), rate, "1/s", Some(RATE_ENTER)),
            evidence("share of all its calls", share * 100.0, "%", Some(least_share * 100.0)),
            evidence("kernel CPU time", kernel * 100.0, "% of a core", Some(MIN_KERNEL_CORES * 100.0)),
            evidence("share of its CPU time in the kernel", of_cpu * 100.0, "%", None),
        ];
        if let Some(mean) = mean {
            numbers.push(evidence_below("time of a call, mean", mean, "ns", MAX_MEAN_CALL_NS));
        }
        let subject =
            Subject { kind: "process".into(), pid: Some(tgid.0), comm: Some(row.comm.as_ref().to_owned()) };
        let why_not = format!("{:.0} % of its CPU time is in the kernel, because of {name}", of_cpu * 100.0);
        let mut finding = Finding {
            rule: RULE.name.to_owned(),
            class: Class::SyscallStorm,
            culprit: Some(Culprit { kind: "process".into(), pid: subject.pid, comm: subject.comm.clone() }),
            subject,
            lost_ns_per_s: (kernel * share * 1e9) as u64,
            share_pct: of_cpu * share * 100.0,
            confidence: if mean.is_some() { 0.9 } else { 0.7 },
            evidence: numbers,
            stacks: Vec::new(),
            alternatives: vec![Alternative { class: "cpu-kernel".into(), why_not }],
            caused: Vec::new(),
            headline: None,
            advice: format!("{}; `agent flamegraph --pid {tgid}` shows who calls it", cure(&name)),
            places: Vec::new(),
        };
        let unit = facts.unit_of(*tgid).map(|unit| unit.at);
        let mut culprit_unit = unit;
        if let Some((by, rate)) = signaller(facts, &name, rate) {
            culprit_unit = Some(by.at);
            finding.culprit = Some(super::lost::process_culprit(by));
            finding.evidence.push(evidence(
                format!("signals that {} sends to it", by.comm),
                rate,
                "1/s",
                None,
            ));
            finding.advice =
                format!("{} ({}) sends it one signal after another: find out why", by.comm, by.tgid);
        }
        let switches = facts.by_tgid.get(tgid).map_or(0, |at| facts.processes[*at].voluntary);
        if switches as f64 >= MIN_BLOCKS_PER_CALL * calls.count as f64 {
            doubt(&mut finding);
            let why_not = "not ruled out: each call waits for another process, or wakes it (a conversation)";
            finding.alternatives.push(Alternative { class: "healthy".into(), why_not: why_not.into() });
        }
        let key = format!("syscall-storm/{tgid}/{name}");
        let mut suspicion = Suspicion::new(key, level, finding);
        suspicion.call = Some((*abi, *nr));
        suspicion.unit = unit;
        suspicion.culprit_unit = culprit_unit;
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// The unit that sends signals about as often as a process returns from handlers, and its rate a second.
fn signaller<'a>(facts: &'a Facts, returns: &str, rate: f64) -> Option<(&'a Unit, f64)> {
    /// Least signals sent a handler return.
    const MIN_SIGNALS_PER_RETURN: f64 = 0.5;
    if !returns.ends_with("rt_sigreturn") {
        return None;
    }
    let mut senders: HashMap<usize, u64> = HashMap::new();
    for ((tgid, abi, nr), calls) in &facts.calls {
        if syscall_names::name(*abi, *nr).is_some_and(syscall_names::signals)
            && let Some(unit) = facts.unit_of(*tgid)
        {
            *senders.entry(unit.at).or_default() += calls.count - calls.errors;
        }
    }
    let (unit, count) = senders.into_iter().max_by_key(|(unit, count)| (*count, *unit))?;
    let sent = facts.per_second(count);
    (sent >= MIN_SIGNALS_PER_RETURN * rate).then(|| (&facts.units[unit], sent))
}

/// True if at least [`MIN_EVENT_WAIT_SHARE`] of the process' calls wait for events.
fn is_event_loop(facts: &Facts, tgid: Tgid, all: u64) -> bool {
    let waits = |abi, nr| {
        let names = [
            "epoll_wait",
            "epoll_pwait",
            "epoll_pwait2",
            "poll",
            "ppoll",
            "select",
            "pselect6",
            "io_getevents",
        ];
        syscall_names::name(abi, nr).is_some_and(|name| names.contains(&name))
    };
    let of_it = facts.calls.iter().filter(|((other, abi, nr), _)| *other == tgid && waits(*abi, *nr));
    of_it.map(|(_, calls)| calls.count).sum::<u64>() as f64 >= MIN_EVENT_WAIT_SHARE * all as f64
}

/// The cure for a storm of this call.
fn cure(name: &str) -> String {
    let advice = match name.strip_prefix("i386:").unwrap_or(name) {
        "read" | "write" | "pread64" | "pwrite64" | "readv" | "writev" | "recvfrom" | "sendto"
        | "recvmsg" | "sendmsg" => {
            "moves little data a call: use bigger buffers, or vectored and batched calls"
        }
        "clock_gettime" | "gettimeofday" | "time" | "getcpu" => {
            "should not reach the kernel at all: the vDSO is bypassed, or the clock source is not tsc \
             (/sys/devices/system/clocksource/clocksource0/current_clocksource)"
        }
        "getpid" | "getppid" | "gettid" | "getuid" | "geteuid" | "getgid" | "getegid" | "uname"
        | "getrlimit" | "prlimit64" | "sysinfo" => "returns what rarely changes: keep the answer",
        "sched_yield" | "poll" | "ppoll" | "select" | "pselect6" | "epoll_wait" | "epoll_pwait"
        | "nanosleep" | "clock_nanosleep" => "polls instead of waiting: block until there is something to do",
        "futex" | "futex_wait" | "futex_wake" => {
            "shows threads that contend for a lock: shorten the time under it, or split it"
        }
        "stat" | "lstat" | "fstat" | "newfstatat" | "statx" | "access" | "faccessat" | "faccessat2"
        | "openat" | "open" | "readlink" => {
            "looks at the same paths again and again: keep the answer, or watch with inotify"
        }
        "lseek" => "seeks before each access: use pread and pwrite",
        "brk" | "mmap" | "munmap" | "madvise" => {
            "returns memory and takes it again: tune the allocator's thresholds"
        }
        "rt_sigprocmask" | "rt_sigaction" => "changes signal handling on a hot path: do it once",
        _ => "makes one call for each small step: batch it, or keep the answer",
    };
    format!("{name} {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{calls, shared, task, window};
    use crate::window::{SyscallRow, Window};
    use crate::{Level, alarming as findings, suspicions};
    use std::sync::Arc;

    const READ: u16 = 0;
    const WRITE: u16 = 1;
    const GETPPID: u16 = 110;
    const EPOLL_WAIT: u16 = 232;

    /// Five windows of one process with these calls.
    fn windows(user_ms: u64, system_ms: u64, rows: impl Fn() -> Vec<SyscallRow>) -> Vec<Arc<Window>> {
        let make = |index| {
            let mut window = window(index);
            window.tasks = vec![task(7, "p", user_ms, system_ms).into()];
            window.syscalls = rows();
            window
        };
        shared((0..5).map(make).collect())
    }

    #[test]
    fn a_getppid_loop_is_a_storm_with_its_numbers() {
        let windows = windows(300, 600, || {
            vec![calls(7, "p", GETPPID, 900_000, 0, 200), calls(7, "p", READ, 100_000, 0, 300)]
        });
        let found = findings(&windows);
        assert_eq!(found.len(), 1, "the kernel CPU is explained by it");
        let finding = &found[0];
        assert_eq!((&*finding.class, finding.subject.pid), ("syscall-storm", Some(7)));
        let value = |what: &str| finding.evidence.iter().find(|number| number.what == what).unwrap().value;
        assert!((value("getppid calls") - 900_000.0).abs() < 1e-6);
        assert!((value("share of all its calls") - 90.0).abs() < 1e-6);
        assert!((value("kernel CPU time") - 60.0).abs() < 1e-6);
        assert!((value("time of a call, mean") - 200.0).abs() < 1e-6);
        assert_eq!(finding.lost_ns_per_s, 600_000_000, "all its kernel time, which it explains");
        assert!((finding.share_pct - 600.0 / 9.0).abs() < 1e-6, "of 900 ms that it ran");
        assert!(finding.advice.starts_with("getppid returns what rarely changes"), "{}", finding.advice);
    }

    #[test]
    fn copying_byte_by_byte_is_a_storm_of_two() {
        let windows = windows(200, 800, || {
            vec![calls(7, "dd", READ, 500_000, 0, 300), calls(7, "dd", WRITE, 500_000, 0, 300)]
        });
        let found = findings(&windows);
        assert_eq!(found.iter().map(|finding| &*finding.class).collect::<Vec<_>>(), ["syscall-storm"; 2]);
        assert!(found[0].advice.contains("bigger buffers"));
    }

    #[test]
    fn a_server_under_load_is_silent() {
        let windows = windows(200, 700, || {
            [EPOLL_WAIT, READ, WRITE].map(|nr| calls(7, "redis", nr, 80_000, 0, 1_000)).into()
        });
        assert_eq!(findings(&windows), []);
    }

    #[test]
    fn a_server_that_reads_until_there_is_no_more_is_silent_but_polling_is_a_storm() {
        let server = windows(200, 700, || {
            vec![
                calls(7, "s", READ, 100_000, 50_000, 900),
                calls(7, "s", WRITE, 50_000, 0, 900),
                calls(7, "s", EPOLL_WAIT, 50_000, 0, 900),
            ]
        });
        assert_eq!(findings(&server), []);
        let poller = windows(200, 700, || {
            vec![calls(7, "s", EPOLL_WAIT, 900_000, 0, 300), calls(7, "s", READ, 9, 0, 900)]
        });
        assert!(findings(&poller)[0].advice.contains("polls instead of waiting"));
    }

    #[test]
    fn calls_that_take_time_are_no_storm() {
        let windows = windows(100, 300, || vec![calls(7, "fio", 17, 25_000, 0, 35_000)]);
        assert_eq!(findings(&windows), []);
    }

    #[test]
    fn large_calls_are_no_storm_though_each_ends_soon() {
        // `dd bs=1M` from /dev/zero to /dev/null: a write takes nothing, a read fills a megabyte.
        let windows = windows(10, 900, || {
            vec![calls(7, "dd", READ, 27_000, 0, 33_000), calls(7, "dd", WRITE, 27_000, 0, 500)]
        });
        let found = findings(&windows);
        assert!(found.iter().all(|finding| finding.class != Class::SyscallStorm), "{found:?}");
    }

    #[test]
    fn without_times_the_confidence_is_lower() {
        let windows = windows(300, 600, || {
            let mut row = calls(7, "p", GETPPID, 900_000, 0, 0);
            (row.timed, row.histogram) = (0, Vec::new());
            vec![row]
        });
        let found = findings(&windows);
        assert_eq!(found.len(), 1);
        assert!((found[0].confidence - 0.7).abs() < 1e-9);
    }

    #[test]
    fn between_the_thresholds_it_holds() {
        let windows = windows(300, 150, || vec![calls(7, "p", GETPPID, 15_000, 0, 200)]);
        assert_eq!(suspicions(&windows, &Trend::default())[0].level, Level::Hold);
        assert_eq!(findings(&windows), []);
    }

    #[test]
    fn unobserved_syscalls_are_not_judged() {
        let mut windows = windows(300, 600, Vec::new);
        for window in &mut windows {
            Arc::make_mut(window).coverage.syscall_tier.clear();
        }
        let verdicts = crate::verdicts(&windows, &Trend::default());
        let storm = verdicts.iter().find(|(rule, _)| *rule == "syscall_storm").unwrap();
        assert!(matches!(storm.1, Verdict::NotEnoughData { .. }));
    }
}

//! # `error_storm`: a call that keeps failing
//!
//! **Class** `error-storm`.
//!
//! **What.** One syscall of a process fails with an errno, at a rate and a share that this kind of call does not reach in normal
//! operation. To stay, and in four of five windows: half the rate. The failing calls take at least [`MIN_LOST_SHARE`] of the process'
//! time on or waiting for a CPU.
//!
//! | kind of call | errors a second | share of its calls |
//! |---|---|---|
//! | waits and non-blocking I/O (`EAGAIN`, `EINTR`, `ETIMEDOUT` are answers there) | 10,000 | 90 % |
//! | path lookups (`ENOENT` is an answer there) | 5,000 | 50 % |
//! | any other | 1,000 | 50 % |
//!
//! **Why.** A loop that retries what cannot work, a missing file searched again and again, a closed descriptor: the
//! program ignores the result, and the work is wasted.
//!
//! **Cure.** The errno is in the finding. `agent flamegraph --pid …` shows the caller; `strace -f -Z -e trace=<call> -p <pid>`
//! shows the arguments of failing calls, at a price.

use agent_common::wire::finding::{Alternative, Class, Culprit, Finding, Subject};

use super::{Need, Rule, Suspicion, Trend, Verdict, evidence, level, verdict};
use crate::facts::{Facts, lasts};
use crate::syscall_names;

/// Kinds of calls, by what errors mean there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Waits,
    LooksUp,
    Other,
}

impl Kind {
    /// By the call's name (without the table's prefix).
    fn of(name: &str) -> Self {
        match name {
            "read" | "pread64" | "readv" | "preadv" | "preadv2" | "write" | "pwrite64" | "writev"
            | "pwritev" | "pwritev2" | "recv" | "recvfrom" | "recvmsg" | "recvmmsg" | "send" | "sendto"
            | "sendmsg" | "sendmmsg" | "accept" | "accept4" | "connect" | "splice" | "sendfile" | "futex"
            | "futex_wait" | "futex_waitv" | "epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "poll"
            | "ppoll" | "select" | "pselect6" | "nanosleep" | "clock_nanosleep" | "rt_sigtimedwait"
            | "rt_sigsuspend" | "pause" | "wait4" | "waitid" | "restart_syscall" | "io_getevents"
            | "io_uring_enter" | "mq_timedreceive" | "mq_timedsend" | "semop" | "semtimedop" | "msgrcv"
            | "msgsnd" => Self::Waits,
            "open" | "openat" | "openat2" | "stat" | "lstat" | "stat64" | "lstat64" | "newfstatat"
            | "fstatat64" | "statx" | "access" | "faccessat" | "faccessat2" | "readlink" | "readlinkat"
            | "execve" | "getxattr" | "lgetxattr" | "fgetxattr" | "unlink" | "unlinkat" | "mkdir"
            | "mkdirat" => Self::LooksUp,
            _ => Self::Other,
        }
    }

    /// Errors a second, and share of the calls.
    const fn limits(self) -> (f64, f64) {
        match self {
            Self::Waits => (10_000.0, 0.9),
            Self::LooksUp => (5_000.0, 0.5),
            Self::Other => (1_000.0, 0.5),
        }
    }
}

/// What entering and leaving the kernel costs for each call, ns: it is no part of the call's own time.
const ENTRY_NS: f64 = 200.0;
/// Least share of the process' time on or waiting for a CPU that its failing calls take.
const MIN_LOST_SHARE: f64 = 0.01;
/// Rate to stay, and in each single window, as a share of the rate to enter.
const LEAVE_RATE_RATIO: f64 = 0.5;

pub(super) const RULE: Rule =
    Rule { name: "error_storm", classes: &[Class::ErrorStorm], needs: Need::Syscalls, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for ((tgid, abi, nr), calls) in &facts.calls {
        let name = syscall_names::display(*abi, *nr);
        let kind = Kind::of(name.strip_prefix("i386:").unwrap_or(&name));
        let (enter, least_share) = kind.limits();
        let rate = facts.per_second(calls.errors);
        let share = calls.errors as f64 / calls.count.max(1) as f64;
        // A wait that times out is a sleep: `timer-storm` judges it.
        if super::timer_storm::is_sleep(&name, calls) {
            continue;
        }
        let Some(level) = level(rate, enter, enter * LEAVE_RATE_RATIO) else { continue };
        if share < least_share || !lasts(&calls.error_rates, enter * LEAVE_RATE_RATIO) {
            continue;
        }
        let Some(row) = facts.process(*tgid) else { continue };
        let most = calls.errnos.iter().max_by_key(|(errno, count)| (*count, *errno));
        let errno = most.map_or_else(|| "an errno".into(), |(errno, _)| syscall_names::errno(*errno));
        // The failing calls' share of the time in this call; of the kernel time where calls are not timed.
        let lost = match calls.mean_ns() {
            // Blocked time uses no CPU: the kernel time is the bound. Not each call is timed.
            Some(mean) => ((mean + ENTRY_NS) * calls.errors as f64).min(row.system.0 as f64),
            None => row.system.0 as f64 * calls.errors as f64 / row.syscalls.max(1) as f64,
        };
        let subject =
            Subject { kind: "process".into(), pid: Some(tgid.0), comm: Some(row.comm.as_ref().to_owned()) };
        let non_idle = (row.cpu().0 + row.runq.unwrap_or_default().0).max(1);
        if lost < MIN_LOST_SHARE * non_idle as f64 {
            continue;
        }
        let mut alternatives = Vec::new();
        if kind == Kind::Waits {
            let why_not =
                format!("{:.0} % of the calls fail: more than one for each that works", share * 100.0);
            alternatives.push(Alternative { class: "healthy".into(), why_not });
        }
        let finding = Finding {
            rule: RULE.name.to_owned(),
            class: Class::ErrorStorm,
            culprit: Some(Culprit { kind: "process".into(), pid: subject.pid, comm: subject.comm.clone() }),
            subject,
            lost_ns_per_s: facts.per_second(lost as u64) as u64,
            share_pct: (100.0 * lost / non_idle as f64).min(100.0),
            confidence: if kind == Kind::Waits { 0.7 } else { 0.85 },
            evidence: vec![
                evidence(format!("{name} fails, mostly with {errno}"), rate, "1/s", Some(enter)),
                evidence(
                    format!("share of its {name} calls that fail"),
                    share * 100.0,
                    "%",
                    Some(least_share * 100.0),
                ),
                evidence(format!("{name} calls"), facts.per_second(calls.count), "1/s", None),
            ],
            stacks: Vec::new(),
            alternatives,
            caused: Vec::new(),
            headline: None,
            advice: advice(kind, &name, &errno, tgid.0),
            places: Vec::new(),
        };
        let key = format!("error-storm/{tgid}/{name}");
        let mut suspicion = Suspicion::new(key, level, finding);
        suspicion.call = Some((*abi, *nr));
        suspicion.unit = facts.unit_of(*tgid).map(|unit| unit.at);
        suspicion.culprit_unit = suspicion.unit;
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

fn advice(kind: Kind, name: &str, errno: &str, pid: u32) -> String {
    let cause = match kind {
        Kind::Waits => "is retried at once: wait until it can succeed (poll, epoll)",
        Kind::LooksUp => "looks up paths that do not exist: keep the answer, or shorten the search path",
        Kind::Other => "fails and is called again: the program ignores the result",
    };
    let bare = name.strip_prefix("i386:").unwrap_or(name);
    format!(
        "{name} ({errno}) {cause}; `agent flamegraph --pid {pid}` shows the caller, `strace -f -Z -e trace={bare} -p {pid}` \
         the arguments"
    )
}

#[cfg(test)]
mod tests {
    use crate::alarming as findings;
    use crate::testing::{calls, shared, task, window};
    use crate::window::{SyscallRow, Window};
    use std::sync::Arc;

    const READ: u16 = 0;
    const CLOSE: u16 = 3;
    const RECVFROM: u16 = 45;
    const OPENAT: u16 = 257;

    fn windows(system_ms: u64, rows: impl Fn(usize) -> Vec<SyscallRow>) -> Vec<Arc<Window>> {
        let make = |index: usize| {
            let mut window = window(index as u64);
            window.tasks = vec![task(7, "p", 100, system_ms).into()];
            window.syscalls = rows(index);
            window
        };
        shared((0..5).map(make).collect())
    }

    #[test]
    fn closing_what_is_not_open_is_a_storm() {
        let mut row = calls(7, "p", CLOSE, 3_000, 2_400, 500);
        row.errnos = vec![(4, 400), (9, 2_000)];
        let windows = windows(10, |_| vec![row.clone()]);
        let found = findings(&windows);
        assert_eq!(found.len(), 1);
        let finding = &found[0];
        assert_eq!((&*finding.rule, &*finding.class), ("error_storm", "error-storm"));
        let numbers: Vec<_> = finding.evidence.iter().map(|number| (&*number.what, number.value)).collect();
        assert_eq!(
            numbers,
            [
                ("close fails, mostly with EBADF", 2_400.0),
                ("share of its close calls that fail", 80.0),
                ("close calls", 3_000.0)
            ]
        );
        assert_eq!(finding.lost_ns_per_s, 2_400 * 700);
        assert!(finding.advice.contains("-e trace=close -p 7"));
    }

    #[test]
    fn a_server_that_reads_until_there_is_no_more_is_silent() {
        let windows = windows(400, |_| {
            vec![
                calls(7, "nginx", RECVFROM, 120_000, 60_000, 900),
                calls(7, "nginx", 1, 60_000, 0, 900),
                calls(7, "nginx", 232, 60_000, 0, 900),
            ]
        });
        assert_eq!(findings(&windows), []);
    }

    #[test]
    fn retrying_without_waiting_is_a_storm_that_explains_the_other_findings() {
        let windows = windows(800, |_| vec![calls(7, "p", READ, 700_000, 699_000, 300)]);
        let found = findings(&windows);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&*found[0].class, &*found[0].caused),
            ("error-storm", &["cpu-kernel".into(), "syscall-storm".into()][..])
        );
    }

    #[test]
    fn a_compiler_searching_its_include_path_is_silent() {
        let windows = windows(200, |index| {
            let burst = if index < 2 { 9_000 } else { 100 };
            vec![calls(7, "cc1", OPENAT, burst, burst * 9 / 10, 1_500)]
        });
        assert_eq!(findings(&windows), [], "a burst");
    }

    #[test]
    fn a_path_that_is_never_there_is_a_storm() {
        let windows = windows(200, |_| vec![calls(7, "p", OPENAT, 9_000, 8_999, 1_500)]);
        assert!(findings(&windows)[0].advice.contains("paths that do not exist"));
    }
}

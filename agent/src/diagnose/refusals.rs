//! What a process is refused and tries again: calls that fail for want of something that others have, or that is not
//! there. Once is an answer; twice a second, on and on, is a program that does not get on.

use agent_common::abi::sched::State;

use super::facts::{Facts, Unit, lasts};
use super::lost::{Loss, suspect};
use super::{Level, Suspicion, evidence, level};
use crate::syscall_names;
use crate::window::SyscallAbi;

/// Refusals a second.
const RATE_ENTER: f64 = 2.0;
/// The same, to stay, and in single windows.
const RATE_LEAVE: f64 = 1.0;
/// Share of the calls that are refused.
const SHARE: f64 = 0.05;
/// The same for a peer that is looked for: one of several may not be there.
const SHARE_OF_PEERS: f64 = 0.5;
/// The same for a lock that is tried for: who fails at the last of several lets go of the others, by the same call.
const SHARE_OF_LOCKS: f64 = 0.1;
/// Sleeps for each refusal from which they are not because of it.
const SLEEPS: f64 = 2.5;
/// That it goes on is sure; that nobody expects it is not.
const CONFIDENCE: f64 = 0.75;

/// What is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A thing of the host or of a limit: why, and what to do.
    Resource(&'static str),
    /// Who should be at the other end.
    Peer,
    /// A lock on a file that another process has.
    Lock,
}

/// One call of a unit that is refused with one errno.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    /// Place among [`Facts::units`].
    unit: usize,
    abi: SyscallAbi,
    pub(super) nr: u16,
    pub(super) errno: u16,
    pub(super) refusal: Refusal,
    count: u64,
    /// A second, a window at a time.
    rates: Vec<f64>,
}

/// What an errno of a call refuses; `None` for an answer like any other.
pub(super) fn refusal(name: &str, errno: u16) -> Option<Refusal> {
    let resource = |what| Some(Refusal::Resource(what));
    match i32::from(errno) {
        libc::ENOSPC if name == "inotify_add_watch" => {
            resource("the user's watches are used up: raise fs.inotify.max_user_watches")
        }
        libc::EMFILE if name.starts_with("inotify_init") => {
            resource("the user's inotify instances are used up: raise fs.inotify.max_user_instances")
        }
        libc::ENOSPC => resource("no space or no inodes are left on the file system: `df -h`, `df -i`"),
        libc::EDQUOT => resource("the user's disk quota is used up: `quota`"),
        libc::EROFS => resource(
            "the file system is read-only: `dmesg` says whether an error made it so (`errors=remount-ro`)",
        ),
        libc::EIO => resource("the device fails: `dmesg`, `smartctl -a`; copy what is still readable"),
        libc::EMFILE => {
            resource("its descriptors are used up: raise LimitNOFILE=, or find what it does not close")
        }
        libc::ENFILE => resource("the host's table of open files is full: raise fs.file-max"),
        libc::EAGAIN if matches!(name, "clone" | "clone3" | "fork" | "vfork") => resource(
            "no more processes or threads are allowed: pids.max of its cgroup (TasksMax=), RLIMIT_NPROC, kernel.pid_max",
        ),
        libc::ENOMEM if matches!(name, "mmap" | "mprotect" | "mremap" | "brk" | "madvise") => resource(
            "no more memory is given to it: RLIMIT_AS, vm.max_map_count, vm.overcommit_memory with its limit",
        ),
        libc::ENOMEM | libc::ENOBUFS => resource("the kernel has no memory for it: `free -m`, `dmesg`"),
        libc::EADDRNOTAVAIL if matches!(name, "connect" | "bind") => resource(
            "no local port or address is free for it: keep connections, widen net.ipv4.ip_local_port_range, tcp_tw_reuse",
        ),
        libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN => {
            Some(Refusal::Peer)
        }
        libc::EAGAIN if matches!(name, "fcntl" | "fcntl64" | "flock") => Some(Refusal::Lock),
        _ => None,
    }
}

/// All that units are refused.
pub(super) fn refused(facts: &Facts) -> Vec<Refused> {
    let mut all: Vec<Refused> = Vec::new();
    for (window, of) in facts.windows.iter().enumerate() {
        let seconds = of.span().as_secs_f64().max(1e-9);
        for (row, errno, count) in of
            .syscalls
            .iter()
            .flat_map(|row| row.errnos.iter().map(move |(errno, count)| (row, *errno, *count)))
        {
            let name = syscall_names::name(row.abi, row.nr).unwrap_or_default();
            let (Some(refusal), Some(unit)) = (refusal(name, errno), facts.unit_of(row.tgid)) else {
                continue;
            };
            let key = (unit.at, row.abi, row.nr, errno);
            let at = all.iter().position(|one| (one.unit, one.abi, one.nr, one.errno) == key);
            let at = at.unwrap_or_else(|| {
                let rates = vec![0.0; facts.windows.len()];
                all.push(Refused {
                    unit: unit.at,
                    abi: row.abi,
                    nr: row.nr,
                    errno,
                    refusal,
                    count: 0,
                    rates,
                });
                all.len() - 1
            });
            all[at].count += count;
            all[at].rates[window] += count as f64 / seconds;
        }
    }
    all
}

/// What units are refused of this kind, and goes on; of each unit what it is refused most.
pub(super) fn lasting<'a>(
    facts: &'a Facts,
    is: impl Fn(Refusal) -> bool,
) -> impl Iterator<Item = (&'a Refused, &'a Unit, Level)> {
    let mut wanted: Vec<&Refused> = facts.refused.iter().filter(|one| is(one.refusal)).collect();
    wanted.sort_by_key(|one| (one.unit, std::cmp::Reverse(one.count), one.nr, one.errno));
    wanted.dedup_by_key(|one| one.unit);
    wanted.into_iter().filter_map(|one| {
        let unit = Some(&facts.units[one.unit]).filter(|unit| !unit.kernel)?;
        Some((one, unit, one.level(facts)?))
    })
}

impl Refused {
    /// Whether it goes on and on.
    fn level(&self, facts: &Facts) -> Option<Level> {
        let least = match self.refusal {
            Refusal::Resource(_) => SHARE,
            Refusal::Peer => SHARE_OF_PEERS,
            Refusal::Lock => SHARE_OF_LOCKS,
        };
        let level = level(facts.per_second(self.count), RATE_ENTER, RATE_LEAVE)?;
        (self.share(facts) >= least && lasts(&self.rates, RATE_LEAVE)).then_some(level)
    }

    /// Calls of this kind, and the time in them, ns.
    fn calls(&self, facts: &Facts) -> (u64, u64) {
        let members = facts.members(&facts.units[self.unit]);
        let calls = members.filter_map(|process| facts.calls.get(&(process.tgid, self.abi, self.nr)));
        calls.fold((0, 0), |(count, ns), calls| (count + calls.count, ns + calls.total.0))
    }

    /// Of these, those refused.
    fn share(&self, facts: &Facts) -> f64 {
        self.count as f64 / self.calls(facts).0.max(1) as f64
    }

    /// What it costs: the time in the refused calls, and what is slept before it is tried again.
    pub(super) fn loss(&self, facts: &Facts, level: Level) -> Loss {
        let unit = &facts.units[self.unit];
        let in_them = (self.calls(facts).1 as f64 * self.share(facts)) as u64;
        let (mut sleeps, mut asleep) = (0, 0);
        for process in facts.members(unit) {
            let calls = facts.calls.iter().filter(|((tgid, abi, nr), _)| {
                let name = syscall_names::name(*abi, *nr);
                *tgid == process.tgid
                    && name.is_some_and(|name| matches!(name, "nanosleep" | "clock_nanosleep"))
            });
            sleeps += calls.map(|(_, calls)| calls.count).sum::<u64>();
            // One thread's of each: which one it is that tries is not known.
            let threads = process.threads.values().map(|(_, times)| times.of(State::Sleep));
            asleep += threads.max().unwrap_or(0);
        }
        if sleeps as f64 > SLEEPS * self.count as f64 {
            asleep = 0;
        }
        let ns = in_them + asleep;
        let busy = (unit.times.non_idle() + asleep).max(1);
        Loss { ns, rate: facts.per_second(ns) / 1e9, share: (ns as f64 / busy as f64).min(1.0), level }
    }

    /// The suspicion of it.
    pub(super) fn suspect(
        &self,
        facts: &Facts,
        rule: &'static str,
        class: &'static str,
        level: Level,
    ) -> Suspicion {
        let unit = &facts.units[self.unit];
        let errno = syscall_names::errno(self.errno);
        let call = syscall_names::display(self.abi, self.nr);
        let mut suspicion = suspect(rule, class, unit, self.loss(facts, level));
        suspicion.key = format!("{class}/{}/{errno}", unit.key());
        suspicion.call = Some((self.abi, self.nr));
        let finding = &mut suspicion.finding;
        finding.confidence = CONFIDENCE;
        // How much is lost decides nothing here.
        finding.evidence.iter_mut().for_each(|number| number.threshold = None);
        finding.evidence.splice(
            0..0,
            [
                evidence(
                    format!("{call} is refused: {errno}"),
                    facts.per_second(self.count),
                    "1/s",
                    Some(RATE_ENTER),
                ),
                evidence(format!("of its {call} calls"), self.share(facts) * 100.0, "%", None),
            ],
        );
        suspicion
    }
}

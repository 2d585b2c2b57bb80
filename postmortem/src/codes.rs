//! What exit codes and signals mean.

use crate::facts::{Ended, Process};

/// Names of the signals 1..=31 on Linux, but for MIPS and others that the agent does not run on.
const SIGNALS: [(&str, &str); 31] = [
    ("SIGHUP", "its terminal or session went away, or it was asked to reload"),
    ("SIGINT", "it was interrupted, as by Ctrl-C"),
    ("SIGQUIT", "it was asked to quit with a core dump"),
    ("SIGILL", "the CPU cannot carry out its instruction"),
    ("SIGTRAP", "it ran into a trap instruction"),
    ("SIGABRT", "it called abort, or was asked to"),
    ("SIGBUS", "memory that is mapped could not be had"),
    ("SIGFPE", "an arithmetic operation has no result, as a division by zero"),
    ("SIGKILL", "it was killed and could do nothing about it"),
    ("SIGUSR1", "a signal for which it has no handler"),
    ("SIGSEGV", "it touched memory that it may not"),
    ("SIGUSR2", "a signal for which it has no handler"),
    ("SIGPIPE", "it wrote to a pipe or connection that nobody reads"),
    ("SIGALRM", "a timer that it had set ran out"),
    ("SIGTERM", "it was asked to end"),
    ("SIGSTKFLT", "a signal for which it has no handler"),
    ("SIGCHLD", "a child ended"),
    ("SIGCONT", "it was continued"),
    ("SIGSTOP", "it was stopped"),
    ("SIGTSTP", "it was stopped from its terminal"),
    ("SIGTTIN", "it read from a terminal in the background"),
    ("SIGTTOU", "it wrote to a terminal in the background"),
    ("SIGURG", "urgent data came"),
    ("SIGXCPU", "it used up its limit of CPU time"),
    ("SIGXFSZ", "a file grew to the limit for its size"),
    ("SIGVTALRM", "a timer that it had set ran out"),
    ("SIGPROF", "a profiling timer ran out, and it has no handler"),
    ("SIGWINCH", "its window changed"),
    ("SIGIO", "a descriptor became ready, and it has no handler"),
    ("SIGPWR", "the power fails"),
    ("SIGSYS", "a system call was refused"),
];

/// Numbers of signals that rules ask for.
pub(crate) mod signal {
    pub(crate) const HUP: u8 = 1;
    pub(crate) const INT: u8 = 2;
    pub(crate) const QUIT: u8 = 3;
    pub(crate) const ILL: u8 = 4;
    pub(crate) const TRAP: u8 = 5;
    pub(crate) const ABRT: u8 = 6;
    pub(crate) const BUS: u8 = 7;
    pub(crate) const FPE: u8 = 8;
    pub(crate) const KILL: u8 = 9;
    pub(crate) const SEGV: u8 = 11;
    pub(crate) const PIPE: u8 = 13;
    pub(crate) const ALRM: u8 = 14;
    pub(crate) const TERM: u8 = 15;
    pub(crate) const XCPU: u8 = 24;
    pub(crate) const XFSZ: u8 = 25;
    pub(crate) const VTALRM: u8 = 26;
    pub(crate) const SYS: u8 = 31;
}

/// Name of a signal: `SIGSEGV`; `signal 40` for those without.
#[must_use]
pub fn signal_name(signal: u8) -> String {
    let known = signal.checked_sub(1).and_then(|at| SIGNALS.get(usize::from(at)));
    known.map_or_else(|| format!("signal {signal}"), |(name, _)| (*name).to_owned())
}

/// Shells and programs that pass on the code of what they run.
const PASS_ON: [&str; 19] = [
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "ash",
    "busybox",
    "fish",
    "tini",
    "dumb-init",
    "docker-init",
    "catatonit",
    "env",
    "nice",
    "setpriv",
    "runuser",
    "su",
    "sudo",
    "s6-supervise",
];

/// The process passes on the code of its child: 128 and the number of the signal that ended it.
pub(crate) fn passes_on(process: &Process) -> bool {
    PASS_ON.contains(&process.comm.as_str())
}

/// A shell.
pub(crate) fn is_shell(comm: &str) -> bool {
    PASS_ON[..8].contains(&comm.trim_start_matches('-'))
}

/// systemd's codes for what it sets up between fork and exec.
const SYSTEMD: [(i32, &str); 32] = [
    (200, "the working directory"),
    (201, "its priority"),
    (202, "its descriptors"),
    (203, "running the program"),
    (204, "memory for it"),
    (205, "its limits"),
    (206, "its OOM score"),
    (207, "its signal mask"),
    (208, "standard input"),
    (209, "standard output"),
    (210, "the root directory"),
    (211, "its I/O priority"),
    (212, "timer slack"),
    (213, "secure bits"),
    (214, "its CPU scheduling"),
    (215, "its CPU affinity"),
    (216, "its group"),
    (217, "its user"),
    (218, "its capabilities"),
    (219, "its control group"),
    (220, "its session"),
    (221, "confirmation"),
    (222, "standard error"),
    (224, "PAM"),
    (225, "its network namespace"),
    (226, "its mount namespace"),
    (227, "no new privileges"),
    (228, "its system call filter"),
    (229, "its SELinux context"),
    (230, "its personality"),
    (231, "its AppArmor profile"),
    (232, "its address families"),
];

/// Directories that systemd makes for a unit, from 233 on.
const SYSTEMD_DIRECTORIES: [(i32, &str); 7] = [
    (233, "its runtime directory"),
    (235, "its ownership"),
    (236, "its state directory's owner"),
    (238, "its state directory"),
    (239, "its cache directory"),
    (240, "its logs directory"),
    (241, "its configuration directory"),
];

/// What systemd could not set up, by the code.
pub(crate) fn systemd_step(code: i32) -> Option<&'static str> {
    SYSTEMD.iter().chain(&SYSTEMD_DIRECTORIES).find(|(of, _)| *of == code).map(|(_, step)| *step)
}

/// BSD's `sysexits.h`.
const SYSEXITS: [(i32, &str); 15] = [
    (64, "it was called with wrong arguments"),
    (65, "its input is wrong"),
    (66, "its input does not exist or cannot be read"),
    (67, "a user does not exist"),
    (68, "a host does not exist"),
    (69, "a service is not available"),
    (70, "an internal error"),
    (71, "an error of the operating system"),
    (72, "a file of the system does not exist or cannot be read"),
    (73, "an output file cannot be made"),
    (74, "an I/O error"),
    (75, "a failure that may pass"),
    (76, "a protocol was broken"),
    (77, "it lacks permission"),
    (78, "its configuration is wrong"),
];

/// What an end means, in one sentence.
#[must_use]
pub fn meaning(process: &Process, ended: &Ended) -> String {
    if let Some(signal) = ended.signal {
        let known = signal.checked_sub(1).and_then(|at| SIGNALS.get(usize::from(at)));
        let why = known.map_or("a signal for which it has no handler", |(_, why)| why);
        return format!("ended by {}: {why}", signal_name(signal));
    }
    let Some(code) = ended.code else { return "how it ended was not seen".into() };
    let why = match code {
        101 => Some("a panic in Rust".to_owned()),
        126 => Some("a shell, or what runs programs, may not execute a program".to_owned()),
        127 => Some("a shell, or what runs programs, did not find a program or library".to_owned()),
        129..=159 => Some(format!(
            "{}{}",
            if passes_on(process) { "a child was ended by " } else { "as if ended by " },
            signal_name((code - 128) as u8)
        )),
        64..=78 => {
            SYSEXITS.iter().find(|(of, _)| *of == code).map(|(_, why)| format!("by convention: {why}"))
        }
        _ => None,
    };
    let why = why.or_else(|| {
        let of_systemd = process.parent.pid == 1 && (process.unit.is_some() || ended.never_execed);
        systemd_step(code).filter(|_| of_systemd).map(|step| format!("systemd could not set up {step}"))
    });
    why.map_or_else(|| format!("ended with code {code}"), |why| format!("ended with code {code}: {why}"))
}

/// Programs whose codes are answers: name, words of which one must stand in its arguments (none: any), first and last such code.
const ANSWERS: &[(&str, &[&str], i32, i32)] = &[
    ("grep", &[], 1, 1),
    ("egrep", &[], 1, 1),
    ("fgrep", &[], 1, 1),
    ("zgrep", &[], 1, 1),
    ("rg", &[], 1, 1),
    ("ag", &[], 1, 1),
    ("look", &[], 1, 1),
    ("diff", &[], 1, 1),
    ("diff3", &[], 1, 1),
    ("sdiff", &[], 1, 1),
    ("zdiff", &[], 1, 1),
    ("colordiff", &[], 1, 1),
    ("cmp", &[], 1, 1),
    ("test", &[], 1, 1),
    ("[", &[], 1, 1),
    ("false", &[], 1, 1),
    ("expr", &[], 1, 1),
    ("let", &[], 1, 1),
    ("systemctl", &["is-active", "is-enabled", "is-failed", "is-system-running", "status", "check"], 1, 4),
    ("service", &["status"], 1, 4),
    ("rc-service", &["status"], 1, 32),
    ("pgrep", &[], 1, 1),
    ("pkill", &[], 1, 1),
    ("pidof", &[], 1, 1),
    ("killall", &[], 1, 1),
    ("timeout", &[], 124, 137),
    ("which", &[], 1, 1),
    ("ping", &[], 1, 1),
    ("fping", &[], 1, 2),
    ("nc", &["-z"], 1, 1),
    ("ncat", &["-z"], 1, 1),
    ("pg_isready", &[], 1, 2),
    ("mountpoint", &[], 1, 32),
    ("findmnt", &[], 1, 1),
    ("getent", &[], 2, 2),
    ("lsof", &[], 1, 1),
    ("fuser", &[], 1, 1),
    ("flock", &[], 1, 1),
    ("inotifywait", &[], 2, 2),
    ("fsck", &[], 1, 1),
    ("e2fsck", &[], 1, 1),
    ("crontab", &["-l"], 1, 1),
    ("tty", &[], 1, 1),
    ("id", &[], 1, 1),
    ("iptables", &["-C", "--check"], 1, 1),
    ("ip6tables", &["-C", "--check"], 1, 1),
    ("dpkg", &["--compare-versions", "-s", "--status", "-l"], 1, 1),
    ("dpkg-query", &[], 1, 1),
    ("rpm", &["-q"], 1, 99),
    ("pkg-config", &["--exists", "--atleast-version"], 1, 1),
    (
        "git",
        &[
            "grep",
            "diff",
            "--is-ancestor",
            "show-ref",
            "--error-unmatch",
            "config",
            "check-ignore",
            "rev-parse",
        ],
        1,
        1,
    ),
    ("xmllint", &[], 3, 4),
    ("shellcheck", &[], 1, 1),
    ("pytest", &[], 1, 5),
    ("ruff", &[], 1, 1),
    ("flake8", &[], 1, 1),
    ("mypy", &[], 1, 1),
    ("pylint", &[], 1, 31),
    ("needs-restarting", &[], 1, 1),
    ("yum", &["check-update"], 100, 100),
    ("dnf", &["check-update"], 100, 100),
];

/// How the names of monitoring plugins begin: 1 is a warning, 2 critical, 3 unknown.
const PLUGIN: &str = "check_";

/// The code is an answer, not a failure: `grep` found nothing.
pub(crate) fn is_answer(process: &Process, code: i32) -> bool {
    let exe = process.exe.rsplit('/').next().unwrap_or_default();
    // `python3 /usr/lib/nagios/plugins/check_disk`, `python3 -m pytest`.
    let arguments = || process.cmdline.split(' ').map(|word| word.rsplit('/').next().unwrap_or_default());
    let is = |name: &str| exe == name || process.comm == name;
    let runs = |name: &str| is(name) || arguments().take(3).any(|word| word == name && name.len() > 4);
    ANSWERS.iter().any(|(name, words, first, last)| {
        (*first..=*last).contains(&code)
            && runs(name)
            && (words.is_empty() || arguments().any(|word| words.contains(&word)))
    }) || ((1..=3).contains(&code)
        && (exe.starts_with(PLUGIN)
            || process.comm.starts_with(PLUGIN)
            || arguments().take(2).any(|word| word.starts_with(PLUGIN))))
}

/// Programs that start and end others as their task.
const SUPERVISORS: [&str; 27] = [
    "systemd",
    "init",
    "containerd-shim",
    "dockerd",
    "containerd",
    "runc",
    "crun",
    "youki",
    "conmon",
    "podman",
    "kubelet",
    "crio",
    "supervisord",
    "runsv",
    "runit",
    "s6-supervise",
    "s6-svscan",
    "tini",
    "dumb-init",
    "docker-init",
    "catatonit",
    "circusd",
    "monit",
    "launchd",
    "openrc",
    "start-stop-daem",
    "nomad",
];

/// A program that starts and ends others as its task.
pub(crate) fn is_supervisor(comm: &str) -> bool {
    comm.starts_with("containerd-shim") || SUPERVISORS.contains(&comm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_signals_have_a_meaning() {
        let of = |code, signal| meaning(&Process::default(), &Ended { code, signal, ..Ended::default() });
        assert!(of(None, Some(11)).contains("SIGSEGV"));
        assert!(of(Some(139), None).contains("SIGSEGV"));
        assert!(of(Some(78), None).contains("configuration"));
        assert!(of(None, Some(64)).contains("signal 64"));
        assert!(of(None, Some(0)).contains("signal 0"));
        assert_eq!(of(Some(9), None), "ended with code 9");
        let unit = Process {
            unit: Some("a.service".into()),
            parent: crate::facts::Other { pid: 1, ..Default::default() },
            ..Process::default()
        };
        assert!(meaning(&unit, &Ended { code: Some(217), ..Ended::default() }).contains("its user"));
    }
}

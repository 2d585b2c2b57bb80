//! # Ends that are as they are meant to be
//!
//! **Class** `by-design`: such an end gets no post-mortem.
//!
//! **What.**
//! - Code 0, whatever the process said.
//! - SIGTERM, SIGINT, SIGHUP or SIGKILL by its parent, its supervisor (systemd, a container's run time, a supervisor that is known by
//!   name), its shell or terminal, or raised by itself after it has cleaned up; codes 129, 130 and 143 for the same.
//! - SIGPIPE of a plain program whose reader left, as in `… | head`.
//! - A code that is the answer of the program: `grep` 1, `diff` 1, `test` 1, `systemctl is-active` 3, `timeout` 124, plugins `check_*` 1 to 3.
//! - Any other code of a plain program, no unit's or container's, that complained of nothing and had no call fail that matters.
//!
//! **Neighbours.** A supervisor that ends a process because it does not answer is `killed-by-watchdog`. A code that is not 0 of a unit's or
//! container's main process is never by design: there, `SuccessExitStatus=` or the program is to say so.

use crate::codes::{self, is_shell, is_supervisor, signal};
use crate::scene::Scene;
use crate::words::Weight;

use super::killed;

/// Programs that end all others when a host or session ends.
const ENDS_ALL: [&str; 14] = [
    "systemd-shutdow",
    "shutdown",
    "reboot",
    "poweroff",
    "halt",
    "killall5",
    "sshd",
    "sshd-session",
    "login",
    "tmux",
    "tmux: server",
    "screen",
    "systemd-logind",
    "sudo",
];

/// The end is as it is meant to be.
pub(crate) fn is_meant(scene: &Scene<'_>) -> bool {
    let facts = scene.facts;
    match (facts.ended.signal, facts.ended.code) {
        _ if facts.oom.is_some() => false,
        (Some(signal), _) => is_meant_signal(scene, signal),
        (None, Some(code)) => is_meant_code(scene, code),
        // How it ended was not seen.
        (None, None) => true,
    }
}

fn is_meant_signal(scene: &Scene<'_>, ended_by: u8) -> bool {
    let process = &scene.facts.process;
    if killed::parent_died(scene).is_some() || killed::watchdog(scene).is_some() {
        return false;
    }
    let gentle = matches!(ended_by, signal::TERM | signal::INT | signal::HUP | signal::QUIT);
    if ended_by == signal::PIPE {
        let to_peer = |call: &crate::facts::FailedCall| call.errno == "EPIPE" && !call.peer.is_empty();
        return !scene.is_service()
            && !scene.facts.failed_calls.iter().any(to_peer)
            && scene.sender().is_none();
    }
    let Some(by) = scene.sender() else {
        // Its terminal, or itself after it has cleaned up; the kernel's own SIGKILL is no such end.
        return gentle;
    };
    let by_own = by.pid == process.parent.pid || by.pid == 1 || is_supervisor(&by.comm);
    let by_session = ENDS_ALL.contains(&by.comm.as_str());
    // `kill` and `pkill` that its own shell started; a shell that is its grandparent.
    let by_shell =
        is_shell(&process.parent.comm) && by.parent_pid == process.parent.pid && by.parent_pid != 0;
    // `ExecStop=/bin/kill $MAINPID`.
    let by_unit =
        by.parent_pid == 1 && process.unit.is_some() && matches!(by.comm.as_str(), "kill" | "systemctl");
    match ended_by {
        signal::KILL => by_own || by_session,
        _ if gentle => by_own || by_session || by_shell || by_unit,
        _ => false,
    }
}

fn is_meant_code(scene: &Scene<'_>, code: i32) -> bool {
    const INTERRUPTED: [i32; 3] =
        [128 + signal::HUP as i32, 128 + signal::INT as i32, 128 + signal::TERM as i32];
    let facts = scene.facts;
    let process = &facts.process;
    if code == 0 {
        return true;
    }
    if killed::parent_died(scene).is_some() {
        return false;
    }
    let answers = codes::is_answer(process, code) && !scene.is_service();
    let last = scene.reading.all.last();
    let interrupted = INTERRUPTED.contains(&code)
        || last
            .is_some_and(|last| last.trace.as_ref().is_some_and(|trace| trace.name == "KeyboardInterrupt"));
    let pipe = code == 128 + i32::from(signal::PIPE) && !scene.is_service();
    if answers || interrupted || pipe {
        return true;
    }
    let complains =
        scene.reading.reasons.iter().any(|reason| reason.weight >= Weight::Error && reason.rank <= 3);
    let known_code =
        matches!(code, 101 | 126 | 127) || code > 128 && code <= 128 + 64 && codes::passes_on(process);
    !scene.is_service() && !complains && !known_code && scene.hints.is_empty() && !facts.ended.never_execed
}

//! The collector inside the test: what a piece of work left in the windows.

use agent::collector::{Collector, Filter, Options};
use agent::config::SyscallTier;
use diagnosis::window::Window;

/// Only the resource probes, on the whole host.
///
/// # Panics
/// When they do not load.
#[must_use]
pub fn resources() -> Collector {
    Collector::start(Options {
        rate_hz: 0,
        filter: Filter::All,
        syscalls: SyscallTier::Off,
        sched: false,
        resources: true,
        endings: false,
        proc: false,
    })
    .expect("the probes load")
}

/// Only the scheduler probes, on what passes `filter`.
///
/// # Panics
/// When the probes do not load.
#[must_use]
pub fn sched(filter: Filter) -> Collector {
    Collector::start(Options {
        rate_hz: 0,
        filter,
        syscalls: SyscallTier::Off,
        sched: true,
        resources: false,
        endings: false,
        proc: false,
    })
    .expect("the probes load")
}

/// The scheduler probes, and system calls counted: waits have user stacks.
///
/// # Panics
/// When the probes do not load.
#[must_use]
pub fn waits() -> Collector {
    Collector::start(Options {
        rate_hz: 0,
        filter: Filter::All,
        syscalls: SyscallTier::Counts,
        sched: true,
        resources: true,
        endings: false,
        proc: false,
    })
    .expect("the probes load")
}

/// The window that holds all of `work`, and what it returned.
///
/// # Panics
/// When the probes do not load.
pub fn window_of<T>(work: impl FnOnce() -> T) -> (Window, T) {
    let mut collector = resources();
    let result = work();
    (collector.close_window().expect("time has passed"), result)
}

/// The window that runs now.
///
/// # Panics
/// When no time has passed since the last.
pub fn close(collector: &mut Collector) -> Window {
    collector.close_window().expect("time has passed")
}

/// This process.
#[must_use]
pub fn own() -> agent_common::units::Tgid {
    agent_common::units::Tgid(std::process::id())
}

/// Runs a program of the system that must succeed, and gives what it printed.
///
/// # Panics
/// When it fails.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program)
        .args(args)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("cannot start {program}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?} ended with {}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

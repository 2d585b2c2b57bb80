//! The host around it: namespaces, `/proc`, the daemon, the state directory.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use agent_common::clocks::{self, Offsets};
use agent_common::pair::ApiState;
use agent_common::text;

use super::{Check, Health, read};
use crate::config::{Config, DEFAULT_FILE};
use crate::control::protocol::Status;
use crate::namespaces::{self, PidNamespace};

pub(super) fn checks(
    root: &Path,
    config: &Config,
    daemon: Result<Option<Box<Status>>, String>,
) -> Vec<Check> {
    let api = daemon.as_ref().ok().and_then(|daemon| http_api(&daemon.as_ref()?.api));
    let mut checks = vec![
        hidepid(root),
        pid_namespace(root),
        time_namespace(),
        configuration(),
        daemon_check(config, daemon),
    ];
    checks.extend(api);
    checks.push(state_dir(config));
    checks
}

/// What the running daemon says of its HTTP API, if it has one.
fn http_api(api: &ApiState) -> Option<Check> {
    const NAME: &str = "HTTP API";
    if let Some(problem) = &api.problem {
        return Some(
            Check::new(NAME, Health::Warn, problem.clone()).lost("Grafana and the page on this host"),
        );
    }
    let url = api.url.as_ref()?;
    let certificate = api.fingerprint.as_ref().map(|print| format!("; certificate SHA-256 {print}"));
    Some(Check::ok(NAME, format!("{url}; `agent open` opens it{}", certificate.unwrap_or_default())))
}

fn hidepid(root: &Path) -> Check {
    let mounts = read(root, "proc/self/mounts").unwrap_or_default();
    let options = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields.len() > 3 && fields[1] == "/proc")
        .map(|fields| fields[3].to_owned())
        .unwrap_or_default();
    match options.split(',').find_map(|option| option.strip_prefix("hidepid=")) {
        None | Some("0" | "off") => Check::ok("/proc", "all processes are visible"),
        Some(mode) if nix::unistd::geteuid().is_root() => {
            Check::ok("/proc", format!("hidepid={mode}, which does not bind root"))
        }
        Some(mode) => Check::new("/proc", Health::Warn, format!("hidepid={mode}"))
            .lost("processes of other users")
            .cure("run as root, or mount -o remount,hidepid=0 /proc"),
    }
}

fn pid_namespace(root: &Path) -> Check {
    let refused = |found| {
        Check::new("PID namespace", Health::Fail, found)
            .lost("everything that observes: the kernel counts PIDs of the host, /proc here shows others")
            .cure(namespaces::HOST_PIDS)
    };
    match namespaces::pid_namespace(root) {
        PidNamespace::Host => Check::ok("PID namespace", "the host's"),
        PidNamespace::Container => refused("a container's"),
        PidNamespace::ForeignProc => refused("the host's, with the /proc of another one"),
        PidNamespace::Unknown => Check::new("PID namespace", Health::Note, "unknown"),
    }
}

fn time_namespace() -> Check {
    match clocks::offsets() {
        Ok(offsets) if offsets == Offsets::default() => Check::ok("time namespace", "the kernel's clocks"),
        Ok(offsets) => Check::ok(
            "time namespace",
            format!(
                "clocks of its own, {} s (monotonic) and {} s (boot) ahead of the kernel's: taken into account",
                offsets.monotonic_ns / 1_000_000_000,
                offsets.boottime_ns / 1_000_000_000
            ),
        ),
        Err(unknown) => Check::new("time namespace", Health::Fail, unknown.to_string())
            .lost("everything that observes: times of the kernel and of this process cannot be compared")
            .cure("start the agent outside of it"),
    }
}

fn configuration() -> Check {
    // A wrong configuration ends the command before it comes here.
    let there = Path::new(DEFAULT_FILE).exists();
    Check::ok(
        "configuration",
        if there { DEFAULT_FILE.to_owned() } else { format!("defaults ({DEFAULT_FILE} is not there)") },
    )
}

fn daemon_check(config: &Config, daemon: Result<Option<Box<Status>>, String>) -> Check {
    match daemon {
        Ok(Some(status)) => running(config, &status),
        Ok(None) => Check::new("daemon", Health::Note, format!("none at {}", config.socket.display()))
            .lost("--last, the history, alerts while no command runs")
            .cure("sudo agent run"),
        Err(why) => Check::new("daemon", Health::Warn, why)
            .lost("answers from the daemon")
            .cure("run as root; else restart the daemon"),
    }
}

/// What the daemon says of itself: another version than this one, and what it lacks, count here.
fn running(config: &Config, status: &Status) -> Check {
    let (up, own) = (Duration::from_secs(status.uptime_s), &status.self_cost);
    let mut found = format!(
        "answers at {}: process {}, up {}, {:.1} % of a core, {}, {} open alerts",
        config.socket.display(),
        status.pid,
        text::span(up),
        own.cpu_pct,
        text::bytes(own.rss_bytes),
        status.open_alerts,
    );
    let losses: Vec<String> = status.coverage.losses().collect();
    if !losses.is_empty() {
        let _ = write!(found, "; in the last second {}", losses.join(", "));
    }
    let missing = &status.coverage.missing;
    if !missing.is_empty() {
        return Check::new("daemon", Health::Warn, found)
            .lost(missing.join("; "))
            .cure("the lines of the probes below say why; restart the daemon when they are cured");
    }
    if status.version != env!("CARGO_PKG_VERSION") {
        return Check::new("daemon", Health::Note, found).cure(format!(
            "it is version {}, this is {}: restart it",
            status.version,
            env!("CARGO_PKG_VERSION")
        ));
    }
    Check::ok("daemon", found)
}

fn state_dir(config: &Config) -> Check {
    let dir = &config.state_dir;
    let existing = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let writable = nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK).is_ok();
    let free =
        nix::sys::statvfs::statvfs(existing).map(|stat| stat.blocks_available() * stat.fragment_size());
    match (writable, free) {
        (true, Ok(free)) if free < config.spool.max_bytes => Check::new(
            "state directory",
            Health::Warn,
            format!("{}: {} free", dir.display(), text::bytes(free)),
        )
        .lost("windows that wait for the broker, when the disk is full")
        .cure(format!("free some space, or lower spool.max_bytes ({})", text::bytes(config.spool.max_bytes))),
        (true, free) => {
            let free = free.map(|free| format!(", {} free", text::bytes(free))).unwrap_or_default();
            Check::ok("state directory", format!("{}{free}", dir.display()))
        }
        (false, _) => {
            Check::new("state directory", Health::Note, format!("{} is not ours to write", dir.display()))
                .cure("only the daemon needs it; run it as root or set state_dir")
        }
    }
}

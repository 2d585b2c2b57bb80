//! The two halves of the daemon: what each may do, and that killing either loses nothing that is not counted.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandbox::Process;
use tests::daemon::Daemon;

/// A line of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().trim().to_owned()
}

/// Inodes of the sockets that a process has open.
fn sockets(pid: u32) -> BTreeSet<u64> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").filter_map(|entry| {
        let link = fs::read_link(entry.ok()?.path()).ok()?;
        sockets::inode_of(link.to_str()?).map(u64::from)
    });
    links.collect()
}

/// Inodes of all sockets of its network namespace that speak TCP or UDP, or take raw packets.
fn network_sockets(pid: u32) -> BTreeSet<u64> {
    let tables = ["tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6"];
    let lines = tables.iter().flat_map(|table| {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    });
    let inodes = lines.filter_map(|line| line.split_whitespace().nth(9)?.parse().ok());
    let packet = fs::read_to_string(format!("/proc/{pid}/net/packet")).unwrap_or_default();
    let packet = packet.lines().skip(1).filter_map(|line| line.split_whitespace().last()?.parse().ok());
    inodes.chain(packet.collect::<Vec<_>>()).collect()
}

#[test]
fn the_privileged_process_has_no_network_and_the_other_one_no_privileges() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    daemon
        .wait_for("a first window in the store", |daemon| daemon.windows().filter(|(count, ..)| *count > 0));
    let (collector, relay) = (daemon.child.id(), daemon.relay());
    let network = network_sockets(collector);
    let of = |pid| sockets(pid).intersection(&network).copied().collect::<Vec<_>>();
    assert_eq!(of(collector), Vec::<u64>::new(), "the privileged process has a socket of the network");
    assert!(of(relay).len() >= 3, "a listener and both ends of connections: {:?}", of(relay));

    assert_eq!(status(collector, "Uid").split_whitespace().next(), Some("0"));
    let ids = [status(relay, "Uid"), status(relay, "Gid")].join(" ");
    assert!(ids.split_whitespace().all(|id| id != "0"), "{ids}");
    assert_eq!(status(relay, "Groups"), "", "no supplementary groups");
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(status(relay, set), "0000000000000000", "{set}");
    }
    assert_eq!(status(relay, "NoNewPrivs"), "1");

    let environment = fs::read(format!("/proc/{relay}/environ")).expect("root may read it");
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(!environment.contains("S7MPA_"), "{environment}");
    let arguments = fs::read(format!("/proc/{relay}/cmdline")).expect("it runs");
    assert_eq!(String::from_utf8_lossy(&arguments), "agent\0relay\0");
}

/// Numbers of the windows in the store that are missing, as far as the newest.
fn missing(daemon: &Daemon) -> u64 {
    let (count, first, last) = daemon.windows().expect("windows");
    last - first + 1 - count
}

#[test]
fn a_relay_that_is_killed_again_and_again_costs_nothing() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    for round in 1..=4 {
        daemon.wait_for("more windows in the store", |daemon| {
            daemon.windows().filter(|(count, ..)| *count >= 3 * round)
        });
        let relay = daemon.relay();
        kill(Pid::from_raw(relay as i32), Signal::SIGKILL).expect("it runs");
        daemon
            .wait_for("another relay", |daemon| daemon.find(Process::Relay).filter(|(pid, _)| *pid != relay));
    }
    let (_, _, last) = daemon.windows().expect("windows");
    daemon.wait_for("the windows of the time without a relay", |daemon| {
        daemon.windows().filter(|(count, _, newest)| *newest > last + 5 && *count == *newest)
    });
    let (count, first, last) = daemon.windows().expect("windows");
    assert_eq!((first, count), (1, last), "each window once, none missing: {}", daemon.log());
    let log = daemon.log();
    assert!(log.contains("the relay died") && log.contains("signal: 9"), "{log}");
    // The end in order says what it could not hand over: nothing.
    assert!(daemon.stop().success());
    assert!(!daemon.log().contains("were lost"), "{}", daemon.log());
}

#[test]
fn a_privileged_process_that_is_killed_leaves_its_windows_to_the_relay_and_the_next_one_goes_on() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    daemon.wait_for("windows in the store", |daemon| daemon.windows().filter(|(count, ..)| *count >= 3));
    let relay = daemon.relay();
    let (_, _, before) = daemon.windows().expect("windows");
    let dir = daemon.kill();
    // It sees the end of the socket pair, closes spool and store, and goes.
    let start = std::time::Instant::now();
    while std::path::Path::new(&format!("/proc/{relay}")).exists() {
        assert!(start.elapsed() < std::time::Duration::from_mins(2), "the relay was left behind");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let mut daemon = Daemon::start_in(dir, &[]);
    daemon.wait_for("windows of the second daemon", |daemon| {
        daemon.windows().filter(|(_, _, last)| *last >= before + 3)
    });
    daemon.wait_for("no gap", |daemon| (missing(daemon) == 0).then_some(()));
    let (count, first, last) = daemon.windows().expect("windows");
    assert_eq!((first, count), (1, last), "numbers go on where the first daemon's ended: {}", daemon.log());
}

#[test]
fn root_reads_the_store_as_its_user() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    daemon
        .wait_for("a first window in the store", |daemon| daemon.windows().filter(|(count, ..)| *count > 0));
    // A database that root's SQLite would open and the relay's user cannot: what is read is read as that user.
    let file = daemon.path("state-server/metrics.db");
    assert_ne!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(&file).expect("the store")), 0);
    let answer = daemon.stored("s7mpa_coverage", "captured", &[]);
    assert!(answer.is_some(), "agent query as root");
    std::os::unix::fs::chown(&file, Some(0), Some(0)).expect("root may");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("root may");
    assert_eq!(daemon.stored("s7mpa_coverage", "captured", &[]), None, "root's own rights are not used");
}

#[test]
fn an_old_spool_of_roots_is_sent_after_the_first_start() {
    if !tests::can_observe() {
        return;
    }
    // A spool as older versions left it: made by a bare collector without a broker, then moved to the old place.
    let mut first =
        Daemon::start_in(tempfile::tempdir().expect("a directory"), &["--mqtt", "mqtt://127.0.0.1:1"]);
    let spool = first.path("state-server/spool");
    first.wait_for("windows in the spool", |_| {
        let bytes: u64 =
            fs::read_dir(&spool).ok()?.filter_map(|e| Some(e.ok()?.metadata().ok()?.len())).sum();
        (bytes > 20_000).then_some(())
    });
    assert!(first.stop().success());
    let dir = first.kill_ended();
    let (old, new) = (dir.path().join("state/spool"), dir.path().join("state-server/spool"));
    fs::rename(&new, &old).expect("one file system");
    for entry in fs::read_dir(&old).expect("the spool") {
        std::os::unix::fs::chown(entry.expect("entry").path(), Some(0), Some(0)).expect("root may");
    }
    std::os::unix::fs::chown(&old, Some(0), Some(0)).expect("root may");
    let mut daemon = Daemon::start_in(dir, &[]);
    daemon.wait_for("the first window of the old spool in the store", |daemon| {
        daemon.windows().filter(|(count, first, last)| *first == 1 && *count == *last && *last > 3)
    });
    assert!(!old.exists(), "the old place is empty");
}

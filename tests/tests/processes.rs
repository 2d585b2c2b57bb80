//! The processes of `agent run`: what each may do, who starts what, and what a neighbour can take from them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandbox::{Process, Status};
use tests::daemon::Daemon;

const NOBODY: u32 = 65534;

/// A script that every user may run.
fn script(daemon_dir: &Path, name: &str, text: &str) -> String {
    let dir = daemon_dir.join("hooks");
    fs::create_dir_all(&dir).expect("our directory");
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("our directory");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    path.display().to_string()
}

/// A daemon with a hook that runs for each alert: here of a process that uses a whole CPU in user mode.
fn with_hook(text: &str) -> Daemon {
    let dir = tests::daemon::directory();
    let hook = script(dir.path(), "hook", text);
    // The test's directory lies in /tmp, in which programs may write by default.
    Daemon::start_in(dir, &["--set", &format!("alerts.exec={hook}"), "--set", "plugin.write_dirs="])
}

/// A daemon that has stored so many windows; `None` where nothing can be observed.
fn observing(windows: u64) -> Option<Daemon> {
    let mut daemon = tests::can_observe().then(|| with_hook("exit 0"))?;
    daemon.wait_for_windows(windows);
    Some(daemon)
}

#[test]
fn each_process_has_the_capabilities_of_the_table_and_a_filter() {
    let Some(mut daemon) = observing(1) else { return };
    for process in Process::ALL {
        let (pid, status) = daemon
            .wait_for(process.comm(), |daemon| daemon.find(process).filter(|(_, status)| status.filtered));
        assert_eq!(status.capabilities, process.capability_bits(), "{process:?}: {status:?}");
        assert!(status.no_new_privs && status.filtered, "{process:?}: {status:?}");
        let unprivileged = matches!(process, Process::Relay | Process::Plugin);
        assert_eq!(status.uid != 0, unprivileged, "{process:?}: {status:?}");
        // One address space is one boundary: all threads have the same.
        for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten() {
            let id: u32 = thread.file_name().to_string_lossy().parse().expect("a number");
            let Some(thread) = Status::read(Path::new(&format!("/proc/{pid}/task")), id) else { continue };
            assert_eq!(thread.capabilities, status.capabilities, "{process:?}: {thread:?}");
            assert!(thread.filtered && thread.no_new_privs, "{process:?}: {thread:?}");
        }
    }
    assert!(!daemon.log().contains("has refused calls"), "{}", daemon.log());
}

#[test]
fn the_table_in_the_documentation_is_the_one_in_force() {
    let text = include_str!("../../deploy/README.md");
    for process in Process::ALL {
        let row =
            |capability: &str, purpose: &str| format!("| `{}` | {capability} | {purpose} |", process.comm());
        for (capability, purpose) in process.capabilities() {
            let row = row(&capability.to_string(), purpose);
            assert!(text.contains(&row), "deploy/README.md lacks the row\n{row}");
        }
        if process.capabilities().is_empty() {
            assert!(text.contains(&row("none", "")), "deploy/README.md lacks {}", row("none", ""));
        }
    }
    let rows = text.lines().filter(|line| line.starts_with("| `")).count();
    let wanted: usize = Process::ALL.iter().map(|process| process.capabilities().len().max(1)).sum();
    assert_eq!(rows, wanted, "deploy/README.md has rows that are not in force");
}

#[test]
fn the_collector_has_no_network_and_runs_nothing() {
    let Some(daemon) = observing(2) else { return };
    let pid = daemon.pid();
    let inodes: Vec<u32> = sockets::inodes_of(pid, usize::MAX).collect();
    assert!(!inodes.is_empty(), "it has Unix sockets");
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let ours: Vec<_> =
            inodes.iter().filter(|inode| words.contains(&inode.to_string().as_str())).collect();
        assert!(ours.is_empty(), "{table}: {ours:?}");
    }
    // Launcher and netns process are this program, started before anything hostile was read; nothing else is below it.
    let below: Vec<String> = daemon
        .family()
        .into_iter()
        .filter(|(_, status)| status.parent == pid)
        .map(|(_, status)| status.comm)
        .collect();
    assert_eq!(below.len(), 2, "{below:?}");
    assert!(below.iter().all(|comm| comm == "agent-launcher" || comm == "agent-netns"), "{below:?}");
}

#[test]
fn a_hook_runs_as_a_user_without_privileges_below_the_plugin_process() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = with_hook(
        "out=$HOME/seen; { id -u; grep -E '^(PPid|CapEff|CapPrm|NoNewPrivs|Seccomp):' /proc/self/status; env; \
         echo pid=$$; } > $out.new; \
         cat > $HOME/alert; \
         cat \"$(dirname \"$0\")\"/../state-server/* > $HOME/stolen 2>/dev/null; \
         cat \"$(dirname \"$0\")\"/../run-server/* >> $HOME/stolen 2>/dev/null; \
         cat \"$(dirname \"$0\")\"/../state/* >> $HOME/stolen 2>/dev/null; mv $out.new $out; exit 0",
    );
    daemon.wait_for_windows(1);
    let (plugin, _) = daemon.wait_for("the plugin process", |daemon| daemon.find(Process::Plugin));
    // More that runs than there are CPUs: each lacks what the others take.
    let spins = std::thread::available_parallelism().expect("CPUs").get() + 2;
    let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
    let mut spins: Vec<_> = std::iter::repeat_with(spin).take(spins).collect();
    let seen = daemon.path("state-plugin/seen");
    let text = daemon.try_wait_for(|_| fs::read_to_string(&seen).ok());
    for spin in &mut spins {
        spin.kill().expect("ours");
        spin.wait().expect("ours");
    }
    let text = text.unwrap_or_else(|| panic!("the hook did not run: {}", daemon.log()));
    let fields: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':').or_else(|| line.split_once('=')))
        .map(|(k, v)| (k, v.trim()))
        .collect();
    let uid: u32 = text.lines().next().and_then(|line| line.parse().ok()).expect("its user");
    assert_ne!(uid, 0, "{text}");
    assert_eq!((fields["CapEff"], fields["CapPrm"]), ("0000000000000000", "0000000000000000"), "{text}");
    assert_eq!((fields["NoNewPrivs"], fields["Seccomp"]), ("1", "2"), "{text}");
    assert!(text.contains("S7MPA_ALERT_STATE=open"), "{text}");
    // The grep's parent is the hook, whose number it wrote itself; the hook's is the plugin process.
    assert_eq!(fields["PPid"], fields["pid"], "{text}");
    assert!(!text.contains("hush"), "{text}");
    let stolen = fs::read(daemon.path("state-plugin/stolen")).expect("written");
    let (_, relay) = daemon.find(Process::Relay).expect("it runs");
    // On a host without the two users both processes run as `nobody`, and only Landlock keeps them apart.
    if relay.uid != uid || sandbox::landlock::abi() > 0 {
        assert!(stolen.is_empty(), "the hook has read {} bytes of the store", stolen.len());
    }
    assert!(fs::read_to_string(daemon.path("state-plugin/alert")).expect("written").starts_with('{'));
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&seen).expect("it is there"));
    let status = Status::read(Path::new("/proc"), plugin).expect("it runs");
    assert_eq!((uid, owner), (status.uid, status.uid));
}

#[test]
fn no_process_of_the_daemon_inherits_a_secret() {
    if !tests::can_observe() {
        return;
    }
    let dir = tests::daemon::directory();
    let hook = script(dir.path(), "hook", "exit 0");
    let exec = format!("alerts.exec={hook}");
    let mut command = tests::agent::command(&[]);
    command.env("S7MPA_MQTT_PASSWORD", "hush").env("S7MPA_SERVER_INFLUX_TOKEN", "hush");
    let mut daemon = Daemon::start_by(command, dir, tests::daemon::free_port(), &["--set", &exec]);
    daemon.wait_for_windows(1);
    let family = daemon.family();
    assert_eq!(family.len(), Process::ALL.len(), "{family:?}");
    for (pid, status) in &family[1..] {
        let environment = fs::read(format!("/proc/{pid}/environ")).expect("it runs");
        let environment = String::from_utf8_lossy(&environment);
        assert!(!environment.contains("hush"), "{status:?}: {environment}");
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs");
        assert!(!arguments.contains("hush"), "{status:?}: {arguments}");
    }
}

#[test]
fn a_command_under_flamegraph_inherits_no_secret() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (out, seen) = (dir.path().join("out.folded"), dir.path().join("seen"));
    let mut command = tests::agent::command(&["flamegraph", "--no-daemon", "-o"]);
    let script = format!("env > {}; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done", seen.display());
    command.arg(&out).args(["--", "sh", "-c", &script]);
    let output =
        command.env("S7MPA_MQTT_PASSWORD", "hush").env("OTHERS", "kept").output().expect("it starts");
    let text =
        fs::read_to_string(&seen).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert!(text.contains("OTHERS=kept") && !text.contains("S7MPA_") && !text.contains("hush"), "{text}");
}

#[test]
fn processes_without_privileges_that_are_killed_come_back() {
    let Some(mut daemon) = observing(1) else { return };
    for process in [Process::Plugin, Process::Relay] {
        let (old, _) = daemon.wait_for(process.comm(), |daemon| daemon.find(process));
        kill(Pid::from_raw(old as i32), Signal::SIGKILL).expect("it runs");
        let (_, status) = daemon.wait_for("its return", |daemon| {
            daemon.find(process).filter(|(new, status)| *new != old && status.filtered)
        });
        assert_eq!(status.capabilities, 0, "{process:?}");
    }
    daemon.wait_for_more_windows(2);
    // In order: nothing is left behind.
    let family = daemon.family();
    assert!(daemon.stop().success(), "{}", daemon.log());
    // The launcher goes when its last child has gone.
    let begin = std::time::Instant::now();
    let left = |family: &[(u32, Status)]| {
        family.iter().filter(|(pid, _)| Path::new(&format!("/proc/{pid}")).exists()).count()
    };
    while left(&family) > 0 && begin.elapsed() < std::time::Duration::from_mins(1) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(left(&family), 0, "left behind: {family:?}");
}

#[test]
fn a_daemon_whose_launcher_is_killed_ends_and_says_why() {
    let Some(mut daemon) = observing(1) else { return };
    let (launcher, _) =
        daemon.wait_for("the launcher", |daemon| daemon.find(Process::Launcher).filter(|(_, s)| s.filtered));
    kill(Pid::from_raw(launcher as i32), Signal::SIGKILL).expect("it runs");
    assert!(!daemon.wait_for_end().success());
    assert!(daemon.log().contains("agent-launcher has ended"), "{}", daemon.log());
}

#[test]
fn the_listener_of_another_network_namespace_is_seen_through_the_netns_process() {
    let Some(mut daemon) = observing(1) else { return };
    assert!(tests::daemon::full_listener_of_another_namespace(&mut daemon), "{}", daemon.log());
}

#[test]
fn a_program_on_the_brokers_port_gets_no_password_and_is_named() {
    if !tests::can_observe() {
        return;
    }
    let dir = tests::daemon::directory();
    let port = tests::daemon::free_port();
    let heard = dir.path().join("heard");
    let squatter = format!(
        "import socket\ns=socket.socket();s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\n\
         s.bind(('127.0.0.1',{port}));s.listen(9);print('ready',flush=True)\n\
         while True:\n c,_=s.accept();c.settimeout(2)\n try: d=c.recv(999)\n except Exception: d=b''\n print(d.hex() or 'silent',flush=True)"
    );
    // Not by PATH: that may lead through directories of root.
    let mut squatter = Command::new("/usr/bin/python3")
        .args(["-c", &squatter])
        .uid(NOBODY)
        .gid(NOBODY)
        .stdout(fs::File::create(&heard).expect("our directory"))
        .spawn()
        .expect("python3");
    while fs::read_to_string(&heard).expect("ours").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut daemon = Daemon::start_by(tests::agent::command(&[]), dir, port, &[]);
    let wanted = format!("127.0.0.1:{port} is in use by");
    daemon.wait_for("word of the squatter", |daemon| {
        let log = daemon.log();
        (log.contains(&wanted) && log.contains("uid 65534") && log.contains("server.mqtt_listen"))
            .then_some(())
    });
    squatter.kill().expect("ours");
    squatter.wait().expect("ours");
    // The broker starts without help, and the windows made while the port was taken are stored.
    daemon.wait_for_windows(2);
    let (count, first, last) = daemon.windows().expect("windows");
    assert_eq!((first, count), (1, last), "no window was lost while the port was taken");
    let heard = fs::read_to_string(heard).expect("ours");
    assert!(heard.lines().skip(1).all(|line| line == "silent"), "the squatter heard something: {heard}");
}

//! Programs and files on a file system that does not answer: a FUSE server that is stopped.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opener::{Blocked, Owner, Patience, Place, Workers, file, process};
use tests::agent;
use tests::fuse::{Fuse, Guarded, in_time};
use tests::workload::Workload;

const SPINS: [&str; 2] = ["-c", "while :; do :; done"];
const WHY: &str = "file system does not answer";

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The folded stacks of `flamegraph` with these arguments beside a file system that does not answer, which it says.
fn graph(args: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out.folded").to_string_lossy().into_owned();
    let output = in_time(&[&["flamegraph", "-f", "folded", "-o", &out], args].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains(WHY), "{said}");
    fs::read_to_string(&out).expect("the folded stacks")
}

#[test]
fn a_program_on_a_dead_file_system_is_shown_without_names_and_others_with_them() {
    if !tests::can_observe() {
        return;
    }
    let fuse = Fuse::serve(&["/bin/dash"]);
    let spins = Guarded::spin(&fuse.path("dash"), &SPINS);
    let mut other = Workload::start("getppid_loop", &[1 << 40]);
    other.begin();
    fuse.stop();
    let pid = spins.pid().to_string();
    let one = graph(&["--pid", &pid, "--duration", "2s"]);
    assert!(one.contains("[dash+0x"), "{one}");
    let all = graph(&["--all", "--duration", "2s"]);
    assert!(all.contains("[dash+0x") && all.contains("getppid_loop::call"), "{all}");
    let report = stdout(&in_time(&["report", "--duration", "2s", "--rows", "0"]));
    assert!(report.contains(&pid), "{report}");
}

#[test]
fn beside_many_dead_file_systems_all_other_programs_have_names() {
    if !tests::can_observe() {
        return;
    }
    let dead: Vec<_> = std::iter::repeat_with(|| Fuse::serve(&["/bin/dash"])).take(8).collect();
    let _spins: Vec<_> = dead.iter().map(|fuse| Guarded::spin(&fuse.path("dash"), &SPINS)).collect();
    let mut other = Workload::start("getppid_loop", &[1 << 40]);
    other.begin();
    dead.iter().for_each(Fuse::stop);
    // Each of them holds the unwind tables of the others up for a second or two, once.
    let all = graph(&["--all", "--duration", "20s"]);
    assert!(all.contains("getppid_loop::call"), "{all}");
}

#[test]
fn a_daemon_beside_a_dead_file_system_answers_and_ends_in_order() {
    if !tests::can_observe() {
        return;
    }
    let fuse = Fuse::serve(&["/bin/dash"]);
    let dir = tempfile::tempdir().expect("a directory");
    let (mut daemon, socket) = daemon(dir.path());
    let spins = Guarded::spin(&fuse.path("dash"), &SPINS);
    let pid = spins.pid().to_string();
    let ask = |args: &[&str]| stdout(&in_time(&[&["--socket", &socket], args].concat()));
    let out = dir.path().join("out.folded").to_string_lossy().into_owned();
    let graph = ["--socket", &socket, "flamegraph", "--all", "--last", "5s", "-f", "folded", "-o", &out];
    // It is seen, and its file is open, before the file system dies. At first there is no window.
    let seen =
        || in_time(&graph).status.success() && fs::read_to_string(&out).is_ok_and(|t| t.contains("dash"));
    let patience = Instant::now() + Duration::from_mins(2);
    while !seen() {
        assert!(Instant::now() < patience, "its program is not seen");
    }
    fuse.stop();
    let report = ask(&["report", "--duration", "3s", "--rows", "0"]);
    assert!(report.contains(&pid), "{report}");
    assert!(ask(&["report", "--last", "5s", "--rows", "0"]).contains(&pid));
    assert!(seen());
    ask(&["alerts"]);
    kill(Pid::from_raw(daemon.pid() as i32), Signal::SIGTERM).expect("it runs");
    let status = daemon.end();
    let log = fs::read_to_string(dir.path().join("log")).expect("its log");
    assert!(status.success(), "{status}: {log}");
}

/// An agent with all parts in it, and its socket.
fn daemon(dir: &Path) -> (Guarded, String) {
    // The server part runs as another user: it must get through.
    fs::set_permissions(dir, Permissions::from_mode(0o755)).expect("our directory");
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
    let log = fs::File::create(dir.join("log")).expect("a log");
    fs::write(dir.join("agent.toml"), "").expect("a configuration");
    let socket = dir.join("run/agent.sock");
    let child = agent::command(&["run", "--set", "host=tested"])
        .arg("--config")
        .arg(dir.join("agent.toml"))
        .args(["--set", &format!("server.mqtt_listen=127.0.0.1:{port}")])
        .args(["--http", "127.0.0.1:0"])
        .arg("--state-dir")
        .arg(dir.join("state"))
        .arg("--run-dir")
        .arg(dir.join("run"))
        .stdout(std::process::Stdio::null())
        .stderr(log)
        .spawn();
    let mut daemon = Guarded(child.expect("the agent starts"));
    while !socket.exists() {
        assert!(daemon.0.try_wait().expect("a child of ours").is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    (daemon, socket.to_string_lossy().into_owned())
}

#[test]
fn an_agent_that_starts_while_a_process_hangs_in_a_dead_file_system_observes_all_the_time() {
    if !tests::can_observe() {
        return;
    }
    let fuse = Fuse::serve(&["/bin/dash"]);
    let path = fuse.path("dash");
    fuse.stop();
    // Its first page is not in memory: it waits in a read for good, of a descriptor that the agent asks about.
    let hangs = Guarded::spawn(Path::new("/bin/cat"), &[path.to_str().expect("text")]);
    let state = || fs::read_to_string(format!("/proc/{}/stat", hangs.pid())).unwrap_or_default();
    while !state().contains("(cat) S") && !state().contains("(cat) D") {
        std::thread::yield_now();
    }
    let report = stdout(&in_time(&["report", "--duration", "3s", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let observed = report["window_s"].as_f64().expect("a length");
    assert!(observed > 2.5, "observed {observed} s of 3");
}

#[test]
fn what_a_dead_file_system_holds_up_is_given_up_until_it_answers() {
    let fuse = Fuse::serve(&["/bin/dash"]);
    let spins = Guarded::spin(&fuse.path("dash"), &SPINS);
    let text = String::from_utf8(process::maps(spins.pid()).expect("its mappings")).expect("text");
    let line = text.lines().find(|line| line.contains("mount/dash")).expect("its program is mapped");
    let start = u64::from_str_radix(line.split('-').next().expect("a range"), 16).expect("hexadecimal");
    fuse.stop();
    let workers =
        Workers::with_patience("test", Patience { still: Duration::from_millis(200), ..Patience::NAMES });
    let owner = Owner::of_process(spins.pid());
    let on = |place| Owner { place, ..owner };
    let path = fuse.path("dash");
    let open = move || file::at(&path).and_then(|held| Ok(held.reader()?)).is_ok();
    assert_eq!(workers.run(on(Place::Device(u64::MAX - 7)), open), Err(Blocked::NoAnswer));
    let tgid = spins.pid();
    let read = move || {
        use std::os::unix::fs::FileExt as _;
        process::memory(tgid).and_then(|memory| memory.read_at(&mut [0; 8], start)).unwrap_or(0)
    };
    // What is in memory is read, what is not is not waited for.
    assert!(matches!(workers.run(owner, read), Ok(8) | Err(Blocked::NoAnswer)));
    assert!(opener::blocked().lost_threads > 0);
    fuse.go_on();
    while opener::blocked().lost_threads > 0 {
        std::thread::yield_now();
    }
    assert!(workers.run(on(Place::Device(u64::MAX - 7)), || true).is_ok());
}

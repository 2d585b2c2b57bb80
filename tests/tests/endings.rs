//! Ends of processes are seen with what led to them: facts of real ends, and what each is explained by.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount, umount};
use serde_json::Value;
use tests::compile;
use tests::daemon::Daemon;
use tests::diagnosis::ground::Cgroup;

/// An end is explained within this time.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// A daemon, and a program that ends in many ways.
struct Stage {
    daemon: Daemon,
    dir: tempfile::TempDir,
    dies: PathBuf,
}

impl Stage {
    fn set() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let source = include_str!("endings/dies.c");
        let dies = compile::build(
            dir.path(),
            "dies",
            "c",
            source,
            &["gcc", "-g", "-O1", "-fno-inline", "-fno-optimize-sibling-calls", "-pthread"],
        );
        let mut daemon = Daemon::start();
        daemon.wait_for_windows(1);
        let mut stage = Self { daemon, dir, dies };
        // The unwind tables and names of the C library are read with the first end: on a busy machine later than it is told.
        for way in ["null", "assert"] {
            stage.end(&mut stage.dies(&[way]));
        }
        stage
    }

    fn dies(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.dies);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What `agent explain` says of a process, once it does.
    fn explained(&mut self, pid: u32, args: &[&str]) -> Option<Value> {
        let pid = pid.to_string();
        let begin = Instant::now();
        loop {
            let args = [&["explain", "--pid", &pid], args].concat();
            if let Some(text) = self.daemon.printed(&args) {
                return serde_json::from_str(&text).ok();
            }
            if begin.elapsed() > SHOWN_WITHIN {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Facts of a process that has ended.
    fn facts(&mut self, pid: u32) -> Value {
        let found = self.explained(pid, &["--facts"]);
        found.unwrap_or_else(|| {
            panic!("process {pid} ended and nothing is known of it\n{}", self.daemon.log())
        })
    }

    /// Facts of a command's end.
    fn end(&mut self, command: &mut Command) -> Value {
        let mut child = command.spawn().expect("it starts");
        let pid = child.id();
        let status = child.wait().expect("a child of ours");
        assert!(!status.success(), "{status}");
        let facts = self.facts(pid);
        let ended = &facts["ended"];
        assert_eq!(ended["code"].as_i64(), status.code().map(i64::from), "{facts:#}");
        assert_eq!(ended["signal"].as_i64(), status.signal().map(i64::from), "{facts:#}");
        facts
    }

    /// Facts of an end by SIGBUS whose mapping is known. The kernel does not always say it: the lock may be taken, or the means to give
    /// it back.
    fn bus(&mut self, way: &str, file: &Path) -> Value {
        for _ in 0..10 {
            let facts = self.end(&mut self.dies(&[way, file.to_str().expect("text")]));
            if facts["fault"]["place"]["kind"] != "unknown" {
                return facts;
            }
        }
        panic!("what is mapped is never known");
    }
}

fn functions(facts: &Value) -> Vec<&str> {
    facts["stack"].as_array().into_iter().flatten().filter_map(|frame| frame["function"].as_str()).collect()
}

fn words(facts: &Value) -> String {
    let words = facts["last_words"].as_array().into_iter().flatten();
    words.filter_map(|words| words["text"].as_str()).collect()
}

fn call<'a>(facts: &'a Value, errno: &str) -> &'a Value {
    let mut calls = facts["failed_calls"].as_array().into_iter().flatten().rev();
    calls.find(|call| call["errno"] == errno).unwrap_or_else(|| panic!("no {errno} in {facts:#}"))
}

#[test]
fn a_fault_has_its_address_and_its_stack_by_name() {
    if !tests::can_observe() {
        return;
    }
    let mut stage = Stage::set();
    let facts = stage.end(&mut stage.dies(&["null"]));
    assert_eq!(functions(&facts)[..2], ["store_through_null", "main"], "{facts:#}");
    assert_eq!(facts["fault"]["addr"], 16, "{facts:#}");
    assert_eq!(facts["fault"]["write"], true, "{facts:#}");
    assert_eq!(facts["fault"]["place"]["kind"], "nothing", "{facts:#}");
    assert!(facts["stack"][0]["line"].as_str().is_some_and(|line| line.starts_with("dies.c:")), "{facts:#}");
    assert!(
        facts["process"]["cmdline"].as_str().is_some_and(|line| line.ends_with("/dies null")),
        "{facts:#}"
    );
    assert_eq!(facts["process"]["exe"].as_str(), stage.dies.to_str(), "{facts:#}");
    assert!(!facts["earlier"].as_array().expect("a list").is_empty(), "it ended like this before: {facts:#}");

    let facts = stage.end(&mut stage.dies(&["thread"]));
    assert_eq!(functions(&facts)[..2], ["store_through_null", "in_thread"], "{facts:#}");

    let facts = stage.end(&mut stage.dies(&["dive"]));
    assert_eq!(facts["fault"]["place"]["kind"], "stack_guard", "{facts:#}");
    assert!(functions(&facts).iter().filter(|name| **name == "dive").count() > 20, "{facts:#}");

    let file = stage.dir.path().join("cut");
    let facts = stage.bus("bus", &file);
    assert_eq!(facts["fault"]["place"]["kind"], "past_end", "{facts:#}");
    assert_eq!(facts["fault"]["place"]["file"], "cut", "{facts:#}");
}

#[test]
fn what_a_run_time_says_before_it_aborts_is_kept() {
    if !tests::can_observe() {
        return;
    }
    let mut stage = Stage::set();
    let facts = stage.end(&mut stage.dies(&["assert"]));
    let text = facts["abort_text"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains("check_total: Assertion `total == 42' failed"), "{facts:#}");
    assert!(functions(&facts).contains(&"check_total"), "{facts:#}");
    let facts = stage.end(&mut stage.dies(&["free"]));
    assert!(facts["abort_text"].as_str().is_some_and(|text| text.contains("double free")), "{facts:#}");
    assert!(functions(&facts).contains(&"free_twice"), "{facts:#}");
    let facts = stage.end(&mut stage.dies(&["pieces"]));
    assert_eq!(words(&facts), "one two three\n", "{facts:#}");
}

#[test]
fn calls_that_failed_have_their_path_or_peer() {
    if !tests::can_observe() {
        return;
    }
    let mut stage = Stage::set();
    let free = tests::daemon::free_port().to_string();
    let facts = stage.end(&mut stage.dies(&["connect", &free]));
    let refused = call(&facts, "ECONNREFUSED");
    assert_eq!(
        (refused["call"].as_str(), refused["peer"].as_str()),
        (Some("connect"), Some(&*format!("127.0.0.1:{free}"))),
        "{facts:#}"
    );
    assert_eq!(words(&facts), "startup failed\n", "{facts:#}");
    assert!(functions(&facts).contains(&"main"), "{facts:#}");

    let facts = stage.end(&mut stage.dies(&["later", &free]));
    let refused = call(&facts, "ECONNREFUSED");
    let peer = format!("127.0.0.1:{free}");
    assert_eq!(
        (refused["call"].as_str(), refused["peer"].as_str()),
        (Some("connect"), Some(&*peer)),
        "{facts:#}"
    );

    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("bound").port().to_string();
    let facts = stage.end(&mut stage.dies(&["listen", &port]));
    assert_eq!(call(&facts, "EADDRINUSE")["holder"]["pid"], std::process::id(), "{facts:#}");

    let full = stage.dir.path().join("full");
    fs::create_dir(&full).expect("a directory");
    mount(Some("tmpfs"), &full, Some("tmpfs"), MsFlags::empty(), Some("size=64k"))
        .expect("a small file system");
    let file = full.join("data");
    let facts = stage.end(&mut stage.dies(&["fill", file.to_str().expect("text")]));
    let brim = stage.bus("brim", &full.join("map"));
    assert_eq!(brim["fault"]["place"]["kind"], "mapping", "it was not cut: {brim:#}");
    assert_eq!(brim["fault"]["place"]["name"], "map", "{brim:#}");
    umount(&full).expect("mounted");
    assert_eq!(call(&facts, "ENOSPC")["path"].as_str(), file.to_str(), "{facts:#}");

    let facts = stage.end(&mut stage.dies(&["open", "/etc/no-such.conf"]));
    let missing = call(&facts, "ENOENT");
    assert_eq!(
        (missing["path"].as_str(), missing["path_exists"].as_bool()),
        (Some("/etc/no-such.conf"), Some(false)),
        "{facts:#}"
    );

    let facts = stage.end(&mut stage.dies(&["many"]));
    let calls = facts["failed_calls"].as_array().expect("a list");
    let last: Vec<_> = calls.iter().filter(|call| call["path"] == "/no/such/24").collect();
    assert!(last.len() == 1 && last[0]["count"] == 2, "{facts:#}");

    let facts = stage.end(&mut stage.dies(&["seccomp"]));
    assert_eq!(facts["seccomp_call"], "uname", "{facts:#}");
    let facts = stage.end(&mut stage.dies(&["cpu"]));
    let limits = facts["limits"].as_array().cloned().unwrap_or_default();
    assert!(limits.iter().any(|limit| limit["name"] == "cpu" && limit["limit"] == 1.0), "{facts:#}");
}

#[test]
fn a_signal_has_its_sender_and_one_that_a_process_raised_itself_has_none() {
    if !tests::can_observe() {
        return;
    }
    let mut stage = Stage::set();
    for signal in ["-9", "-15", "-11"] {
        let mut victim = stage.dies(&["sleep"]).spawn().expect("it starts");
        let script = format!("sleep 0.3; kill {signal} {}; exit 0", victim.id());
        let mut killer = Command::new("bash").args(["-c", &script]).spawn().expect("bash");
        victim.wait().expect("a child of ours");
        let facts = stage.facts(victim.id());
        assert_eq!(facts["ended"]["by"]["pid"], killer.id(), "{facts:#}");
        assert_eq!(facts["ended"]["by"]["comm"], "bash", "{facts:#}");
        killer.wait().expect("a child of ours");
    }
    let facts = stage.end(&mut stage.dies(&["assert"]));
    assert_eq!(facts["ended"]["by"], Value::Null, "{facts:#}");
}

/// Runs a program that eats all of the memory of its group, 32 MiB, until the kernel kills it; its PID.
fn eat(dies: &Path, group: &Cgroup) -> u32 {
    group.memory(32).expect("a limit");
    let script = format!("read go && exec {} eat", dies.display());
    let mut child = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().expect("sh");
    group.add(child.id()).expect("root may move processes");
    child.stdin.take().expect("piped").write_all(b"go\n").expect("it reads");
    assert_eq!(child.wait().expect("a child of ours").signal(), Some(9));
    child.id()
}

#[test]
fn a_kill_for_the_memory_of_a_group_names_group_and_limit() {
    if !tests::can_observe() {
        return;
    }
    let mut stage = Stage::set();
    let group = Cgroup::new().expect("root may make groups");
    let pid = eat(&stage.dies, &group);
    let facts = stage.facts(pid);
    assert!(facts["oom"]["group"].as_str().is_some_and(|path| path.ends_with(group.name())), "{facts:#}");
    assert_eq!(facts["oom"]["limit_bytes"], 32 << 20, "{facts:#}");
    assert!(facts["oom"]["anon_bytes"].as_u64().is_some_and(|bytes| bytes > 16 << 20), "{facts:#}");
    assert_eq!(facts["ended"]["by"], Value::Null, "{facts:#}");
}

/// Python of the host, whatever stands before it in the path.
fn python() -> String {
    let found = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(found.expect("these tests need python3").stdout).expect("text").trim().to_owned()
}

const CHAINED: &str = "\
def inner(settings):
    return settings['database']
def start():
    try:
        inner({})
    except KeyError as error:
        raise RuntimeError('could not start') from error
start()
";

#[test]
fn ends_are_explained_by_class_and_culprit() {
    if !tests::can_observe() {
        return;
    }
    let mut stage = Stage::set();
    let cause = |stage: &mut Stage, pid: u32| {
        let found = stage.explained(pid, &["--json"]);
        let found = found.unwrap_or_else(|| {
            let facts = stage.explained(pid, &["--facts"]);
            panic!("process {pid} is not explained: {facts:#?}\n{}", stage.daemon.log())
        });
        (found["cause"]["class"].as_str().unwrap_or_default().to_owned(), found)
    };
    let ended = |command: &mut Command| {
        let mut child = command.spawn().expect("it starts");
        let pid = child.id();
        child.wait().expect("a child of ours");
        pid
    };
    let check = |stage: &mut Stage, pid: u32, class: &str, culprit: &str| {
        let (found, whole) = cause(stage, pid);
        assert_eq!(found, class, "{whole:#}");
        let told = format!("{} {}", whole["cause"]["subject"], whole["cause"]["text"]);
        assert!(told.contains(culprit), "{culprit:?} is not in {told}: {whole:#}");
    };
    let pid = ended(&mut stage.dies(&["null"]));
    check(&mut stage, pid, "null-pointer", "store_through_null");
    let pid = ended(&mut stage.dies(&["assert"]));
    check(&mut stage, pid, "assertion", "total == 42");
    let pid = ended(&mut stage.dies(&["free"]));
    check(&mut stage, pid, "heap-corruption", "double free");
    let pid = ended(&mut stage.dies(&["dive"]));
    check(&mut stage, pid, "stack-overflow", "dive");
    let free = tests::daemon::free_port().to_string();
    let pid = ended(&mut stage.dies(&["connect", &free]));
    check(&mut stage, pid, "connection-refused", &format!("127.0.0.1:{free}"));
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("bound").port().to_string();
    let pid = ended(&mut stage.dies(&["listen", &port]));
    check(&mut stage, pid, "address-in-use", &std::process::id().to_string());
    let full = stage.dir.path().join("full");
    fs::create_dir(&full).expect("a directory");
    mount(Some("tmpfs"), &full, Some("tmpfs"), MsFlags::empty(), Some("size=64k"))
        .expect("a small file system");
    let file = full.join("data");
    let pid = ended(&mut stage.dies(&["fill", file.to_str().expect("text")]));
    check(&mut stage, pid, "disk-full", file.to_str().expect("text"));
    umount(&full).expect("mounted");
    let pid = ended(&mut stage.dies(&["open", "/etc/no-such.conf"]));
    check(&mut stage, pid, "not-found", "/etc/no-such.conf");
    let pid = ended(&mut stage.dies(&["seccomp"]));
    check(&mut stage, pid, "seccomp", "uname");
    let pid = ended(&mut stage.dies(&["cpu"]));
    check(&mut stage, pid, "cpu-limit", "");
    let mut chained = Command::new(python());
    chained.args(["-c", CHAINED]).stdin(Stdio::null()).stderr(Stdio::null());
    let pid = ended(&mut chained);
    check(&mut stage, pid, "uncaught-exception", "KeyError");
    let library = stage.dir.path().join("libgone.so");
    let source = "int gone(void) { return 1; }";
    let built = compile::build(stage.dir.path(), "libgone", "c", source, &["gcc", "-shared", "-fPIC"]);
    fs::rename(built, &library).expect("ours");
    let needs = "int gone(void); int main(void) { return gone() - 1; }";
    let place = format!("-L{}", stage.dir.path().display());
    let program = compile::build(
        stage.dir.path(),
        "needs",
        "c",
        needs,
        &["gcc", &place, "-Wl,--no-as-needed", "-lgone"],
    );
    fs::remove_file(library).expect("ours");
    let pid = ended(Command::new(program).stderr(Stdio::null()));
    check(&mut stage, pid, "missing-library", "libgone.so");
    let mut victim = stage.dies(&["sleep"]).spawn().expect("it starts");
    let script = format!("sleep 0.3; kill -9 {}; exit 0", victim.id());
    let mut killer = Command::new("setsid").args(["bash", "-c", &script]).spawn().expect("bash");
    victim.wait().expect("a child of ours");
    killer.wait().expect("a child of ours");
    check(&mut stage, victim.id(), "killed-by-process", &killer.id().to_string());
    killer.wait().expect("a child of ours");
    let group = Cgroup::new().expect("root may make groups");
    let pid = eat(&stage.dies, &group);
    check(&mut stage, pid, "oom-cgroup", group.name());
    let text = stage.daemon.printed(&["explain", "--pid", &pid.to_string()]).expect("text");
    assert!(text.contains("was killed for lack of memory") && text.contains("Evidence"), "{text}");
    assert!(stage.daemon.printed(&["explain", "--last"]).is_some_and(|text| text.contains("eat")));
}

#[test]
fn commands_by_thousands_are_unharmed_and_leave_nothing() {
    if !tests::can_observe() {
        return;
    }
    let mut stage = Stage::set();
    let script = "n=0; for i in $(seq 10000); do x=$(echo $i); [ \"$x\" = $i ] && n=$((n+1)); done; echo $n";
    let output = Command::new("bash").args(["-c", script]).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "10000\n");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let output =
        Command::new("bash").args(["-c", "for i in $(seq 3000); do x=$(/bin/false); done; echo ok"]).output();
    assert_eq!(String::from_utf8_lossy(&output.expect("bash").stdout), "ok\n");
    let mut quiet = stage.dies(&["complain"]).spawn().expect("it starts");
    let pid = quiet.id();
    assert!(quiet.wait().expect("a child of ours").success());
    assert_eq!(stage.explained(pid, &["--facts"]), None, "it ended as it is meant to");
}

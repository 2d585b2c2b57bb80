//! Life of processes that is not the usual one: a main thread that ends first, a thread that execs, a number that is used
//! again; and the agent in places where PIDs, clocks or descriptors are others than on the host.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ::agent::collector::{Collector, Filter, Options};
use ::agent::config::SyscallTier;
use agent_common::abi::sched::State;
use agent_common::units::Tgid;
use serde_json::Value;
use tests::agent::{self, Observing, sum};
use tests::compile::build;
use tests::windows::close;
use tests::workload::Workload;

/// The main thread ends; another one says `ready`, waits for the word, uses a CPU for a second and makes 1000 system calls,
/// says `done` and waits.
const ZOMBIE_LEADER: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec / 1e9; }
__attribute__((noinline)) void worker_leaf(double t) {
    volatile unsigned long x = 0; double begin = now();
    do { for (int k = 0; k < 100000; k++) x += k; } while (now() - begin < t);
}
__attribute__((noinline)) void worker_middle(double t) { worker_leaf(t); __asm__ volatile("" ::: "memory"); }
static void *worker(void *unused) {
    char line[64];
    char *memory = malloc(32 << 20); memset(memory, 1, 32 << 20); __asm__ volatile("" :: "r"(memory) : "memory");
    usleep(100000);
    printf("ready\n"); fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(1);
    worker_middle(1);
    for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
    printf("done\n"); fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(0);
    exit(0);
}
int main(void) { pthread_t thread; pthread_create(&thread, 0, worker, 0); syscall(SYS_exit, 0); }
"#;

/// A thread that is not the leader calls exec, again and again; each image makes 1000 system calls and uses a CPU for 2 ms.
const EXEC_THREAD: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static char **arguments; static int left;
static void work(void) {
    volatile unsigned long x = 0; double begin = now();
    for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
    do { for (int k = 0; k < 1000; k++) x += k; } while (now() - begin < 0.002);
}
static void *caller(void *unused) {
    char number[16]; snprintf(number, sizeof number, "%d", left - 1);
    char *next[] = {arguments[0], number, 0};
    work(); execv("/proc/self/exe", next); return 0;
}
static void *idle(void *unused) { for (;;) pause(); }
int main(int count, char **values) {
    char line[64];
    arguments = values; left = atoi(values[1]);
    if (values[2]) { printf("ready\n"); fflush(stdout); if (!fgets(line, sizeof line, stdin)) return 1; }
    if (left == 0) { work(); printf("done\n"); fflush(stdout); if (!fgets(line, sizeof line, stdin)) return 0; return 0; }
    pthread_t thread; pthread_create(&thread, 0, idle, 0); pthread_create(&thread, 0, caller, 0);
    for (;;) pause();
}
"#;

/// Two processes, one after the other, with one number: `done PID`.
const PID_REUSE: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
int main(void) {
    char line[64]; int status;
    printf("ready\n"); fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    for (;;) {
        int first = fork();
        if (!first) {
            prctl(PR_SET_NAME, "reuse-first");
            for (int i = 0; i < 10000; i++) syscall(SYS_getppid);
            _exit(0);
        }
        waitpid(first, &status, 0);
        char text[16]; int file = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
        if (write(file, text, snprintf(text, sizeof text, "%d", first - 1)) < 0) { printf("cannot set ns_last_pid\n"); return 1; }
        close(file);
        int second = fork();
        if (!second) {
            if (getpid() != first) _exit(77);
            prctl(PR_SET_NAME, "reuse-second");
            for (int i = 0; i < 20000; i++) syscall(SYS_getuid);
            _exit(0);
        }
        waitpid(second, &status, 0);
        if (second == first) { printf("done %d\n", first); fflush(stdout); break; }
    }
    if (!fgets(line, sizeof line, stdin)) return 0;
    return 0;
}
"#;

/// Programs that a thread execs, one after the other.
const IMAGES: u64 = 100;

fn compiled(dir: &Path, name: &str, source: &str) -> std::path::PathBuf {
    build(dir, name, "c", source, &["gcc", "-O1", "-pthread"])
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_process_whose_main_thread_has_ended_is_observed_as_any_other() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = compiled(dir.path(), "zombie_leader", ZOMBIE_LEADER);
    let start = || Workload::spawn(&mut Command::new(&program));

    let (folded, _) = agent::folded_of(&["--rate", "499"], start());
    let stacks = tests::folded(&folded);
    let total: u64 = stacks.iter().map(|(_, count)| count).sum();
    let frames = ["worker", "worker_middle", "worker_leaf"];
    let whole = |stack: &Vec<String>| frames.iter().all(|frame| stack.iter().any(|own| own == frame));
    let named: u64 = stacks.iter().filter(|(stack, _)| whole(stack)).map(|(_, count)| count).sum();
    assert!(total > 200 && named * 100 >= total * 90, "{named} of {total}: {folded}");

    let mut workload = start();
    let pid = workload.pid();
    let observing = Observing::start(&["syscalls", "--pid", &pid.to_string(), "--duration", "10m", "--json"]);
    workload.work();
    assert_eq!(sum(&observing.stop_json(), pid, "getppid", "count"), 1000);
    workload.finish();

    let mut workload = start();
    let pid = workload.pid();
    let observing = Observing::start(&["report", "--pid", &pid.to_string(), "--duration", "10m", "--json"]);
    workload.work();
    let report = observing.stop_json();
    let rows = report["processes"].as_array().expect("processes");
    let row =
        rows.iter().find(|row| row["pid"] == pid).unwrap_or_else(|| panic!("no row of {pid}: {report}"));
    assert!(row["rss_bytes"].as_u64() >= Some(32 << 20), "the memory of its threads: {row}");
    workload.finish();

    let mut workload = start();
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("all.folded");
    let observing =
        Observing::start(&["flamegraph", "--all", "--duration", "10m", "-o", &out.to_string_lossy()]);
    workload.work();
    let _ = observing.stop();
    let all = fs::read_to_string(&out).expect("the stacks");
    let own = all.lines().filter(|line| line.starts_with("zombie_leader;"));
    let (named, bare): (Vec<&str>, Vec<&str>) = own.partition(|line| line.contains("worker_leaf"));
    assert!(!named.is_empty() && bare.len() <= named.len() * 3, "{all}");
    workload.finish();
}

#[test]
fn times_and_calls_of_a_thread_that_execs_are_all_accounted() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = compiled(dir.path(), "exec_thread", EXEC_THREAD);
    let mut collector = Collector::start(Options {
        rate_hz: 0,
        filter: Filter::All,
        syscalls: SyscallTier::Times,
        sched: true,
        resources: false,
        endings: false,
        proc: false,
    })
    .expect("the probes load");
    let mut workload = Workload::spawn(Command::new(&program).args([&IMAGES.to_string(), "wait"]));
    let tgid = Tgid(workload.pid());
    let (mut windows, mut done) = (Vec::new(), false);
    // Dead threads' slots are given back at every poll, as in the agent.
    std::thread::scope(|scope| {
        let worked = scope.spawn(move || {
            workload.work();
            workload.finish();
        });
        while !done {
            done = worked.is_finished();
            std::thread::sleep(Collector::POLL);
            collector.poll();
            windows.extend(collector.close_window());
        }
    });
    windows.push(close(&mut collector));

    let rows = windows.iter().flat_map(|window| &window.syscalls).filter(|row| row.tgid == tgid);
    let getppid: u64 = rows.filter(|row| row.nr == 110).map(|row| row.count).sum();
    assert_eq!(getppid, 1000 * (IMAGES + 1));

    let lost: u64 = windows.iter().filter_map(|window| window.coverage.lost.get("sched_slots_full")).sum();
    assert_eq!(lost, 0, "threads without a slot");
    let states = windows.iter().flat_map(|window| &window.times).filter(|row| row.tgid == tgid);
    let ran: u64 = states
        .flat_map(|row| &row.states)
        .filter(|(state, _)| *state == State::Oncpu)
        .map(|(_, ns)| ns.0)
        .sum();
    let exit =
        windows.iter().flat_map(|window| &window.exits).find(|exit| exit.tgid == tgid).expect("it has ended");
    // The kernel's own sum leaves out what the hypervisor took.
    let (ran, kernel) = (ran as f64 / 1e9, exit.cpu.as_secs_f64());
    assert!(kernel > 0.002 * IMAGES as f64 * 0.5, "{kernel} s");
    assert!((ran / kernel - 1.0).abs() < 0.1, "{ran} s accounted, the kernel has {kernel} s");
}

#[test]
fn calls_of_two_processes_with_one_number_stand_under_their_own_names() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = compiled(dir.path(), "pid_reuse", PID_REUSE);
    let mut workload = Workload::spawn(&mut Command::new(&program));
    let observing = Observing::start(&["syscalls", "--duration", "10m", "-n", "0", "--json"]);
    let pid: u32 = workload.work().parse().expect("a number");
    let report = observing.stop_json();
    workload.finish();
    let rows = report["rows"].as_array().expect("rows");
    let of = |syscall: &str| -> Vec<(&str, u64)> {
        let own = rows.iter().filter(|row| row["pid"] == pid && row["syscall"] == syscall);
        own.map(|row| (row["comm"].as_str().unwrap_or_default(), row["count"].as_u64().unwrap_or(0)))
            .collect()
    };
    assert_eq!(of("getppid"), [("reuse-first", 10_000)], "{report}");
    assert_eq!(of("getuid"), [("reuse-second", 20_000)], "{report}");
}

#[test]
fn in_a_pid_namespace_of_its_own_it_says_so_and_observes_nothing() {
    if !tests::can_observe() {
        return;
    }
    for args in [
        &["report", "-d", "1s"][..],
        &["flamegraph", "--all", "-d", "1s", "-o", "-"],
        &["syscalls", "-d", "1s"],
    ] {
        let output = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc"])
            .arg(agent::path())
            .args(args)
            .output()
            .expect("unshare is part of util-linux");
        let said = text(&output);
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}: {said}");
        assert!(said.contains("PID namespace") && said.contains("hostPID"), "{args:?}: {said}");
    }
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(agent::path())
        .args(["doctor", "--json"])
        .output()
        .expect("unshare is part of util-linux");
    let doctor: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(doctor["works"], false, "{doctor}");
}

#[test]
fn in_a_time_namespace_ages_and_shares_are_the_hosts() {
    if !tests::can_observe() {
        return;
    }
    if !Path::new("/proc/self/ns/time").exists() {
        eprintln!("this kernel has no time namespaces (before 5.6)");
        return;
    }
    let begin = std::time::Instant::now();
    let workload = Workload::start("sleeper", &[]);
    let output = Command::new("unshare")
        .args(["--time", "--boottime", "100000", "--monotonic", "100000", "--fork"])
        .arg(agent::path())
        .args(["syscalls", "--pid", &workload.pid().to_string(), "-d", "1500ms", "--json"])
        .output()
        .expect("unshare is part of util-linux");
    assert!(output.status.success(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let ages = rows.iter().filter_map(|row| row["in_flight_age_ns"].as_u64());
    let oldest = ages.max().unwrap_or_else(|| panic!("it waits in a call: {report}"));
    assert!(u128::from(oldest) <= begin.elapsed().as_nanos(), "{report}");

    let output = Command::new("unshare")
        .args(["--time", "--boottime", "100000", "--monotonic", "-50", "--fork"])
        .arg(agent::path())
        .args(["report", "-d", "2s", "--json"])
        .output()
        .expect("unshare is part of util-linux");
    workload.finish();
    assert!(output.status.success(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let window = report["window_s"].as_f64().expect("window_s");
    assert!(window > 0.5 && window < begin.elapsed().as_secs_f64(), "{report}");
    let cpus = std::thread::available_parallelism().expect("the CPUs are known").get() as f64;
    for row in report["processes"].as_array().expect("processes") {
        let ns = |name: &str| row["states"][name].as_u64().unwrap_or(0) as f64;
        let used = (ns("oncpu_user_ns") + ns("oncpu_kernel_ns")) / 1e9;
        assert!(used <= cpus * window * 1.5, "{row}");
    }
}

#[test]
fn without_enough_descriptors_it_names_the_limit_and_fails() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out.svg");
    let run = |limit: u32, capabilities: &str| {
        Command::new("sh")
            .arg("-c")
            .arg(format!(
                "ulimit -n {limit}; exec setpriv {capabilities} \"$0\" flamegraph --all -d 1s -o \"$1\""
            ))
            .arg(agent::path())
            .arg(&out)
            .output()
            .expect("a shell")
    };
    let without = "--bounding-set=-sys_resource --inh-caps=-sys_resource";
    let output = run(64, without);
    let said = text(&output);
    assert!(!output.status.success() && !out.exists(), "{said}");
    assert!(said.contains("RLIMIT_NOFILE") && said.contains("64") && said.contains("ulimit -n"), "{said}");

    // The least that it asks for is enough.
    let least = said
        .split("the probes need ")
        .nth(1)
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let least = least.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number in {said}"));
    let output = run(least, without);
    let said = text(&output);
    assert!(output.status.success() && out.exists(), "{said}");
}

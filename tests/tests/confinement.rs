//! A process of the agent that was taken over tries what an attacker would, under the restrictions that it has.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use sandbox::Process;

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const NOBODY: u32 = 65534;

fn confined(process: Process, words: &[&str]) -> Output {
    let mut command = Command::new(tests::programs().join("confined"));
    command.arg(process.comm()).args(words);
    // As the daemon starts them; a process without root's uid has no capabilities to begin with.
    if matches!(process, Process::Relay | Process::Plugin) && nix::unistd::geteuid().is_root() {
        command = where_all_may(&command);
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().expect("confined is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Another user may not be let through to the program's path: copies it where all are.
fn where_all_may(command: &Command) -> Command {
    let dir = std::env::temp_dir().join(format!("confined.{}", std::process::id()));
    let copy = dir.join("confined");
    if !copy.exists() {
        std::fs::create_dir_all(&dir).expect("a directory");
        let new = dir.join(format!("new.{:?}", std::thread::current().id()));
        std::fs::copy(command.get_program(), &new).expect("a copy");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("ours");
        std::fs::rename(&new, &copy).expect("ours");
    }
    let mut other = Command::new(copy);
    other.args(command.get_args());
    other
}

/// Attempt → errno, and how many calls the filter has refused.
fn attempts(process: Process) -> (BTreeMap<String, i32>, u64) {
    let text = String::from_utf8(confined(process, &[]).stdout).expect("text");
    let mut results = BTreeMap::new();
    let mut refused = 0;
    for line in text.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next().and_then(|word| word.parse().ok())) {
            (Some("refused"), Some(count)) => refused = count as u64,
            (Some(name), Some(errno)) => {
                results.insert(name.to_owned(), errno);
            }
            _ => panic!("{line:?}"),
        }
    }
    (results, refused)
}

#[track_caller]
fn check(results: &BTreeMap<String, i32>, refused: &[&str], allowed: &[&str]) {
    for name in refused {
        assert_eq!(results[*name], EPERM, "{name}: {results:?}");
    }
    for name in allowed {
        assert_eq!(results[*name], 0, "{name}: {results:?}");
    }
}

#[test]
fn a_taken_collector_starts_no_program_and_opens_no_network() {
    let (results, refused) = attempts(Process::Collector);
    let attacks = [
        "execve",
        "execveat",
        "fork",
        "inet",
        "inet6",
        "packet",
        "vsock",
        "ptrace",
        "write_memory",
        "map_code",
        "unshare",
        "setns",
        "mount",
        "module",
        "kexec",
        "setuid",
        "capset",
        "type",
        "io_uring",
        "kill",
    ];
    check(&results, &attacks, &["thread", "unix", "netlink", "map_data"]);
    // Its work goes on: refused by the arguments, not by the filter.
    for name in ["bpf", "perf", "open"] {
        assert_ne!(results[name], EPERM, "{name}: {results:?}");
    }
    assert_eq!(results["clone3"], ENOSYS);
    assert_eq!(refused, attacks.len() as u64, "each refusal is counted: {results:?}");
}

#[test]
fn a_taken_relay_starts_no_program_and_touches_no_other_process() {
    let (results, _) = attempts(Process::Relay);
    let attacks = [
        "execve",
        "execveat",
        "fork",
        "packet",
        "vsock",
        "ptrace",
        "write_memory",
        "unshare",
        "setns",
        "mount",
        "module",
        "kexec",
        "setuid",
        "bpf",
        "perf",
        "io_uring",
        "kill",
    ];
    check(&results, &attacks, &["thread", "inet", "inet6", "unix", "map_data"]);
}

#[test]
fn a_taken_netns_process_does_nothing_but_make_diagnostic_sockets() {
    let (results, _) = attempts(Process::Netns);
    let attacks = [
        "execve",
        "execveat",
        "fork",
        "inet",
        "inet6",
        "packet",
        "unix",
        "ptrace",
        "write_memory",
        "map_code",
        "unshare",
        "mount",
        "module",
        "kexec",
        "setuid",
        "bpf",
        "perf",
        "io_uring",
        "open",
        "kill",
    ];
    check(&results, &attacks, &["thread", "netlink", "map_data"]);
    assert_ne!(results["setns"], EPERM, "this is what it is for");
}

#[test]
fn a_taken_launcher_has_no_power_over_others_or_the_kernel() {
    let (results, _) = attempts(Process::Launcher);
    let attacks = [
        "ptrace",
        "write_memory",
        "unshare",
        "setns",
        "mount",
        "module",
        "kexec",
        "bpf",
        "perf",
        "io_uring",
        "type",
    ];
    check(&results, &attacks, &["thread"]);
    assert_ne!(results["execve"], EPERM, "this is what it is for");
}

#[test]
fn a_foreign_program_cannot_reach_out_of_its_process_or_into_the_kernel() {
    let (results, _) = attempts(Process::Plugin);
    let attacks = [
        "ptrace",
        "write_memory",
        "unshare",
        "setns",
        "mount",
        "module",
        "kexec",
        "bpf",
        "perf",
        "io_uring",
        "type",
    ];
    check(&results, &attacks, &["thread", "inet", "unix"]);
    assert_eq!(results["clone3"], ENOSYS, "its flags are not seen by a filter");
}

#[test]
fn a_foreign_program_writes_where_it_may_and_signals_no_process_outside() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir_in("/var/tmp").expect("a directory");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).expect("ours");
    // Another process of the same user.
    let mut bystander = Command::new("sleep").arg("1000").uid(NOBODY).gid(NOBODY).spawn().expect("it starts");
    let script = format!(
        "touch {}/x 2>/dev/null && echo wrote; f=$(mktemp /tmp/confined.XXXXXX) && rm $f && echo tmp; \
         kill -0 {} 2>/dev/null && echo signalled; unshare -U true 2>/dev/null && echo namespace; \
         cat /proc/{}/environ >/dev/null 2>&1 && echo looked; grep -c 0000000000000000 /proc/self/status",
        dir.path().display(),
        bystander.id(),
        bystander.id(),
    );
    let output =
        String::from_utf8(confined(Process::Plugin, &["--", "sh", "-c", &script]).stdout).expect("text");
    bystander.kill().expect("ours");
    bystander.wait().expect("ours");
    let mut said: Vec<&str> = output.lines().collect();
    let empty_sets = said.pop().and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
    assert!(empty_sets >= 4, "it has no capabilities: {output}");
    match sandbox::landlock::abi() {
        0 => assert_eq!(said, ["wrote", "tmp", "signalled", "looked"], "only users bind it on this kernel"),
        // Signals are bound by Landlock since its sixth version.
        1..6 => assert_eq!(said, ["tmp", "signalled"]),
        _ => assert_eq!(said, ["tmp"]),
    }
}

#[test]
fn a_filter_costs_little() {
    let output = confined(Process::Collector, &["cost"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().skip(1).map(|word| word.parse::<f64>().expect("a number"));
    let (before, after) = (numbers.next().expect("before"), numbers.next().expect("after"));
    println!("a system call: {before} ns, under the filter {after} ns");
    assert!(after < before * 3.0 + 200.0, "{text}");
}

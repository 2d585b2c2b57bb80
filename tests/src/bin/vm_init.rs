//! Process 1 of the machines that `cargo xtask vmtest` boots: mounts what a system has, runs the agent and the
//! tests, writes both to the console with a mark in front of each line, switches off.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};

const MOUNTS: [(&str, &str); 7] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tracefs", "/sys/kernel/tracing"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
];

fn main() {
    for (kind, at) in MOUNTS {
        let _ = fs::create_dir_all(at);
        if let Err(error) = mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>) {
            eprintln!("mounting {kind} on {at}: {error}");
        }
    }
    let mut console = File::options().write(true).open("/dev/console").expect("a console");
    // The host's list of what to run: a mark and a command line a line.
    for line in fs::read_to_string("/etc/vmtest").unwrap_or_default().lines() {
        if let Some((mark, words)) = line.split_once(' ') {
            run(&mut console, mark, words);
        }
    }
    let _ = writeln!(console, "\nvmtest:end");
    let _ = console.flush();
    nix::unistd::sync();
    // SAFETY: this is process 1 of a machine that has nothing left to do.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
}

fn run(console: &mut File, mark: &str, words: &str) {
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).env("PATH", "/bin").env("REQUIRE_BPF", "1").env("RUST_BACKTRACE", "0");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let _ = writeln!(console, "vmtest:{mark}:exit cannot start: {error}");
            return;
        }
    };
    // Errors come second: the runs are short and a pipe takes 64 KiB.
    let out: Option<Box<dyn std::io::Read>> = child.stdout.take().map(|pipe| Box::new(pipe) as _);
    let err: Option<Box<dyn std::io::Read>> = child.stderr.take().map(|pipe| Box::new(pipe) as _);
    for (stream, pipe) in [("out", out), ("err", err)] {
        for line in pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok) {
            let _ = writeln!(console, "vmtest:{mark}:{stream} {line}");
        }
    }
    let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
    let _ = writeln!(console, "vmtest:{mark}:exit {status}");
}

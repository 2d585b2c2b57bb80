//! One run of a foreign program.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// Variables of the daemon that a program gets; proxies are for debuginfod's client and curl.
const PASSED: &[&str] = &[
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "DEBUGINFOD_URLS",
    "DEBUGINFOD_TIMEOUT",
    "DEBUGINFOD_MAXSIZE",
    "DEBUGINFOD_MAXTIME",
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];
/// Time between two checks of a running program.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Programs that run, by process: other children are what programs have left behind.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// What to run.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// The file, or a name to look for in `PATH`.
    pub(crate) path: &'a Path,
    pub(crate) arguments: &'a [&'a str],
    /// Its variables beside [`PASSED`].
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Where it may write.
    pub(crate) home: &'a Path,
    /// Its standard input.
    pub(crate) input: &'a [u8],
    pub(crate) timeout: Duration,
}

/// Runs it to its end, or to its time-out; kills what is left of its process group and what has left the group.
pub(crate) fn run(program: &Program<'_>) -> Result<(), String> {
    let input = file_of(program.input).map_err(|error| format!("no memory for its input: {error}"))?;
    let mut command = Command::new(program.path);
    command.args(program.arguments).current_dir("/").env_clear();
    command.env("HOME", program.home).env("TMPDIR", program.home);
    command.envs(PASSED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    // A task may name itself anything but NUL, which no environment can hold.
    command.envs(program.variables.iter().map(|(name, value)| (name, value.replace('\0', ""))));
    command.stdin(input).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn().map_err(|error| explain(&error))?;
        running.insert(child.id());
        child
    };
    sandbox::limit_cpu(child.id());
    let status = wait(&mut child, program.timeout);
    end_group(&child);
    // Of a program that was killed: it is gone when its group is.
    let _ = child.wait();
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&child.id());
    end_strays();
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(status.to_string()),
        None => Err(format!("not done within {:?}: killed", program.timeout)),
    }
}

/// A program need not read its input, and must not be able to hold us up by that: a file, not a pipe.
fn file_of(input: &[u8]) -> std::io::Result<Stdio> {
    let mut file = File::from(memfd_create(CString::default().as_c_str(), MFdFlags::MFD_CLOEXEC)?);
    file.write_all(input)?;
    file.rewind()?;
    Ok(file.into())
}

/// Waits for the end; `None` when it does not come in time.
fn wait(child: &mut Child, most: Duration) -> Option<ExitStatus> {
    let begin = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) | Err(_) if begin.elapsed() > most => return None,
            Ok(None) | Err(_) => std::thread::sleep(POLL_EVERY),
        }
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().map(Pid::from_raw)
}

fn end_group(child: &Child) {
    if let Some(group) = pid(child.id()) {
        // The group may have no process left.
        let _ = killpg(group, Signal::SIGKILL);
    }
}

/// Kills what programs have left behind: their children that left the process group become ours, as this process is
/// their subreaper.
fn end_strays() {
    loop {
        let strays: Vec<u32> = {
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            children().into_iter().filter(|child| !running.contains(child)).collect()
        };
        let mut reaped = 0;
        for stray in strays.into_iter().filter_map(pid) {
            let _ = kill(stray, Signal::SIGKILL);
            reaped += u32::from(waitpid(stray, Some(WaitPidFlag::empty())).is_ok());
        }
        // The children of one that was killed are ours now.
        if reaped == 0 {
            return;
        }
    }
}

/// Children of this process, whichever thread started them.
fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let texts = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    texts
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn explain(error: &std::io::Error) -> String {
    let user = nix::unistd::geteuid();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES) => format!(
            "{error}: it runs as uid {user}, not as root; let that user read and execute it, and enter its \
             directory, or set plugin.user"
        ),
        Some(Errno::EAGAIN) => format!("{error}: uid {user} runs as many processes as it may"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(dir: &Path, text: &str) -> std::path::PathBuf {
        let path = dir.join("script");
        // Not written by this process, which may fork at any time with the file open for writing: "text file busy".
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf '%s' \"$1\" > \"$2\"", "sh", text]).arg(&path);
        // Another test may be looking for strays just now.
        let mut child = {
            let mut running = RUNNING.lock().unwrap();
            let child = shell.spawn().unwrap();
            running.insert(child.id());
            child
        };
        let status = child.wait();
        RUNNING.lock().unwrap().remove(&child.id());
        assert!(status.unwrap().success());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn run_script(text: &str, timeout: Duration, input: &[u8]) -> (Result<(), String>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = script(dir.path(), &format!("#!/bin/sh\ncd {}\n{text}\n", dir.path().display()));
        let variables = vec![("S7MPA_ALERT_COMM", "a\0b".to_owned())];
        (run(&Program { path: &path, arguments: &[], variables, home: dir.path(), input, timeout }), dir)
    }

    const LONG: Duration = Duration::from_mins(2);

    #[test]
    fn a_program_gets_its_input_and_fields_and_nothing_else_of_ours() {
        let (result, dir) = run_script("cat > input; env > env", LONG, b"{}");
        assert_eq!(result, Ok(()));
        assert_eq!(std::fs::read(dir.path().join("input")).unwrap(), b"{}");
        let env = std::fs::read_to_string(dir.path().join("env")).unwrap();
        assert!(env.contains("S7MPA_ALERT_COMM=ab\n"), "{env}");
        assert!(!env.contains("CARGO"), "{env}");
    }

    #[test]
    fn a_program_that_reads_nothing_delays_no_other() {
        let (result, _dir) = run_script("exit 0", LONG, &vec![b'a'; 1 << 20]);
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn a_failure_is_reported_with_its_status() {
        let (result, _dir) = run_script("exit 7", LONG, b"");
        assert!(result.unwrap_err().contains('7'));
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_all_its_children() {
        let text = "sleep 1000 & echo $! > child; wait";
        let (result, dir) = run_script(text, Duration::from_millis(700), b"");
        assert!(result.unwrap_err().contains("killed"));
        let child = std::fs::read_to_string(dir.path().join("child")).unwrap();
        // The signal is on its way: on a busy machine the child takes a while to end.
        let path = format!("/proc/{}/status", child.trim());
        let ended = (0..3000).any(|_| {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let ended = status.is_empty() || status.contains("State:\tZ");
            if !ended {
                std::thread::sleep(Duration::from_millis(10));
            }
            ended
        });
        assert!(ended, "{}", std::fs::read_to_string(&path).unwrap_or_default());
    }
}

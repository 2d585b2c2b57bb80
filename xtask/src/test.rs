//! `test`: everything, with what it needs. Lints first; unit tests run as whoever calls; integration tests (kernel,
//! whole program, real servers) as root. Nothing is skipped.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{apt, fresh, halves, lint, page, prometheus, pypi, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Unit tests only: no root, no packages, no lints
    #[arg(long, conflicts_with = "fresh")]
    unit: bool,
    /// In an empty system that is made for it and removed: bookworm (Debian 12), trixie (Debian 13), noble (Ubuntu 24.04)
    #[arg(long, value_name = "SUITE", num_args = 0..=1, require_equals = true, default_missing_value = "bookworm")]
    fresh: Option<fresh::Suite>,
    /// Only tests whose name contains this, and no lints
    filter: Option<String>,
}

/// Programs the build and the tests run, and the packages that have them.
const PROGRAMS: [(&str, &str); 16] = [
    ("cc", "gcc"),
    ("c++", "g++"),
    ("go", "golang-go"),
    ("strace", "strace"),
    ("dwz", "dwz"),
    ("mount", "mount"),
    ("xz", "xz-utils"),
    ("musl-gcc", "musl-tools"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("mkfs.ext4", "e2fsprogs"),
    ("python3", "python3"),
    // Its groups of system calls; nothing of it runs.
    ("systemd-analyze", "systemd"),
    // The unit reloads with it.
    ("kill", "procps"),
    // The page is tested in it, by scripts of Node.
    ("chromium", "chromium"),
    ("curl", "curl"),
];

/// Real servers the tests talk to. Unpacked under `target/tools`, never installed.
const SERVERS: [&str; 3] = ["mosquitto", "victoria-metrics", "influxdb"];

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(suite) = args.fresh {
        return fresh::run(suite, args.filter.as_deref());
    }
    let start = Instant::now();
    let mut results = Vec::new();
    let filter = args.filter.as_slice();
    if !args.unit {
        apt::install_missing(&PROGRAMS)?;
    }
    let lints = (!args.unit && args.filter.is_none()).then(lint::all);
    let mut unit = shell::cargo();
    unit.args(["test", "--no-fail-fast"]).args(shell::SELECTION).args(["--lib", "--bins"]).args(filter);
    runner(&mut unit, "")?;
    let mut ok = judged(&mut unit, &mut results)?;
    if !args.unit {
        let fetched = Fetched {
            tools: servers()?,
            tests: prometheus()?,
            prometheus: prometheus_programs()?,
            otlp: otlp()?,
        };
        page::prepare()?;
        mount_tracefs()?;
        // The whole-program tests run the `agent` that lies beside their own directory.
        let mut build = shell::cargo();
        shell::run(build.arg("build").args(shell::SELECTION).arg("--bins"))?;
        let mut integration = shell::cargo();
        integration
            .args(["test", "--no-fail-fast"])
            .args(shell::SELECTION)
            .args(["--test", "*"])
            .args(filter);
        as_root_runner(&mut integration, &fetched)?;
        ok &= judged(&mut integration, &mut results)?;
    }
    if let Err(error) = halves::check() {
        eprintln!("{error:#}");
        results.push("test the_privileged_half_compiles_by_itself ... FAILED".to_owned());
        ok = false;
    }
    closing_lines(&results, lints.as_deref(), start);
    match lints.as_deref() {
        _ if !ok => bail!("tests failed"),
        Some([_, ..]) => bail!("lints failed"),
        _ => Ok(()),
    }
}

/// Where the servers are, after fetching them where they are not there yet.
pub(crate) fn servers() -> Result<PathBuf> {
    apt::unpack(&SERVERS, &shell::root().join("target/tools"))
}

/// Where Prometheus's tests are, after fetching them where they are not there yet.
pub(crate) fn prometheus() -> Result<PathBuf> {
    prometheus::tests(&shell::root().join("target/prometheus"))
}

/// Where Prometheus's programs are, likewise.
pub(crate) fn prometheus_programs() -> Result<PathBuf> {
    prometheus::programs(&shell::root().join("target/prometheus"))
}

/// Where OpenTelemetry's messages for Python are, likewise.
pub(crate) fn otlp() -> Result<PathBuf> {
    pypi::otlp(&shell::root().join("target/otlp"))
}

/// What the tests need of others.
struct Fetched {
    tools: PathBuf,
    tests: PathBuf,
    prometheus: PathBuf,
    otlp: PathBuf,
}

/// Seconds after which a test binary is ended, as failed: a test that hangs shall not cost the results of the others.
/// The longest takes some three minutes on two cores.
const HANGS: &str = "1200";

/// Has cargo start each test binary as root.
fn as_root_runner(command: &mut Command, fetched: &Fetched) -> Result<()> {
    let variables = [
        ("REQUIRE_BPF", OsString::from("1")),
        ("S7MPA_TOOLS", fetched.tools.clone().into()),
        ("S7MPA_PROMETHEUS_TESTS", fetched.tests.clone().into()),
        ("S7MPA_PROMETHEUS", fetched.prometheus.clone().into()),
        ("S7MPA_OTLP", fetched.otlp.clone().into()),
    ];
    command.envs(variables.clone());
    if shell::is_root() {
        return runner(command, "");
    }
    let sudo =
        shell::which("sudo").context("kernel tests need root and there is no sudo here: run this as root")?;
    eprintln!("kernel and whole-program tests run as root, through sudo");
    shell::run(Command::new(&sudo).arg("-v"))?;
    let words = variables.map(|(name, value)| format!(" {name}={}", value.display())).concat();
    // Root's timeout: ours could not end root's processes.
    runner(command, &format!("{} env{words} ", sudo.display()))
}

/// Has cargo start each test binary through `before`, and end it after [`HANGS`].
fn runner(command: &mut Command, before: &str) -> Result<()> {
    let triple = shell::capture(Command::new("rustc").arg("-vV"))?;
    let host =
        triple.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    let words = format!("{before}timeout --kill-after=10 {HANGS}");
    command.env(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_")), words);
    Ok(())
}

/// Tracefs is where the kernel's tracepoints are listed; many machines do not mount it.
fn mount_tracefs() -> Result<()> {
    if Path::new("/sys/kernel/tracing/available_events").exists() {
        return Ok(());
    }
    eprintln!("mounting tracefs on /sys/kernel/tracing");
    shell::run(shell::as_root("mount", &[])?.args(["-t", "tracefs", "tracefs", "/sys/kernel/tracing"]))
}

/// Tests that may fail for the machine's sake; where more fail, something is broken.
const MAX_AGAIN: usize = 5;

/// Runs `cargo test`. Each of a few tests that failed runs once more, alone: one that passes then is listed as flaky, which is a
/// defect to mend, not a failure. False when a test failed twice, or a test binary had no result.
fn judged(command: &mut Command, results: &mut Vec<String>) -> Result<bool> {
    let mut of_run = Vec::new();
    if cargo_test(command, &mut of_run)? {
        results.append(&mut of_run);
        return Ok(true);
    }
    let failed: Vec<String> = of_run.iter().filter_map(|line| failed_test(line)).map(str::to_owned).collect();
    let without_result = of_run.iter().any(|line| line.starts_with(NO_RESULT));
    results.append(&mut of_run);
    if without_result || failed.is_empty() || failed.len() > MAX_AGAIN {
        return Ok(false);
    }
    let mut ok = true;
    for name in failed {
        let mut again = Vec::new();
        let mut alone = Command::new(command.get_program());
        alone.args(command.get_args()).args(["--", "--exact", &name]).current_dir(shell::root());
        alone.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let passed = cargo_test(&mut alone, &mut again)?;
        // The filter, if it named none, would pass, too.
        let ran = again.iter().map(|line| counts(line).0).sum::<u64>() > 0;
        if passed && ran {
            results.push(format!("flaky: {name} failed, and passed alone"));
        } else {
            ok = false;
        }
    }
    Ok(ok)
}

/// Name of the test that a line calls failed.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

const RUNS_LONG: &str = "has been running for over 60 seconds";
const NO_RESULT: &str = "a test binary ended without a result";

/// Runs it, passing its output on and keeping the result lines. False when a test failed.
fn cargo_test(command: &mut Command, results: &mut Vec<String>) -> Result<bool> {
    eprintln!("+ {}", shell::line(command));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("its output is piped")?;
    let (mut slow, mut open) = (Vec::new(), 0_i32);
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        open += i32::from(is_begin(&line)) - i32::from(line.starts_with("test result:"));
        keep(line, &mut slow, results);
    }
    results.append(&mut slow);
    if open != 0 {
        results.push(format!("{NO_RESULT}: see above"));
    }
    Ok(child.wait()?.success())
}

/// Does a test binary begin with this line?
fn is_begin(line: &str) -> bool {
    line.starts_with("running ") && (line.ends_with(" tests") || line.ends_with(" test"))
}

/// Keeps a line of a test binary for the end: its result, what failed, and, of a binary that was ended before its result, the
/// tests that ran for long.
fn keep(line: String, slow: &mut Vec<String>, results: &mut Vec<String>) {
    if line.starts_with("test result:") {
        slow.clear();
        results.push(line);
    } else if line.ends_with("... FAILED") {
        results.push(line);
    } else if line.contains(RUNS_LONG) {
        slow.push(line);
    } else if is_begin(&line) {
        results.append(slow);
    }
}

/// Repeats what each lint and each runner said last, and the sum.
fn closing_lines(results: &[String], lints: Option<&[String]>, start: Instant) {
    let (mut passed, mut failed) = (0, 0);
    println!("\n==== results");
    match lints {
        None => println!("lints: not run (--unit, or a filter)"),
        Some([]) => println!("lints: fmt, deny, the page and clippy found nothing"),
        Some(failed) => failed.iter().for_each(|lint| println!("lint FAILED: {lint}")),
    }
    for line in results {
        println!("{line}");
        let (p, f) = counts(line);
        passed += p;
        failed += f;
    }
    let flaky = results.iter().filter(|line| line.starts_with("flaky: ")).count();
    let failed = failed - flaky as u64;
    let flaky = if flaky > 0 { format!(", {flaky} flaky") } else { String::new() };
    println!("==== {passed} passed, {failed} failed{flaky}, in {} s", start.elapsed().as_secs());
}

/// Passed and failed of a `test result:` line.
fn counts(line: &str) -> (u64, u64) {
    let before = |word: &str| {
        let words: Vec<&str> = line.split([' ', ';']).collect();
        words
            .iter()
            .position(|w| *w == word)
            .and_then(|at| words[at.checked_sub(1)?].parse().ok())
            .unwrap_or(0)
    };
    if line.starts_with("test result:") { (before("passed"), before("failed")) } else { (0, 0) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_test_that_hung_is_named_at_the_end_and_a_slow_one_is_not() {
        let (mut slow, mut kept) = (Vec::new(), Vec::new());
        let output = "running 1 test\ntest a has been running for over 60 seconds\ntest a ... ok\ntest result: ok. 1 passed\n\
                      running 1 test\ntest b has been running for over 60 seconds\n\
                      running 1 test\ntest c ... FAILED\ntest result: FAILED. 0 passed";
        for line in output.lines() {
            super::keep(line.to_owned(), &mut slow, &mut kept);
        }
        let hung = "test b has been running for over 60 seconds";
        let failed = "test result: FAILED. 0 passed";
        assert_eq!(kept, ["test result: ok. 1 passed", hung, "test c ... FAILED", failed]);
    }

    #[test]
    fn a_failed_test_and_the_begin_of_a_binary_are_known_by_their_lines() {
        assert_eq!(super::failed_test("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(super::failed_test("test result: FAILED. 1 passed"), None);
        assert!(super::is_begin("running 1 test") && super::is_begin("running 12 tests"));
        assert!(!super::is_begin("running out"));
    }

    #[test]
    fn counts_are_read_from_a_result_line() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(super::counts(line), (12, 3));
        assert_eq!(super::counts("test a::b ... FAILED"), (0, 0));
    }
}

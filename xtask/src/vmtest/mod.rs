//! `vmtest`: which kernel takes which program, and are its counts exact there? Boots Debian's cloud kernels under
//! emulation and runs `agent doctor` and the syscall tests in each.

mod initramfs;
mod kernels;
mod machine;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{apt, shell};
use initramfs::Initramfs;
use machine::Transcript;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernels: 5.10, 6.1, 6.12, newest, all
    #[arg(long, value_name = "NAME")]
    kernel: Vec<String>,
    /// Show the console
    #[arg(long)]
    console: bool,
}

/// Longest a machine may run: ten times what it takes on two idle cores.
const LIMIT: Duration = Duration::from_mins(15);

/// Programs of the tests that the machine needs, beside the agent.
const WORKLOADS: [&str; 6] =
    ["getppid_loop", "short_processes", "sleeper", "compat_calls", "error_storm", "interrupted"];

/// What runs inside: a mark and a command line a line. strace is not in the machine.
const RUNS: &str = "doctor /bin/agent doctor --json\n\
                    tests /bin/syscalls --test-threads=1 --skip strace\n";

/// Name → what became of it.
type Verdicts = BTreeMap<String, String>;

/// One column of the table.
struct Column {
    kernel: String,
    /// Program → verdict.
    programs: Verdicts,
    /// Test → result.
    tests: Verdicts,
    problems: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let kernels = kernels::select(&args.kernel)?;
    apt::install_missing(&[
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("strip", "binutils"),
        ("ldd", "libc-bin"),
    ])?;
    let dir = shell::root().join("target/vmtest");
    fs::create_dir_all(&dir)?;
    let initramfs = dir.join("initramfs");
    fs::write(&initramfs, archive()?)?;
    let mut columns = Vec::new();
    for kernel in kernels {
        let (image, version) = kernels::fetch(kernel, &dir)?;
        eprintln!("booting Linux {version}");
        let column = match machine::boot(&image, &initramfs, LIMIT, args.console) {
            Ok(transcript) => {
                eprintln!("  switched off after {} s", transcript.took.as_secs());
                fs::write(dir.join(format!("{}.log", kernel.name)), transcript.console.join("\n"))?;
                read(&version, &transcript)
            }
            Err(error) => Column {
                kernel: version,
                programs: BTreeMap::new(),
                tests: BTreeMap::new(),
                problems: vec![format!("{error:#}")],
            },
        };
        columns.push(column);
    }
    print(&columns);
    let bad = columns.iter().filter(|column| !column.problems.is_empty()).count();
    if bad > 0 {
        bail!("{bad} of {} kernels are not as they should be", columns.len());
    }
    Ok(())
}

/// Builds what runs inside and packs it.
fn archive() -> Result<Vec<u8>> {
    let selection = shell::SELECTION;
    shell::run(shell::cargo().arg("build").args(selection).arg("--bins"))?;
    let messages = shell::capture(
        shell::cargo()
            .args(["test", "--no-run", "--quiet", "--message-format=json"])
            .args(selection)
            .args(["--test", "syscalls"]),
    )?;
    let test = executable(&messages, "syscalls").context("cargo built no test `syscalls`")?;
    let built = shell::root().join("target/debug");
    let mut archive = Initramfs::default();
    archive.program(&built.join("vm_init"), "/init")?;
    archive.program(&built.join("agent"), "/bin/agent")?;
    archive.program(&test, "/bin/syscalls")?;
    for workload in WORKLOADS {
        archive.program(&built.join(workload), &format!("/bin/{workload}"))?;
    }
    archive.file(Path::new("/etc/vmtest"), RUNS.as_bytes())?;
    archive.file(Path::new("/etc/passwd"), b"root:x:0:0:root:/:/bin/false\n")?;
    archive.file(Path::new("/etc/hostname"), b"vmtest\n")?;
    archive.finish()
}

/// The test executable of this name in cargo's messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name && message["target"]["kind"][0] == "test")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Makes a column of what the machine said.
fn read(version: &str, transcript: &Transcript) -> Column {
    let mut problems = Vec::new();
    if !transcript.complete() {
        problems.push(format!("it did not come to its end; it said last:\n  {}", transcript.tail()));
    }
    let mut programs = BTreeMap::new();
    match serde_json::from_str::<Value>(&transcript.lines("doctor", "out").join("\n")) {
        Ok(report) => verdicts(&report, &mut programs),
        Err(error) => problems.push(format!(
            "doctor printed no JSON ({error}): {}",
            transcript.lines("doctor", "err").join(" | ")
        )),
    }
    if programs.is_empty() {
        problems.push("doctor names no program".to_owned());
    }
    // A program that needs what a kernel does not have is well replaced by its twin for such kernels, `NAME_r`.
    let replaced = |name: &str, state: &str| {
        !state.starts_with("broken") && programs.get(&format!("{name}_r")).is_some_and(|twin| twin == "works")
    };
    // Where this kernel has no such tracepoint, `doctor` says what is lost.
    let absent = |state: &str| state.starts_with("unsupported") && state.contains("No such file");
    let refused =
        programs.iter().filter(|(name, state)| *state != "works" && !replaced(name, state) && !absent(state));
    problems.extend(refused.map(|(name, state)| format!("{name}: {state}")));
    let results = transcript.lines("tests", "out");
    let tests: Verdicts = results
        .iter()
        .filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "))
        .map(|(name, result)| (name.to_owned(), result.to_owned()))
        .collect();
    problems.extend(
        tests.iter().filter(|(_, result)| *result != "ok").map(|(name, result)| format!("{name}: {result}")),
    );
    if !results.iter().any(|line| line.starts_with("test result: ok")) {
        problems.push("the tests did not pass".to_owned());
        problems.extend(
            results
                .iter()
                .filter(|line| line.contains("panicked") || line.contains("left:") || line.contains("right:"))
                .map(ToString::to_string),
        );
    }
    Column { kernel: version.to_owned(), programs, tests, problems }
}

/// Every object with a program and its state, wherever in the document it is.
fn verdicts(value: &Value, into: &mut Verdicts) {
    match value {
        Value::Object(map) => {
            if let (Some(program), Some(state)) =
                (map.get("program").and_then(Value::as_str), map.get("state").and_then(Value::as_str))
            {
                let detail = map.get("detail").and_then(Value::as_str).unwrap_or_default();
                let text = if state == "works" { state.to_owned() } else { format!("{state} ({detail})") };
                into.insert(program.to_owned(), text);
            }
            map.values().for_each(|value| verdicts(value, into));
        }
        Value::Array(list) => list.iter().for_each(|value| verdicts(value, into)),
        _ => {}
    }
}

/// Programs and tests down, kernels across.
fn print(columns: &[Column]) {
    let row = |name: &str, cell: &dyn Fn(&Column) -> String| {
        let cells =
            columns.iter().map(|column| format!(" {:<28}", cell(column))).collect::<Vec<_>>().concat();
        println!("{name:<78}{cells}");
    };
    row("", &|column| column.kernel.clone());
    let parts: [fn(&Column) -> &Verdicts; 2] = [|c| &c.programs, |c| &c.tests];
    for part in parts {
        let mut names: Vec<&String> = columns.iter().flat_map(|column| part(column).keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            row(name, &|column| {
                let cell = part(column).get(name).map_or("-", String::as_str);
                cell.chars().take(27).collect()
            });
        }
    }
    for column in columns {
        for problem in &column.problems {
            println!("{}: {problem}", column.kernel);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn verdicts_are_found_anywhere_in_the_document() {
        let report = serde_json::json!({"kernel": "6.1", "a": {"programs": [
            {"program": "x", "state": "works", "detail": ""},
            {"program": "y", "state": "denied", "detail": "EPERM"},
        ]}});
        let mut found = std::collections::BTreeMap::new();
        super::verdicts(&report, &mut found);
        assert_eq!(found["x"], "works");
        assert_eq!(found["y"], "denied (EPERM)");
    }
}

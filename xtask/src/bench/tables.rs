//! `bench unwind`, its second part: 300 processes that map 500 programs and libraries of this host.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::workload::Workload;
use super::{Built, bar};
use crate::shell;

/// Processes.
const PROCESSES: usize = 300;
/// Different files that they map, ten each.
const FILES: usize = 500;
/// Files, each of a process of its own, that come when the others are known.
const LATER: usize = 20;
/// Until all have been sampled and looked at.
const SETTLE: Duration = Duration::from_secs(30);
/// Until the later ones have been.
const CHANGE: Duration = Duration::from_secs(5);

pub(super) fn run(built: &Built) -> Result<()> {
    let files = programs(FILES + LATER);
    let (first, later) = files.split_at(files.len().saturating_sub(LATER));
    println!("\n{PROCESSES} processes that map {} programs and libraries", first.len());
    let state = shell::root().join("target/bench-tables");
    let _ = fs::remove_dir_all(&state);
    fs::create_dir_all(&state)?;
    let start = |processes: usize, files: &[PathBuf]| -> Result<Workload> {
        let mut command = Command::new(built.program("many_files"));
        Workload::start(command.arg(processes.to_string()).args(files))
    };
    let many = start(PROCESSES, first)?;
    let set = |name: &str| format!("{name}={}", state.join(name).display());
    let mut daemon = Command::new(built.program("agent"))
        .args(["run", "--set", &set("state_dir"), "--set", &set("run_dir")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(state.join("log"))?)
        .spawn()
        .context("cannot start the agent")?;
    let measured = measure(built, &state, || start(LATER, later));
    let _ = Command::new("kill").args(["-INT", &daemon.id().to_string()]).status();
    daemon.wait()?;
    many.kill();
    let (all, change) = measured?;
    let unwind = |key: &str| super::unwind::number(&all, &["self", "unwind", key]).unwrap_or(f64::NAN);
    for key in ["processes", "tables", "rows", "evicted", "refused"] {
        println!("{key:<22}{:>10.0}", unwind(key));
    }
    let maps = super::unwind::number(&all, &["self", "map_bytes"]).unwrap_or(f64::NAN);
    println!("{:<22}{:>10.1}", "all maps, MiB", maps / MIB);
    bar("rows in kernel, MiB", unwind("bytes") / MIB, 32.0);
    bar("CPU s to make them", unwind("cpu_ns") / 1e9, 3.0);
    bar("CPU ms a later file", change / LATER as f64 / 1e6, 50.0);
    Ok(())
}

const MIB: f64 = 1024.0 * 1024.0;

/// The report when all are known, and CPU ns that unwinding took while the later ones came.
fn measure(built: &Built, state: &Path, later: impl Fn() -> Result<Workload>) -> Result<(Value, f64)> {
    std::thread::sleep(SETTLE);
    let all = report(built, state, SETTLE)?;
    let later = later()?;
    std::thread::sleep(CHANGE);
    let change = report(built, state, CHANGE)?;
    later.kill();
    let ns =
        super::unwind::number(&change, &["self", "unwind", "cpu_ns"]).context("the report tells no cost")?;
    Ok((all, ns))
}

fn report(built: &Built, state: &Path, last: Duration) -> Result<Value> {
    let socket = state.join("run_dir/agent.sock");
    let text = shell::capture(
        Command::new(built.program("agent"))
            .args(["report", "--json", "--last", &format!("{}s", last.as_secs()), "--socket"])
            .arg(socket),
    )?;
    Ok(serde_json::from_str(&text)?)
}

/// So many ELF files of this host, spread over all of them; two with the same beginning count once.
fn programs(wanted: usize) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut seen = BTreeSet::new();
    for dir in ["/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib", "/lib64"] {
        let Ok(entries) = fs::read_dir(dir) else { continue };
        let mut paths: Vec<PathBuf> =
            entries.filter_map(|entry| fs::canonicalize(entry.ok()?.path()).ok()).collect();
        paths.sort();
        paths.dedup();
        for path in paths {
            let mut head = [0; 4096];
            let elf = fs::File::open(&path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
                && head.starts_with(b"\x7fELF\x02");
            if elf && seen.insert(head) {
                found.push(path);
            }
        }
    }
    let step = (found.len() as f64 / wanted as f64).max(1.0);
    (0..wanted.min(found.len())).map(|n| found[(n as f64 * step) as usize].clone()).collect()
}

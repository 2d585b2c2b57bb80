//! `bench unwind`, its second part: 300 processes that map 500 programs and libraries of this host.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::daemon::Daemon;
use super::workload::Workload;
use super::{Built, bar};

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
    let start = |processes: usize, files: &[PathBuf]| -> Result<Workload> {
        let mut command = Command::new(built.program("many_files"));
        Workload::start(command.arg(processes.to_string()).args(files))
    };
    // They end when this goes.
    let _many = start(PROCESSES, first)?;
    let daemon = Daemon::start(built, "bench-tables")?;
    std::thread::sleep(SETTLE);
    let all = daemon.report(SETTLE)?;
    let _later = start(LATER, later)?;
    std::thread::sleep(CHANGE);
    let change = daemon.report(CHANGE)?;
    let change = number(&change, &["self", "unwind", "cpu_ns"]).context("the report has no cost")?;
    let unwind = |key: &str| number(&all, &["self", "unwind", key]).unwrap_or(f64::NAN);
    for key in ["processes", "tables", "rows", "evicted", "refused"] {
        println!("{key:<22}{:>10.0}", unwind(key));
    }
    let maps = number(&all, &["self", "map_bytes"]).unwrap_or(f64::NAN);
    println!("{:<22}{:>10.1}", "all maps, MiB", maps / MIB);
    bar("rows in kernel, MiB", unwind("bytes") / MIB, 32.0);
    bar("CPU s to make them", unwind("cpu_ns") / 1e9, 3.0);
    bar("CPU ms a later file", change / LATER as f64 / 1e6, 50.0);
    Ok(())
}

const MIB: f64 = 1024.0 * 1024.0;

/// The number at `path` of a JSON document.
fn number(value: &Value, path: &[&str]) -> Option<f64> {
    path.iter().try_fold(value, |value, key| value.get(key))?.as_f64()
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

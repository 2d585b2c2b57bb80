//! `bench unwind`: stacks of 35 frames without frame pointers, from ours, `profile-bee --dwarf` and `perf record --call-graph
//! dwarf`: how many are kept and whole, who has the time, what a sample costs in the kernel, CPU, memory and bytes written.
//! Then the tables of many programs: how much memory they take, and how much CPU time. Then Debian's own programs under load.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::workload::Workload;
use super::{Built, bar, median, proc, programs, tables};
use crate::{apt, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of sampling
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Ours only
    #[arg(long)]
    ours: bool,
    /// Only the tables of many programs
    #[arg(long)]
    tables: bool,
    /// Only Debian's programs under load
    #[arg(long)]
    programs: bool,
}

/// Samples a second and CPU: enough of them in a few seconds.
const RATE: &str = "997";

/// The tool that ours must agree with.
const PERF: &str = "perf record --call-graph dwarf";

/// Functions that share the time as 1 : 2 : 3 : 4 : 6, below 30 frames of recursion.
const LEAVES: [&str; 5] = ["leaf_a", "leaf_b", "leaf_c", "leaf_d", "leaf_e"];
const DEEP: &str = r#"
#include <stdio.h>
static volatile unsigned long sink;
#define LEAF(name, n) static void name(void) { for (int i = 0; i < n * 4000; i++) sink += sink * 3 + i; }
LEAF(leaf_a, 1) LEAF(leaf_b, 2) LEAF(leaf_c, 3) LEAF(leaf_d, 4) LEAF(leaf_e, 6)
static int descend(int depth) {
    volatile char pad[40];
    pad[0] = depth;
    if (depth == 0) { leaf_a(); leaf_b(); leaf_c(); leaf_d(); leaf_e(); return pad[0]; }
    return descend(depth - 1) + pad[0];
}
int main(void) {
    char line[16];
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 0;
    for (;;) descend(29);
}
"#;

/// What one run of a tool showed.
#[derive(Default)]
struct Figures {
    /// Samples in one of [`LEAVES`].
    kept: f64,
    /// Of them, in percent: from the leaf to `_start`.
    whole: f64,
    /// Mean time in the kernel a sample, ns.
    kernel_ns: Option<f64>,
    /// CPU time of the tool while it sampled and until the stacks were on disk, s.
    cpu_s: f64,
    /// Most memory, MiB.
    rss_mib: f64,
    /// Bytes on disk.
    bytes: f64,
    /// Shares of [`LEAVES`], percent.
    shares: [f64; LEAVES.len()],
}

/// Runs one of the tools once.
type Tool<'a> = Box<dyn Fn() -> Result<Figures> + 'a>;

pub(super) fn run(args: &Args, built: &Built) -> Result<()> {
    if !shell::is_root() {
        bail!("sampling the whole host needs root: run this as root");
    }
    if args.tables {
        return tables::run(built);
    }
    let dir = shell::root().join("target/bench-unwind");
    fs::create_dir_all(&dir)?;
    let deep = compile(&dir)?;
    if args.programs {
        return programs::run(built);
    }
    let stats = BpfStats::on()?;
    let seconds = args.seconds;
    let mut tools: Vec<(&str, Tool<'_>)> =
        vec![("agent flamegraph", Box::new(|| agent(built, &dir, seconds)))];
    if !args.ours {
        apt::install_missing(&[("perf", "linux-perf")])?;
        if let Some(bee) = super::peer("profile-bee", &["--locked", "--no-default-features"], "tools-unwind")
        {
            let dir = &dir;
            tools.push((
                "profile-bee --dwarf",
                Box::new(move || profile_bee(&bee.join("probee"), dir, seconds)),
            ));
        }
        tools.push((PERF, Box::new(|| perf(&dir, seconds))));
    }
    let cpus = std::thread::available_parallelism()?.get();
    let mut figures: Vec<Vec<Figures>> = tools.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        for ((name, tool), figures) in tools.iter().zip(&mut figures) {
            let mut load =
                (0..cpus).map(|_| Workload::start(&mut Command::new(&deep))).collect::<Result<Vec<_>>>()?;
            load.iter_mut().try_for_each(Workload::begin)?;
            match tool() {
                Ok(found) => figures.push(found),
                Err(error) => eprintln!("  {name}: {error:#}"),
            }
            load.into_iter().for_each(Workload::kill);
        }
    }
    drop(stats);
    let expected = cpus as f64 * seconds as f64 * RATE.parse::<f64>()?;
    report(&tools.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &figures, expected);
    tables::run(built)?;
    programs::run(built)
}

fn compile(dir: &Path) -> Result<PathBuf> {
    let (code, program) = (dir.join("deep.c"), dir.join("deep"));
    fs::write(&code, DEEP)?;
    let flags = ["-O2", "-fomit-frame-pointer", "-fno-inline", "-fno-optimize-sibling-calls", "-o"];
    shell::run(Command::new("cc").args(flags).arg(&program).arg(&code))?;
    Ok(program)
}

fn report(names: &[&str], figures: &[Vec<Figures>], expected: f64) {
    println!(
        "{:<34}{:>8}{:>9}{:>12}{:>8}{:>9}{:>12}",
        "", "kept", "whole", "ns/sample", "CPU s", "RSS MiB", "bytes"
    );
    let of = |figures: &[Figures], what: &dyn Fn(&Figures) -> f64| {
        median(&figures.iter().map(what).collect::<Vec<_>>())
    };
    let mut shares = BTreeMap::new();
    for (name, figures) in names.iter().zip(figures).filter(|(_, figures)| !figures.is_empty()) {
        let kernel = of(figures, &|figures| figures.kernel_ns.unwrap_or(f64::NAN));
        println!(
            "{name:<34}{:>6.1} %{:>7.2} %{:>12}{:>8.2}{:>9.1}{:>12.0}",
            100.0 * of(figures, &|figures| figures.kept) / expected,
            of(figures, &|figures| figures.whole),
            if kernel.is_nan() { "-".to_owned() } else { format!("{kernel:.0}") },
            of(figures, &|figures| figures.cpu_s),
            of(figures, &|figures| figures.rss_mib),
            of(figures, &|figures| figures.bytes),
        );
        let share = |leaf: usize| of(figures, &|figures| figures.shares[leaf]);
        shares.insert(*name, std::array::from_fn::<f64, { LEAVES.len() }, _>(share));
    }
    println!();
    for (name, shares) in &shares {
        let list: Vec<String> =
            LEAVES.iter().zip(shares).map(|(leaf, share)| format!("{leaf} {share:.1} %")).collect();
        println!("{name:<34}{}", list.join("  "));
    }
    println!();
    let ours = &figures[0];
    bar("% of stacks cut", 100.0 - of(ours, &|figures| figures.whole), 0.5);
    bar("µs a sample, kernel", of(ours, &|figures| figures.kernel_ns.unwrap_or(f64::NAN)) / 1e3, 5.0);
    if let (Some(ours), Some(perf)) = (shares.get(names[0]), shares.get(PERF)) {
        let apart = ours.iter().zip(perf).map(|(ours, perf)| (ours - perf).abs()).fold(0.0, f64::max);
        bar("points apart from perf", apart, 2.0);
    }
}

fn agent(built: &Built, dir: &Path, seconds: u64) -> Result<Figures> {
    let mut command = Command::new(built.program("agent"));
    let span = format!("{seconds}s");
    command.args(["flamegraph", "--all", "--no-daemon", "--rate", RATE, "--duration", &span]);
    writes_folded(&mut command, &dir.join("agent.folded"))
}

fn profile_bee(program: &Path, dir: &Path, seconds: u64) -> Result<Figures> {
    let mut command = Command::new(program);
    command.args(["--dwarf", "--frequency", RATE, "--time", &(seconds * 1000).to_string()]);
    writes_folded(&mut command, &dir.join("bee.folded"))
}

/// Runs a tool that writes folded stacks where `-o` says.
fn writes_folded(command: &mut Command, out: &Path) -> Result<Figures> {
    let mut figures = watch(command.arg("-o").arg(out))?;
    figures.bytes = fs::metadata(out)?.size() as f64;
    folded(&fs::read_to_string(out)?, &mut figures);
    Ok(figures)
}

fn perf(dir: &Path, seconds: u64) -> Result<Figures> {
    let data = dir.join("perf.data");
    let mut command = Command::new("perf");
    command.args(["record", "-q", "-F", RATE, "-e", "cpu-clock", "-a", "--call-graph", "dwarf", "-o"]);
    command.arg(&data).args(["--", "sleep", &seconds.to_string()]);
    let mut figures = watch(&mut command)?;
    figures.bytes = fs::metadata(&data)?.size() as f64;
    let script = Instant::now();
    let text = shell::capture(
        Command::new("perf")
            .args(["script", "--comm", "deep", "-F", "ip,sym", "--no-inline", "-i"])
            .arg(&data)
            .stderr(Stdio::null()),
    )?;
    eprintln!("  perf script took {:.1} s", script.elapsed().as_secs_f64());
    let mut lines = String::new();
    for sample in text.split("\n\n") {
        let mut frames: Vec<&str> =
            sample.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        frames.reverse();
        lines.push_str(&frames.join(";"));
        lines.push_str(" 1\n");
    }
    folded(&lines, &mut figures);
    Ok(figures)
}

/// Counts what folded stacks, root first, say of [`LEAVES`].
fn folded(text: &str, figures: &mut Figures) {
    let (mut kept, mut whole, mut shares) = (0.0, 0.0, [0.0; LEAVES.len()]);
    for (stack, count) in text.lines().filter_map(|line| line.rsplit_once(' ')) {
        let count: f64 = count.parse().unwrap_or(0.0);
        let has = |name: &str| stack.split(';').any(|frame| frame.starts_with(name));
        let Some(leaf) = LEAVES.iter().position(|leaf| has(leaf)) else { continue };
        kept += count;
        shares[leaf] += count;
        if has("_start") {
            whole += count;
        }
    }
    figures.kept = kept;
    figures.whole = 100.0 * whole / kept;
    figures.shares = shares.map(|share| 100.0 * share / kept);
}

/// Runs a tool to its end: CPU time, memory, and the time of its program that ran most often.
fn watch(command: &mut Command) -> Result<Figures> {
    let mut child: Child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", shell::line(command)))?;
    let mut figures = Figures::default();
    loop {
        let pid = child.id();
        figures.cpu_s = proc::cpu(pid).map_or(figures.cpu_s, |cpu| cpu.as_secs_f64().max(figures.cpu_s));
        let rss = super::memory::Memory::of(pid).unwrap_or_default().resident as f64 / (1024.0 * 1024.0);
        figures.rss_mib = figures.rss_mib.max(rss);
        if let Some((runs, ns)) = proc::sampling(pid) {
            figures.kernel_ns = Some(ns as f64 / runs as f64);
        }
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                bail!("{} ended with {status}", shell::line(command));
            }
            return Ok(figures);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `kernel.bpf_stats_enabled`, as it was before when this goes.
struct BpfStats(String);

const BPF_STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl BpfStats {
    fn on() -> Result<Self> {
        let before = fs::read_to_string(BPF_STATS).context(BPF_STATS)?;
        fs::write(BPF_STATS, "1").context(BPF_STATS)?;
        Ok(Self(before))
    }
}

impl Drop for BpfStats {
    fn drop(&mut self) {
        let _ = fs::write(BPF_STATS, &self.0);
    }
}

//! Makes up a profile of every process of this host and names it, cold and warm: how long the first
//! flame graph takes here, and the ones after it.
//!
//!     cargo run --release -p flamegraphs --example host -- host.svg
//!
//! The addresses are spread over the executable mappings, so nearly all are distinct: harder than a real
//! profile, in which hot functions repeat. As root it covers all processes, else only one's own.

use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_common::units::MonoNs;
use flamegraphs::{SvgOptions, Symbolizer, SymbolizerOptions, svg};
use profile::{FoldOptions, Folded, Sample};

/// Stacks of each process.
const STACKS: u64 = 20;
/// User and kernel frames of each stack.
const DEPTH: u64 = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args_os().nth(1).unwrap_or_else(|| "host.svg".into());
    let samples = samples();
    let processes = samples.len() as u64 / STACKS;
    println!("{processes} processes, {} samples", samples.len());

    let symbolizer = Symbolizer::spawn(SymbolizerOptions::default())?;
    for run in ["cold", "warm", "warm"] {
        let (start, cpu) = (Instant::now(), cpu_ms());
        let folded = symbolizer.fold(samples.clone(), FoldOptions::default())?;
        let named = start.elapsed();
        draw(&folded, Path::new(&out))?;
        print(run, named, start.elapsed(), cpu_ms() - cpu, &folded);
    }
    println!("{:#?}\n{}", symbolizer.stats(), memory());
    Ok(())
}

fn print(run: &str, named: Duration, all: Duration, cpu_ms: u64, folded: &Folded) {
    println!(
        "{run}: named and folded {named:.0?}, with the SVG {all:.0?} (CPU {cpu_ms} ms); {} stacks, {} frames, {}",
        folded.stacks.len(),
        folded.names.frames,
        folded.names
    );
}

fn draw(folded: &Folded, path: &Path) -> std::io::Result<()> {
    let options = SvgOptions {
        title: "Made-up profile of this host".to_owned(),
        subtitle: Some(folded.names.to_string()),
        ..SvgOptions::default()
    };
    svg::write(folded, &options, BufWriter::new(File::create(path)?))
}

/// [`STACKS`] stacks of each process that we may look at.
fn samples() -> Vec<Sample> {
    let kernel = kernel_text();
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut samples = Vec::new();
    let Ok(entries) = fs::read_dir("/proc") else { return samples };
    for tgid in entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let comm: Arc<str> =
            fs::read_to_string(format!("/proc/{tgid}/comm")).unwrap_or_default().trim().into();
        let maps = executable(tgid);
        for at in 0..STACKS {
            let user = if maps.is_empty() { 0 } else { DEPTH };
            let user = (0..user).map(|_| {
                let (start, end) = maps[(next() % maps.len() as u64) as usize];
                start + next() % (end - start)
            });
            let user = user.collect();
            let kernel = (0..DEPTH).map(|_| kernel + next() % (8 << 20)).collect();
            samples.push(Sample {
                at: MonoNs(at),
                tgid,
                tid: tgid,
                comm: Arc::clone(&comm),
                kernel,
                user,
                weight: 1,
            });
        }
    }
    samples
}

fn executable(tgid: u32) -> Vec<(u64, u64)> {
    let maps = fs::read_to_string(format!("/proc/{tgid}/maps")).unwrap_or_default();
    let files = maps.lines().filter(|line| line.contains(" r-xp ") && line.contains(" /"));
    files
        .filter_map(|line| {
            let (start, end) = line.split(' ').next()?.split_once('-')?;
            Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
        })
        .collect()
}

/// Where the kernel's code starts; 0 when that is hidden.
fn kernel_text() -> u64 {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let line = symbols.lines().find(|line| line.ends_with(" _stext"));
    line.and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok()).unwrap_or_default()
}

/// CPU time of this process, to the 10 ms that `/proc` gives; on a busy host the clock on the wall says little.
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
}

fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("Rss"));
    lines.collect::<Vec<_>>().join("\n")
}

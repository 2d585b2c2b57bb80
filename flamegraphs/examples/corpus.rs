//! Compares names, inlined functions and lines at random addresses of libraries with those of `addr2line` and
//! `llvm-symbolizer`, then times 1,000 addresses of this process, cold and warm.
//!
//!     cargo run --release -p flamegraphs --example corpus -- 2000 /usr/lib/x86_64-linux-gnu/libc.so.6 …
//!
//! Needs binutils, and the libraries' debug files (on Debian libc6-dbg and the like). Fails under 99.9 %.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use agent_common::units::MonoNs;
use flamegraphs::{Symbolizer, SymbolizerOptions, readable};
use profile::{FrameName, Sample, Source};

/// Agreement that is asked for, per cent.
const BAR_PCT: f64 = 99.9;

/// A chain of functions, the outermost first, each with its line: `malloc malloc.c:3294`.
type Chain = Vec<(String, String)>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let count: usize = words.next().ok_or("corpus COUNT FILE…")?.parse()?;
    let files: Vec<PathBuf> = words.map(PathBuf::from).collect();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut all = Sums::default();
    for (at, file) in files.iter().enumerate() {
        let addrs =
            addresses(file, count / files.len() + usize::from(at < count % files.len()), &mut random)?;
        let sums = compare(file, &addrs)?;
        println!("{sums} {}", file.display());
        all.add(&sums);
    }
    println!("{all} in all; bar {BAR_PCT} %");
    times()?;
    let enough = all.names as f64 * 100.0 >= BAR_PCT * all.asked as f64;
    if enough { Ok(()) } else { Err("less agreement than asked for".into()) }
}

#[derive(Default)]
struct Sums {
    asked: usize,
    names: usize,
    lines: usize,
    inlined: usize,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.names += other.names;
        self.lines += other.lines;
        self.inlined += other.inlined;
    }
}

impl std::fmt::Display for Sums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pct = |part: usize| part as f64 * 100.0 / self.asked.max(1) as f64;
        write!(
            f,
            "{:>5} addresses, {:>4} with inlined functions: names agree {:>7.3} %, names and lines {:>7.3} %",
            self.asked,
            self.inlined,
            pct(self.names),
            pct(self.lines)
        )
    }
}

fn compare(file: &Path, addrs: &[u64]) -> Result<Sums, Box<dyn Error>> {
    let symbolizer = Symbolizer::spawn(SymbolizerOptions::default())?;
    let ours: Vec<Chain> = symbolizer.file(file.to_owned(), addrs.to_vec())?.iter().map(chain).collect();
    let references = [addr2line(file, addrs)?, llvm_symbolizer(file, addrs)];
    let aliases = aliases(file)?;
    let mut sums = Sums { asked: addrs.len(), ..Sums::default() };
    let verbose = std::env::var_os("VERBOSE").is_some();
    for (at, addr) in addrs.iter().enumerate() {
        let theirs: Vec<&Chain> = references.iter().filter_map(|all| all.get(at)).collect();
        let names = theirs.iter().any(|chain| same_names(&ours[at], chain, &aliases));
        let lines = theirs.iter().any(|chain| {
            same_names(&ours[at], chain, &aliases) && ours[at].iter().zip(*chain).all(|(a, b)| a.1 == b.1)
        });
        sums.names += usize::from(names);
        sums.lines += usize::from(lines);
        sums.inlined += usize::from(ours[at].len() > 1);
        if !names {
            println!("  {addr:#x}: {:?}, but {theirs:?}", ours[at]);
        } else if !lines && verbose {
            println!("  {addr:#x}: lines {:?}, but {theirs:?}", ours[at]);
        }
    }
    Ok(sums)
}

fn chain(name: &FrameName) -> Chain {
    let place =
        |source: Option<&Source>| source.map_or(String::new(), |source| place(&source.file, source.line));
    let text = if name.unnamed.is_some() { "??" } else { &name.text };
    let outer = (text.to_owned(), place(name.code.as_ref().and_then(|code| code.source.as_ref())));
    let inlined = name.inlined().iter().map(|one| (one.text.to_string(), place(one.source.as_ref())));
    std::iter::once(outer).chain(inlined).collect()
}

fn place(file: &str, line: u32) -> String {
    let file = file.rsplit('/').next().unwrap_or(file);
    if line == 0 || file == "??" { String::new() } else { format!("{file}:{line}") }
}

/// Equal, or aliases of one address; a clone (`foo.part.0`) is the function it is of.
fn same_names(ours: &Chain, theirs: &Chain, aliases: &HashMap<String, u64>) -> bool {
    let clone = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('.'));
    let same = |a: &str, b: &str| {
        let alias = aliases.get(a).is_some_and(|addr| aliases.get(b) == Some(addr));
        a == b || alias || clone(a, b) || clone(b, a)
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| same(&a.0, &b.0))
}

fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let out = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn hex(addrs: &[u64]) -> impl Iterator<Item = String> {
    addrs.iter().map(|addr| format!("{addr:#x}"))
}

/// Blocks of an address line and of two lines a frame, the innermost first.
fn addr2line(file: &Path, addrs: &[u64]) -> Result<Vec<Chain>, Box<dyn Error>> {
    let text = output(Command::new("addr2line").args(["-a", "-i", "-f", "-e"]).arg(file).args(hex(addrs)))?;
    let mut chains: Vec<Chain> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            chains.push(Vec::new());
        } else if let (Some(chain), Some(at)) = (chains.last_mut(), lines.next()) {
            let (path, number) = at.split(" (").next().unwrap_or(at).rsplit_once(':').unwrap_or((at, ""));
            chain.insert(0, (readable(line).into_owned(), place(path, number.parse().unwrap_or(0))));
        }
    }
    Ok(chains)
}

/// Blocks of two lines a frame, the innermost first, an empty line behind each; nothing where it is not installed.
fn llvm_symbolizer(file: &Path, addrs: &[u64]) -> Vec<Chain> {
    let mut command = Command::new("llvm-symbolizer");
    command.args(["--no-demangle", "--functions=linkage", "--obj"]).arg(file).args(hex(addrs));
    let Ok(text) = output(&mut command) else {
        println!("  llvm-symbolizer is not here: addr2line alone");
        return Vec::new();
    };
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    blocks
        .map(|block| {
            let lines: Vec<&str> = block.trim().lines().collect();
            let frames = lines.chunks(2).rev().map(|frame| {
                let mut words = frame.get(1).copied().unwrap_or("").rsplitn(3, ':').skip(1);
                let (line, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                (readable(frame[0]).into_owned(), place(path, line.parse().unwrap_or(0)))
            });
            frames.collect()
        })
        .collect()
}

/// Readable names of functions by address: of the file and of its debug file.
fn aliases(file: &Path) -> Result<HashMap<String, u64>, Box<dyn Error>> {
    let mut found = HashMap::new();
    let notes = output(Command::new("readelf").arg("-nW").arg(file))?;
    let id = notes.lines().find_map(|line| line.split("Build ID: ").nth(1)).unwrap_or("").trim();
    let (first, rest) = id.split_at_checked(2).unwrap_or_default();
    let debug = PathBuf::from(format!("/usr/lib/debug/.build-id/{first}/{rest}.debug"));
    for (path, flag) in [(file, "-D"), (file, "-a"), (debug.as_path(), "-a")] {
        for line in output(Command::new("nm").arg(flag).arg(path))?.lines() {
            let mut words = line.split(' ');
            let addr = words.next().and_then(|addr| u64::from_str_radix(addr, 16).ok());
            if let (Some(addr), Some(name)) = (addr, words.nth(1)) {
                let name = name.split('@').next().unwrap_or(name);
                found.insert(readable(name).into_owned(), addr);
            }
        }
    }
    Ok(found)
}

/// Random addresses in `.text`, sorted, each once.
fn addresses(file: &Path, count: usize, random: &mut Random) -> Result<Vec<u64>, Box<dyn Error>> {
    let text = output(Command::new("readelf").arg("-SW").arg(file))?;
    let line = text.lines().find(|line| line.contains(" .text ")).ok_or("no .text")?;
    let mut words = line.split(" .text ").nth(1).unwrap_or_default().split_whitespace().skip(1);
    let mut word = || u64::from_str_radix(words.next().unwrap_or_default(), 16);
    let (start, _, size) = (word()?, word()?, word()?);
    let mut addrs = std::collections::BTreeSet::new();
    while addrs.len() < count {
        addrs.insert(start + random.next() % size);
    }
    Ok(addrs.into_iter().collect())
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// 1,000 distinct addresses in this process' libc.
fn times() -> Result<(), Box<dyn Error>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let line = maps.lines().find(|line| line.contains("r-xp") && line.contains("/libc"));
    let (start, end) = line.and_then(|line| line.split(' ').next()?.split_once('-')).ok_or("no libc")?;
    let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
    let tgid = std::process::id();
    let samples: Vec<Sample> = (0..100)
        .map(|stack| Sample {
            at: MonoNs(stack),
            tgid,
            tid: tgid,
            comm: "corpus".into(),
            kernel: [].into(),
            user: (0..10).map(|frame| start + (end - start) / 1000 * (stack * 10 + frame) + 1).collect(),
            weight: 1,
        })
        .collect();
    for (what, debug_bytes) in
        [("symbols alone", 0), ("with debug info", SymbolizerOptions::default().debug_bytes)]
    {
        let before = resident_kib();
        let symbolizer =
            Symbolizer::spawn(SymbolizerOptions { debug_bytes, ..SymbolizerOptions::default() })?;
        let mut took = Vec::new();
        let mut samples = samples.clone();
        for _ in 0..11 {
            let begin = Instant::now();
            samples = symbolizer.names(samples)?.0;
            took.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let mut warm = took[1..].to_vec();
        warm.sort_by(f64::total_cmp);
        let stats = symbolizer.stats();
        println!(
            "1,000 addresses of libc, {what}: cold {:.1} ms, warm {:.2} ms (median of 10; {:.2}..{:.2}); \
             counted {} KiB of tables, {} KiB of names; resident {:+} KiB",
            took[0],
            warm[5],
            warm[0],
            warm[9],
            stats.table_bytes >> 10,
            stats.name_bytes >> 10,
            resident_kib() - before
        );
    }
    Ok(())
}

/// Memory of this process that is not a file's.
fn resident_kib() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("RssAnon") || line.starts_with("RssShmem"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<i64>().ok()).sum()
}

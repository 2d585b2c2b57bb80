//! Figures of blocks, filters and search, beside `grep` and `zstdgrep` over the same lines.
//!
//! ```text
//! cargo run --release -p logs --example blocks_bench -- [LINES] [DIRECTORY] [LEVEL]
//! ```
//!
//! Makes LINES (10,000,000) lines of two kinds, each from a seed: *hard* (random ids and addresses) and *journal-like* (few programs,
//! numbers that change, 12 fields a line). Blocks and filters lie in two files of DIRECTORY, the text in a third for `grep`. "Raw" is
//! the text of messages with an end of line each; of the journal-like lines also names and values of fields.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agent_common::units::{DurNs, UnixNs};
use logs::block::{Block, Builder, Codec, Header, PushError};
use logs::filter::CELL_BYTES;
use logs::query::{Answer, Blocks, Candidate, Limits, Query, histogram, search};
use logs::{Record, Severity, Stream};

/// Lines that are made, then pushed: few, as a parser hands lines on while they are in the cache.
const BATCH: usize = 64;
/// Each query is run so often; the fastest counts.
const ROUNDS: u64 = 3;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

const PATHS: [&str; 8] =
    ["/api/v1/users", "/api/v1/orders", "/health", "/login", "/static/app.js", "/search", "/cart", "/"];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// A line, into `record`, whose memory is used again.
fn make(random: &mut Random, hard: bool, number: u64, record: &mut Record) {
    use std::fmt::Write as _;
    record.at = UnixNs(record.at.0 + random.below(200) * 1000);
    record.position += record.message.len() as u64 + 28;
    record.severity = match random.below(100) {
        0..2 => Severity::Error,
        2..8 => Severity::Warning,
        _ => Severity::Info,
    };
    record.message.clear();
    let out = &mut record.message;
    let written = if hard {
        let (ip, id) = (random.next() as u32, random.next());
        let (path, method) = (PATHS[random.below(8) as usize], METHODS[random.below(4) as usize]);
        let status = [200, 200, 200, 301, 404, 500][random.below(6) as usize];
        write!(
            out,
            "worker-{} request id={id:016x} from 10.{}.{}.{} {method} {path} status={status} in {} ms",
            random.below(16),
            ip >> 16 & 255,
            ip >> 8 & 255,
            ip & 255,
            random.below(3000)
        )
    } else {
        record.pid = 600 + random.below(4) as u32;
        record.start_ns = 1_000_000_000 * u64::from(record.pid);
        match random.below(6) {
            0 => write!(out, "Started session {} of user www-data.", random.below(5000)),
            1 => write!(
                out,
                "pam_unix(cron:session): session opened for user root(uid=0) by (uid={})",
                random.below(3)
            ),
            2 => write!(
                out,
                "level=info msg=\"request completed\" path={} duration={}ms",
                PATHS[random.below(8) as usize],
                random.below(900)
            ),
            3 => write!(out, "DHCPACK of 10.0.{}.{} from 10.0.0.1", random.below(4), random.below(255)),
            4 => write!(out, "worker {} finished job {number} without errors", random.below(16)),
            _ => write!(
                out,
                "connection from 192.168.1.{} port {} closed [preauth]",
                random.below(255),
                1024 + random.below(60_000)
            ),
        }
    };
    written.expect("a string takes all");
    if number % 2_000_003 == 100_000 {
        out.push_str(" needle_in_haystack");
    }
    if !hard {
        record.fields[10].1.clear();
        write!(record.fields[10].1, "{}", record.pid).expect("a string takes all");
    }
}

fn first(hard: bool) -> Record {
    let fields: &[(&str, &str)] = if hard {
        &[]
    } else {
        &[
            ("_TRANSPORT", "stdout"),
            ("_UID", "0"),
            ("_GID", "0"),
            ("_COMM", "worker"),
            ("_EXE", "/usr/bin/worker"),
            ("_CMDLINE", "/usr/bin/worker --config /etc/worker.toml"),
            ("_CAP_EFFECTIVE", "1ffffffffff"),
            ("_SYSTEMD_CGROUP", "/system.slice/worker.service"),
            ("_SYSTEMD_UNIT", "worker.service"),
            ("SYSLOG_IDENTIFIER", "worker"),
            ("_PID", ""),
            ("_BOOT_ID", "7f3c1c0e1b7d4d0f9f6a2b7b1a2c3d4e"),
        ]
    };
    Record {
        at: UnixNs(1_796_061_600_000_000_000),
        severity: Severity::Info,
        pid: 0,
        start_ns: 0,
        position: 0,
        message: String::new(),
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

/// Blocks in one file, filters in another.
struct Store {
    blocks: File,
    filters: File,
    /// Header, and offset and length of block and filter; by time.
    rows: Vec<(Header, [u64; 4])>,
    next: usize,
}

impl Blocks for Store {
    type Id = usize;
    type Error = std::io::Error;

    fn next(&mut self) -> Option<Result<Candidate<usize>, Self::Error>> {
        let id = self.rows.len().checked_sub(1 + self.next)?;
        self.next += 1;
        let (header, place) = &self.rows[id];
        Some(Ok(Candidate { id, header: header.clone(), filter_bytes: place[3] }))
    }

    fn filter_cell(
        &mut self,
        id: &usize,
        offset: u64,
        cell: &mut [u8; CELL_BYTES],
    ) -> Result<(), Self::Error> {
        self.filters.read_exact_at(cell, self.rows[*id].1[2] + offset)
    }

    fn load(&mut self, id: &usize) -> Result<Option<Vec<u8>>, Self::Error> {
        let place = self.rows[*id].1;
        let mut bytes = vec![0; place[1] as usize];
        self.blocks.read_exact_at(&mut bytes, place[0])?;
        Ok(Some(bytes))
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// CPU time of this thread.
fn thread_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn ingest(lines: u64, hard: bool, directory: &Path, level: i32) -> std::io::Result<(Store, u64)> {
    let stream = Stream::new([("source", "journal"), ("unit", "worker.service")]);
    let mut codec = Codec::with_level(level);
    let mut builder = Builder::new(stream).expect("few labels");
    let open = |name: &str| {
        File::options().create(true).truncate(true).read(true).write(true).open(directory.join(name))
    };
    let (blocks, filters) = (open("blocks")?, open("filters")?);
    let mut text = BufWriter::with_capacity(1 << 20, open("text")?);
    let mut store = Store { blocks, filters, rows: Vec::new(), next: 0 };
    let (mut random, mut record) = (Random(7), first(hard));
    let (mut raw, mut at, mut making, mut buffered) = (0_u64, [0_u64; 2], 0_u64, Vec::new());
    let mut number = 0;
    while number < lines {
        buffered.clear();
        while number < lines && buffered.len() < BATCH {
            make(&mut random, hard, number, &mut record);
            buffered.push(record.clone());
            number += 1;
        }
        for record in &buffered {
            raw += record.message.len() as u64 + 1;
            raw +=
                record.fields.iter().map(|(name, value)| (name.len() + value.len() + 2) as u64).sum::<u64>();
            text.write_all(record.message.as_bytes())?;
            text.write_all(b"\n")?;
        }
        let start = thread_ns();
        let mut made = Vec::new();
        for record in &buffered {
            if builder.push(record) == Err(PushError::Full) {
                made.extend(builder.finish_with_filter(&mut codec).expect("compresses"));
                builder.push(record).expect("fits");
            }
        }
        if number == lines {
            made.extend(builder.finish_with_filter(&mut codec).expect("compresses"));
        }
        making += thread_ns() - start;
        for (block, filter) in made {
            store.blocks.write_all(&block)?;
            store.filters.write_all(&filter)?;
            let header = Header::read(&block).expect("a sound block");
            store.rows.push((header, [at[0], block.len() as u64, at[1], filter.len() as u64]));
            at = [at[0] + block.len() as u64, at[1] + filter.len() as u64];
        }
    }
    text.flush()?;
    let share = |bytes: u64| bytes as f64 / raw as f64;
    println!(
        "ingest      {:.2} M lines/s/core, filters included; {} blocks of {} lines; raw {:.0} MB",
        lines as f64 / making as f64 * 1e3,
        store.rows.len(),
        lines / store.rows.len().max(1) as u64,
        raw as f64 / 1e6
    );
    println!(
        "size        {:.3} of raw = blocks {:.3} + filters {:.3}",
        share(at[0] + at[1]),
        share(at[0]),
        share(at[1])
    );
    Ok((store, raw))
}

/// CPU time of the process in ms, in steps of 10.
fn cpu_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.split(' ').collect();
    [13, 14].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum::<u64>() * 10
}

fn ask(store: &mut Store, name: &str, text: &str, lines: usize, bar_ms: f64) {
    let query = Query::parse(text).expect("a query");
    let mut best: Option<(Duration, Answer)> = None;
    let cpu = cpu_ms();
    for _ in 0..ROUNDS {
        store.next = 0;
        let start = Instant::now();
        let limits = Limits { lines, threads: 2, over: &|| false };
        let answer =
            search(&query, store, &limits, &mut |_| ControlFlow::Continue(())).expect("files can be read");
        let took = start.elapsed();
        if best.is_none_or(|(before, _)| took < before) {
            best = Some((took, answer));
        }
    }
    let Some((took, answer)) = best else { return };
    println!(
        "{name:<34} {:>9.2} ms  (bar {bar_ms}; CPU {}; {} lines, {} of {} blocks decoded)  {text}",
        ms(took),
        (cpu_ms() - cpu) / ROUNDS,
        answer.lines,
        answer.effort.decoded,
        answer.effort.blocks
    );
}

fn count(store: &mut Store, name: &str, text: &str) {
    let (Some((oldest, _)), Some((newest, _))) = (store.rows.first(), store.rows.last()) else { return };
    let (from, to) = (oldest.t0, UnixNs(newest.t1.0 + 1));
    let query = Query::parse(text).expect("a query").within(from, to);
    store.next = 0;
    let start = Instant::now();
    let limits = Limits { lines: 0, threads: 2, over: &|| false };
    let step = DurNs((to.0 - from.0).div_ceil(200));
    let counted = histogram(&query, step, store, &limits).expect("files can be read");
    let lines: u64 = counted.steps.iter().flatten().sum();
    println!("{name:<34} {:>9.2} ms  ({lines} lines counted)  {text}", ms(start.elapsed()));
}

fn beside(program: &str, arguments: &[&str], file: &Path) {
    let start = Instant::now();
    let output = Command::new(program).args(arguments).arg(file).stderr(Stdio::null()).output();
    match output {
        Ok(output) => {
            let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            println!(
                "{:<34} {:>9.2} ms  ({found} lines)",
                format!("{program} {}", arguments.join(" ")),
                ms(start.elapsed())
            );
        }
        Err(error) => println!("{program}: {error}"),
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let lines = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let directory = arguments.next().map_or_else(|| std::env::temp_dir().join("blocks_bench"), Into::into);
    let level = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(3);
    std::fs::create_dir_all(&directory)?;
    for hard in [true, false] {
        println!(
            "\n== {} text, {lines} lines, zstd level {level}",
            if hard { "hard" } else { "journal-like" }
        );
        let (mut store, _) = ingest(lines, hard, &directory, level)?;
        let all = usize::MAX;
        ask(&mut store, "rare word", "needle_in_haystack", all, 30.0);
        ask(&mut store, "absent word", "no_such_word_here", all, 30.0);
        ask(&mut store, "two words, one absent", "status absent_word_too", all, 30.0);
        ask(&mut store, "common word, last 100", if hard { "status" } else { "session" }, 100, 5.0);
        ask(&mut store, "any line, last 100", "", 100, 5.0);
        ask(&mut store, "regex with a literal (whole)", "~\" needle_in_[a-z]+\"", all, 1000.0);
        ask(&mut store, "regex with a literal (inner)", "~eedle_in_hay[s-t]", all, 1000.0);
        ask(
            &mut store,
            "regex with a literal (common)",
            if hard { "~\"status=500 in 299[0-9] ms\"" } else { "~\"user www-data.x\"" },
            all,
            1000.0,
        );
        ask(&mut store, "regex without", "~[x-z]{3}[0-9]{3}[x-z]{2}", all, 3000.0);
        ask(&mut store, "regex without, anchored", "~^[x-z]{3}[0-9]{3}", all, 3000.0);
        ask(&mut store, "regex without, in any case", "~(?i)[x-z]{3}[0-9]{3}\\b", all, 3000.0);
        ask(&mut store, "word begins so, absent", "needle_in_hayx*", all, 3000.0);
        ask(&mut store, "a field", "_PID=601", 100, 5.0);
        count(&mut store, "histogram of all", "");
        count(&mut store, "histogram of errors", "severity>=error");
        count(&mut store, "histogram of a common word", if hard { "status" } else { "session" });
        let text = directory.join("text");
        beside("grep", &["-c", "-w", "needle_in_haystack"], &text);
        beside("grep", &["-c", "-i", "-w", "needle_in_haystack"], &text);
        beside("grep", &["-c", "-E", "[x-z]{3}[0-9]{3}[x-z]{2}"], &text);
        let packed = directory.join("text.zst");
        beside("zstd", &["-q", "-f", "-3", "-o", &packed.to_string_lossy()], &text);
        println!(
            "zstd -3 of the text: {:.3} of it",
            std::fs::metadata(&packed)?.len() as f64 / std::fs::metadata(&text)?.len() as f64
        );
        beside("zstdgrep", &["-c", "-w", "needle_in_haystack"], &packed);
        let mut codec = Codec::new();
        let one = std::fs::read(directory.join("blocks"))?;
        let first = store.rows[0].1[1] as usize;
        let start = Instant::now();
        for _ in 0..20 {
            Block::open(&one[..first]).and_then(|block| block.verify(&mut codec)).expect("a sound block");
        }
        println!("a block is verified in {:.2} ms", ms(start.elapsed()) / 20.0);
    }
    std::fs::remove_dir_all(&directory)
}

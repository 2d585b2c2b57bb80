//! How many lines a second one core gives their patterns, and how many kernel lines it looks through for events.
//!
//! `cargo run --release -p logs --example patterns_bench [FILE…]`: with files, how their lines fall into patterns too.

#[path = "../tests/patterns/generator.rs"]
mod generator;

use std::hint::black_box;
use std::time::{Duration, Instant};

use agent_common::units::UnixNs;
use generator::{Random, line, statements};
use logs::event::{Events, Origin};
use logs::pattern::{Line, Patterns};
use logs::{Record, Severity, Stream};

const LINES: u64 = 1_000_000;
const ROUNDS: usize = 3;

/// Time that this thread was on a CPU: on a busy machine the wall clock says little. The wall clock where there is none.
struct Cpu(Duration, Instant);

impl Cpu {
    fn now() -> Self {
        Self(Self::used().unwrap_or_default(), Instant::now())
    }

    fn used() -> Option<Duration> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    fn elapsed(&self) -> Duration {
        Self::used().map_or_else(|| self.1.elapsed(), |used| used.saturating_sub(self.0))
    }
}

fn main() {
    let all = statements(include_str!("../tests/patterns/statements.txt"));
    let mut random = Random(5);
    let programs = all.last().map_or(0, |statement| statement.program);
    let streams: Vec<Stream> = (0..=programs)
        .map(|program| Stream::new([("source", "file".to_owned()), ("file", format!("/var/log/{program}"))]))
        .collect();
    let lines: Vec<(usize, String)> = (0..LINES)
        .map(|_| {
            let statement = &all[random.below(all.len() as u64) as usize];
            (statement.program, line(statement.text, &mut random))
        })
        .collect();
    let bytes: usize = lines.iter().map(|(_, line)| line.len()).sum();
    let mut in_runs = lines.clone();
    in_runs.sort_by_key(|(program, _)| *program);
    println!("{LINES} lines of {} statements, {} B each", all.len(), bytes as u64 / LINES);
    for (name, lines) in [("streams mixed", &lines), ("streams in runs", &in_runs)] {
        for round in 0..ROUNDS {
            let mut patterns = Patterns::new();
            let start = Cpu::now();
            see(&mut patterns, &streams, lines);
            let learning = start.elapsed();
            let start = Cpu::now();
            see(&mut patterns, &streams, lines);
            let known = start.elapsed();
            let count: usize = patterns.streams().map(|stream| patterns.patterns(stream).count()).sum();
            println!(
                "{name}, round {round}: learning {:.2} M lines/s, known {:.2} M lines/s, {count} patterns",
                LINES as f64 / learning.as_secs_f64() / 1e6,
                LINES as f64 / known.as_secs_f64() / 1e6,
            );
        }
    }
    events();
    for file in std::env::args().skip(1) {
        look(&file);
    }
}

/// Lines without any event, as a busy kernel and a busy journal have them.
fn events() {
    let mut random = Random(9);
    let harmless = [
        "usb {small}-{small}: new high-speed USB device number {small} using xhci_hcd",
        "EXT4-fs ({dev}): mounted filesystem {uuid} r/w with ordered data mode. Quota mode: none.",
        "[UFW BLOCK] IN={iface} OUT= MAC={mac} SRC={ip} DST={ip} LEN={int} TOS=0x00 PROTO=TCP SPT={port} DPT={port} WINDOW={int} RES=0x00 SYN URGP=0",
        "audit: type=1300 audit({float}:{int}): arch=c000003e syscall={int} success=yes exit={int} pid={pid} comm=\"{user}\" exe=\"{path}\"",
        "IPv4: martian source {ip} from {ip}, on dev {iface}",
        "docker0: port {small}(veth{hex4}) entered blocking state",
        "Freeing unused kernel image (initmem) memory: {int}K",
        "{user} ({pid}): drop_caches: {small}",
    ];
    let record = |message: String, fields: Vec<(String, String)>| Record {
        at: UnixNs(1),
        severity: Severity::Info,
        pid: 0,
        start_ns: 0,
        position: 0,
        message,
        fields,
    };
    let fields = [
        "_BOOT_ID",
        "_MACHINE_ID",
        "PRIORITY",
        "_PID",
        "_UID",
        "_COMM",
        "_EXE",
        "_CGROUP",
        "_SYSTEMD_UNIT",
        "_TRANSPORT",
    ];
    let fields: Vec<(String, String)> =
        fields.iter().map(|name| ((*name).to_owned(), format!("{name}.service"))).collect();
    let lines: Vec<(Record, Record)> = (0..200_000)
        .map(|_| {
            let text = line(harmless[random.below(harmless.len() as u64) as usize], &mut random);
            (record(text.clone(), Vec::new()), record(text, fields.clone()))
        })
        .collect();
    for round in 0..ROUNDS {
        let (mut events, mut found) = (Events::new(), Vec::new());
        let start = Cpu::now();
        for (line, _) in &lines {
            events.feed(line, Origin::Kernel { facility: 0 }, &mut found);
        }
        let kernel = start.elapsed().as_nanos() as f64 / lines.len() as f64;
        let start = Cpu::now();
        for (_, entry) in &lines {
            events.feed(entry, Origin::Journal, &mut found);
        }
        let journal = start.elapsed().as_nanos() as f64 / lines.len() as f64;
        assert!(black_box(found).is_empty());
        println!(
            "events, round {round}: {kernel:.0} ns a kernel line, {journal:.0} ns a journal entry; of a core at 50,000/s: {:.2} %, {:.2} %",
            kernel * 50_000.0 / 1e7,
            journal * 50_000.0 / 1e7,
        );
    }
}

fn see(patterns: &mut Patterns, streams: &[Stream], lines: &[(usize, String)]) {
    for (nth, (program, line)) in lines.iter().enumerate() {
        let at = UnixNs(1_700_000_000_000_000_000 + nth as u64 * 20_000);
        black_box(
            patterns.of(
                &streams[*program],
                &Line { message: line, severity: Severity::Info, at, failing: false },
            ),
        );
    }
}

fn look(file: &str) {
    let Ok(bytes) = std::fs::read(file) else {
        println!("{file}: cannot be read");
        return;
    };
    let text = String::from_utf8_lossy(&bytes);
    let stream = Stream::new([("file", file)]);
    let mut patterns = Patterns::new();
    for line in text.lines() {
        patterns
            .of(&stream, &Line { message: line, severity: Severity::Info, at: UnixNs(1), failing: false });
    }
    let mut found: Vec<_> = patterns.patterns(&stream).collect();
    found.sort_by_key(|pattern| std::cmp::Reverse(pattern.lines));
    println!("{file}: {} lines, {} patterns", text.lines().count(), found.len());
    for pattern in found.iter().take(30) {
        println!("  {:7} {}", pattern.lines, pattern.text);
    }
}

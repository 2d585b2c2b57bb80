//! What a day of profiles takes on the disk, and how long an hour and a day of it take to be merged.
//!
//!     cargo run --release -p server --example profiles_bench [steady|churny|wild] [hours]
//!
//! Stacks are drawn as they come on a host with two busy CPUs at 97 Hz: most are one of the last minutes again, some are new,
//! and a new one differs from an old one in its last frames (a Pitman-Yor process with recency). Waits come at half that rate.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use agent_common::units::{BootNs, DurNs, MonoNs, UnixNs};
use agent_common::wire::head::WindowHead;
use profile::block::{Builder, Group, Looked, MAX_MESSAGE, pack, unpack};
use profile::{Frame, Kind, Point, Thread, Timeline};
use server::store::profiles::{By, Message, Options, ProfileStore, Reader, Selection};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
/// Two CPUs at 97 Hz.
const SAMPLES: u64 = 2 * 97 * 60;

/// How a host is.
struct Load {
    /// Discount of the process: how readily new stacks come.
    discount: f64,
    /// Its strength: how many there are at first.
    strength: f64,
    /// Processes at a time; each minute some end and others begin.
    processes: u32,
    short: u32,
}

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A host that runs.
struct Host {
    load: Load,
    noise: Noise,
    frames: Vec<Frame>,
    /// Stacks so far, and those drawn lately: they come again.
    stacks: Vec<Arc<[u32]>>,
    drawn: Vec<u32>,
    next_tgid: u32,
    threads: Vec<Thread>,
}

impl Host {
    fn new(load: Load) -> Self {
        let mut noise = Noise(7);
        let frames = (0..20_000_u64)
            .map(|n| {
                let kind = if n % 5 == 0 { Kind::Kernel } else { Kind::Native };
                let name = format!(
                    "{}::module_{}::function_{n}",
                    ["core", "rustc_middle", "llvm", "vfs"][(n % 4) as usize],
                    n / 40
                );
                Frame {
                    module: Some(format!("/usr/lib/lib{}.so", noise.below(60)).into()),
                    ..Frame::new(name, kind)
                }
            })
            .collect();
        let mut host = Self {
            load,
            noise,
            frames,
            stacks: Vec::new(),
            drawn: Vec::new(),
            next_tgid: 1000,
            threads: Vec::new(),
        };
        for _ in 0..host.load.processes {
            host.begin();
        }
        host
    }

    fn begin(&mut self) {
        self.next_tgid += 1;
        let names = ["rustc", "cargo", "nginx", "postgres", "cc1", "ld", "sh", "node"];
        let comm: Arc<str> = names[self.noise.below(8) as usize].into();
        let tgid = self.next_tgid;
        self.threads.push(Thread {
            tgid,
            tid: tgid,
            comm: Arc::clone(&comm),
            process: Some(comm),
            group: None,
        });
    }

    fn draw(&mut self) -> u32 {
        let (n, k) = (self.drawn.len() as f64, self.stacks.len() as f64);
        let fresh = (self.load.strength + self.load.discount * k) / (n + self.load.strength);
        let stack = if self.stacks.is_empty() || self.noise.share() < fresh {
            let stack: Arc<[u32]> = match self.stacks.len() as u64 {
                0 => (0..33).collect(),
                count => {
                    let old = Arc::clone(&self.stacks[self.noise.below(count) as usize]);
                    let keep = old.len() - (1 + self.noise.below(3) as usize).min(old.len() - 1);
                    let more = 1 + self.noise.below(3);
                    let frames = self.frames.len() as u64;
                    // Functions call some of few others.
                    let mut all = old[..keep].to_vec();
                    for _ in 0..more {
                        let last = u64::from(*all.last().unwrap_or(&0));
                        all.push(((last * 31 + self.noise.below(12)) % frames) as u32);
                    }
                    all.into()
                }
            };
            self.stacks.push(stack);
            self.stacks.len() as u32 - 1
        } else {
            // One of the last minutes more likely than one of long ago.
            let back = (self.noise.share().powi(3) * n) as usize;
            self.drawn[self.drawn.len() - 1 - back.min(self.drawn.len() - 1)]
        };
        self.drawn.push(stack);
        stack
    }

    fn column(&mut self, looked: Looked) -> Timeline {
        let mut timeline =
            Timeline { frames: self.frames.clone(), threads: self.threads.clone(), ..Timeline::default() };
        let reason = timeline.frames.len() as u32;
        timeline.frames.push(Frame::new("[futex]", Kind::Reason));
        timeline.frames.push(Frame::new("[disk-read]", Kind::Reason));
        let count = if looked == Looked::Cpu { SAMPLES / 6 } else { SAMPLES / 12 };
        for _ in 0..count {
            let id = self.draw();
            let mut stack = self.stacks[id as usize].to_vec();
            if looked == Looked::Wait {
                stack.push(reason + id % 2);
            }
            timeline.stacks.push(stack.into());
            // A stack is mostly of the same process.
            let thread = (u64::from(id) + u64::from(self.noise.below(8) == 0)) % self.threads.len() as u64;
            timeline.points.push(Point {
                at: MonoNs(1),
                thread: thread as u32,
                stack: timeline.stacks.len() as u32 - 1,
                weight: if looked == Looked::Cpu { 1 } else { 10_000_000 * (1 + self.noise.below(5)) },
            });
        }
        timeline
    }

    /// A minute as the collector packs it, and how many stacks it has.
    fn minute(&mut self, from: u64) -> Vec<Vec<u8>> {
        let mut builder = Builder::new(UnixNs(from), DurNs(10 * SECOND), 6, 97, 131_072);
        for column in 0..6 {
            for looked in Looked::ALL {
                let timeline = self.column(looked);
                builder.add(looked, column, &timeline, |thread| Group {
                    tgid: thread.tgid,
                    start: BootNs(u64::from(thread.tgid) * SECOND),
                    comm: Arc::clone(thread.process_name()),
                    cgroup: "/user.slice/user-1000.slice/session-1.scope".into(),
                    container: "".into(),
                });
            }
        }
        for _ in 0..self.load.short {
            self.threads.remove(0);
            self.begin();
        }
        pack(&builder.finish(), MAX_MESSAGE)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let load = match args.next().as_deref().unwrap_or("churny") {
        "steady" => Load { discount: 0.3, strength: 200.0, processes: 40, short: 0 },
        "wild" => Load { discount: 0.75, strength: 2000.0, processes: 60, short: 30 },
        _ => Load { discount: 0.62, strength: 600.0, processes: 50, short: 12 },
    };
    let hours: u64 = args.next().and_then(|hours| hours.parse().ok()).unwrap_or(24);
    let dir = tempfile::tempdir()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as u64;
    let start = (now - 2 * hours * 60 * MINUTE) / (6 * 60 * MINUTE) * (6 * 60 * MINUTE);
    // All of it as it is after a day, then as it is after a week.
    let store = ProfileStore::open(dir.path(), Options::default())?;
    let mut host = Host::new(load);
    let (mut sent, mut writing, mut longest, mut samples) = (0, Duration::ZERO, Duration::ZERO, 0_u64);
    for minute in 0..hours * 60 {
        let from = start + minute * MINUTE;
        for (part, packed) in host.minute(from).iter().enumerate() {
            sent += packed.len();
            let block = unpack(packed)?;
            samples += block.total(Looked::Cpu).0 + block.total(Looked::Wait).0;
            let head = WindowHead {
                host: "web-1".to_owned(),
                stream: "0123456789abcdef".to_owned(),
                seq: minute * 8 + part as u64 + 1,
                points: 0,
                span_ns: MINUTE,
                end: UnixNs(from + MINUTE),
            };
            let begun = Instant::now();
            store.write(&[Message { head, block }])?;
            writing += begun.elapsed();
            longest = longest.max(begun.elapsed());
        }
        if minute % 120 == 0 {
            println!("hour {:2}: {} distinct stacks so far", minute / 60, host.stacks.len());
        }
    }
    let days = hours as f64 / 24.0;
    println!(
        "{samples} samples and waits, {} distinct stacks, {:.1} MB/day sent",
        host.stacks.len(),
        sent as f64 / 1e6 / days
    );
    println!(
        "written: {:.2} ms a block on average, {:.1} ms the longest",
        writing.as_secs_f64() * 1e3 / (hours * 60) as f64,
        longest.as_secs_f64() * 1e3
    );
    size(&store, "columns of 10 s", samples, days)?;
    let reader = store.reader()?;
    drop(reader);
    ask(store.path(), start, hours)?;
    drop(store);
    let options = Options { minutes_after: Duration::ZERO, ..Options::default() };
    let store = ProfileStore::open(dir.path(), options)?;
    let begun = Instant::now();
    store.settle()?;
    println!("\nrolled in {:.1} s", begun.elapsed().as_secs_f64());
    size(&store, "columns of a minute", samples, days)?;
    ask(store.path(), start, hours)?;
    Ok(())
}

fn size(store: &ProfileStore, what: &str, samples: u64, days: f64) -> Result<(), Box<dyn std::error::Error>> {
    let health = store.health()?;
    let of = |name: &str| {
        health.counts.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count) as f64
    };
    println!(
        "{what}: {:.1} MB/day ({:.1} counts, {:.1} dictionaries), {:.2} bytes a sample",
        of("used_bytes") / 1e6 / days,
        of("block_bytes") / 1e6 / days,
        of("dictionary_bytes") / 1e6 / days,
        of("used_bytes") / samples as f64
    );
    Ok(())
}

fn ask(path: &std::path::Path, start: u64, hours: u64) -> Result<(), Box<dyn std::error::Error>> {
    let hour = 60 * MINUTE;
    let last = start + (hours - 1) * hour;
    for (what, from, to, by, pids) in [
        ("the last hour", last, last + hour, By::Process, vec![]),
        ("the last hour by name", last, last + hour, By::Comm, vec![]),
        ("an hour over two epochs", start + 11 * hour / 2, start + 13 * hour / 2, By::Process, vec![]),
        ("one process of an hour", last, last + hour, By::Process, vec![1010]),
        ("everything", start, start + hours * hour, By::Process, vec![]),
        ("everything by name", start, start + hours * hour, By::Comm, vec![]),
    ] {
        // Three times with a new connection: the middle one.
        let mut times = Vec::new();
        let mut stacks = 0;
        for _ in 0..3 {
            let begun = Instant::now();
            let selection = Selection { by, pids: pids.clone(), ..Selection::new(UnixNs(from), UnixNs(to)) };
            let merged = Reader::open(path)?.merged(&selection)?;
            times.push(begun.elapsed());
            stacks = merged.block.cpu.len() + merged.block.waits.len();
        }
        times.sort_unstable();
        println!("{what}: {:.0} ms, {stacks} stacks", times[1].as_secs_f64() * 1e3);
    }
    Ok(())
}

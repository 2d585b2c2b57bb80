//! Many threads and a storm of processes: what is lost is counted, and memory stays within its bounds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agent::collector::{Collector, Options};
use agent_common::units::{Tgid, Tid};
use diagnosis::window::Window;
use tests::workload::Workload;

const THREADS: u64 = 10_000;
const STARTS_A_SECOND: u64 = 5_000;
/// 60 by hand (`S7MPA_SCALE_SECONDS`).
const SECONDS: u64 = 8;
/// Of the collector with all of it in the last window: it is 25 MiB without.
const MEMORY: u64 = 160 << 20;

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("its own");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
}

/// What the test asks of all windows: kept whole, those of a minute would be most of the memory.
#[derive(Default)]
struct Seen {
    ended: u64,
    lost: BTreeMap<String, u64>,
}

impl Seen {
    fn add(&mut self, window: &Window, parent: Tgid) {
        self.ended += window.exits.iter().filter(|exit| exit.parent == parent).count() as u64;
        for (reason, count) in &window.coverage.lost {
            *self.lost.entry(reason.clone()).or_default() += count;
        }
    }

    fn lost(&self, reason: &str) -> u64 {
        self.lost.get(reason).copied().unwrap_or(0)
    }
}

#[test]
fn a_storm_of_processes_beside_ten_thousand_threads_loses_nothing_uncounted() {
    if !tests::can_observe() {
        return;
    }
    let seconds =
        std::env::var("S7MPA_SCALE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let mut crowd = Workload::start("crowd", &[THREADS, 1000]);
    crowd.begin();
    let starts = STARTS_A_SECOND * seconds;
    let mut storm = Workload::start("short_processes", &[starts, STARTS_A_SECOND]);
    let mut collector = Collector::start(Options::default()).expect("the probes load");
    let storm_pid = Tgid(storm.pid());
    let before = resident();
    let worker = std::thread::spawn(move || {
        let took = storm.work();
        (storm, took)
    });
    let (mut seen, mut windows, mut peak, mut closed) = (Seen::default(), 0, 0, Instant::now());
    while !worker.is_finished() || windows < 2 {
        std::thread::sleep(Collector::POLL);
        collector.poll();
        if closed.elapsed() >= Duration::from_secs(1) {
            closed = Instant::now();
            seen.add(&collector.close_window().expect("time has passed"), storm_pid);
            windows += 1;
            peak = peak.max(resident());
        }
    }
    let (storm, took) = worker.join().expect("it ends well");
    // Whoever of the crowd slept through a window is in the next.
    std::thread::sleep(Duration::from_millis(1200));
    let last = collector.close_window().expect("time has passed");
    seen.add(&last, storm_pid);
    storm.finish();

    let uncounted = starts.saturating_sub(seen.ended).saturating_sub(seen.lost("process_ring_full"));
    eprintln!(
        "{starts} processes in {took} s, {} ends seen, lost {:?}; {} MiB before, {} MiB at most",
        seen.ended,
        seen.lost,
        before >> 20,
        peak >> 20
    );
    assert_eq!(uncounted, 0, "{:?}", seen.lost);
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
    let times = last.times.iter().find(|row| row.tgid == Tgid(crowd.pid())).expect("the crowd");
    let resting: u64 = times.resting.iter().map(|(_, threads)| u64::from(*threads)).sum();
    let moved =
        times.threads.iter().map(|thread| thread.tid).collect::<std::collections::HashSet<Tid>>().len();
    assert!(
        moved as u64 + resting > THREADS || seen.lost("sched_slots_full") > 0,
        "{moved} threads moved, {resting} rested"
    );
}

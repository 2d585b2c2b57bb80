//! Many threads and a storm of processes: what is lost is counted, and memory stays within its bounds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agent::collector::{Collector, Options};
use agent::window::Window;
use agent_common::units::{Tgid, Tid};
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

fn lost(windows: &[Window], reason: &str) -> u64 {
    windows.iter().filter_map(|window| window.coverage.lost.get(reason)).sum()
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
    let (mut windows, mut peak, mut closed) = (Vec::new(), 0, Instant::now());
    while !worker.is_finished() || windows.len() < 2 {
        std::thread::sleep(Collector::POLL);
        collector.poll();
        if closed.elapsed() >= Duration::from_secs(1) {
            closed = Instant::now();
            windows.push(slim(collector.close_window().expect("time has passed"), Tgid(crowd.pid())));
            peak = peak.max(resident());
        }
    }
    let (storm, took) = worker.join().expect("it ends well");
    // Whoever of the crowd slept through a window is in the next.
    std::thread::sleep(Duration::from_millis(1200));
    windows.push(collector.close_window().expect("time has passed"));
    storm.finish();

    let ended: u64 =
        windows.iter().flat_map(|window| &window.exits).filter(|exit| exit.parent == storm_pid).count()
            as u64;
    let uncounted = starts.saturating_sub(ended).saturating_sub(lost(&windows, "process_ring_full"));
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, count) in windows.iter().flat_map(|window| &window.coverage.lost) {
        *all.entry(reason.as_str()).or_default() += count;
    }
    eprintln!(
        "{starts} processes in {took} s, {ended} ends seen, lost {all:?}; {} MiB before, {} MiB at most",
        before >> 20,
        peak >> 20
    );
    assert_eq!(uncounted, 0, "{all:?}");
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
    let last = windows.last().expect("a window");
    let times = last.times.iter().find(|row| row.tgid == Tgid(crowd.pid())).expect("the crowd");
    let resting: u64 = times.resting.iter().map(|(_, threads)| u64::from(*threads)).sum();
    let seen = times.threads.iter().map(|thread| thread.tid).collect::<std::collections::HashSet<Tid>>();
    let without_slot = lost(&windows, "sched_slots_full");
    assert!(
        seen.len() as u64 + resting > THREADS || without_slot > 0,
        "{} threads moved, {resting} rested",
        seen.len()
    );
}

/// What the test asks of a window: it keeps many.
fn slim(mut window: Window, crowd: Tgid) -> Window {
    window.times.retain(|row| row.tgid == crowd);
    window.tasks.clear();
    window.syscalls.clear();
    window.waits.clear();
    window.samples.clear();
    window
}

//! Where threads spend their time: known work against the windows.

use std::io::{Read as _, Write as _};
use std::os::fd::{FromRawFd as _, IntoRawFd as _};
use std::time::{Duration, Instant};

use agent::collector::Filter;
use agent::window::{ProcessTimes, ThreadTimes, Window};
use agent_common::abi::sched::State;
use agent_common::units::Tid;
use tests::windows::{close, own, sched};

fn tid() -> Tid {
    Tid(nix::unistd::gettid().as_raw().cast_unsigned())
}

fn process(window: &Window) -> &ProcessTimes {
    window.times.iter().find(|p| p.tgid == own()).expect("this process is in the window")
}

fn thread(window: &Window, tid: Tid) -> &ThreadTimes {
    process(window).threads.iter().find(|t| t.tid == tid).expect("the thread is in the window")
}

fn seconds(states: &[(State, agent_common::units::DurNs)], which: impl Fn(State) -> bool) -> f64 {
    states.iter().filter(|(state, _)| which(*state)).map(|(_, ns)| ns.as_secs_f64()).sum()
}

#[track_caller]
fn assert_near(what: &str, got: f64, expected: f64, pct: f64) {
    let off = (got - expected).abs() * 100.0 / expected;
    assert!(off <= pct, "{what}: {got:.4} s in place of {expected:.4} s, {off:.2} % off");
}

/// A pipe as two files.
fn pipe() -> (std::fs::File, std::fs::File) {
    let (read, write) = nix::unistd::pipe().expect("a pipe");
    // SAFETY: fresh descriptors that nobody else owns.
    unsafe {
        (std::fs::File::from_raw_fd(read.into_raw_fd()), std::fs::File::from_raw_fd(write.into_raw_fd()))
    }
}

#[test]
fn five_hundred_sleeps_of_ten_ms_are_five_seconds_of_sleep_and_the_states_are_the_wall() {
    let mut collector = sched(Filter::All);
    let sleeper = std::thread::spawn(|| {
        let (begin, mut slept) = (Instant::now(), Duration::ZERO);
        for _ in 0..500 {
            std::thread::sleep(Duration::from_millis(10));
            slept += Duration::from_millis(10);
        }
        (tid(), begin.elapsed(), slept)
    });
    let (tid, alive, slept) = sleeper.join().expect("it sleeps");
    let window = close(&mut collector);
    let states = &thread(&window, tid).states;
    assert_near("sleep", seconds(states, |s| s == State::Sleep), slept.as_secs_f64(), 2.0);
    assert_near("all states", seconds(states, |_| true), alive.as_secs_f64(), 1.0);
}

#[test]
fn run_and_queue_time_agree_with_schedstat() {
    let mut collector = sched(Filter::All);
    let spinners: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(|| {
                let mut set = nix::sched::CpuSet::new();
                set.set(0).expect("CPU 0");
                nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).expect("CPU 0 is there");
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_secs(2) {
                    let burst = Instant::now();
                    while burst.elapsed() < Duration::from_millis(7) {}
                    std::thread::sleep(Duration::from_millis(1));
                }
                let path = format!("/proc/self/task/{}/schedstat", tid());
                let text = std::fs::read_to_string(path).expect("its own");
                let ns: Vec<f64> = text.split_whitespace().map(|n| n.parse().expect("a number")).collect();
                (tid(), ns[0] / 1e9, ns[1] / 1e9)
            })
        })
        .collect();
    let ended: Vec<_> = spinners.into_iter().map(|t| t.join().expect("it spins")).collect();
    let window = close(&mut collector);
    for (tid, ran, queued) in ended {
        let states = &thread(&window, tid).states;
        assert_near("on CPU", seconds(states, |s| s == State::Oncpu), ran, 2.0);
        assert_near("queued", seconds(states, State::is_runq), queued, 2.0);
    }
}

#[test]
fn a_thread_blocked_throughout_is_there_with_its_state_and_age() {
    let (mut read, mut write) = pipe();
    let (send, receive) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        send.send(tid()).expect("the test listens");
        let _ = read.read(&mut [0; 1]);
    });
    let tid = receive.recv().expect("it runs");
    std::thread::sleep(Duration::from_millis(50));
    // Blocked before the probes: `/proc` tells.
    let mut collector = sched(Filter::All);
    std::thread::sleep(Duration::from_millis(500));
    let window = close(&mut collector);
    let row = process(&window);
    assert!(row.threads.iter().all(|t| t.tid != tid), "{row:?}");
    assert!(row.resting.contains(&(State::Ipc, 1)), "{row:?}");
    assert_near("blocked", seconds(&row.states, |s| s == State::Ipc), window.span().as_secs_f64(), 1.0);
    let oldest = row.oldest.expect("it waits");
    assert_eq!((oldest.tid, oldest.state), (tid, State::Ipc));
    assert!(oldest.age.as_secs_f64() >= 0.5, "{oldest:?}");
    write.write_all(b"x").expect("it reads");
    reader.join().expect("it reads");
    let window = close(&mut collector);
    let woken = thread(&window, tid).clone();
    assert!(woken.states.iter().any(|(s, _)| *s == State::Ipc), "{woken:?}");
    // Its end was told by a futex; its last switch comes after that.
    let mut ended = woken.now.is_none();
    while !ended {
        let window = close(&mut collector);
        ended = process(&window).threads.iter().any(|t| t.tid == tid && t.now.is_none());
    }
}

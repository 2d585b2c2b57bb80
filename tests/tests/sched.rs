//! Where threads spend their time: known work against the windows.

use std::io::{Read as _, Write as _};
use std::os::fd::{FromRawFd as _, IntoRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use agent::collector::Filter;
use agent_common::abi::sched::State;
use agent_common::units::Tid;
use diagnosis::window::{ProcessTimes, ThreadTimes, Window};
use tests::diagnosis::ground::Cgroup;
use tests::disk::Loop;
use tests::windows::{close, own, sched};
use tests::workload::Workload;

/// Tests run at the same time; two must run alone. A cgroup whose quota is renewed may still have to wait for a CPU, and no
/// event distinguishes the two waits. And sleeping threads are known by process: the pipes of other tests are in this one.
static CPUS: RwLock<()> = RwLock::new(());

fn tid() -> Tid {
    Tid(nix::unistd::gettid().as_raw().cast_unsigned())
}

fn process(window: &Window) -> &ProcessTimes {
    window.times.iter().find(|p| p.tgid == own()).expect("this process is in the window")
}

fn thread(window: &Window, tid: Tid) -> &ThreadTimes {
    let mut threads = window.times.iter().flat_map(|process| &process.threads);
    threads.find(|t| t.tid == tid).expect("the thread is in the window")
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
    // SAFETY: fresh descriptors that have no other owner.
    unsafe {
        (std::fs::File::from_raw_fd(read.into_raw_fd()), std::fs::File::from_raw_fd(write.into_raw_fd()))
    }
}

#[test]
fn five_hundred_sleeps_of_ten_ms_are_five_seconds_of_sleep_and_the_states_are_the_wall() {
    let _cpus = CPUS.read().unwrap_or_else(PoisonError::into_inner);
    let mut collector = sched(Filter::All);
    let sleeper = std::thread::spawn(|| {
        let begin = Instant::now();
        for _ in 0..500 {
            std::thread::sleep(Duration::from_millis(10));
        }
        (begin.elapsed().as_secs_f64(), schedstat())
    });
    let (alive, (tid, ran, queued)) = sleeper.join().expect("it sleeps");
    let window = close(&mut collector);
    let states = &thread(&window, tid).states;
    let slept = seconds(states, |s| s == State::Sleep);
    // A virtual machine's timers may be late: what the kernel does not call running or queued is sleep.
    assert!(slept >= 5.0, "{slept} s");
    assert_near("sleep", slept, alive - ran - queued, 2.0);
    assert_near("all states", seconds(states, |_| true), alive, 1.0);
}

#[test]
fn run_and_queue_time_agree_with_schedstat() {
    let _cpus = CPUS.read().unwrap_or_else(PoisonError::into_inner);
    let mut collector = sched(Filter::All);
    let before = stolen();
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
                schedstat()
            })
        })
        .collect();
    let ended: Vec<_> = spinners.into_iter().map(|t| t.join().expect("it spins")).collect();
    let stolen = stolen() - before;
    let window = close(&mut collector);
    let (mut oncpu, mut wanted) = (0.0, stolen);
    for (tid, ran, queued) in ended {
        let states = &thread(&window, tid).states;
        oncpu += seconds(states, |s| s == State::Oncpu);
        wanted += ran;
        assert_near("queued", seconds(states, State::is_runq), queued, 2.0);
    }
    // The kernel subtracts the time that the hypervisor has stolen from the threads.
    assert_near("on CPU", oncpu, wanted, 2.0);
}

/// This thread, and how long it ran and was queued, s, as the kernel has it.
fn schedstat() -> (Tid, f64, f64) {
    let path = format!("/proc/self/task/{}/schedstat", tid());
    let text = std::fs::read_to_string(path).expect("its own");
    let ns: Vec<f64> = text.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    (tid(), ns[0] / 1e9, ns[1] / 1e9)
}

/// Time that the hypervisor gave to others in place of CPU 0, s, to 10 ms.
fn stolen() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("every Linux has it");
    let line = stat.lines().find(|line| line.starts_with("cpu0 ")).expect("CPU 0 is there");
    line.split_whitespace().nth(8).expect("steal").parse::<f64>().expect("ticks") / 100.0
}

#[test]
fn time_without_quota_is_what_the_cgroup_says() {
    if !tests::can_observe() {
        return;
    }
    let _cpus = CPUS.write().unwrap_or_else(PoisonError::into_inner);
    let group = Cgroup::new().expect("a cgroup");
    // Less than a busy machine leaves to it anyway; and few long waits, since after each it may wait for a CPU.
    group.quota(100_000, 1_000_000).expect("a quota");
    // One thread, 1 s of CPU time at 10 %: 10 s.
    let mut spinner = Workload::start("cpu_split", &[1]);
    group.add(spinner.pid()).expect("a process");
    let mut collector = sched(Filter::All);
    spinner.work();
    let throttled = group.throttled().expect("cpu.stat").as_secs_f64();
    let window = close(&mut collector);
    let states = &thread(&window, Tid(spinner.pid())).states;
    assert!(throttled > 0.5, "{throttled}");
    assert_near("throttled", seconds(states, |s| s == State::RunqThrottled), throttled, 2.0);
    spinner.finish();
}

#[test]
fn blocked_on_a_disk_is_what_delay_accounting_says() {
    if !tests::can_observe() {
        return;
    }
    let _cpus = CPUS.read().unwrap_or_else(PoisonError::into_inner);
    let _on = DelayAccounting::on();
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Loop::new(dir.path(), 64 << 20);
    let group = Cgroup::new().expect("a cgroup");
    // 8 KiB each 20 ms: the kernel counts a wait until the thread is back in a queue, here it ends as it is woken. On a
    // virtual machine that is 50 µs apart and more.
    let device = std::fs::metadata(&disk.0).expect("a disk").rdev();
    group.read_bytes(&format!("{}:{}", device >> 8 & 0xfff, device & 0xff), 409_600).expect("a limit");
    let mut reader =
        Workload::spawn(Command::new(tests::programs().join("actor")).args(["read-direct", &disk.0, "60"]));
    group.add(reader.pid()).expect("a process");
    let mut collector = sched(Filter::All);
    reader.begin();
    std::thread::sleep(Duration::from_secs(1));
    let before = delayed(reader.pid());
    close(&mut collector);
    std::thread::sleep(Duration::from_secs(5));
    let delayed = delayed(reader.pid()) - before;
    let window = close(&mut collector);
    let states = &thread(&window, Tid(reader.pid())).states;
    assert!(delayed > 2.0, "{delayed} s: {states:?}");
    assert_near("blocked on the disk", seconds(states, |s| s == State::DiskRead), delayed, 2.0);
}

/// Time that a process waited for block I/O, s, to 10 ms: field 42 of its status.
fn delayed(pid: u32) -> f64 {
    tests::stat_field(&pid.to_string(), 42).expect("it lives") as f64 / 100.0
}

/// `kernel.task_delayacct`, as it was before when the value goes.
struct DelayAccounting(String);

impl DelayAccounting {
    const FILE: &str = "/proc/sys/kernel/task_delayacct";

    fn on() -> Self {
        let before = std::fs::read_to_string(Self::FILE).expect("since 5.14");
        std::fs::write(Self::FILE, "1").expect("root");
        Self(before)
    }
}

impl Drop for DelayAccounting {
    fn drop(&mut self) {
        let _ = std::fs::write(Self::FILE, &self.0);
    }
}

#[test]
fn a_thread_outlives_another_in_whose_place_it_would_be() {
    if !tests::can_observe() {
        return;
    }
    let _cpus = CPUS.read().unwrap_or_else(PoisonError::into_inner);
    let mut collector = sched(Filter::All);
    let mut first = Command::new("sleep").arg("60").spawn().expect("coreutils");
    // Slots are a power of two of 16,384 or 32,768: numbers so far apart share a place.
    let number_max: u32 = std::fs::read_to_string("/proc/sys/kernel/pid_max")
        .expect("a limit")
        .trim()
        .parse()
        .expect("a number");
    let apart = if number_max > 65_536 { 32_768 } else { 16_384 };
    let wanted = if first.id() + apart < number_max { first.id() + apart } else { first.id() - apart };
    // Another process may take the number first.
    let mut second = (0..100)
        .find_map(|_| {
            std::fs::write("/proc/sys/kernel/ns_last_pid", (wanted - 1).to_string()).expect("root");
            let second = Workload::start("getppid_loop", &[100_000]);
            if second.pid() == wanted {
                return Some(second);
            }
            second.finish();
            None
        })
        .expect("that number");
    first.kill().expect("it lives");
    first.wait().expect("it is a child");
    // The dead one's place is free after these.
    for _ in 0..2 {
        collector.poll();
        close(&mut collector);
    }
    second.work();
    std::thread::sleep(Duration::from_millis(500));
    let window = close(&mut collector);
    let row = window.times.iter().find(|process| process.tgid.0 == wanted).expect("it is in the window");
    assert_near("states", seconds(&row.states, |_| true), window.span().as_secs_f64(), 1.0);
    assert!(seconds(&row.states, |state| state == State::Oncpu) > 0.0, "{row:?}");
    second.finish();
}

#[test]
fn a_thread_that_runs_throughout_has_a_row_in_every_window() {
    let _cpus = CPUS.read().unwrap_or_else(PoisonError::into_inner);
    let (send, receive) = std::sync::mpsc::channel();
    let spinner = std::thread::spawn(move || {
        send.send(tid()).expect("the test listens");
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(4) {}
    });
    let tid = receive.recv().expect("it runs");
    let mut collector = sched(Filter::All);
    let mut windows = Vec::new();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(200));
        windows.push(close(&mut collector));
    }
    // Before its first switch and after: each has all of its time.
    for window in &windows {
        let states = &thread(window, tid).states;
        assert_near("all states", seconds(states, |_| true), window.span().as_secs_f64(), 1.0);
    }
    spinner.join().expect("it spins");
}

#[test]
fn a_thread_blocked_throughout_is_there_with_its_state_and_age() {
    let _cpus = CPUS.write().unwrap_or_else(PoisonError::into_inner);
    let (mut read, mut write) = pipe();
    let (send, receive) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        send.send(tid()).expect("the test listens");
        let _ = read.read(&mut [0; 1]);
    });
    let tid = receive.recv().expect("it runs");
    std::thread::sleep(Duration::from_millis(50));
    // The thread has blocked before the probes are attached: its state comes from `/proc`.
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
    // `join` returns by a futex wake-up; the thread's last switch comes after that.
    let mut ended = woken.now.is_none();
    while !ended {
        let window = close(&mut collector);
        ended = process(&window).threads.iter().any(|t| t.tid == tid && t.now.is_none());
    }
}

//! Waits that were looked at: what for, who ended them, and that each ns has the same chance.

use std::cell::UnsafeCell;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent::collector::Collector;
use agent_common::abi::sched::State;
use agent_common::units::{DurNs, Tgid, Tid};
use diagnosis::window::{ThreadTimes, Wait, WaitTarget, Window};
use tests::disk::Mounted;
use tests::windows::{close, own, waits};
use tests::workload::Workload;

fn tid() -> Tid {
    Tid(nix::unistd::gettid().as_raw().cast_unsigned())
}

fn of(window: &Window, tid: Tid) -> Vec<&Wait> {
    window.waits.iter().filter(|wait| wait.tid == tid).collect()
}

/// Time that waits stand for, s.
fn weight<'a>(waits: impl IntoIterator<Item = &'a Wait>) -> f64 {
    waits.into_iter().map(|wait| wait.weight.as_secs_f64()).sum()
}

fn times(window: &Window, tid: Tid) -> &ThreadTimes {
    let threads = window.times.iter().flat_map(|process| &process.threads);
    threads.into_iter().find(|thread| thread.tid == tid).expect("the thread is in the window")
}

/// Time of a thread in a state, s.
fn accounted(window: &Window, tid: Tid, state: State) -> f64 {
    times(window, tid).states.iter().filter(|(s, _)| *s == state).map(|(_, ns)| ns.as_secs_f64()).sum()
}

#[track_caller]
fn assert_near(what: &str, got: f64, expected: f64, within: f64) {
    assert!((got - expected).abs() <= within, "{what}: {got:.4} in place of {expected:.4} ± {within:.4}");
}

/// `read` with a frame pointer: its caller can be found.
#[unsafe(naked)]
extern "C" fn framed_read(_descriptor: i32, _buffer: *mut u8, _len: usize) -> isize {
    std::arch::naked_asm!("push rbp", "mov rbp, rsp", "xor eax, eax", "syscall", "pop rbp", "ret")
}

/// A thread that reads one byte after the other, and its tid.
fn reader(pipe: PipeReader) -> (Tid, JoinHandle<()>) {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        send.send(tid()).expect("the test listens");
        while framed_read(pipe.as_raw_fd(), [0].as_mut_ptr(), 1) > 0 {}
    });
    (receive.recv().expect("it runs"), thread)
}

/// Drains the collector until these threads have ended, and gives what they return.
fn polled<T>(collector: &mut Collector, threads: Vec<JoinHandle<T>>) -> Vec<T> {
    while threads.iter().any(|thread| !thread.is_finished()) {
        collector.poll();
        std::thread::sleep(Duration::from_millis(20));
    }
    threads.into_iter().map(|thread| thread.join().expect("it ends well")).collect()
}

/// Returns how long the pauses were, s: on a busy machine longer.
fn write_every(pipe: &mut PipeWriter, pause: Duration, times: usize) -> Vec<f64> {
    let pauses = (0..times).map(|_| {
        let begin = Instant::now();
        std::thread::sleep(pause);
        pipe.write_all(b"x").expect("it reads");
        begin.elapsed().as_secs_f64()
    });
    pauses.collect()
}

#[test]
fn waits_for_a_pipe_name_it_and_the_writer_and_weigh_what_was_waited() {
    if !tests::can_observe() {
        return;
    }
    let (read, mut write) = std::io::pipe().expect("a pipe");
    let inode = std::fs::metadata(format!("/proc/self/fd/{}", read.as_raw_fd())).expect("its own").ino();
    let mut collector = waits();
    let (reader, thread) = reader(read);
    write_every(&mut write, Duration::from_millis(7), 200);
    drop(write);
    thread.join().expect("it reads");
    let window = close(&mut collector);
    let looked_at = of(&window, reader);
    let blocked = accounted(&window, reader, State::Ipc);
    // The last quantum may be open, and the first mark lies anywhere in one.
    assert_near("weight", weight(looked_at.iter().copied()), blocked, 0.02);
    assert!(looked_at.len() > 100, "{} waits of {blocked} s", looked_at.len());
    let framed = looked_at.iter().filter(|wait| wait.user.len() > 1).count();
    // The last may not have returned yet.
    assert!(framed + 1 >= looked_at.len(), "{framed} user stacks of {}", looked_at.len());
    for wait in looked_at {
        assert_eq!((wait.accounted, wait.state), (State::Ipc, State::Ipc), "{wait:?}");
        assert_eq!(wait.target, WaitTarget::Pipe { inode });
        assert_eq!(wait.syscall.map(|(_, nr)| nr), Some(0), "read");
        let waker = wait.waker.as_ref().expect("a writer");
        assert_eq!((waker.tgid, waker.tid), (own(), tid()));
        assert!(!wait.kernel.is_empty() && !wait.user.is_empty() && !waker.kernel.is_empty(), "{wait:?}");
    }
}

#[test]
fn long_and_short_waits_are_looked_at_by_their_time() {
    if !tests::can_observe() {
        return;
    }
    let (read, mut write) = std::io::pipe().expect("a pipe");
    let mut collector = waits();
    let (reader, thread) = reader(read);
    // 1.5 s in 300 short waits, 1.5 s in 30 long ones.
    let mut pauses = Vec::new();
    for _ in 0..30 {
        pauses.extend(write_every(&mut write, Duration::from_millis(5), 10));
        pauses.extend(write_every(&mut write, Duration::from_millis(50), 1));
    }
    drop(write);
    thread.join().expect("it reads");
    let window = close(&mut collector);
    let looked_at = of(&window, reader);
    let is_long = |wait: &&&Wait| wait.waited.0 > 25_000_000;
    let all = weight(looked_at.iter().copied());
    let long = weight(looked_at.iter().filter(is_long).copied());
    let long_pauses: f64 = pauses.iter().filter(|seconds| **seconds > 0.025).sum();
    let share = long_pauses / pauses.iter().sum::<f64>();
    assert_near("share of long waits", long / all, share, 0.06);
}

/// `pthread_mutex_t`, whose owner stands beside its word.
struct Mutex(UnsafeCell<libc::pthread_mutex_t>);
// SAFETY: a mutex is made to be shared.
unsafe impl Sync for Mutex {}

impl Mutex {
    fn hold(&self, time: Duration) {
        // SAFETY: initialised, never moved, unlocked by the thread that locked it.
        unsafe {
            assert_eq!(libc::pthread_mutex_lock(self.0.get()), 0);
            std::thread::sleep(time);
            assert_eq!(libc::pthread_mutex_unlock(self.0.get()), 0);
        }
    }
}

#[test]
fn waits_for_a_mutex_name_its_owner() {
    if !tests::can_observe() {
        return;
    }
    let mutex = Arc::new(Mutex(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER)));
    let mut collector = waits();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let mutex = Arc::clone(&mutex);
            std::thread::spawn(move || {
                (0..50).for_each(|_| {
                    mutex.hold(Duration::from_millis(8));
                    std::thread::sleep(Duration::from_millis(1));
                });
                tid()
            })
        })
        .collect();
    let tids = polled(&mut collector, threads);
    let window = close(&mut collector);
    let mut owned = 0;
    for (me, other) in [(tids[0], tids[1]), (tids[1], tids[0])] {
        for wait in of(&window, me).into_iter().filter(|wait| wait.state == State::FutexLock) {
            let WaitTarget::Futex { addr, owner } = wait.target else { panic!("{wait:?}") };
            assert_eq!(addr, mutex.0.get() as u64);
            // The lock was free when its word was read: then it names no owner.
            assert!(owner.is_none() || owner == Some(other), "{wait:?}");
            owned += usize::from(owner.is_some());
            assert_eq!(wait.waker.as_ref().map(|waker| waker.tid), Some(other), "{wait:?}");
        }
    }
    assert!(owned > 10, "{owned} waits whose owner is known");
}

#[test]
fn a_wait_for_a_lock_that_is_never_released_is_recorded_with_its_owner() {
    if !tests::can_observe() {
        return;
    }
    let mutex = Arc::new(Mutex(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER)));
    let mut collector = waits();
    let hold = |time| {
        let mutex = Arc::clone(&mutex);
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            send.send(tid()).expect("the test listens");
            mutex.hold(time);
        });
        (receive.recv().expect("it runs"), thread)
    };
    let (owner, holds) = hold(Duration::from_millis(1500));
    std::thread::sleep(Duration::from_millis(100));
    let (waiter, waits) = hold(Duration::ZERO);
    std::thread::sleep(Duration::from_millis(700));
    let window = close(&mut collector);
    let open = of(&window, waiter);
    let [open] = open.as_slice() else { panic!("{open:?}") };
    assert!(open.open && open.waited >= DurNs(500_000_000) && open.weight <= window.span(), "{open:?}");
    let target = WaitTarget::Futex { addr: mutex.0.get() as u64, owner: Some(owner) };
    assert_eq!((open.state, open.target), (State::FutexLock, target));
    polled(&mut collector, vec![holds, waits]);
}

#[test]
fn a_timers_wake_up_has_no_waker() {
    if !tests::can_observe() {
        return;
    }
    let mut collector = waits();
    let sleeper = std::thread::spawn(|| {
        (0..40).for_each(|_| std::thread::sleep(Duration::from_millis(25)));
        tid()
    });
    // Some thread must run on the CPU, so that the timer interrupts a thread and not the idle task.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(500) {}
    let sleeper = sleeper.join().expect("it sleeps");
    let window = close(&mut collector);
    let looked_at = of(&window, sleeper);
    assert!(looked_at.len() >= 8, "{}", looked_at.len());
    for wait in looked_at {
        assert_eq!((wait.state, &wait.waker), (State::Sleep, &None), "{wait:?}");
    }
}

#[test]
fn waits_for_a_network_peer_and_a_local_one_name_it() {
    if !tests::can_observe() {
        return;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connected");
    let (mut server, _) = listener.accept().expect("accepted");
    let (mut near, mut far) = UnixStream::pair().expect("a pair");
    let mut collector = waits();
    let answers = std::thread::spawn(move || {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(15));
            server.write_all(b"x").expect("connected");
            std::thread::sleep(Duration::from_millis(15));
            far.write_all(b"x").expect("connected");
        }
        tid()
    });
    for _ in 0..20 {
        client.read_exact(&mut [0]).expect("an answer");
        near.read_exact(&mut [0]).expect("an answer");
    }
    let answers = answers.join().expect("it answers");
    let window = close(&mut collector);
    let mine = of(&window, tid());
    let peer = Some((IpAddr::from(Ipv4Addr::LOCALHOST), port));
    let net: Vec<_> = mine.iter().filter(|wait| wait.state == State::NetRecv).collect();
    assert!(net.len() > 10, "{mine:?}");
    for wait in net {
        assert!(
            matches!(wait.target, WaitTarget::Socket { protocol: 6, peer: found, .. } if found == peer),
            "{wait:?}"
        );
        assert_eq!(wait.waker.as_ref().map(|waker| waker.tid), Some(answers), "over loopback: {wait:?}");
    }
    let local: Vec<_> = mine.iter().filter(|wait| wait.state == State::Ipc).collect();
    assert!(local.len() > 10, "{mine:?}");
    for wait in local {
        assert_eq!(wait.target, WaitTarget::Unix { peer: Some(own()), serves: None });
        assert_eq!(wait.waker.as_ref().map(|waker| waker.tid), Some(answers), "{wait:?}");
    }
}

#[test]
fn waits_for_fsync_name_the_file() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file_system = Mounted::new(dir.path(), 64 << 20);
    let mut file = std::fs::File::create(file_system.dir.join("file")).expect("a file");
    let inode = file.metadata().expect("its own").ino();
    let mut collector = waits();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        file.write_all(&[1; 4096]).expect("room");
        file.sync_all().expect("a disk");
    }
    let window = close(&mut collector);
    let thread = times(&window, tid());
    let blocked: f64 =
        thread.states.iter().filter(|(s, _)| s.is_blocked()).map(|(_, ns)| ns.as_secs_f64()).sum();
    // A quantum of idle waiting is 80 ms.
    assert_near("weight of all waits", weight(of(&window, tid())), blocked, 0.1);
    let blocked = accounted(&window, tid(), State::Fsync);
    let mine: Vec<_> = of(&window, tid()).into_iter().filter(|wait| wait.accounted == State::Fsync).collect();
    assert_near("weight of those in fsync", weight(mine.iter().copied()), blocked, 0.1 * blocked);
    assert!(!mine.is_empty(), "blocked for {blocked} s");
    for wait in &mine {
        assert!(matches!(wait.target, WaitTarget::File { inode: i, .. } if i == inode), "{wait:?}");
    }
    let fsync = mine.iter().filter(|wait| wait.state == State::Fsync).count();
    assert!(fsync * 2 > mine.len(), "{fsync} of {}", mine.len());
}

#[test]
fn the_running_process_is_charged_with_the_waiting_of_a_runnable_one() {
    if !tests::can_observe() {
        return;
    }
    // Inherited by what the thread starts.
    let pinned = |seconds: u64| {
        let start = move || {
            let mut set = nix::sched::CpuSet::new();
            set.set(0).expect("CPU 0");
            nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).expect("CPU 0 is there");
            Workload::start("cpu_split", &[seconds])
        };
        std::thread::spawn(start).join().expect("it starts")
    };
    let (mut hog, mut victim) = (pinned(3_000), pinned(1));
    let (culprit, tgid) = (Tgid(hog.pid()), Tgid(victim.pid()));
    let mut collector = waits();
    hog.begin();
    close(&mut collector);
    polled(&mut collector, vec![std::thread::spawn(move || (victim.work(), victim))]);
    let window = close(&mut collector);
    let waited = [State::RunqPreempted, State::RunqWoken].map(|state| accounted(&window, Tid(tgid.0), state));
    let waited: f64 = waited.iter().sum();
    assert!(waited > 0.5, "two on one CPU: {waited} s");
    let rows = window.blame.iter().filter(|row| row.victim == tgid);
    let all: f64 = rows.clone().map(|row| row.waited.as_secs_f64()).sum();
    // A CPU remembers 32 turns: the part of a wait before them is charged to no process. The threads of other tests wake each
    // other on this CPU.
    assert!((0.9 * waited..=1.01 * waited).contains(&all), "{all} s of {waited} s are charged to a process");
    // Whenever the hog ran the victim waited, but for what little the window is longer than its work.
    let by_hog: f64 = rows.filter(|row| row.culprit == culprit).map(|row| row.waited.as_secs_f64()).sum();
    let ran = accounted(&window, Tid(culprit.0), State::Oncpu);
    assert_near("charged to the hog", by_hog, ran, 0.1 * ran);
}

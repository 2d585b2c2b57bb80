//! What holds locks.

use std::cell::UnsafeCell;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use tests::meter::Meter;

use crate::{Args, compute, sleep_us};

/// A mutex of the C library, whose word names its owner.
pub(crate) struct Pthread(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a pthread mutex is made to be used by several threads.
unsafe impl Sync for Pthread {}
// SAFETY: it is at one place: it is only used behind an `Arc`.
unsafe impl Send for Pthread {}

impl Pthread {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER))
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce() -> T) -> T {
        // SAFETY: initialised, and at this place as long as it lives.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.0.get()) }, 0);
        let result = work();
        // SAFETY: locked above by this thread.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0.get()) }, 0);
        result
    }
}

/// `mutex THREADS GAP FEW MANY`: requests with a wait of `GAP` µs before them; `FEW` µs of each under one lock. Faulty:
/// `MANY` µs.
pub(crate) fn mutex(args: &Args, meter: Meter) {
    let (gap, few, many) = (args.number(1), args.number(2), args.number(3));
    let lock = Mutex::new(0_u64);
    thread::scope(|scope| {
        for _ in 0..args.number(0) {
            scope.spawn(|| {
                loop {
                    sleep_us(gap);
                    let mut count = lock.lock().expect("no thread panics");
                    compute(if meter.faulty() { many } else { few });
                    *count += 1;
                    drop(count);
                    meter.add(1);
                }
            });
        }
    });
}

/// `flock FILE HELD GAP`: takes a file's lock for `HELD` µs and does without it for `GAP`.
pub(crate) fn flock(args: &Args, meter: Meter) {
    take_turns(args, meter, |file| file.lock().expect("a lock"));
}

/// `try-lock FILE HELD GAP`: as `flock`, but it does not wait for the lock: it tries again after 5 ms.
pub(crate) fn try_lock(args: &Args, meter: Meter) {
    take_turns(args, meter, |file| {
        while file.try_lock().is_err() {
            sleep_us(5_000);
        }
    });
}

fn take_turns(args: &Args, meter: Meter, take: impl Fn(&File)) {
    let file = File::create(args.text(0)).expect("a file");
    let (held, gap) = (args.number(1), args.number(2));
    loop {
        take(&file);
        compute(20);
        sleep_us(held);
        file.unlock().expect("locked");
        compute(50);
        sleep_us(gap);
        meter.add(1);
    }
}

/// `hold SLOW`: one thread keeps a lock for a moment, again and again, and another one needs it for its requests. Faulty: it is
/// kept for `SLOW` µs, asleep.
pub(crate) fn hold(args: &Args, meter: Meter) {
    let slow = args.number(0);
    let lock = Mutex::new(());
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let held = lock.lock().expect("no thread panics");
                compute(20);
                sleep_us(if meter.faulty() { slow } else { 0 });
                drop(held);
                sleep_us(1_000);
            }
        });
        scope.spawn(|| {
            loop {
                let held = lock.lock().expect("no thread panics");
                compute(100);
                drop(held);
                meter.add(1);
                sleep_us(500);
            }
        });
    });
}

/// `mutual GAP`: two threads that take two locks, whose words do not name the owner, in one order. Faulty: in opposite orders.
pub(crate) fn mutual(args: &Args, meter: Meter) {
    let gap = args.number(0);
    let (one, two) = (Mutex::new(()), Mutex::new(()));
    let work = |mine: &Mutex<()>, others: &Mutex<()>| {
        loop {
            let faulty = meter.faulty();
            let (first, second) = if faulty { (mine, others) } else { (&one, &two) };
            let held = first.lock().expect("no thread panics");
            sleep_us(if faulty { 5_000 } else { 0 });
            let both = second.lock().expect("no thread panics");
            compute(100);
            drop((held, both));
            meter.add(1);
            sleep_us(gap);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| work(&one, &two));
        scope.spawn(|| work(&two, &one));
    });
}

/// `once FILE`: a job of another role: takes a file's lock, works a little, and is done.
pub(crate) fn once(args: &Args, _: Meter) {
    let file = File::create(args.text(0)).expect("a file");
    file.lock().expect("a lock");
    compute(100);
}

/// `rename DIRECTORY THREADS GAP`: renames files there.
pub(crate) fn rename(args: &Args, meter: Meter) {
    let (dir, gap) = (Path::new(args.text(0)), args.number(2));
    let own = std::process::id();
    thread::scope(|scope| {
        for thread in 0..args.number(1) {
            let (a, b) = (dir.join(format!("{own}-{thread}-a")), dir.join(format!("{own}-{thread}-b")));
            scope.spawn(move || {
                fs::write(&a, "").expect("a file");
                loop {
                    fs::rename(&a, &b).expect("a rename");
                    fs::rename(&b, &a).expect("a rename");
                    sleep_us(gap);
                    meter.add(2);
                }
            });
        }
    });
}

/// `invert HELD GAP`: threads that need a lock, and one of the lowest priority, bound to CPU 1, that holds it for `HELD` µs
/// of work at a time, and does without for `GAP`.
pub(crate) fn invert(args: &Args, meter: Meter) {
    let (held, gap) = (args.number(0), args.number(1));
    let lock = Arc::new(Pthread::new());
    for _ in 0..3 {
        let lock = Arc::clone(&lock);
        thread::spawn(move || {
            loop {
                lock.with(|| compute(200));
                meter.add(1);
                sleep_us(3_000);
            }
        });
    }
    let holder = thread::spawn(move || {
        bind(1);
        // SAFETY: 0 is the calling thread, on Linux.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
        loop {
            lock.with(|| compute(held));
            sleep_us(gap);
        }
    });
    holder.join().expect("it never ends");
}

/// `invert-own HELD GAP`: on CPU 1 a thread with real-time priority needs a lock for its requests that one of the lowest priority
/// holds for `HELD` µs of work at a time, `GAP` µs apart. Faulty: a third one keeps that CPU busy.
pub(crate) fn invert_own(args: &Args, meter: Meter) {
    let (held, gap) = (args.number(0), args.number(1));
    let lock = Arc::new(Pthread::new());
    bind(1);
    let theirs = Arc::clone(&lock);
    named("urgent", move || {
        let priority = libc::sched_param { sched_priority: 10 };
        // SAFETY: 0 is the calling thread; the parameters are read only.
        assert_eq!(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) }, 0);
        loop {
            theirs.with(|| compute(100));
            meter.add(1);
            sleep_us(2_000);
        }
    });
    named("hog", move || {
        loop {
            if meter.faulty() { compute(1_000) } else { sleep_us(10_000) }
        }
    });
    let owner = named("owner", move || {
        // SAFETY: 0 is the calling thread, on Linux.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
        loop {
            lock.with(|| compute(held));
            sleep_us(gap);
        }
    });
    owner.join().expect("it never ends");
}

fn named(name: &str, work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).expect("a thread")
}

/// Binds the calling thread to a CPU, and those that it makes.
fn bind(cpu: usize) {
    let mut cpus = nix::sched::CpuSet::new();
    cpus.set(cpu).expect("a CPU");
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cpus).expect("that CPU");
}

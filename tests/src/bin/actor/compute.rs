//! What only takes CPU time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use tests::meter::Meter;

use crate::{Args, compute, sleep_us};

/// `serve BUSY IDLE FAULTY`: requests of so many µs, and a wait for the next one. Faulty: requests that take `FAULTY`,
/// one after the other.
pub(crate) fn serve(args: &Args, meter: Meter) {
    let (busy, idle, faulty) = (args.number(0), args.number(1), args.number(2));
    loop {
        if meter.faulty() {
            compute(faulty);
        } else {
            compute(busy);
            sleep_us(idle);
        }
        meter.add(1);
    }
}

/// `spin THREADS`: takes what it gets.
pub(crate) fn spin(args: &Args, meter: Meter) {
    thread::scope(|scope| {
        for _ in 0..args.number(0) {
            scope.spawn(|| {
                loop {
                    compute(1_000);
                    meter.add(1);
                }
            });
        }
    });
}

/// `barrier FEW MANY`: threads that compute in step and spin until all are there. Faulty: many of them.
pub(crate) fn barrier(args: &Args, meter: Meter) {
    let (few, many) = (args.number(0) as usize, args.number(1) as usize);
    while !meter.faulty() {
        in_step(few, 50, meter);
    }
    loop {
        in_step(many, 50, meter);
    }
}

/// So many steps of all threads.
fn in_step(threads: usize, steps: usize, meter: Meter) {
    let arrived = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for step in 1..=steps {
                    // One step is the same work, whoever does it.
                    compute(400 / threads as u64);
                    arrived.fetch_add(1, Ordering::AcqRel);
                    while arrived.load(Ordering::Acquire) < step * threads {
                        std::hint::spin_loop();
                    }
                    if arrived.load(Ordering::Relaxed) == step * threads {
                        meter.add(1);
                    }
                }
            });
        }
    });
}

/// `dispatch WORKERS FEW MANY`: one thread hands out jobs and waits when all have some. Faulty: handing out takes `MANY`
/// µs in place of `FEW`.
pub(crate) fn dispatch(args: &Args, meter: Meter) {
    let (workers, few, many) = (args.number(0), args.number(1), args.number(2));
    thread::scope(|scope| {
        let queues: Vec<_> = (0..workers)
            .map(|_| {
                let (send, jobs) = mpsc::sync_channel::<()>(2);
                scope.spawn(move || {
                    for () in jobs {
                        compute(200);
                        sleep_us(4_000);
                        meter.add(1);
                    }
                });
                send
            })
            .collect();
        for queue in queues.iter().cycle() {
            compute(if meter.faulty() { many } else { few });
            queue.send(()).expect("workers stay");
        }
    });
}

/// `crunch`: a batch job: new memory and work on it, as much as it gets.
pub(crate) fn crunch(_: &Args, meter: Meter) {
    loop {
        let numbers: Vec<u64> = (0..100_000).collect();
        std::hint::black_box(&numbers);
        compute(2_000);
        thread::yield_now();
        meter.add(1);
    }
}

//! Many threads that sleep and wake. `crowd THREADS MS`: each sleeps `MS` ms at a time until the input ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static ENDED: AtomicBool = AtomicBool::new(false);

fn main() {
    let (threads, pause) =
        (tests::workload::argument(1, 10_000), Duration::from_millis(tests::workload::argument(2, 1000)));
    for _ in 0..threads {
        let thread = std::thread::Builder::new().stack_size(16 << 10);
        let sleep = move || {
            while !ENDED.load(Ordering::Relaxed) {
                std::thread::sleep(pause);
            }
        };
        thread.spawn(sleep).expect("another thread");
    }
    tests::workload::ready();
    tests::workload::done("");
    ENDED.store(true, Ordering::Relaxed);
}

//! Starts processes that end at once, one after the other. `short_processes COUNT [RATE]`, with a rate no more than so
//! many a second. Says `done SECONDS`.

use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

fn main() {
    let (count, rate) = (tests::workload::argument(1, 12_000), tests::workload::argument(2, u64::MAX));
    tests::workload::ready();
    let begin = Instant::now();
    for started in 0..count {
        let due = Duration::from_secs_f64(started as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        // SAFETY: one thread only, and the child does nothing but end.
        match unsafe { fork() }.expect("fork works") {
            // SAFETY: as above.
            ForkResult::Child => unsafe { libc::_exit(0) },
            ForkResult::Parent { child } => {
                waitpid(child, None).expect("a child of ours");
            }
        }
    }
    tests::workload::done(&format!("{:.2}", begin.elapsed().as_secs_f64()));
}

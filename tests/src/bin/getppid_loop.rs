//! Calls getppid an exact number of times: from one thread, or from many that live one after the other.
//! `getppid_loop CALLS [THREADS]`; says how many ns a call took, by the wall clock and in CPU
//! time of this process, which a busy machine does not stretch: `done 162.0 131.4`.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("every Linux has it").into()
}

fn call(times: u64) {
    for _ in 0..times {
        // SAFETY: getppid takes nothing and cannot fail.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
}

fn main() {
    let calls = tests::workload::argument(1, 1_000_000);
    let threads = tests::workload::argument(2, 0);
    tests::workload::ready();
    let (start, cpu) = (std::time::Instant::now(), cpu_time());
    if threads == 0 {
        call(calls);
    }
    for _ in 0..threads {
        std::thread::spawn(move || call(calls / threads)).join().expect("the thread ends");
    }
    let per_call = |took: Duration| took.as_nanos() as f64 / calls as f64;
    let (wall, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu));
    tests::workload::done(&format!("{:.2} {:.2}", per_call(wall), per_call(cpu)));
}

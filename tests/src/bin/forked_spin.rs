//! Forks children one after the other that spin, do not exec and are soon gone. It does nothing itself, so that no
//! sample is ever of it. `forked_spin COUNT MILLISECONDS`

use std::time::Duration;

use nix::sys::wait::waitpid;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{ForkResult, fork};

/// Returns after `limit` of CPU time.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn spin_in_child(limit_ns: u64) {
    let limit = Duration::from_nanos(limit_ns);
    loop {
        let mut round = 0_u64;
        while round < 1_000_000 {
            round = std::hint::black_box(round + 1);
        }
        let spent: Duration =
            clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("every Linux has it").into();
        if spent >= limit {
            return;
        }
    }
}

fn main() {
    let count = tests::workload::argument(1, 60);
    let limit_ns = tests::workload::argument(2, 40) * 1_000_000;
    tests::workload::ready();
    for _ in 0..count {
        // SAFETY: one thread only, and the child does nothing but spin and end.
        match unsafe { fork() }.expect("fork works") {
            ForkResult::Child => {
                spin_in_child(limit_ns);
                // SAFETY: as above.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                waitpid(child, None).expect("a child of ours");
            }
        }
    }
    tests::workload::done("");
}

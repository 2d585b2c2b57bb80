//! Starts processes that end at once, one after the other. `short_processes COUNT`

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

fn main() {
    let count = tests::workload::argument(1, 12_000);
    tests::workload::ready();
    for _ in 0..count {
        // SAFETY: one thread only, and the child does nothing but end.
        match unsafe { fork() }.expect("fork works") {
            // SAFETY: as above.
            ForkResult::Child => unsafe { libc::_exit(0) },
            ForkResult::Parent { child } => {
                waitpid(child, None).expect("a child of ours");
            }
        }
    }
    tests::workload::done("");
}

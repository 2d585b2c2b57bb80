//! Sends itself a blocked signal and takes it in `rt_sigsuspend`: as many `kill`, `rt_sigsuspend` (EINTR) and
//! `rt_sigreturn` (whose number the kernel shows as −1 on the way out). `interrupted COUNT`

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};

extern "C" fn nothing(_: libc::c_int) {}

fn main() {
    let count = tests::workload::argument(1, 1000);
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.expect("a valid signal");
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR1);
    blocked.thread_block().expect("a valid set");
    tests::workload::ready();
    for _ in 0..count {
        kill(nix::unistd::Pid::this(), Signal::SIGUSR1).expect("to oneself");
        // SAFETY: an empty set of eight bytes, as the kernel wants it.
        unsafe { libc::syscall(libc::SYS_rt_sigsuspend, &raw const EMPTY, size_of::<u64>()) };
    }
    tests::workload::done("");
}

static EMPTY: u64 = 0;

//! Closes a descriptor that is not open, many times. `error_storm COUNT`

fn main() {
    let count = tests::workload::argument(1, 10_000);
    tests::workload::ready();
    for _ in 0..count {
        // SAFETY: −1 is no descriptor of anybody.
        unsafe { libc::syscall(libc::SYS_close, -1) };
    }
    tests::workload::done("");
}

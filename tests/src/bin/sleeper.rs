//! One thread sleeps in one system call (`pause`) for ever; the main thread waits until the test ends it.

fn main() {
    tests::workload::ready();
    std::thread::spawn(|| {
        // SAFETY: pause takes nothing.
        unsafe { libc::syscall(libc::SYS_pause) };
    });
    tests::workload::done("");
}

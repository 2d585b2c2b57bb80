//! One thread sleeps in one syscall (`pause`) for ever; the main one waits to be told to go.

fn main() {
    tests::workload::ready();
    std::thread::spawn(|| {
        // SAFETY: pause takes nothing.
        unsafe { libc::syscall(libc::SYS_pause) };
    });
    tests::workload::done("");
}

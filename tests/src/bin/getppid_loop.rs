//! Calls getppid an exact number of times: from one thread, or from many that live one after the other.
//! `getppid_loop CALLS [THREADS]`; says how many ns a call took: `done 131.4`.

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
    let start = std::time::Instant::now();
    if threads == 0 {
        call(calls);
    }
    for _ in 0..threads {
        std::thread::spawn(move || call(calls / threads)).join().expect("the thread ends");
    }
    tests::workload::done(&format!("{:.2}", start.elapsed().as_nanos() as f64 / calls as f64));
}

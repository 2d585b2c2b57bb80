//! Waits for a kernel lock are counted, with a thread that owned the lock.

use std::sync::Mutex;

use agent_common::units::Tid;
use tests::windows::{own, window_of};

#[test]
fn threads_that_rename_in_one_directory_wait_for_its_lock() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let threads = Mutex::new(Vec::new());
    let (window, ()) = window_of(|| {
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (dir, threads) = (dir.path(), &threads);
                scope.spawn(move || {
                    threads
                        .lock()
                        .expect("no panic")
                        .push(Tid(nix::unistd::gettid().as_raw().cast_unsigned()));
                    let (a, b) = (dir.join(format!("a{thread}")), dir.join(format!("b{thread}")));
                    std::fs::write(&a, "").expect("a file");
                    for _ in 0..10_000 {
                        std::fs::rename(&a, &b).expect("a rename");
                        std::fs::rename(&b, &a).expect("a rename");
                    }
                });
            }
        });
    });
    let threads = threads.into_inner().expect("no panic");
    // The rows are sorted by the time waited: the directory's lock is the first of ours.
    let row =
        window.locks.iter().find(|row| row.tgid == own()).unwrap_or_else(|| panic!("{:?}", window.locks));
    assert_eq!(row.kind, "rwsem_write", "{row:?}");
    assert!(row.count > 10 && row.waited.0 > 0 && row.lock != 0, "{row:?}");
    assert!(row.waited.0 < window.span().0 * 8, "eight threads wait at most all the time: {row:?}");
    assert!(row.holder.is_some_and(|tid| threads.contains(&tid)), "{row:?} of {threads:?}");
}

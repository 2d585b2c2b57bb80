//! Where `/proc` has the memory and the files of a process.
//!
//! They are with the main thread. It may end before the others (`pthread_exit`, Go and Java do so): its entry stays, a
//! zombie without mappings, program and descriptors, and the process works on. Then they are with each thread that lives.

use std::fs;

/// Most threads that are tried: of a process' threads hardly any is about to end.
const MAX_THREADS: usize = 16;

/// Number under `/proc` that has the memory and the files of process `tgid`: its own as long as its main thread lives, else
/// that of another thread. (`/proc/TID` exists for every thread, though only processes are listed.)
#[must_use]
pub fn living(tgid: u32) -> u32 {
    if !is_zombie(tgid) {
        return tgid;
    }
    let threads = fs::read_dir(format!("/proc/{tgid}/task")).into_iter().flatten().flatten();
    let others = threads
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|tid: &u32| *tid != tgid)
        .take(MAX_THREADS);
    others.into_iter().find(|tid| !is_zombie(*tid)).unwrap_or(tgid)
}

/// Whether a thread has ended, and only its entry is left. Not where there is none.
fn is_zombie(tid: u32) -> bool {
    let stat = fs::read(format!("/proc/{tid}/stat")).unwrap_or_default();
    // `4242 (name) Z …`: the name may hold any byte.
    let after_name = stat.iter().rposition(|byte| *byte == b')').map_or(0, |at| at + 2);
    matches!(stat.get(after_name), Some(b'Z' | b'X'))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_whose_main_thread_lives_is_found_under_its_own_number() {
        assert_eq!(living(std::process::id()), std::process::id());
    }

    #[test]
    fn what_has_ended_altogether_keeps_its_number() {
        let mut child = Command::new("true").stdout(Stdio::null()).spawn().unwrap();
        while !is_zombie(child.id()) {
            std::thread::yield_now();
        }
        assert_eq!(living(child.id()), child.id());
        child.wait().unwrap();
        assert_eq!(living(child.id()), child.id(), "gone");
    }
}

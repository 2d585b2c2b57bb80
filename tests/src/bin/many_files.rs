//! Many processes that map many programs and libraries: `many_files PROCESSES FILE…`. Each maps up to ten of them to
//! execute, those next to its neighbours', works for 30 ms, and 1 ms in 300 from then on.

use std::fs::File;
use std::num::NonZero;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use tests::workload::{argument, ready};

/// Files that a process maps.
const EACH: usize = 10;

fn main() {
    let (processes, files) = (argument(1, 1) as usize, std::env::args().skip(2).collect::<Vec<_>>());
    if processes == 0 {
        return child(&files);
    }
    let program = std::env::current_exe().expect("this program");
    let mut children: Vec<Child> = (0..processes)
        .map(|process| {
            let first = process * files.len() / processes;
            let own = (0..EACH.min(files.len())).map(|n| &files[(first + n) % files.len()]);
            let mut command = Command::new(&program);
            // Its input closes with the parent, whatever ends that.
            command.arg("0").args(own).stdin(Stdio::piped()).spawn().expect("a process")
        })
        .collect();
    // Until its input closes; then theirs does, and they end.
    ready();
    for child in &mut children {
        let _ = child.wait();
    }
}

fn child(files: &[String]) {
    for name in files {
        let file = File::open(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let len = file.metadata().ok().and_then(|meta| NonZero::new(meta.len() as usize)).expect("a length");
        // SAFETY: a new mapping, of which nothing is read.
        unsafe {
            mmap(None, len, ProtFlags::PROT_READ | ProtFlags::PROT_EXEC, MapFlags::MAP_PRIVATE, &file, 0)
        }
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    std::thread::spawn(|| {
        let mut work = Duration::from_millis(30);
        loop {
            let begin = Instant::now();
            while begin.elapsed() < work {
                std::hint::black_box(0);
            }
            work = Duration::from_millis(1);
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    // Until the parent is gone.
    let _ = std::io::stdin().lines().next();
}

//! What reading `/proc` costs here: `cargo run -p agent --example proc_cost`. The figures in `source::task` and
//! `source::host` come from it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use agent::source::host::HostSource;
use agent::source::task::TaskSource;

/// Fastest of 30 runs: others use the machine too.
fn fastest(mut run: impl FnMut()) -> Duration {
    let once = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..30).map(|_| once(&mut run)).min().unwrap_or_default()
}

fn main() {
    let mut host = HostSource::new();
    println!("host                 {:>9.1?} a sample", fastest(|| drop(black_box(host.sample()))));
    let start = Instant::now();
    let mut tasks = TaskSource::new();
    println!("tasks, first reading {:>9.1?}", start.elapsed());
    for pause in [0, 1000] {
        let mut spent = Vec::new();
        let mut count = 0;
        for _ in 0..22 {
            std::thread::sleep(Duration::from_millis(pause));
            let start = Instant::now();
            count = black_box(tasks.sample()).len();
            spent.push(start.elapsed());
        }
        spent.sort();
        println!(
            "tasks, every {pause:>4} ms: {count} processes, fastest {:.1?} median {:.1?}, {:.2} µs a process",
            spent[0],
            spent[11],
            spent[11].as_secs_f64() * 1e6 / count as f64
        );
    }
    let me = std::process::id();
    let many = 1000;
    let each = |name: &str, run: &mut dyn FnMut()| {
        let time = fastest(|| (0..many).for_each(|_| run()));
        println!("{name:<40} {:>6.2} µs", time.as_secs_f64() * 1e6 / f64::from(many));
    };
    let process = procfs::process::Process::new(me as i32).expect("oneself is always there");
    each("procfs: Process::new", &mut || drop(black_box(procfs::process::Process::new(me as i32))));
    each("procfs: stat", &mut || drop(black_box(process.stat())));
    each("procfs: schedstat", &mut || drop(black_box(process.schedstat())));
    each("procfs: io", &mut || drop(black_box(process.io())));
    each("procfs: status", &mut || drop(black_box(process.status())));
    each("procfs: limits", &mut || drop(black_box(process.limits())));
    each("procfs: cgroups", &mut || drop(black_box(process.cgroups())));
    each("procfs: fd_count", &mut || drop(black_box(process.fd_count())));
    let mut buffer = vec![0u8; 8192];
    for file in ["stat", "schedstat", "io", "status", "limits", "cgroup"] {
        use std::io::Read;
        use std::os::unix::fs::FileExt;
        let path = format!("/proc/{me}/{file}");
        each(&format!("open, read, close {file}"), &mut || {
            let mut opened = std::fs::File::open(&path).expect("oneself is always there");
            black_box(opened.read(&mut buffer).unwrap_or(0));
        });
        let opened = std::fs::File::open(&path).expect("oneself is always there");
        each(&format!("pread {file}"), &mut || {
            black_box(opened.read_at(&mut buffer, 0).unwrap_or(0));
        });
    }
    each("stat(2) fd", &mut || drop(black_box(std::fs::metadata(format!("/proc/{me}/fd")))));
}

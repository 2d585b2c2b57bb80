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

/// CPU time of this thread: what others do on the machine is not in it.
fn cpu() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_or(Duration::ZERO, Duration::from)
}

fn main() {
    let mut host = HostSource::new();
    println!("host                 {:>9.1?} a sample", fastest(|| drop(black_box(host.sample()))));
    let start = cpu();
    let mut tasks = TaskSource::new();
    println!("tasks, first reading {:>9.1?} CPU", cpu().saturating_sub(start));
    let seconds = 22;
    let (mut spent, mut count) = (Duration::ZERO, 0);
    for second in 0..seconds {
        std::thread::sleep(Duration::from_secs(1));
        let start = cpu();
        count = black_box(tasks.sample()).len();
        // A process that is new to the agent is read whole; a running agent seldom pays that.
        spent += if second < 2 { Duration::ZERO } else { cpu().saturating_sub(start) };
    }
    let each = spent / (seconds - 2);
    let per_process = each.as_secs_f64() * 1e6 / count as f64;
    println!("tasks, each second   {each:>9.1?} CPU for {count} processes: {per_process:.2} µs a process");
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

//! Two threads on one CPU that wake each other in turn, with some work between: so many switches, each of which costs.
//! Says `done TURN WORK`: ns a turn, and ns of it that were work: what the rest takes is compared.
//! `switches TURNS WORK`; a unit of work is about 1 ns.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::time::{Duration, Instant};

use tests::workload::{argument, done, ready};

/// Time spent on the work.
fn play(mut read: PipeReader, mut write: PipeWriter, turns: u64, work: u64) -> Duration {
    let mut worked = Duration::ZERO;
    for _ in 0..turns {
        read.read_exact(&mut [0]).expect("the other thread lives");
        let begin = Instant::now();
        for round in 0..work {
            std::hint::black_box(round);
        }
        worked += begin.elapsed();
        // After its last turn the other thread is gone.
        let _ = write.write_all(b"x");
    }
    worked
}

fn main() {
    let (turns, work) = (argument(1, 200_000), argument(2, 8_000));
    let mut set = nix::sched::CpuSet::new();
    set.set(1).expect("CPU 1");
    // On a machine with one CPU there is no choice.
    let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set);
    let ((near_read, far_write), (far_read, mut near_write)) =
        (std::io::pipe().expect("a pipe"), std::io::pipe().expect("a pipe"));
    ready();
    let begin = Instant::now();
    let worked = std::thread::scope(|scope| {
        let other = scope.spawn(|| play(far_read, far_write, turns / 2, work));
        near_write.write_all(b"x").expect("a pipe");
        let own = play(near_read, near_write.try_clone().expect("a descriptor"), turns / 2, work);
        own + other.join().expect("it does not panic")
    });
    let each = |time: Duration| time.as_nanos() as f64 / turns as f64;
    done(&format!("{:.1} {:.1}", each(begin.elapsed()), each(worked)));
}

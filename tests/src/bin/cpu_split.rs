//! Spends 70, 20 and 10 % of its CPU time in three functions, each one frame above the one that spins, until its
//! input ends or the seconds are over. Says how the time was split in truth: `done 70.01 19.99 10.00`.
//! `cpu_split SECONDS`

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Rounds of the loop a slice of one percent: about 10 µs, so that a second holds a thousand turns.
const ROUNDS: u64 = 20_000;

/// A function with a frame pointer whose loop starts on a cache line: a round costs the same in each.
macro_rules! spinning {
    ($($name:ident)*) => {$(
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        extern "C" fn $name(_rounds: u64) {
            std::arch::naked_asm!(
                "push rbp",
                "mov rbp, rsp",
                ".p2align 6",
                "2:",
                "dec rdi",
                "jnz 2b",
                "pop rbp",
                "ret",
            )
        }

        #[cfg(not(target_arch = "x86_64"))]
        #[inline(never)]
        #[unsafe(no_mangle)]
        extern "C" fn $name(rounds: u64) {
            for round in 0..rounds {
                std::hint::black_box(round);
            }
        }
    )*};
}

spinning! { spin_seventy spin_twenty spin_ten }

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every Linux has it").into()
}

fn main() {
    let limit = Duration::from_secs(tests::workload::argument(1, 10));
    tests::workload::ready();
    let mut parts: [(extern "C" fn(u64), u64, Duration); 3] = [
        (spin_seventy, 70, Duration::ZERO),
        (spin_twenty, 20, Duration::ZERO),
        (spin_ten, 10, Duration::ZERO),
    ];
    let mut total = Duration::ZERO;
    while total < limit {
        for (spin, share, spent) in &mut parts {
            let before = cpu_time();
            spin(ROUNDS * *share);
            let took = cpu_time().saturating_sub(before);
            *spent += took;
            total += took;
        }
    }
    let shares =
        parts.map(|(_, _, spent)| format!("{:.2}", 100.0 * spent.as_secs_f64() / total.as_secs_f64()));
    tests::workload::done(&shares.join(" "));
}

//! Holds the resource probes, and nothing else, until its input ends: for measuring what they cost others.
//! `cargo run --release -p agent --example resource_probes`

use agent::collector::{Collector, Filter, Options};
use agent::config::SyscallTier;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options {
        rate_hz: 0,
        filter: Filter::All,
        syscalls: SyscallTier::Off,
        sched: false,
        resources: true,
        endings: false,
        proc: false,
    };
    let collector = Collector::start(options)?;
    println!("attached");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    drop(collector);
    Ok(())
}

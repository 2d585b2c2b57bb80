//! The embedded store beside Debian's VictoriaMetrics, Prometheus and InfluxDB: the same data, second by second for some hosts, as
//! the agent writes it. Prints bytes on the disk and CPU a sample written, and the time of three queries. `cargo xtask bench
//! store` runs it with `S7MPA_TOOLS`.

mod data;
mod engines;
mod wire;

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::data::Hosts;
use crate::engines::{Embedded, Engine, Influx, Prometheus, Victoria};

/// Runs of each query, of which the median counts.
const ROUNDS: usize = 9;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let mut next =
        |default: u64| args.next().unwrap_or(Ok(default)).context("numbers: hosts, processes, seconds");
    let (hosts, processes, seconds) = (next(2)?, next(300)?, next(3_600)?);
    println!(
        "{hosts} hosts × {processes} processes × {} fields, {seconds} s at one a second",
        data::FIELDS.len()
    );
    let dir = tempfile::tempdir()?;
    let mut engines: Vec<Box<dyn Engine>> = vec![
        Box::new(Embedded::start(&dir.path().join("embedded"))?),
        Box::new(Victoria::start(&dir.path().join("victoria-metrics"))?),
        Box::new(Prometheus::start(&dir.path().join("prometheus"))?),
        Box::new(Influx::start(&dir.path().join("influxdb"))?),
    ];
    let mut data = Hosts::new(hosts, processes, seconds);
    let (first_s, last_s) = (data.first_s(), data.first_s() + seconds - 1);
    let mut samples = 0;
    // They take turns minute by minute: a noisy minute hits all of them.
    while let Some(minute) = data.minute() {
        samples += minute.iter().map(|window| window.samples).sum::<u64>();
        for engine in &mut engines {
            engine.write(&minute)?;
        }
    }
    println!(
        "{:<18}{:>12}{:>14}{:>16}{:>20}{:>20}",
        "", "B a sample", "µs a sample", "1 series, 1 h", "50 series, all", "sum by(rate), 1 h"
    );
    let mut rows = Vec::new();
    for engine in &mut engines {
        let figures = measure(&mut **engine, samples, (first_s, last_s))?;
        println!(
            "{:<18}{:>12.3}{:>14.3}{:>13.1} ms{:>17.1} ms{:>17.1} ms",
            engine.name(),
            figures[0],
            figures[1],
            figures[2],
            figures[3],
            figures[4]
        );
        rows.push((engine.name(), figures));
    }
    let (ours, others) = rows.split_first().context("there is one")?;
    for (name, theirs) in others {
        let ratios: Vec<String> =
            theirs.iter().zip(ours.1).map(|(theirs, ours)| format!("{:.2}", theirs / ours)).collect();
        println!("{name} takes so many times what ours takes: {}", ratios.join(" · "));
    }
    Ok(())
}

/// Bytes and µs of CPU a sample, and the medians of three queries in ms.
fn measure(engine: &mut dyn Engine, samples: u64, (first_s, last_s): (u64, u64)) -> Result<[f64; 5]> {
    engine.settle()?;
    let cpu = engine.cpu()?;
    let bytes = engine.bytes()?;
    let hour = first_s.max(last_s.saturating_sub(3_600));
    let mut medians = Vec::new();
    for (query, from) in [(data::ONE, hour), (data::FIFTY, first_s), (data::SUM, hour)] {
        let mut times = (0..ROUNDS)
            .map(|_| engine.query(query, from, last_s))
            .collect::<Result<Vec<Duration>>>()
            .with_context(|| format!("{}: {query:?}", engine.name()))?;
        times.sort_unstable();
        medians.push(times[ROUNDS / 2].as_secs_f64() * 1e3);
    }
    let each = |value: f64| value / samples as f64;
    Ok([each(bytes as f64), each(cpu.as_secs_f64() * 1e6), medians[0], medians[1], medians[2]])
}

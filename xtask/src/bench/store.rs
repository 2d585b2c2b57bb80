//! `bench store`: the embedded store beside Debian's VictoriaMetrics, Prometheus and InfluxDB.

use std::process::Command;

use anyhow::Result;

use super::Built;
use crate::{apt, shell};

/// Only unpacked, below `target`: no service starts.
const UNPACKED: [&str; 3] = ["victoria-metrics", "prometheus", "influxdb"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Hosts that write
    #[arg(long, default_value_t = 2)]
    hosts: u64,
    /// Processes of each
    #[arg(long, default_value_t = 300)]
    processes: u64,
    /// Seconds of data, a window each
    #[arg(long, default_value_t = 3_600)]
    seconds: u64,
}

pub(super) fn run(args: &Args, built: &Built) -> Result<()> {
    let tools = apt::unpack(&UNPACKED, &shell::root().join("target/tools-store"))?;
    let mut command = Command::new(built.program("store"));
    command.env("S7MPA_TOOLS", tools);
    shell::run(command.args([args.hosts, args.processes, args.seconds].map(|number| number.to_string())))
}

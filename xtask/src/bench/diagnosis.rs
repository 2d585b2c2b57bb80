//! `bench diagnosis`: faults with a known cause, and what the agent says of them.

use std::process::Command;

use anyhow::{Result, bail};

use super::Built;
use crate::{apt, shell};

/// Programs that the cases run, and the packages that have them.
const PROGRAMS: [(&str, &str); 5] = [
    ("cc", "gcc"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("losetup", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
];

/// Servers and clients that are only unpacked, below `target`: no service starts.
const UNPACKED: [&str; 2] = ["nginx-light", "wrk"];

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
pub(crate) struct Args {
    /// Only with nothing beside it
    #[arg(long, conflicts_with = "loaded")]
    bare: bool,
    /// Only beside a build
    #[arg(long)]
    loaded: bool,
    /// Times that each case is run
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Keep a recording of each in this directory
    #[arg(long, value_name = "DIR")]
    record: Option<std::path::PathBuf>,
    /// In recordings only the processes of the case: they are small, and name nothing of this host
    #[arg(long, requires = "record")]
    own: bool,
    /// Only decoys and idle time, for so long: whatever is said is false
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// Leave out what is found about processes of this name, which others run on this host; may be repeated
    #[arg(long, value_name = "NAME")]
    ignore: Vec<String>,
    /// Print all that was found, with its numbers
    #[arg(long, short)]
    verbose: bool,
    /// Only these cases
    cases: Vec<String>,
}

pub(super) fn run(args: &Args, built: &Built) -> Result<()> {
    if !shell::is_root() {
        bail!("cgroups, network namespaces and BPF programs need root: run this as root");
    }
    apt::install_missing(&PROGRAMS)?;
    let tools = apt::unpack(&UNPACKED, &shell::root().join("target/web"))?;
    let mut command = Command::new(built.program("diagnosis"));
    command.env("S7MPA_TOOLS", tools);
    for (wanted, option) in
        [(args.bare, "--bare"), (args.loaded, "--loaded"), (args.own, "--own"), (args.verbose, "--verbose")]
    {
        if wanted {
            command.arg(option);
        }
    }
    command.arg("--repeat").arg(args.repeat.to_string());
    for name in &args.ignore {
        command.args(["--ignore", name]);
    }
    if let Some(dir) = &args.record {
        std::fs::create_dir_all(dir)?;
        command.arg("--record").arg(dir);
    }
    if let Some(minutes) = args.soak {
        command.arg("--soak").arg(minutes.to_string());
    }
    shell::run(command.args(&args.cases))
}

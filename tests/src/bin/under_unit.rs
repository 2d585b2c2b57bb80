//! `under_unit UNIT WRITABLE… -- COMMAND …`: becomes the command under the restrictions of a systemd unit.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let at = arguments.iter().position(|word| word == "--").context("no command")?;
    let (unit, writable) = arguments[..at].split_first().context("no unit")?;
    let unit = tests::systemd::Unit::read(Path::new(unit))?;
    let writable: Vec<PathBuf> = writable.iter().map(PathBuf::from).collect();
    unit.confine(&writable)?;
    let command = &arguments[at + 1..];
    let error = std::process::Command::new(command.first().context("no command")?).args(&command[1..]).exec();
    Err(error).context(command[0].clone())
}

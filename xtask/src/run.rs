//! `run`: builds the agent and runs its main job on embedded defaults.

use std::process::Command;

use anyhow::Result;

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Given on to `agent run`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if shell::which("cc").is_none() {
        crate::apt::install(&["gcc", "libc6-dev"])?;
    }
    shell::run(shell::cargo().args(["build", "--release", "--package", "agent"]))?;
    let agent = shell::root().join("target/release/agent");
    let mut command: Command = shell::as_root(agent, &[])?;
    if !shell::is_root() {
        eprintln!("loading BPF programs needs root: asking sudo");
    }
    shell::run(command.arg("run").args(&args.rest))
}

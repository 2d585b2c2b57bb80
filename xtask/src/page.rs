//! `page`: makes `server/ui/dist`, which is part of the program, out of `server/ui/src`; or checks that it is made of it. To
//! change the page needs Node, and so do the tests; to build the program does not.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{apt, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing: say whether types, tests and `dist` are in order
    #[arg(long)]
    check: bool,
}

/// What builds it, and the packages that have it.
const PROGRAMS: [(&str, &str); 2] = [("node", "nodejs"), ("npm", "npm")];

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.check { check() } else { make() }
}

fn make() -> Result<()> {
    prepare()?;
    shell::run(&mut node("build.mjs"))
}

/// Types, unit tests, and that `dist` is made of the sources.
pub(crate) fn check() -> Result<()> {
    prepare()?;
    shell::run(&mut npm(&["run", "--silent", "check"])).context("types")?;
    shell::run(&mut npm(&["run", "--silent", "test"])).context("unit tests")?;
    shell::run(node("build.mjs").arg("--check")).context("`cargo xtask page` makes it")
}

fn dir() -> PathBuf {
    shell::root().join("server/ui")
}

fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(script).current_dir(dir());
    command
}

fn npm(words: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(words).current_dir(dir());
    command
}

/// The libraries, exactly those of the lock file; no script of theirs runs.
pub(crate) fn prepare() -> Result<()> {
    apt::install_missing(&PROGRAMS)?;
    let modified = |name: &str| fs::metadata(dir().join(name)).and_then(|found| found.modified()).ok();
    let have = modified("node_modules/.package-lock.json");
    if have.is_some() && have >= modified("package-lock.json") {
        return Ok(());
    }
    eprintln!("fetching the libraries of the page with npm");
    shell::run(&mut npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))
}

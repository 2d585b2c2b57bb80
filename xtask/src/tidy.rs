//! `tidy`: the checks a change must pass before it is committed.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::{digest, layers, lint, opens, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out clippy, the slow one
    #[arg(long)]
    fast: bool,
}

/// Longest file that is read in one sitting.
const MAX_LINES: usize = 400;

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = shell::root();
    let mut failed = Vec::new();
    let mut step = |name: &'static str, result: Result<()>| {
        if let Err(error) = result {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    };
    step("fmt", lint::fmt());
    step("object", digest::check(&root));
    step("opens", opens::check(&root));
    if !args.fast {
        step("layers", layers::check(&root));
        // METRICS.md, CONFIG.md, JSON.md, RULES.md: each is held by a test beside the table it is made from.
        step(
            "pages",
            shell::run(shell::cargo().args([
                "test",
                "-q",
                "-p",
                "agent",
                "-p",
                "agent-common",
                "-p",
                "diagnosis",
                "--lib",
                "page",
            ])),
        );
    }
    long_files(&root)?;
    if !args.fast {
        step("clippy", lint::clippy());
    }
    step("deny", lint::deny());
    if failed.is_empty() { Ok(()) } else { bail!("not tidy: {}", failed.join(", ")) }
}

/// Names files that have grown too long: a warning, since splitting takes thought.
fn long_files(root: &Path) -> Result<()> {
    let list =
        shell::capture(std::process::Command::new("git").arg("-C").arg(root).args(["ls-files", "*.rs"]))?;
    for name in list.lines() {
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        let lines = text.lines().count();
        if lines > MAX_LINES {
            eprintln!("warning: {name} has {lines} lines; {MAX_LINES} are enough for one subject");
        }
    }
    Ok(())
}

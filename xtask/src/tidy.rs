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
        // METRICS.md, CONFIG.md, JSON.md, RULES.md: a test beside the source of each page checks that the page fits.
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
    step("file lengths", long_files(&root));
    if !args.fast {
        step("clippy", lint::clippy());
    }
    step("deny", lint::deny());
    if failed.is_empty() { Ok(()) } else { bail!("not tidy: {}", failed.join(", ")) }
}

/// Part of the files that may be longer: a table, a test of one subject.
const MAX_LONG_PCT: usize = 2;

/// Names files that have grown too long. Each is a warning, since splitting takes thought; too many are an error.
fn long_files(root: &Path) -> Result<()> {
    let list =
        shell::capture(std::process::Command::new("git").arg("-C").arg(root).args(["ls-files", "*.rs"]))?;
    let (mut long, mut all) = (0, 0);
    for name in list.lines() {
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        let lines = text.lines().count();
        all += 1;
        if lines > MAX_LINES {
            long += 1;
            eprintln!("warning: {name} has {lines} lines; {MAX_LINES} are enough for one subject");
        }
    }
    too_many(long, all)
}

fn too_many(long: usize, all: usize) -> Result<()> {
    if long * 100 > all * MAX_LONG_PCT {
        bail!(
            "{long} of {all} files have more than {MAX_LINES} lines, {MAX_LONG_PCT} % may: split them by subject"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::too_many;

    #[test]
    fn two_files_of_a_hundred_may_be_long() {
        assert!(too_many(2, 100).is_ok() && too_many(0, 0).is_ok());
        let error = too_many(3, 100).unwrap_err().to_string();
        assert!(error.contains("3 of 100 files"), "{error}");
    }
}

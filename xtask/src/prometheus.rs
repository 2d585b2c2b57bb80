//! Prometheus's own tests of its language, of Debian's source package, and its `promtool`: fetched for a test, never committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::private_apt::Apt;
use crate::shell;

/// Debian 13 has Prometheus 2.53; its sources stay where they are, those of the moving suites do not.
const SUITE: &str = "trixie";
const PACKAGE: &str = "prometheus";
/// Debian 12's package has `promtool`, that of Debian 13 does not.
const PROMTOOL_SUITE: &str = "bookworm";

/// The directory with the `.test` files, below `into`; fetched once.
pub(crate) fn tests(into: &Path) -> Result<PathBuf> {
    let files = into.join("tests");
    let stamp = into.join("complete");
    if fs::read_to_string(&stamp).is_ok_and(|done| done == SUITE) {
        return Ok(files);
    }
    let sources = into.join("sources");
    fs::create_dir_all(&sources)?;
    fs::create_dir_all(&files)?;
    eprintln!("fetching the tests of {PACKAGE} from Debian {SUITE}");
    let apt = Apt::new(&into.join("apt"), "deb-src", SUITE)?;
    apt.update().with_context(|| format!("suite {SUITE}"))?;
    let mut source = apt.command("apt-get");
    shell::run(source.args(["source", "--download-only", "-q", PACKAGE]).current_dir(&sources))?;
    let archive = fs::read_dir(&sources)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains(".orig.tar."))
        .with_context(|| format!("the source package of {PACKAGE} has no archive"))?;
    let mut tar = Command::new("tar");
    tar.arg("--file").arg(&archive).arg("--directory").arg(&files);
    // The version is in the name of the first directory.
    let members = ["--extract", "--strip-components=4", "--wildcards", "*/promql/promqltest/testdata/*.test"];
    shell::run_quiet(tar.args(members))?;
    fs::write(&stamp, SUITE)?;
    Ok(files)
}

/// Puts `promtool` beside the other tools; fetched once, below `into`.
pub(crate) fn promtool(into: &Path, tools: &Path) -> Result<()> {
    let program = tools.join("usr/bin/promtool");
    if program.exists() {
        return Ok(());
    }
    let (debs, tree) = (into.join("debs"), into.join("root"));
    fs::create_dir_all(&debs)?;
    fs::create_dir_all(&tree)?;
    eprintln!("fetching promtool from Debian {PROMTOOL_SUITE}");
    let apt = Apt::new(&into.join("apt"), "deb", PROMTOOL_SUITE)?;
    apt.update().with_context(|| format!("suite {PROMTOOL_SUITE}"))?;
    shell::run(apt.command("apt-get").args(["download", "-q", PACKAGE]).current_dir(&debs))?;
    for deb in fs::read_dir(&debs)? {
        shell::run_quiet(Command::new("dpkg").arg("-x").arg(deb?.path()).arg(&tree))?;
    }
    fs::create_dir_all(tools.join("usr/bin"))?;
    fs::copy(tree.join("usr/bin/promtool"), &program).context("the package has no promtool")?;
    Ok(fs::remove_dir_all(&tree)?)
}

//! Prometheus and its own tests of its language, of Debian's packages: fetched for a test, never committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::private_apt::Apt;
use crate::shell;

/// Debian 13 has Prometheus 2.53; its sources stay where they are, those of the moving suites do not.
const SUITE: &str = "trixie";
const PACKAGE: &str = "prometheus";

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

/// Programs, and the suite whose package has the one that is used. Debian 13 ships no promtool. Both are linked with nothing but
/// the C library, so they run on a host of another suite.
const PROGRAMS: [(&str, &str); 2] = [("prometheus", SUITE), ("promtool", "bookworm")];

/// The directory with `prometheus` and `promtool`, below `into`; fetched once.
pub(crate) fn programs(into: &Path) -> Result<PathBuf> {
    let programs = into.join("programs");
    for (program, suite) in PROGRAMS {
        let target = programs.join(program);
        if target.exists() {
            continue;
        }
        let dir = into.join(suite);
        let tree = dir.join("root");
        fs::create_dir_all(&tree)?;
        fs::create_dir_all(&programs)?;
        eprintln!("fetching {program} of Debian {suite}");
        let apt = Apt::new(&dir.join("apt"), "deb", suite)?;
        apt.update().with_context(|| format!("suite {suite}"))?;
        let mut download = apt.command("apt-get");
        shell::run(download.args(["download", "-q", PACKAGE]).current_dir(&dir))?;
        let package = fs::read_dir(&dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("no package {PACKAGE} came"))?;
        shell::run_quiet(Command::new("dpkg").arg("-x").arg(&package).arg(&tree))?;
        fs::copy(tree.join("usr/bin").join(program), &target)
            .with_context(|| format!("the package {PACKAGE} of {suite} has no {program}"))?;
    }
    Ok(programs)
}

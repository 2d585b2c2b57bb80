//! Debian's and Ubuntu's packages: installed as root where the host needs them, or only fetched and unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell;

/// `apt-get install` as root, without questions; lists are refreshed when a package is not in them.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    require()?;
    let root = |words: &[&str]| -> Result<()> {
        let mut command = shell::as_root("apt-get", &[("DEBIAN_FRONTEND", "noninteractive".as_ref())])?;
        shell::run(command.args(words).stdin(Stdio::null()))
    };
    let words: Vec<&str> =
        ["install", "-y", "--no-install-recommends"].iter().chain(packages).copied().collect();
    eprintln!("installing {} (apt-get, as root)", packages.join(" "));
    if root(&words).is_err() {
        root(&["update"])?;
        root(&words)?;
    }
    Ok(())
}

/// Installs the package of each program that is not there: (program, packages).
pub(crate) fn install_missing(programs: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| shell::which(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Fetches the packages, and what they need and this host lacks, and unpacks them under `into`: nothing is
/// installed, no service starts. Kept until the list changes.
pub(crate) fn unpack(packages: &[&str], into: &Path) -> Result<PathBuf> {
    let tree = into.join("root");
    let stamp = into.join("complete");
    if fs::read_to_string(&stamp).is_ok_and(|done| done == packages.join(" ")) {
        return Ok(tree);
    }
    require()?;
    let debs = into.join("debs");
    fs::create_dir_all(&debs)?;
    fs::create_dir_all(&tree)?;
    eprintln!("fetching {} and unpacking below {}", packages.join(" "), tree.display());
    let names = with_dependencies(packages).or_else(|_| {
        let mut update = shell::as_root("apt-get", &[])?;
        shell::run(update.arg("update").stdin(Stdio::null()))?;
        with_dependencies(packages)
    })?;
    shell::run(Command::new("apt-get").args(["download", "-q"]).args(&names).current_dir(&debs))?;
    for deb in fs::read_dir(&debs)? {
        let deb = deb?.path();
        if deb.extension().is_some_and(|ext| ext == "deb") {
            shell::run_quiet(Command::new("dpkg").arg("-x").arg(&deb).arg(&tree))?;
        }
    }
    fs::write(&stamp, packages.join(" "))?;
    Ok(tree)
}

/// The packages, and everything that installing them would bring.
fn with_dependencies(packages: &[&str]) -> Result<Vec<String>> {
    let plan = shell::capture(
        Command::new("apt-get")
            .args(["install", "-s", "--no-install-recommends", "-o", "Debug::NoLocking=1"])
            .args(packages),
    )?;
    let mut names: Vec<String> = packages.iter().map(ToString::to_string).collect();
    names.extend(installed_by(&plan).map(str::to_owned));
    names.sort();
    names.dedup();
    Ok(names)
}

/// Packages named in the `Inst` lines of a simulated installation.
fn installed_by(plan: &str) -> impl Iterator<Item = &str> {
    plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
}

fn require() -> Result<()> {
    shell::which("apt-get").context(
        "packages are fetched with apt-get and there is none here: this command knows Debian and Ubuntu only",
    )?;
    if shell::which("dpkg").is_none() {
        bail!("there is no dpkg here");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn packages_are_read_from_the_plan() {
        let plan = "Reading...\nInst libev4 (1:4.33-1 Debian:12 [amd64])\nInst mosquitto [1] (2 Debian:12)\nConf libev4 (1)\n";
        assert_eq!(super::installed_by(plan).collect::<Vec<_>>(), ["libev4", "mosquitto"]);
    }
}

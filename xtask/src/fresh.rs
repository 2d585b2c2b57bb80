//! `test --fresh`: the README's two commands in an empty system. What is installed by hand on a developer's machine hides
//! steps that the commands leave out; in a system of Debian's smallest packages, a C compiler and git nothing does.
//!
//! The work is `fresh.sh`, which this program becomes: so that a signal to it reaches the one that cleans up.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{apt, shell};

/// What is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Suite {
    /// Debian 12
    Bookworm,
    /// Debian 13
    Trixie,
    /// Ubuntu 24.04
    Noble,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Noble => "noble",
        }
    }

    /// Lines for apt. A Debian host's own mirrors are used for each suite.
    fn sources(self, own: &[String]) -> String {
        let ubuntu = "http://archive.ubuntu.com/ubuntu";
        match self {
            Self::Noble => ["noble", "noble-updates", "noble-security"]
                .map(|suite| format!("deb {ubuntu} {suite} main universe\n"))
                .concat(),
            Self::Bookworm | Self::Trixie => own.join("\n") + "\n",
        }
    }
}

/// Runs `cargo xtask run` until its daemon answers, and `cargo xtask test`; with a filter the second alone.
pub(crate) fn run(suite: Suite, filter: Option<&str>) -> Result<()> {
    if !shell::is_root() {
        let own = std::env::current_exe().context("cannot find this program")?;
        let home = shell::cargo_home();
        let mut command = shell::as_root(own, &[("CARGO_HOME", home.as_os_str())])?;
        command.args(["test", &format!("--fresh={}", suite.name())]).args(filter);
        return shell::run(&mut command);
    }
    apt::install_missing(&[
        ("mmdebstrap", "mmdebstrap"),
        ("unshare", "util-linux"),
        ("flock", "util-linux"),
    ])?;
    if suite == Suite::Noble {
        apt::install(&["ubuntu-keyring"])?;
    }
    let dir = shell::root().join("target/fresh");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("sources.list"), suite.sources(&mirrors(suite.name())?))?;
    fs::write(dir.join("apt.conf"), acquire()?)?;
    let script = dir.join("fresh.sh");
    fs::write(&script, include_str!("fresh.sh"))?;
    let mut command = Command::new("bash");
    command.arg(&script).arg(suite.name()).arg(filter.unwrap_or_default());
    command.env("CARGO_HOME", shell::cargo_home()).env("RUSTUP_HOME", rustup_home()?);
    command.env("SOURCE", shell::root()).env("FRESH", &dir);
    eprintln!("+ {}", shell::line(&command));
    Err(command.exec()).context("cannot start bash")
}

/// `deb` lines of this host's mirrors, for another suite of Debian where that is asked for.
fn mirrors(suite: &str) -> Result<Vec<String>> {
    let format = "$(SITE) $(RELEASE) $(COMPONENT)";
    let targets = shell::capture(Command::new("apt-get").args(["indextargets", "--format", format]))?;
    Ok(lines(&targets, suite))
}

/// The lines of Debian's own archives among the targets (mirror, suite, component), each suite's name exchanged. Without
/// any (this host is no Debian) those of the public mirror.
fn lines(targets: &str, suite: &str) -> Vec<String> {
    let mut found: Vec<String> = targets
        .lines()
        .filter_map(|line| {
            let [site, release, component] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
            let own = ["bookworm", "trixie"].into_iter().find(|own| release.starts_with(own))?;
            // Debian's archives have `main`; third parties call their parts otherwise or are signed by others.
            (component == "main" && site.contains("debian"))
                .then(|| format!("deb {site} {} main", release.replacen(own, suite, 1)))
        })
        .collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        found.push(format!("deb http://deb.debian.org/debian {suite} main"));
    }
    found
}

/// How this host's apt reaches its mirrors: proxies, what it checks.
fn acquire() -> Result<String> {
    let all = shell::capture(Command::new("apt-config").arg("dump"))?;
    let wanted = ["Acquire::http", "Acquire::https", "Acquire::Check", "Acquire::Retries", "Acquire::Force"];
    let lines = all.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    Ok(lines.flat_map(|line| [line, "\n"]).collect())
}

fn rustup_home() -> Result<std::path::PathBuf> {
    let home = std::env::var_os("RUSTUP_HOME").map_or_else(
        || shell::cargo_home().parent().unwrap_or(Path::new("/root")).join(".rustup"),
        std::path::PathBuf::from,
    );
    if !home.join("toolchains").is_dir() {
        bail!("there is no rustup in {}: the empty system is given its toolchain", home.display());
    }
    Ok(home)
}

#[cfg(test)]
mod tests {
    #[test]
    fn mirrors_are_those_of_this_host() {
        let targets = "http://m/debian bookworm main\nhttp://m/debian bookworm main\n\
                       http://m/debian-security bookworm-security main\nhttps://other nodistro main\n\
                       https://packages.example/apt cloud-sdk-bookworm main\n";
        assert_eq!(
            super::lines(targets, "trixie"),
            ["deb http://m/debian trixie main", "deb http://m/debian-security trixie-security main"]
        );
        assert_eq!(super::lines("", "bookworm"), ["deb http://deb.debian.org/debian bookworm main"]);
    }
}

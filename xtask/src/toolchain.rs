//! Finds a compiler for `bpfel-unknown-none`: rustup's nightly with `rust-src`, else the distribution's, whose
//! `core` is prebuilt for that target.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{apt, shell};

/// The BPF target, little-endian: every host this agent is built for is.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Debian's compiler.
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";
/// What Debian 12 calls it: the compiler, `core` for BPF, and the LLVM that bpf-linker is built on.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22-dev", "libpolly-22-dev"];
/// LLVM's major version in them.
const LLVM: &str = "22";

/// A compiler that can.
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// rustup's nightly with `rust-src`: builds `core` itself.
    Nightly,
    /// `/usr/bin/rustc` with a prebuilt `core`.
    Distribution,
}

impl Toolchain {
    /// The first that is complete.
    pub(crate) fn find() -> Option<Self> {
        if nightly_has_rust_src() {
            Some(Self::Nightly)
        } else if distribution_has_core() {
            Some(Self::Distribution)
        } else {
            None
        }
    }

    /// Cargo on this toolchain.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = match self {
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo"]).env_remove("RUSTC").current_dir(shell::root());
                command
            }
            Self::Distribution => {
                let mut command = shell::cargo();
                command.env("RUSTC", DISTRIBUTION_RUSTC);
                command
            }
        };
        // Both need `-Z` or a tier-3 target's features; on a nightly it changes nothing.
        command.env("RUSTC_BOOTSTRAP", "1");
        command
    }

    /// What comes after `cargo build`.
    pub(crate) fn build_flags(&self) -> &'static [&'static str] {
        match self {
            Self::Nightly => &["-Z", "build-std=core"],
            Self::Distribution => &[],
        }
    }

    /// Where the sources of `core` lie, so that the path can be kept out of the object.
    pub(crate) fn sysroot(&self) -> Option<PathBuf> {
        match self {
            Self::Nightly => nightly_sysroot(),
            Self::Distribution => None,
        }
    }
}

fn quiet(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn nightly_sysroot() -> Option<PathBuf> {
    quiet(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"])).map(PathBuf::from)
}

fn nightly_has_rust_src() -> bool {
    nightly_sysroot().is_some_and(|root| root.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file())
}

fn distribution_has_core() -> bool {
    quiet(Command::new(DISTRIBUTION_RUSTC).args(["--print", "target-libdir", "--target", TARGET]))
        .is_some_and(|dir| {
            std::fs::read_dir(dir).is_ok_and(|mut entries| {
                entries
                    .any(|entry| entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("libcore-")))
            })
        })
}

/// Compiler and linker, or what to type to get them; with `install`, gets them.
pub(crate) fn ensure(install: bool) -> Result<(Toolchain, PathBuf)> {
    let (found, linker) = (Toolchain::find(), shell::which("bpf-linker"));
    if let (Some(toolchain), Some(linker)) = (found, linker) {
        return Ok((toolchain, linker));
    }
    if !install {
        bail!("{}", advice());
    }
    if Toolchain::find().is_none() || !Path::new("/usr/lib/llvm-22").is_dir() {
        apt::install(&DEBIAN_PACKAGES)?;
    }
    if shell::which("bpf-linker").is_none() {
        shell::run(
            shell::cargo()
                .args(["install", "bpf-linker", "--locked", "--no-default-features", "--features"])
                .arg(format!("llvm-{LLVM}"))
                .env("LLVM_PREFIX", format!("/usr/lib/llvm-{LLVM}")),
        )?;
    }
    let toolchain = Toolchain::find().with_context(advice)?;
    Ok((toolchain, shell::which("bpf-linker").with_context(advice)?))
}

fn advice() -> String {
    let tick = |ok: bool| if ok { "found  " } else { "missing" };
    format!(
        "no complete toolchain for {TARGET}:\n  \
         {} rustup nightly with rust-src\n  \
         {} {DISTRIBUTION_RUSTC} with core for {TARGET}\n  \
         {} bpf-linker\n\
         Install one compiler and the linker (or let `cargo xtask build-ebpf --install` do the second way):\n  \
         1. rustup toolchain install nightly --component rust-src && cargo install bpf-linker\n  \
         2. apt-get install {}\n     \
         LLVM_PREFIX=/usr/lib/llvm-{LLVM} cargo install bpf-linker --no-default-features --features llvm-{LLVM}\n\
         Only changes to agent-ebpf need this: the built object is in the tree.",
        tick(nightly_has_rust_src()),
        tick(distribution_has_core()),
        tick(shell::which("bpf-linker").is_some()),
        DEBIAN_PACKAGES.join(" "),
    )
}

//! Running other programs: what is run is printed, a failure names it.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The packages that are tested: all but the BPF object, which is committed and built by `build-ebpf`. Always the
/// same selection, so that features are unified once and nothing is built twice.
pub(crate) const SELECTION: [&str; 3] = ["--workspace", "--exclude", "agent-ebpf"];

/// The workspace's root: the parent of this crate.
pub(crate) fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// `$CARGO_HOME`, or its default.
pub(crate) fn cargo_home() -> PathBuf {
    env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cargo"),
        PathBuf::from,
    )
}

/// The cargo that runs this, or the first in `PATH`.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The first file of this name in `PATH`, in cargo's binaries, or where root's tools live.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([cargo_home().join("bin"), "/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Prints the command line, runs it, fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("+ {}", line(command));
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// Runs it without a word.
pub(crate) fn run_quiet(command: &mut Command) -> Result<()> {
    capture(command).map(drop)
}

/// Runs quietly and returns what it wrote to its standard output.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", line(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command line as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// `program` as root: itself where this is root, else through sudo, keeping the named variables.
pub(crate) fn as_root(program: impl AsRef<OsStr>, keep: &[(&str, &OsStr)]) -> Result<Command> {
    if is_root() {
        let mut command = Command::new(program);
        command.envs(keep.iter().copied());
        return Ok(command);
    }
    let sudo = which("sudo").with_context(|| {
        format!("{} needs root and there is no sudo here: run this as root", program.as_ref().display())
    })?;
    let mut command = Command::new(sudo);
    for (name, value) in keep {
        let mut pair = std::ffi::OsString::from(format!("{name}="));
        pair.push(value);
        command.arg(pair);
    }
    command.arg(program);
    Ok(command)
}

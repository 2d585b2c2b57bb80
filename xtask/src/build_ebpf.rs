//! `build-ebpf`: agent-ebpf → `agent/bpf/agent.bpf.o`, the object that is committed and embedded in the agent.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::toolchain::{self, TARGET, Toolchain};
use crate::{digest, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Install what is missing (apt-get as root, cargo install)
    #[arg(long)]
    install: bool,
    /// Build nothing: fail if the committed object is stale
    #[arg(long, conflicts_with = "install")]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = shell::root();
    if args.check {
        return digest::check(&root);
    }
    let (toolchain, linker) = toolchain::ensure(args.install)?;
    let target_dir = root.join("target/bpf");
    let path = env::join_paths(
        linker
            .parent()
            .map(Path::to_path_buf)
            .into_iter()
            .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    )?;
    shell::run(
        toolchain
            .cargo()
            .args([
                "build",
                "--package",
                "agent-ebpf",
                "--release",
                "--locked",
                "--target",
                TARGET,
                "--target-dir",
            ])
            .arg(&target_dir)
            .args(toolchain.build_flags())
            .env("CARGO_ENCODED_RUSTFLAGS", flags(&root, &toolchain)?.join("\x1f"))
            .env("PATH", path)
            // BTF is made from the full debug information; the panic handler is a loop and never unwinds.
            .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
            .env("CARGO_PROFILE_RELEASE_LTO", "true")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    )?;
    let built = target_dir.join(TARGET).join("release/agent-ebpf");
    let object = root.join(digest::OBJECT);
    fs::create_dir_all(object.parent().context("the object lies in a directory")?)?;
    fs::copy(&built, &object)
        .with_context(|| format!("cannot copy {} to {}", built.display(), object.display()))?;
    strip(&object)?;
    fs::write(root.join(digest::DIGEST), digest::of_tree(&root)?)?;
    eprintln!(
        "{} is {} bytes; commit it together with its digest",
        digest::OBJECT,
        fs::metadata(&object)?.len()
    );
    Ok(())
}

/// Flags of the compiler. No directory of this machine may reach the object: BTF's line information names files.
fn flags(root: &Path, toolchain: &Toolchain) -> Result<Vec<String>> {
    let mut flags: Vec<String> = [
        // Not by its path: flags are hashed into symbol names.
        "-Clinker=bpf-linker",
        "-Clink-arg=--btf",
        // v3 (32-bit jumps and registers) is in every kernel since 5.1; the oldest supported here is 5.10.
        "-Ctarget-cpu=v3",
        "-Cpanic=abort",
    ]
    .map(String::from)
    .into();
    let mut remap =
        |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    remap(root, "s7mpa");
    let registries = shell::cargo_home().join("registry/src");
    if let Ok(entries) = fs::read_dir(&registries) {
        for entry in entries {
            remap(&entry?.path(), "registry");
        }
    }
    if let Some(sysroot) = toolchain.sysroot() {
        remap(&sysroot.join("lib/rustlib/src/rust"), "rustc");
    }
    Ok(flags)
}

/// Drops DWARF (nine tenths of the object; the kernel reads BTF only) where a tool that knows BPF is at hand.
fn strip(object: &Path) -> Result<()> {
    let tools = (20..30).rev().map(|major| format!("/usr/lib/llvm-{major}/bin/llvm-objcopy"));
    let found = tools.chain(["llvm-objcopy".into(), "rust-objcopy".into()]).find_map(|tool| {
        let path = Path::new(&tool);
        if path.is_absolute() { path.is_file().then(|| path.to_path_buf()) } else { shell::which(&tool) }
    });
    let Some(tool) = found else {
        eprintln!("no llvm-objcopy here: the object keeps its DWARF and is larger than it need be");
        return Ok(());
    };
    shell::run(Command::new(tool).arg("--strip-debug").arg(object))
}

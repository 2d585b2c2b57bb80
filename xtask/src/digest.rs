//! Is the committed BPF object built from the sources beside it? Answered without a BPF toolchain.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// The committed object.
pub(crate) const OBJECT: &str = "agent/bpf/agent.bpf.o";
/// What it was built from, and its own digest.
pub(crate) const DIGEST: &str = "agent/bpf/agent.bpf.sha256";

/// Sources of the object. `wire` is not among them: it is compiled out of it.
const SOURCES: [&str; 5] = [
    "agent-ebpf",
    "agent-common/Cargo.toml",
    "agent-common/src/lib.rs",
    "agent-common/src/units.rs",
    "agent-common/src/abi",
];

/// Packages in `Cargo.lock` that are compiled into the object start with one of these.
const LOCKED: [&str; 3] = ["aya-ebpf", "aya-log-ebpf", "aya-log-common"];

/// The text of [`DIGEST`] for the tree as it is.
pub(crate) fn of_tree(root: &Path) -> Result<String> {
    let object = fs::read(root.join(OBJECT)).with_context(|| format!("cannot read {OBJECT}"))?;
    Ok(format!("{}  sources\n{}  agent.bpf.o\n", sources(root)?, hex(Sha256::digest(object).as_slice())))
}

/// Fails when the committed object is not the one these sources make.
pub(crate) fn check(root: &Path) -> Result<()> {
    let committed = fs::read_to_string(root.join(DIGEST)).with_context(|| format!("cannot read {DIGEST}"))?;
    if committed != of_tree(root)? {
        bail!(
            "{OBJECT} is stale: it was not built from the sources beside it; `cargo xtask build-ebpf`, then commit"
        );
    }
    Ok(())
}

/// SHA-256 over path, length and content of each source, in order of path.
fn sources(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        list(&root.join(source), &mut files)?;
    }
    files.sort();
    let mut sha = Sha256::new();
    for file in files {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        sha.update(format!("{name}\0{}\0", content.len()));
        sha.update(content);
    }
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    sha.update(locked(&lock));
    Ok(hex(sha.finalize().as_slice()))
}

/// The versions of what is compiled in, as lines of name, version and checksum.
fn locked(lock: &str) -> String {
    let value = |block: &str, key: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap_or_default()
            .trim_matches([' ', '=', '"'])
            .to_owned()
    };
    lock.split("[[package]]")
        .filter(|block| LOCKED.iter().any(|name| value(block, "name").starts_with(name)))
        .map(|block| {
            format!("{} {} {}\n", value(block, "name"), value(block, "version"), value(block, "checksum"))
        })
        .collect::<Vec<_>>()
        .concat()
}

fn list(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))? {
            list(&entry?.path(), files)?;
        }
    } else if path.extension().is_some_and(|ext| ext == "rs" || ext == "toml") {
        files.push(path.to_path_buf());
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // SANITY: writing to a String cannot fail.
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_object_is_built_from_the_sources_beside_it() {
        super::check(&crate::shell::root()).unwrap();
    }

    #[test]
    fn only_what_is_compiled_into_the_object_is_locked() {
        let lock = "[[package]]\nname = \"aya-ebpf\"\nversion = \"0.2.1\"\nchecksum = \"ab\"\n\n\
                    [[package]]\nname = \"aya\"\nversion = \"0.14.0\"\n";
        assert_eq!(super::locked(lock), "aya-ebpf 0.2.1 ab\n");
    }
}

//! Debian's cloud kernels, fetched through a private apt directory: the host's own lists stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::private_apt::Apt;
use crate::shell;

/// A kernel of the matrix: the name it goes by, the start of its version, the suite it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    version: &'static str,
    suite: &'static str,
}

/// Oldest supported, two in wide use, newest.
pub(crate) const MATRIX: [Kernel; 4] = [
    Kernel { name: "5.10", version: "5.10.", suite: "bullseye" },
    Kernel { name: "6.1", version: "6.1.", suite: "bookworm" },
    Kernel { name: "6.12", version: "6.12.", suite: "bookworm-backports" },
    Kernel { name: "newest", version: "", suite: "sid" },
];

/// The package that always depends on the current kernel for clouds: everything a virtual machine needs built in.
const META: &str = "linux-image-cloud-amd64";

/// The packages that a package of this version depends on, that are part of this kernel.
fn kernel_packages(apt: &Apt, package: &str) -> Result<Vec<String>> {
    let text = shell::capture(apt.command("apt-cache").args(["show", package]))?;
    let depends = text.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    Ok(depends
        .split(',')
        .filter_map(|dependency| dependency.split_whitespace().next())
        .filter(|name| name.starts_with("linux-image-") || name.starts_with("linux-binary-"))
        .map(str::to_owned)
        .collect())
}

/// The kernel's image and its full version, fetched once and kept below `dir`.
pub(crate) fn fetch(kernel: Kernel, dir: &Path) -> Result<(PathBuf, String)> {
    let dir = dir.join(kernel.name);
    if let Some(found) = image(&dir.join("root"))? {
        return Ok(found);
    }
    eprintln!("fetching Linux {} from Debian {}", kernel.name, kernel.suite);
    let apt = Apt::new(&dir.join("apt"), "deb", kernel.suite)?;
    apt.update().with_context(|| format!("suite {}", kernel.suite))?;
    let packages = kernel_packages(&apt, META)?;
    let package =
        packages
            .iter()
            .find(|name| name.starts_with(&format!("linux-image-{}", kernel.version)))
            .with_context(|| format!("{META} of {} depends on no kernel {}", kernel.suite, kernel.name))?;
    // Newer packaging keeps the image in a package of its own.
    let parts = kernel_packages(&apt, package)?;
    let wanted = parts.iter().find(|name| name.starts_with("linux-binary-")).unwrap_or(package);
    let (debs, tree) = (dir.join("debs"), dir.join("root"));
    fs::create_dir_all(&debs)?;
    fs::create_dir_all(&tree)?;
    shell::run(apt.command("apt-get").args(["download", "-q", wanted]).current_dir(&debs))?;
    for deb in fs::read_dir(&debs)? {
        shell::run_quiet(Command::new("dpkg").arg("-x").arg(deb?.path()).arg(&tree))?;
    }
    let found = image(&tree)?.with_context(|| format!("{wanted} has no vmlinuz"))?;
    // Modules are not needed and are most of it.
    for part in ["lib", "usr/lib"] {
        let _ = fs::remove_dir_all(tree.join(part).join("modules"));
    }
    Ok(found)
}

/// The kernel's image in an unpacked package: `boot/vmlinuz-VERSION`; since 7.2 it lies with the modules, and is moved to where
/// the others have it.
fn image(tree: &Path) -> Result<Option<(PathBuf, String)>> {
    let names = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let boot = tree.join("boot");
    for version in names(&tree.join("usr/lib/modules")) {
        let beside = tree.join("usr/lib/modules").join(&version).join("vmlinuz");
        if beside.is_file() {
            fs::create_dir_all(&boot)?;
            fs::rename(beside, boot.join(format!("vmlinuz-{version}")))?;
        }
    }
    let found = names(&boot).into_iter().find_map(|name| {
        let version = name.strip_prefix("vmlinuz-")?.to_owned();
        Some((boot.join(name), version))
    });
    Ok(found)
}

/// The kernels by name; `all` is every one.
pub(crate) fn select(names: &[String]) -> Result<Vec<Kernel>> {
    if names.is_empty() || names.iter().any(|name| name == "all") {
        return Ok(MATRIX.to_vec());
    }
    names
        .iter()
        .map(|name| match MATRIX.iter().find(|kernel| kernel.name == name) {
            Some(kernel) => Ok(*kernel),
            None => bail!("no kernel {name}: there are {} and all", MATRIX.map(|k| k.name).join(", ")),
        })
        .collect()
}

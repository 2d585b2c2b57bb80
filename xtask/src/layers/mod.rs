//! Which module may import which: no import runs against the layers, no circle between the top-level modules of a crate,
//! and each large library is named in one place.

mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell;
use read::Import;

/// Top-level modules of a crate, lowest first: each may import those before it, in the same crate.
const LAYERS: [(&str, &[&str]); 4] = [
    (
        "agent",
        &[
            "clock",
            "heap",
            "namespaces",
            "output",
            "progress",
            "replace",
            "config",
            "bpf",
            "source",
            "collector",
            "bench_probe",
            "aggregate",
            "recording",
            "history",
            "observer",
            "control",
            "notify",
            "outbox",
            "logs",
            "doctor",
            "daemon",
            "cli",
        ],
    ),
    (
        "diagnosis",
        &[
            "window",
            "syscall_names",
            "groups",
            "usage",
            "facts",
            "trend",
            "suspicion",
            "rules",
            "explain",
            "engine",
            "alert",
            "scaffolding",
            "stacks",
            "recording",
        ],
    ),
    (
        "profile",
        &[
            "coverage",
            "frame",
            "mode",
            "names",
            "options",
            "sample",
            "interpreted",
            "timeline",
            "fold",
            "brief",
            "block",
            "graph",
        ],
    ),
    (
        "flamegraphs",
        &[
            "elf",
            "maps",
            "unwind",
            "python",
            "symbolize",
            "format",
            "text",
            "pprof",
            "read",
            "diff",
            "svg",
            "html",
            "firefox",
            "speedscope",
        ],
    ),
];

/// A library, and the only place (file or directory) that names it.
const ONLY_IN: [(&str, &str); 6] = [
    ("aya", "agent/src/bpf"),
    ("aya_log", "agent/src/bpf"),
    ("blazesym", "flamegraphs/src/symbolize"),
    ("inferno", "flamegraphs/src/svg.rs"),
    ("influxdb2", "server/src/store/influx"),
    ("rumqttc", "link/src"),
];

/// A package and one that it must not depend on, directly or through others.
const NEVER: [(&str, &str); 14] = [
    ("relay", "agent"),
    ("link", "server"),
    ("server", "agent"),
    ("diagnosis", "agent"),
    ("diagnosis", "server"),
    ("diagnosis", "flamegraphs"),
    ("diagnosis", "opener"),
    ("diagnosis", "aya"),
    ("diagnosis", "tokio"),
    ("logs", "agent"),
    ("logs", "server"),
    ("logs", "opener"),
    ("postmortem", "agent"),
    ("postmortem", "server"),
];

/// Places without I/O and without a clock.
const PURE: [&str; 5] =
    ["profile/src", "diagnosis/src", "postmortem/src", "agent/src/aggregate", "agent/src/outbox"];

/// What such a place must not name.
const IMPURE: [&[&str]; 14] = [
    &["std", "env"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "net", "TcpListener"],
    &["std", "net", "TcpStream"],
    &["std", "net", "UdpSocket"],
    &["std", "os"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["procfs"],
    &["tokio"],
    &["tracing"],
];

/// One package of the workspace.
#[derive(Debug, Default)]
struct Package {
    name: String,
    /// `src/lib.rs` and `src/main.rs`, whichever there are, relative to the root.
    roots: Vec<PathBuf>,
    /// Names of the packages it depends on, those of its tests left out.
    depends: BTreeSet<String>,
}

/// What is wrong with this tree, one line each.
pub(crate) fn check(root: &Path) -> Result<()> {
    let wrong = faults(root, &packages(root)?)?;
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

fn faults(root: &Path, packages: &[Package]) -> Result<Vec<String>> {
    let mut wrong = dependencies(packages);
    for package in packages {
        let mut imports = Vec::new();
        for file in &package.roots {
            imports.extend(read::imports(root, file)?);
        }
        wrong.extend(named_elsewhere(&imports));
        wrong.extend(impure(&imports));
        wrong.extend(circular(&package.name, &imports));
        if let Some((_, layers)) = LAYERS.iter().find(|(name, _)| *name == package.name) {
            wrong.extend(against(&package.name, layers, &imports));
        }
    }
    Ok(wrong)
}

/// Packages that reach what they must not depend on.
fn dependencies(packages: &[Package]) -> Vec<String> {
    let depends: BTreeMap<&str, &BTreeSet<String>> =
        packages.iter().map(|package| (&*package.name, &package.depends)).collect();
    let mut wrong = Vec::new();
    for (from, never) in NEVER {
        let mut seen = BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(name) = next.pop() {
            for on in depends.get(name).into_iter().copied().flatten() {
                if seen.insert(on) {
                    next.push(on);
                }
            }
        }
        if seen.contains(never) {
            wrong.push(format!("package {from} depends on {never}, which it must not"));
        }
    }
    wrong
}

/// Libraries that are named outside of their place.
fn named_elsewhere(imports: &[Import]) -> Vec<String> {
    let is_wrong = |import: &&Import| {
        ONLY_IN.iter().any(|(library, place)| import.path[0] == *library && !is_below(&import.file, place))
    };
    imports.iter().filter(is_wrong).map(|import| format!("{import}: named outside of its place")).collect()
}

/// I/O and clocks in pure places.
fn impure(imports: &[Import]) -> Vec<String> {
    let is_wrong = |import: &&Import| {
        let names = |impure: &&[&str]| {
            import.path.iter().zip(*impure).filter(|(a, b)| a == *b).count() == impure.len()
        };
        PURE.iter().any(|place| is_below(&import.file, place)) && IMPURE.iter().any(names)
    };
    imports
        .iter()
        .filter(is_wrong)
        .map(|import| format!("{import}: I/O or a clock in a pure place"))
        .collect()
}

fn is_below(file: &Path, place: &str) -> bool {
    // `store/influx` is `store/influx.rs` as well as the directory.
    file.starts_with(place) || file.with_extension("") == Path::new(place)
}

/// Imports between top-level modules of a crate: who imports whom, with one place that does.
fn edges(imports: &[Import]) -> BTreeMap<(&str, &str), &Import> {
    let mut edges = BTreeMap::new();
    for import in imports {
        if let (Some(from), Some(to)) = (&import.module, &import.imports)
            && from != to
        {
            edges.entry((&**from, &**to)).or_insert(import);
        }
    }
    edges
}

/// Imports that run against the layers, and modules without one.
fn against(package: &str, layers: &[&str], imports: &[Import]) -> Vec<String> {
    let place = |name: &str| layers.iter().position(|layer| *layer == name);
    let mut wrong = Vec::new();
    for ((from, to), import) in edges(imports) {
        match (place(from), place(to)) {
            (Some(from), Some(to)) if to < from => {}
            (Some(_), Some(_)) => wrong.push(format!("{import}: {from} lies below {to} in crate {package}")),
            (None, _) => wrong.push(format!("{package}::{from} has no layer: add it to xtask/src/layers")),
            (_, None) => wrong.push(format!("{package}::{to} has no layer: add it to xtask/src/layers")),
        }
    }
    let modules: BTreeSet<&str> = imports.iter().filter_map(|import| import.module.as_deref()).collect();
    wrong.extend(
        layers
            .iter()
            .filter(|layer| !modules.contains(**layer))
            .map(|layer| format!("{package}::{layer} has a layer and is not there")),
    );
    wrong.sort();
    wrong.dedup();
    wrong
}

/// Imports that close a circle between modules.
fn circular(package: &str, imports: &[Import]) -> Vec<String> {
    let line = |((from, to), import): ((&str, &str), &Import)| {
        format!("{import}: {from} and {to} of crate {package} import each other, perhaps through others")
    };
    circles(imports).into_iter().map(line).collect()
}

/// Imports that are part of a circle between the top-level modules of a crate.
fn circles(imports: &[Import]) -> Vec<((&str, &str), &Import)> {
    let edges = edges(imports);
    let mut reach: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in edges.keys() {
        reach.entry(from).or_default().insert(to);
    }
    // Closure: there are some twenty modules in a crate.
    loop {
        let before: usize = reach.values().map(BTreeSet::len).sum();
        for from in reach.keys().copied().collect::<Vec<_>>() {
            let next: BTreeSet<&str> =
                reach[from].iter().filter_map(|to| reach.get(to)).flatten().copied().collect();
            reach.entry(from).or_default().extend(next);
        }
        if reach.values().map(BTreeSet::len).sum::<usize>() == before {
            break;
        }
    }
    let back = |from: &str, to: &str| reach.get(to).is_some_and(|reached| reached.contains(from));
    edges.into_iter().filter(|((from, to), _)| back(from, to)).collect()
}

/// The packages of the workspace. The BPF programs are another target, and not read.
fn packages(root: &Path) -> Result<Vec<Package>> {
    let text = shell::capture(shell::cargo().current_dir(root).args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("cargo metadata")?;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut packages = Vec::new();
    for package in list(&metadata["packages"]) {
        let mut of = Package { name: text(&package["name"]), ..Package::default() };
        if of.name == "agent-ebpf" {
            continue;
        }
        for target in list(&package["targets"]) {
            let path = PathBuf::from(text(&target["src_path"]));
            if path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") {
                of.roots.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
            }
        }
        let depends = list(&package["dependencies"]);
        of.depends =
            depends.iter().filter(|one| one["kind"] != "dev").map(|one| text(&one["name"])).collect();
        packages.push(of);
    }
    Ok(packages)
}

//! Checks which crates link which: the privileged half of the agent has no network and no database and compiles alone; the
//! diagnosis has no symbolizer and draws no flame graphs.

use anyhow::{Result, bail};

use crate::shell;

/// Crates that no root process needs: MQTT, TLS, HTTP, databases, and our own that have them.
const NETWORK: [&str; 15] = [
    "h2",
    "hyper",
    "influxdb2",
    "libsqlite3-sys",
    "link",
    "native-tls",
    "openssl",
    "relay",
    "reqwest",
    "rumqttc",
    "rumqttd",
    "rusqlite",
    "rustls",
    "server",
    "tokio-rustls",
];

/// Crates that a pure library needs not: symbols, pictures, I/O.
const IMPURE: [&str; 7] = ["addr2line", "aya", "blazesym", "gimli", "inferno", "opener", "tokio"];

/// Package `agent` without its default features is the privileged half.
const HALF: [&str; 3] = ["--package", "agent", "--no-default-features"];

const DIAGNOSIS: [&str; 2] = ["--package", "diagnosis"];

/// Compiles the privileged half by itself: no path leads from it to the other half.
pub(crate) fn check() -> Result<()> {
    let mut check = shell::cargo();
    shell::run(check.arg("check").args(HALF))?;
    linked()
}

/// Looks at what both are linked with.
pub(crate) fn linked() -> Result<()> {
    without("the privileged half", &HALF, &NETWORK)?;
    without("the diagnosis", &DIAGNOSIS, &IMPURE)
}

/// The packages that `select` names link none of these crates.
fn without(subject: &str, select: &[&str], forbidden: &[&str]) -> Result<()> {
    let mut tree = shell::cargo();
    tree.arg("tree").args(select).args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let text = shell::capture(&mut tree)?;
    let found = linked_of(forbidden, &text);
    if found.is_empty() {
        Ok(())
    } else {
        bail!("{subject} links {} (see `cargo tree -i CRATE {}`)", found.join(", "), select.join(" "))
    }
}

/// Those of the crates that are in the tree.
fn linked_of<'a>(crates: &[&str], tree: &'a str) -> Vec<&'a str> {
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| crates.contains(name))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_there_is_found() {
        let tree = "agent v0.1.0 (/x)\nrustls v0.23.1\nserde v1.0.0 (*)\nh2 v0.3.27\nrustls v0.23.1 (*)\n";
        assert_eq!(linked_of(&NETWORK, tree), ["h2", "rustls"]);
    }

    #[test]
    fn the_privileged_half_has_no_network_and_the_diagnosis_no_symbols() {
        linked().unwrap();
    }
}

//! The privileged half of the agent: what it must not link, and that it compiles by itself.

use anyhow::{Result, bail};

use crate::shell;

/// Crates that no root process needs: MQTT, TLS, HTTP, databases, and our own that have them.
const FORBIDDEN: [&str; 15] = [
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

/// Package `agent` without its default features is the privileged half.
const HALF: [&str; 3] = ["--package", "agent", "--no-default-features"];

/// Compiles it by itself: no path leads from it to the other half.
pub(crate) fn check() -> Result<()> {
    let mut check = shell::cargo();
    shell::run(check.arg("check").args(HALF))?;
    linked()
}

/// Looks at what it is linked with.
pub(crate) fn linked() -> Result<()> {
    let mut tree = shell::cargo();
    tree.arg("tree").args(HALF).args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let text = shell::capture(&mut tree)?;
    let found = forbidden(&text);
    if found.is_empty() {
        Ok(())
    } else {
        bail!("the privileged half links {} (see `cargo tree -i CRATE {}`)", found.join(", "), HALF.join(" "))
    }
}

fn forbidden(tree: &str) -> Vec<&str> {
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| FORBIDDEN.contains(name))
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
        assert_eq!(forbidden(tree), ["h2", "rustls"]);
    }

    #[test]
    fn the_privileged_half_has_no_network_and_no_database() {
        linked().unwrap();
    }
}

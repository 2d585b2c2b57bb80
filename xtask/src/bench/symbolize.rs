//! `bench symbolize`: names, inlined functions and lines at random addresses of Debian's libraries against `addr2line`
//! and `llvm-symbolizer`, and how long 1,000 addresses take.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{apt, shell};

/// Packages with debug info, and the libraries that they are of. Those in Debian's main archive: C, C++ with deep
/// inlining, a large C program.
const PACKAGES: [&str; 4] = ["binutils", "libc6-dbg", "libstdc++6-12-dbg", "python3-dbg"];
const LIBRARIES: [&str; 7] = [
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libm.so.6",
    "/usr/lib/x86_64-linux-gnu/libresolv.so.2",
    "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "/usr/lib/x86_64-linux-gnu/debug/libstdc++.so.6",
    "/usr/bin/python3.11-dbg",
    "/usr/bin/python3.11",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Addresses
    #[arg(long, default_value_t = 2000)]
    addresses: usize,
    /// Libraries in place of Debian 12's
    libraries: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let mut libraries = args.libraries.clone();
    if libraries.is_empty() {
        apt::install(&PACKAGES)?;
        libraries.extend(LIBRARIES.iter().filter(|path| Path::new(path).exists()).map(ToString::to_string));
    }
    if libraries.is_empty() {
        bail!("none of {} is here", LIBRARIES.join(", "));
    }
    let mut cargo = shell::cargo();
    cargo.args(["run", "--release", "-p", "flamegraphs", "--example", "corpus", "--"]);
    shell::run(cargo.arg(args.addresses.to_string()).args(libraries))
}

//! The database of accounts, for the commands that change it: as the user whose it is, with each change in the audit log.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, bail};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use server::access::{Access, Entry, Outcome, now};

use super::{Context, root};
use crate::daemon;

/// Opens it. Root becomes the server's user first.
pub(super) fn open(context: &Context) -> anyhow::Result<Access> {
    let config = &context.config;
    if nix::unistd::geteuid().is_root() {
        // Accounts may be made before the server has ever run.
        daemon::make_relay_dirs(config)?;
    }
    root::drop(config, "the accounts")?;
    let dir = config.server_dir();
    Access::open(&dir).with_context(|| format!("accounts are in {}; run this with sudo", dir.display()))
}

/// Writes into the audit log what this command has done.
pub(super) fn note(access: &Access, what: &str) -> anyhow::Result<()> {
    let who = std::env::var("SUDO_USER").map_or_else(|_| "local".to_owned(), |user| format!("local {user}"));
    let entry = Entry {
        at: now(),
        who,
        what: what.to_owned(),
        outcome: Outcome::Done,
        address: "this host".to_owned(),
    };
    Ok(access.audit(&entry)?)
}

/// Asks for a new password twice, without showing it; where there is no terminal, it is the first line of standard input.
pub(super) fn new_password() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return line();
    }
    let first = hidden("Password: ")?;
    if hidden("Again: ")? != first {
        bail!("the two are not the same; nothing was changed");
    }
    Ok(first)
}

fn hidden(prompt: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let before = tcgetattr(stdin.as_fd())?;
    let mut quiet = before.clone();
    quiet.local_flags.remove(LocalFlags::ECHO);
    let mut err = std::io::stderr();
    write!(err, "{prompt}")?;
    err.flush()?;
    tcsetattr(stdin.as_fd(), SetArg::TCSAFLUSH, &quiet)?;
    let text = line();
    tcsetattr(stdin.as_fd(), SetArg::TCSAFLUSH, &before)?;
    writeln!(err)?;
    text
}

fn line() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().read_line(&mut text).context("standard input")?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// A time of the database, for tables.
pub(super) fn when(at: i64) -> String {
    super::term::utc(at.cast_unsigned().saturating_mul(1_000_000_000))
}

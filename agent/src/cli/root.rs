//! Commands that need no privileges give root away before they read what others wrote.

use anyhow::Context as _;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::config::Config;
use crate::daemon;

/// Becomes the relay's user, where this is root: `what` was written by that user, or comes from the network. All threads
/// of the process do (setuid of the C library).
pub(super) fn drop(config: &Config, what: &str) -> anyhow::Result<()> {
    let Some(owner) = daemon::relay_owner(config)? else { return Ok(()) };
    become_user(owner, what)
}

/// Becomes this user, for good.
pub(super) fn become_user((uid, gid): (Uid, Gid), what: &str) -> anyhow::Result<()> {
    let cannot = || format!("cannot become the user that may read {what}");
    setgroups(&[]).with_context(cannot)?;
    setgid(gid).with_context(cannot)?;
    setuid(uid).with_context(cannot)?;
    nix::sys::prctl::set_no_new_privs().with_context(cannot)
}

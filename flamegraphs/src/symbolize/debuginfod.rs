//! debuginfod: debug files from a server, by build ID.
//!
//! Asked through `debuginfod-find`, elfutils' client, which every distribution with a server has: servers, time-outs
//! and the cache are configured where the other tools' are (`DEBUGINFOD_URLS`, …). It runs beside us: nothing here
//! waits for it. A file that comes in is used from the next question on.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::debug::hex;

/// Downloads at a time.
const MAX_RUNNING: usize = 2;
/// Build IDs asked for at most; a host has some hundred.
const MAX_ASKED: usize = 4096;

/// Downloads.
#[derive(Debug, Default)]
pub(super) struct Debuginfod {
    enabled: bool,
    asked: HashSet<Box<[u8]>>,
    running: Vec<Child>,
    /// There is no client.
    missing: bool,
}

impl Debuginfod {
    /// Asks servers only if `enabled`.
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }

    /// Starts to fetch the debug file of `build_id`, once. Never blocks. Says whether it may come in.
    pub(super) fn ask(&mut self, build_id: &[u8]) -> bool {
        self.running.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if !self.enabled || self.missing || self.running.len() >= MAX_RUNNING || self.asked.len() >= MAX_ASKED
        {
            return false;
        }
        if !self.asked.insert(build_id.into()) {
            return true;
        }
        let mut command = Command::new("debuginfod-find");
        command.arg("debuginfo").arg(hex(build_id));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => self.running.push(child),
            Err(error) => {
                tracing::warn!(%error, "debuginfod is configured, but its client debuginfod-find cannot be run");
                self.missing = true;
            }
        }
        !self.missing
    }
}

/// Where the client keeps the debug file of `build_id`, there or not.
pub(super) fn cached(build_id: &[u8]) -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = var("DEBUGINFOD_CACHE_PATH")
        .or_else(|| Some(var("XDG_CACHE_HOME")?.join("debuginfod_client")))
        .or_else(|| Some(var("HOME")?.join(".cache/debuginfod_client")))?;
    Some(dir.join(hex(build_id)).join("debuginfo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_unless_configured() {
        let mut off = Debuginfod::new(false);
        assert!(!off.ask(&[1, 2, 3]));
        assert!(off.asked.is_empty() && off.running.is_empty());
    }
}

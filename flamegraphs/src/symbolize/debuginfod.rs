//! debuginfod: debug files from a server, by build ID.
//!
//! Asked through `debuginfod-find`, elfutils' client, which every distribution with a server has: servers, time-outs
//! and the cache are configured where the other tools' are (`DEBUGINFOD_URLS`, …). It runs beside us: nothing here
//! waits for it. A file that comes in is used from the next question on.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::debug::hex;

/// Downloads at a time.
const MAX_RUNNING: usize = 2;
/// Build IDs asked for at most; a host has some hundred.
const MAX_ASKED: usize = 4096;

/// Asks for the debug file of a build ID, in hexadecimal digits, without waiting; says whether it may come in.
type Fetch = dyn Fn(&str) -> bool + Send + Sync;

/// Where files arrive, and who fetches them; of a process that starts no client itself.
static ELSEWHERE: OnceLock<(PathBuf, Box<Fetch>)> = OnceLock::new();

/// From now on files are fetched by `fetch`, which must not block, and arrive below `cache` as debuginfod's client lays
/// them there. The first call counts.
pub fn set_debuginfod(cache: PathBuf, fetch: impl Fn(&str) -> bool + Send + Sync + 'static) {
    let _ = ELSEWHERE.set((cache, Box::new(fetch)));
}

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
        if let Some((_, fetch)) = ELSEWHERE.get() {
            return fetch(&hex(build_id));
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
    if let Some((cache, _)) = ELSEWHERE.get() {
        return Some(cache.join(hex(build_id)).join("debuginfo"));
    }
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
    fn no_server_is_asked_unless_configured() {
        let mut off = Debuginfod::new(false);
        assert!(!off.ask(&[1, 2, 3]));
        assert!(off.asked.is_empty() && off.running.is_empty());
    }
}

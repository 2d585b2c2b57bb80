//! The restrictions of a systemd unit, put in force by hand: there is no systemd to start units in a test.
//!
//! Read from the unit itself, so that what is tested is what is shipped. A setting that is not known here is an error: a
//! new line in the unit must not go untested.

mod files;
mod filter;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use caps::{CapSet, Capability};

/// Settings that start, stop and bound a service and forbid it nothing a test could see.
const NOT_RESTRICTIONS: &[&str] = &[
    "ConfigurationDirectory",
    "ExecReload",
    "ExecStart",
    "KillMode",
    "KillSignal",
    "MemoryMax",
    "Restart",
    "RestartSec",
    "RuntimeDirectory",
    "RuntimeDirectoryMode",
    "StateDirectory",
    "StateDirectoryMode",
    "TasksMax",
    "TimeoutStopSec",
    "Type",
];

/// The settings of a unit's `[Service]` section, in order; a key may come several times.
#[derive(Debug)]
pub struct Unit(Vec<(String, String)>);

impl Unit {
    /// Reads a unit file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut section = "";
        let mut settings = Vec::new();
        for line in
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
        {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
            } else if section == "Service" {
                let (key, value) = line.split_once('=').with_context(|| format!("`{line}` is no setting"))?;
                settings.push((key.to_owned(), value.to_owned()));
            }
        }
        ensure!(!settings.is_empty(), "{} has no [Service]", path.display());
        Ok(Self(settings))
    }

    /// The values of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The last value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn is(&self, key: &str) -> bool {
        self.get(key) == Some("yes")
    }

    /// Puts the unit's restrictions in force for this process and what it executes; it writes below `writable` only, as
    /// a service does below its own directories.
    pub fn confine(&self, writable: &[PathBuf]) -> Result<()> {
        let mut left: BTreeMap<&str, &str> = self
            .0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .filter(|(key, _)| !NOT_RESTRICTIONS.contains(key))
            .collect();
        files::confine(writable, &mut left)?;
        if left.remove("LimitMEMLOCK") == Some("infinity") {
            use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
            // Where even root may not, systemd could not either.
            let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        }
        let programs = filter::programs(self, &mut left)?;
        self.bound_capabilities(&mut left)?;
        ensure!(left.remove("NoNewPrivileges") == Some("yes"), "NoNewPrivileges is not set");
        if !left.is_empty() {
            bail!("settings that the tests do not know: {left:?}");
        }
        // Sets no_new_privs as well.
        for program in programs {
            seccompiler::apply_filter(&program)?;
        }
        Ok(())
    }

    /// `CapabilityBoundingSet`: what root has after the exec.
    fn bound_capabilities(&self, left: &mut BTreeMap<&str, &str>) -> Result<()> {
        let text = left.remove("CapabilityBoundingSet").context("CapabilityBoundingSet is not set")?;
        let mut kept: Vec<Capability> = text
            .split_whitespace()
            .map(|name| name.parse().context(name.to_owned()))
            .collect::<Result<_>>()?;
        // These settings take capabilities away as well (systemd.exec(5)).
        for (setting, taken) in [
            ("ProtectKernelModules", &[Capability::CAP_SYS_MODULE][..]),
            ("ProtectKernelLogs", &[Capability::CAP_SYSLOG]),
            ("ProtectClock", &[Capability::CAP_SYS_TIME, Capability::CAP_WAKE_ALARM]),
            ("PrivateDevices", &[Capability::CAP_MKNOD, Capability::CAP_SYS_RAWIO]),
        ] {
            if self.is(setting) {
                kept.retain(|capability| !taken.contains(capability));
            }
        }
        for capability in caps::all() {
            if !kept.contains(&capability) && caps::has_cap(None, CapSet::Bounding, capability)? {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
        Ok(())
    }
}

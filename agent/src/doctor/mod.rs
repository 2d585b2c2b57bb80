//! What works on this kernel and with these permissions, what is lost, and what to do about it.

mod confinement;
mod host;
mod kernel;
pub mod stacks;

use std::path::Path;

use serde::Serialize;

use crate::bpf::StartError;
use crate::bpf::{State, Verdict};
use crate::control::protocol::Status;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Ok,
    /// Worth knowing, nothing lost.
    Note,
    /// Something is lost, the main job works.
    Warn,
    /// The main job cannot work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it came out.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Check {
    fn new(name: &'static str, health: Health, found: impl Into<String>) -> Self {
        Self { name, health, found: found.into(), lost: None, cure: None }
    }

    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Health::Ok, found)
    }

    fn lost(mut self, lost: impl Into<String>) -> Self {
        self.lost = Some(lost.into());
        self
    }

    fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

/// `agent doctor --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The main job (syscalls and stacks per process) works.
    pub works: bool,
    /// Version of the program.
    pub version: &'static str,
    /// Kernel, permissions, mounts, limits.
    pub checks: Vec<Check>,
    /// One verdict a BPF program; empty where none could be tried.
    pub probes: Vec<Verdict>,
}

/// Looks at the kernel below `root` (`/`, unless a test says otherwise), tries every probe.
#[must_use]
pub fn diagnose(
    root: &Path,
    config: &crate::config::Config,
    daemon: Result<Option<Box<Status>>, String>,
    probes: Result<Vec<Verdict>, StartError>,
) -> Diagnosis {
    let mut checks = kernel::checks(root);
    let running = daemon.as_ref().ok().and_then(|daemon| daemon.as_ref()).map(|status| status.pid);
    checks.extend(host::checks(root, config, daemon));
    checks.extend(confinement::checks(root, running));
    let probes = match probes {
        Ok(probes) => probes,
        Err(error) => {
            let (what, cure) = match &error {
                StartError::Denied { missing } => {
                    (format!("may not be tried without {missing}"), "run `agent doctor` with sudo".to_owned())
                }
                StartError::Unsupported { what, cure } => (what.clone(), cure.clone()),
                StartError::Broken(cause) => (
                    format!("{error}: {cause:#}"),
                    "this should have worked: please report it with this output".to_owned(),
                ),
            };
            checks.push(Check::new("probes", Health::Fail, what).lost("every probe").cure(cure));
            Vec::new()
        }
    };
    let works = checks.iter().all(|check| check.health != Health::Fail) && main_job(&probes);
    Diagnosis { works, version: env!("CARGO_PKG_VERSION"), checks, probes }
}

/// Syscalls and samples: of either, one variant of each program must work.
fn main_job(probes: &[Verdict]) -> bool {
    let any = |names: &[&str]| {
        probes.iter().any(|probe| names.contains(&probe.program) && probe.state == State::Works)
    };
    any(&["syscall_exit", "syscall_exit_r"]) && any(&["oncpu_sample", "oncpu_sample_r"])
}

/// Does this verdict cost anything? A variant that another one replaces does not, but for sampling: its other variant has no
/// stacks without frame pointers.
#[must_use]
pub fn is_replaced(verdict: &Verdict, all: &[Verdict]) -> bool {
    let works = |name: &str| all.iter().any(|other| other.program == name && other.state == State::Works);
    match verdict.program.strip_suffix("_r") {
        Some(other) => works(other),
        None => verdict.program != "oncpu_sample" && works(&format!("{}_r", verdict.program)),
    }
}

/// The text of a small file below `root`, trimmed.
fn read(root: &Path, path: &str) -> Option<String> {
    std::fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned())
}

/// The number in a sysctl below `root`.
fn sysctl(root: &Path, path: &str) -> Option<i64> {
    read(root, &format!("proc/sys/{path}"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(program: &'static str, state: State) -> Verdict {
        Verdict { program, feature: "x", state, detail: String::new(), lost: "" }
    }

    #[test]
    fn the_main_job_needs_one_variant_of_each() {
        let refused = verdict("syscall_exit", State::Unsupported);
        let works = verdict("syscall_exit_r", State::Works);
        let samples = verdict("oncpu_sample", State::Works);
        assert!(main_job(&[refused.clone(), works.clone(), samples.clone()]));
        assert!(!main_job(&[refused.clone(), samples]));
        assert!(!main_job(std::slice::from_ref(&works)));
        assert!(is_replaced(&refused, &[refused.clone(), works.clone()]));
        assert!(!is_replaced(&refused, std::slice::from_ref(&refused)));
    }

    #[test]
    fn without_permission_the_main_job_cannot_work_and_the_cure_is_said() {
        let config = crate::config::Settings::defaults().config().unwrap();
        let denied = StartError::Denied { missing: "CAP_BPF".to_owned() };
        let diagnosis = diagnose(Path::new("/nowhere"), &config, Ok(None), Err(denied));
        assert!(!diagnosis.works);
        let check = diagnosis.checks.iter().find(|check| check.name == "probes").unwrap();
        assert!(check.cure.as_ref().unwrap().contains("sudo"));
    }
}

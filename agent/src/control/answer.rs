//! Questions about windows, answered: the one path that daemon and self-attached commands share.

use std::sync::Arc;

use agent_common::units::Tgid;
use agent_common::wire::report::{Coverage, Report, SyscallsReport};
use flamegraphs::{FoldOptions, Sample, Symbolizer};

use super::pid;
use super::protocol::{Failure, FailureKind, Profile, Target};
use crate::aggregate::{self, ReportOptions};
use crate::diagnose;
use crate::window::Window;

/// What answers need beside the windows.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Names for addresses.
    pub symbolizer: Symbolizer,
    /// Host name.
    pub host: Arc<str>,
    /// On-CPU samples a second and CPU.
    pub rate_hz: u32,
}

impl Answers {
    /// Folds the samples of `windows`. Blocks while the symbolizer works.
    pub fn flamegraph(
        &self,
        windows: &[Arc<Window>],
        target: Target,
        fold: FoldOptions,
    ) -> Result<Profile, Failure> {
        let wanted = |sample: &&Sample| match target {
            Target::All => true,
            Target::Pid(pid) => sample.tgid == pid,
        };
        let samples: Vec<Sample> =
            windows.iter().flat_map(|window| window.samples.iter().filter(wanted).cloned()).collect();
        let comm = match target {
            Target::All => None,
            Target::Pid(pid) => main_comm(windows, pid, &samples),
        };
        let count = samples.iter().map(|sample| sample.weight).sum();
        let folded = self
            .symbolizer
            .fold(samples, fold)
            .map_err(|error| Failure::new(FailureKind::Broken, format!("cannot name the stacks: {error}")))?;
        let mut covered = coverage(windows);
        covered.symbolized_pct = (folded.names.frames > 0).then(|| folded.names.named_pct());
        Ok(Profile {
            target,
            comm,
            window_s: seconds(windows),
            rate_hz: self.rate_hz,
            samples: count,
            coverage: covered,
            folded,
            ended_early: None,
        })
    }

    /// `agent syscalls`.
    #[must_use]
    pub fn syscalls(&self, windows: &[Arc<Window>], pid: Option<Tgid>) -> SyscallsReport {
        aggregate::syscalls(windows, pid)
    }

    /// `agent report`. Blocks while the symbolizer names the findings' stacks.
    #[must_use]
    pub fn report(&self, windows: &[Arc<Window>], top_n: usize) -> Report {
        let mut report = aggregate::report(&self.host, windows, &ReportOptions { top_n });
        diagnose::stacks::name(report.findings.iter_mut(), windows, &self.symbolizer);
        report.coverage.missing.extend(diagnose::unknown(windows));
        report
    }
}

/// The process' own name: `/proc`'s while it lives, else that of its exit, else that of its first sample.
fn main_comm(windows: &[Arc<Window>], pid: u32, samples: &[Sample]) -> Option<String> {
    let exited = || windows.iter().flat_map(|window| &window.exits).find(|exit| exit.tgid.0 == pid);
    let first_sample = || samples.iter().find(|sample| sample.tid == pid).or(samples.first());
    pid::find(pid)
        .ok()
        .map(|found| found.comm)
        .or_else(|| exited().map(|exit| exit.comm.to_string()))
        .or_else(|| first_sample().map(|sample| sample.comm.to_string()))
}

/// Time that the windows span, seconds.
#[must_use]
pub fn seconds(windows: &[Arc<Window>]) -> f64 {
    windows.iter().map(|window| window.span().as_secs_f64()).sum()
}

/// What all windows together cover.
#[must_use]
pub fn coverage(windows: &[Arc<Window>]) -> Coverage {
    let mut sum = Coverage::default();
    for window in windows {
        sum.expected += window.coverage.expected;
        sum.captured += window.coverage.captured;
        for (reason, lost) in &window.coverage.lost {
            *sum.lost.entry(reason.clone()).or_default() += lost;
        }
        for missing in &window.coverage.missing {
            if !sum.missing.contains(missing) {
                sum.missing.push(missing.clone());
            }
        }
        window.coverage.syscall_tier.clone_into(&mut sum.syscall_tier);
    }
    sum
}

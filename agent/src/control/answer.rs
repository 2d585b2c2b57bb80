//! Questions about windows, answered: the one path that daemon, self-attached commands and recordings share.

use std::sync::Arc;

use agent_common::units::Tgid;
use agent_common::wire::report::{Coverage, Report, SyscallsReport};
use diagnosis::window::Window;
use flamegraphs::Symbolizer;
use profile::{FoldOptions, Folded, Mode, Names, Roots, Sample, Stacked, Timeline};

use super::pid;
use super::protocol::{Failure, FailureKind, Page, Profile, Target};
use crate::aggregate::{self, ReportOptions, StackOptions};

/// Where the names of addresses come from.
#[derive(Debug, Clone)]
pub enum Namer {
    /// From the processes and the kernel of this moment.
    Live(Symbolizer),
    /// From a recording.
    Recorded(Arc<Names>),
}

impl From<Symbolizer> for Namer {
    fn from(symbolizer: Symbolizer) -> Self {
        Self::Live(symbolizer)
    }
}

impl Namer {
    /// Keeps the mappings of a process, so that its frames get names even if it exits.
    pub fn observe(&self, tgid: u32) {
        if let Self::Live(symbolizer) = self {
            symbolizer.observe(tgid);
        }
    }

    /// Names and folds. Blocks while the symbolizer works.
    pub fn fold(&self, stacks: &[Stacked], options: &FoldOptions) -> Result<Folded, Failure> {
        Ok(Folded::new(&self.timeline(stacks, options)?, options))
    }

    /// Names of these samples. Blocks while the symbolizer works.
    pub fn names(&self, samples: Vec<Sample>) -> Result<Arc<Names>, Failure> {
        match self {
            Self::Recorded(names) => Ok(Arc::clone(names)),
            Self::Live(symbolizer) => {
                let named = symbolizer.names(samples);
                let failed =
                    |error| Failure::new(FailureKind::Broken, format!("cannot name the stacks: {error}"));
                named.map(|(_, names)| Arc::new(names)).map_err(failed)
            }
        }
    }

    /// Names. Blocks while the symbolizer works.
    pub fn timeline(&self, stacks: &[Stacked], options: &FoldOptions) -> Result<Timeline, Failure> {
        let samples = stacks.iter().flat_map(|one| std::iter::once(&one.sample).chain(&one.waker)).cloned();
        let samples = if matches!(self, Self::Live(_)) { samples.collect() } else { Vec::new() };
        Ok(Timeline::new(stacks, &*self.names(samples)?, options))
    }
}

/// What answers need beside the windows.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Names for addresses.
    pub names: Namer,
    /// Host name.
    pub host: Arc<str>,
    /// On-CPU samples a second and CPU.
    pub rate_hz: u32,
}

impl Answers {
    /// Folds the stacks of `windows`; with `timeline` each sample comes along by itself. Blocks while the symbolizer
    /// works.
    pub fn flamegraph(
        &self,
        windows: &[Arc<Window>],
        target: Target,
        fold: FoldOptions,
        mode: Mode,
        no_idle: bool,
        timeline: bool,
    ) -> Result<Profile, Failure> {
        let pid = match target {
            Target::All => None,
            Target::Pid(pid) => Some(Tgid(pid)),
        };
        let options = StackOptions { mode, pid, no_idle, rate_hz: self.rate_hz };
        let mut picked = aggregate::stacks(windows, &options);
        if timeline || fold.roots == Roots::Group {
            let places = aggregate::places(windows);
            for one in &mut picked.stacks {
                one.group =
                    Some(places.get(&one.sample.tgid).map_or_else(|| "[not known]".into(), Arc::clone));
            }
        }
        let comm = pid.and_then(|pid| self.main_comm(windows, pid.0, &picked.stacks));
        let each = self.names.timeline(&picked.stacks, &fold)?;
        drop(picked.stacks);
        // What comes next takes as much memory again.
        crate::heap::give_back();
        let folded = Folded::new(&each, &fold);
        let mut covered = coverage(windows);
        covered.symbolized_pct = (folded.names.frames > 0).then(|| folded.names.named_pct());
        covered.unwound = aggregate::unwound(windows, pid);
        covered.pythons = aggregate::pythons(windows, pid);
        Ok(Profile {
            target,
            comm,
            window_s: seconds(windows),
            rate_hz: self.rate_hz,
            mode,
            samples: picked.samples,
            waits: picked.waits,
            waited_ns: picked.waited.0,
            blocked_ns: picked.blocked.map(|time| time.0),
            coverage: covered,
            folded,
            start_unix_ns: start_unix_ns(windows),
            timeline: timeline.then_some(each),
            ended_early: None,
            when: None,
        })
    }

    /// `agent syscalls`.
    #[must_use]
    pub fn syscalls(&self, windows: &[Arc<Window>], pid: Option<Tgid>) -> SyscallsReport {
        aggregate::syscalls(windows, pid)
    }

    /// A report without stacks: nothing is named, so it is quick.
    #[must_use]
    pub fn glance(&self, windows: &[Arc<Window>], options: &ReportOptions) -> Report {
        aggregate::report(&self.host, windows, options)
    }

    /// `agent report`: with the stacks that show each finding. Blocks while the symbolizer works.
    #[must_use]
    pub fn report(&self, windows: &[Arc<Window>], options: &ReportOptions) -> Report {
        self.report_after(&[], windows, options)
    }

    /// The same; what processes did in the windows `before` is known to the rules, and not shown.
    #[must_use]
    pub fn report_after(
        &self,
        before: &[Arc<Window>],
        windows: &[Arc<Window>],
        options: &ReportOptions,
    ) -> Report {
        let mut report = aggregate::report_after(&self.host, before, windows, options);
        let fold = |samples: Vec<Sample>| {
            let stacks: Vec<Stacked> = samples.into_iter().map(Stacked::from).collect();
            let failed = |error: &_| tracing::warn!(%error, "cannot name the stacks of a finding");
            self.names.fold(&stacks, &FoldOptions::default()).inspect_err(failed).ok()
        };
        diagnosis::stacks::name(report.findings.iter_mut(), windows, fold);
        report
    }

    /// `agent report --html`: the report and its flame graphs.
    pub fn page(&self, windows: &[Arc<Window>], options: &ReportOptions) -> Result<Page, Failure> {
        self.page_with(self.report(windows, options), windows, options)
    }

    /// The same with a report that is there.
    pub fn page_with(
        &self,
        report: Report,
        windows: &[Arc<Window>],
        options: &ReportOptions,
    ) -> Result<Page, Failure> {
        let target = options.pid.map_or(Target::All, |pid| Target::Pid(pid.0));
        let fold = FoldOptions { roots: Roots::Process, ..FoldOptions::default() };
        let mut graphs = Vec::new();
        for mode in [Mode::OnCpu, Mode::OffCpu] {
            // Of a host the waits for work drown the others; of one process they are what it does.
            let graph = self.flamegraph(windows, target, fold, mode, options.pid.is_none(), false)?;
            if !graph.folded.is_empty() {
                graphs.push(graph);
            }
        }
        let until_unix_ns = windows.last().map_or(0, |window| window.end_unix.0);
        Ok(Page { report, graphs, until_unix_ns })
    }

    /// The process' own name: `/proc`'s while it lives (not of a recording), else that of its exit, else that of its
    /// first stack.
    fn main_comm(&self, windows: &[Arc<Window>], pid: u32, stacks: &[Stacked]) -> Option<String> {
        let live = || matches!(self.names, Namer::Live(_)).then(|| pid::find(pid).ok()).flatten();
        let tasks = || windows.iter().rev().flat_map(|window| &window.tasks).find(|task| task.tgid.0 == pid);
        let exited = || windows.iter().flat_map(|window| &window.exits).find(|exit| exit.tgid.0 == pid);
        let first = || stacks.iter().map(|one| &one.sample).find(|sample| sample.tid == pid);
        let first = || first().or_else(|| stacks.first().map(|one| &one.sample));
        live()
            .map(|found| found.comm)
            .or_else(|| tasks().map(|task| task.comm.to_string()))
            .or_else(|| exited().map(|exit| exit.comm.to_string()))
            .or_else(|| first().map(|sample| sample.comm.to_string()))
    }
}

/// Wall clock at the start of the first window; 0 without windows.
fn start_unix_ns(windows: &[Arc<Window>]) -> u64 {
    windows.first().map_or(0, |window| window.end_unix.0.saturating_sub(window.span().0))
}

/// Time that the windows span, seconds.
#[must_use]
pub fn seconds(windows: &[Arc<Window>]) -> f64 {
    windows.iter().map(|window| window.span().as_secs_f64()).sum()
}

/// What all windows together cover.
#[must_use]
pub fn coverage(windows: &[Arc<Window>]) -> Coverage {
    aggregate::coverage(windows)
}

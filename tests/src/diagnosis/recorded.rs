//! Recordings of cases: what the rules are tried on where there is neither root nor BPF.

use std::path::Path;
use std::sync::Arc;

use agent::output::OutputMode;
use agent::recording::Writer;
use agent_common::units::{Tgid, UnixNs};
use anyhow::Result;
use diagnosis::recording::Head;
use diagnosis::window::Window;
use flamegraphs::{Symbolizer, SymbolizerOptions};
use profile::Names;

use super::stage::Stage;

/// Writes the windows of one case.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer,
    symbolizer: Symbolizer,
    /// Only the case's own processes, and no names of this host: small, and fit to be given away.
    own: bool,
}

impl Recorder {
    /// Begins a recording.
    pub fn new(path: &Path, own: bool) -> Result<Self> {
        let head = Head {
            host: "here".to_owned(),
            rate_hz: 97,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: String::new(),
            began: UnixNs(0),
            samples: true,
        };
        Ok(Self {
            writer: Writer::create(path, OutputMode::PRIVATE, &head)?,
            symbolizer: Symbolizer::spawn(SymbolizerOptions::default())?,
            own,
        })
    }

    pub(super) fn window(&mut self, window: &Window, stage: &Stage) -> Result<()> {
        let cut = self.own.then(|| only(window, stage));
        let window = cut.as_ref().unwrap_or(window);
        let unnamed = self.writer.unnamed(window);
        let names = if unnamed.is_empty() { Names::default() } else { self.symbolizer.names(unnamed)?.1 };
        Ok(self.writer.window(window, &names)?)
    }

    pub(super) fn finish(self) -> Result<()> {
        self.writer.finish()?;
        Ok(())
    }
}

/// What of a window is about the cast, their children, and the kernel's threads.
fn only(window: &Window, stage: &Stage) -> Window {
    let mut window = window.clone();
    let cast: Vec<u32> = stage.cast().iter().flat_map(|actor| [actor.pid(), actor.meter.told()]).collect();
    let mut kept: Vec<Tgid> = cast.iter().copied().filter(|pid| *pid > 0).map(Tgid).collect();
    let children = window.tasks.iter().filter(|task| kept.contains(&task.parent)).map(|task| task.tgid);
    let children: Vec<Tgid> = children
        .chain(window.exits.iter().filter(|exit| kept.contains(&exit.parent)).map(|exit| exit.tgid))
        .collect();
    kept.extend(children);
    kept.push(Tgid(0));
    let busy = |tgid: Tgid| window.times.iter().any(|times| times.tgid == tgid && !times.threads.is_empty());
    let kernel = window.tasks.iter().filter(|task| task.kernel && busy(task.tgid)).map(|task| task.tgid);
    let kernel: Vec<Tgid> = kernel.collect();
    kept.extend(kernel);
    let of = |tgid: Tgid| kept.contains(&tgid);
    window.tasks.retain(|task| of(task.tgid));
    let own =
        |group: &str| group == "/" || stage.cgroup.as_ref().is_some_and(|own| group.contains(own.name()));
    for task in window.tasks.iter_mut().filter(|task| !own(&task.cgroup)) {
        // The paths of this host's cgroups do not belong in a recording.
        Arc::make_mut(task).cgroup = "/".into();
    }
    window.exits.retain(|exit| of(exit.tgid));
    window.syscalls.retain(|row| of(row.tgid));
    window.in_flight.retain(|row| of(row.tgid));
    window.samples.retain(|sample| of(Tgid(sample.tgid)));
    window.times.retain(|times| of(times.tgid));
    window.waits.retain(|wait| of(wait.tgid));
    window.blame.retain(|row| of(row.victim) && of(row.culprit));
    window.blockio.retain(|row| of(row.tgid));
    window.memory.retain(|row| of(row.tgid));
    window.oom_kills.retain(|kill| of(kill.tgid));
    window.net.retain(|row| of(row.tgid));
    window.signals.retain(|row| of(row.tgid));
    window.locks.retain(|row| of(row.tgid));
    window
}

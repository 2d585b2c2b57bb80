//! Observing without a daemon: probes attached for the duration of one command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use flamegraphs::{Symbolizer, SymbolizerOptions};

use super::Context;
use super::ask::Interrupt;
use super::term::Progress;
use crate::bpf::StartError;
use crate::collector::Options;
use crate::control::Answers;
use crate::history::{History, Limits};
use crate::observer::{Observer, observe_with};

/// Time between two checks of the target while the command waits for it.
const TARGET_CHECK_EVERY: Duration = Duration::from_millis(50);

/// Attached probes.
#[derive(Debug)]
pub(super) struct Observing {
    observer: Observer,
    pub(super) answers: Answers,
}

/// Why the waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// The time is over.
    Duration,
    /// Ctrl-C.
    Interrupt,
    /// The process exited.
    Exited,
}

/// Attaches. What runs from here on is seen.
pub(super) async fn start(context: &Context, options: Options) -> anyhow::Result<Observing> {
    start_with(context, options, Limits::COMMAND).await
}

/// Attaches, with a memory of its own size.
pub(super) async fn start_with(
    context: &Context,
    options: Options,
    limits: Limits,
) -> anyhow::Result<Observing> {
    let symbolizer = Symbolizer::spawn(symbolizer_options()).context("cannot start the symbolizer")?;
    let answers = Answers {
        names: symbolizer.clone().into(),
        host: context.config.host.as_str().into(),
        rate_hz: options.rate_hz,
    };
    let on_process = observe_with(symbolizer);
    let observer = tokio::task::spawn_blocking(move || Observer::start(options, limits, on_process)).await?;
    Ok(Observing { observer: observer.map_err(|error| explain(&error))?, answers })
}

/// No foreign program runs as root: the daemon has debuginfod's client run by the plugin process, a command goes without.
fn symbolizer_options() -> SymbolizerOptions {
    let options = SymbolizerOptions::default();
    if options.debuginfod && nix::unistd::geteuid().is_root() {
        tracing::warn!(
            "a command run as root asks no debuginfod servers (the daemon does, as another user): fetch what is missing \
             with `debuginfod-find debuginfo FILE` first"
        );
        return SymbolizerOptions { debuginfod: false, ..options };
    }
    options
}

/// Says what still works where probes cannot be attached.
pub(super) fn explain(error: &StartError) -> anyhow::Error {
    let hint = match error {
        StartError::Denied { .. } => {
            "run it with sudo. Without these work: doctor, config, completions, query, serve, alerts --mqtt"
        }
        StartError::Unsupported { .. } | StartError::Broken(_) => "`agent doctor` says what works here",
    };
    let text = super::term::chain(error);
    anyhow::anyhow!("{text}; {hint}")
}

impl Observing {
    /// Windows as they close.
    pub(super) fn history(&self) -> &Arc<History> {
        self.observer.history()
    }

    /// Waits for the end of the duration, Ctrl-C, or until `gone` says so.
    pub(super) async fn wait(
        &self,
        interrupt: &mut Interrupt,
        what: &str,
        duration: Option<Duration>,
        mut gone: impl FnMut() -> bool,
    ) -> Ended {
        let begin = Instant::now();
        let progress = Progress::new();
        let mut beat = tokio::time::interval(TARGET_CHECK_EVERY);
        let over = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Ended::Duration,
                () = interrupt.wait() => return Ended::Interrupt,
                _ = beat.tick() => {
                    if gone() || self.observer.is_dead() {
                        return Ended::Exited;
                    }
                    progress.tick(what, begin.elapsed(), duration);
                }
            }
        }
    }

    /// Closes the last window and detaches.
    pub(super) async fn finish(self) -> anyhow::Result<(Arc<History>, Answers)> {
        let Self { observer, answers } = self;
        let history = tokio::task::spawn_blocking(move || observer.stop()).await?;
        Ok((history, answers))
    }
}

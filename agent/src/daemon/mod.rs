//! `agent run`: collector, history, rules, control socket, and the relay as a process of its own.

mod endings;
pub mod launcher;
mod live;
mod naming;
mod pipeline;
pub mod plugin;
mod processes;
mod profiles;
mod recorder;
mod refusals;
mod relay;
mod reload;
mod restart;
mod summary;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use flamegraphs::{Symbolizer, SymbolizerOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

pub use processes::{NETNS, Processes};
pub(crate) use refusals::Refusals;
pub use relay::{
    NO_USER, Owner, RELAY, broker_access, make_relay_dirs, relay_owner, server_config, store_config,
};
pub use reload::Source;

use self::endings::Endings;
use self::launcher::Launcher;
use self::plugin::PluginChild;
use self::profiles::Profiles;
use self::recorder::Recorder;
use self::relay::{Figures, Relay, RelayHandle};
use self::reload::Reloader;
use crate::collector::Options;
use crate::config::Config;
use crate::control::server::{Daemon, serve};
use crate::control::socket::ControlSocket;
use crate::control::{AlertBoard, Answers, PostMortems};
use crate::history::Limits;
use crate::logs::Logs;
use crate::observer::{Observer, observe_with};

/// Most alerts of rules that wait to be shown.
const MAX_ALERTS_OF_RULES: usize = 256;
/// Most alerts of post-mortems that wait to be shown.
const MAX_ALERTS_OF_ENDS: usize = 256;
/// Longest time for the relay to send the last windows when the daemon ends.
const RELAY_DRAIN: Duration = Duration::from_secs(5);
/// Longest time for the last log lines to be read.
const LOGS_DRAIN: Duration = Duration::from_secs(2);
/// Longest time for the last window to be recorded.
const RECORDER_DRAIN: Duration = Duration::from_secs(2);

/// Makes directories, starts the other processes, then drops the privileges that the collector does not need.
///
/// Must be called while there is one thread, before the runtime is made: later threads have what this one keeps.
pub fn prepare(config: &Config) -> anyhow::Result<Processes> {
    make_dirs(config)?;
    make_relay_dirs(config)?;
    let processes = Processes::start(config)?;
    sandbox::keep(sandbox::Process::Collector, &[])?;
    Ok(processes)
}

/// Runs until `stop`, then drains. `live`: a summary line on the terminal in place of logs, and the terminal's end is ours.
///
/// Must be the whole of a multi-threaded runtime's `block_on`; the runtime was made after [`prepare`].
pub async fn run(
    source: Source,
    config: Config,
    processes: Processes,
    live: bool,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut hangup = signal(SignalKind::hangup())?;
    let socket = ControlSocket::bind(&config.socket)?;
    let Processes { launcher, mut plugin } = processes;
    let (to_pipeline, of_rules) = mpsc::channel(MAX_ALERTS_OF_RULES);
    let mut relay = tokio::task::block_in_place(|| Relay::start(&config, launcher.clone(), to_pipeline))?;
    let handle = relay.handle();

    if let Some(plugin) = &plugin {
        plugin.fetch_debug_files();
    }
    let symbolizer =
        Symbolizer::spawn(SymbolizerOptions::default()).context("cannot start the symbolizer")?;
    let postmortems = Arc::new(PostMortems::of(&config.state_dir));
    let logs = start_logs(&config, handle.clone())?;
    let (of_ends_sent, of_ends) = mpsc::channel(MAX_ALERTS_OF_ENDS);
    let endings =
        Endings::start(&config.host, Arc::clone(&postmortems), symbolizer.clone(), of_ends_sent, &logs)
            .context("cannot start a thread")?;
    let observer = {
        let symbolizer = symbolizer.clone();
        let (options, limits) = (Options::of_host(&config.collector), limits_of(&config));
        let on_process = endings.before(observe_with(symbolizer));
        tokio::task::block_in_place(|| Observer::start(options, limits, on_process))?
    };
    let names = symbolizer.clone();
    let profiles = Profiles::spawn(symbolizer.clone(), handle.clone(), config.collector.rate_hz)?;
    let told = plugin.as_ref().and_then(PluginChild::alerts);
    let notifiers = crate::notify::from_plugin(told, handle.silences());
    // Everything is loaded and attached: from here on no program starts and no other socket opens.
    sandbox::seccomp::confine(sandbox::Process::Collector)?;
    let board = Arc::new(AlertBoard::default());
    let recorder =
        Recorder::start(&config, observer.history().subscribe(), names.clone(), Arc::clone(&board))
            .context("cannot start a thread")?;
    let daemon = Arc::new(Daemon {
        history: Arc::clone(observer.history()),
        answers: Answers {
            names: symbolizer.into(),
            host: config.host.as_str().into(),
            rate_hz: config.collector.rate_hz,
        },
        board: Arc::clone(&board),
        postmortems,
        recordings: Arc::clone(&recorder.status),
        started,
        api: handle.api(),
    });
    let answering = Arc::clone(&daemon);
    handle.answer_with(move |question| live::answer(Arc::clone(&answering), question));
    tracing::info!(
        host = %config.host,
        rate_hz = config.collector.rate_hz,
        socket = %config.socket.display(),
        broker = %config.mqtt.url.as_ref().map_or_else(|| "embedded".to_owned(), ToString::to_string),
        "observing"
    );

    let processes = Arc::new(AtomicUsize::new(config.collector.processes));
    let mut reloader = Reloader {
        source,
        history: Arc::clone(observer.history()),
        processes: Arc::clone(&processes),
        recordings: Arc::clone(&recorder.limits),
    };
    let control = tokio::spawn(serve(socket, Arc::clone(&daemon)));
    let pipeline = pipeline::Pipeline::new(
        &config,
        Arc::clone(&processes),
        names,
        pipeline::Incoming { of_rules, of_ends, ends_lost: endings.lost() },
        Arc::clone(&recorder.status),
        pipeline::Receivers { relay: handle.clone(), board: Arc::clone(&board), notifiers, profiles },
    );
    let pipeline = tokio::spawn(pipeline.run(daemon.history.subscribe()));
    let summary = live.then(|| tokio::spawn(summary::run(Arc::clone(&daemon), handle.clone())));

    let hangups = Hangups { signal: &mut hangup, end: live };
    let parts = Parts { launcher: &launcher, relay: &mut relay, plugin: plugin.as_mut() };
    let died = watch(&observer, parts, stop, hangups, &mut reloader).await;
    // It holds a handle on the history.
    drop(reloader);

    tracing::info!("stopping");
    // It has a handle on the history.
    handle.answer_no_more();
    control.abort();
    if let Some(summary) = summary {
        summary.abort();
    }
    // The control task had the last handle on the socket; the observer's last window ends the pipeline.
    let _ = control.await;
    drop(daemon);
    tokio::task::spawn_blocking(move || drop(observer.stop())).await?;
    if tokio::time::timeout(RELAY_DRAIN, pipeline).await.is_err() {
        tracing::warn!("the last window was not processed in time");
    }
    if tokio::time::timeout(LOGS_DRAIN, tokio::task::spawn_blocking(move || logs.stop())).await.is_err() {
        tracing::warn!("the last log lines were not handed on in time: they are read again");
    }
    let recorded = tokio::task::spawn_blocking(move || recorder.join());
    if tokio::time::timeout(RECORDER_DRAIN, recorded).await.is_err() {
        tracing::warn!("the last window was not recorded in time");
    }
    what_is_lost(&relay.stop(RELAY_DRAIN).await);
    died
}

/// Logs windows that the relay did not take. The relay logs the windows on its disk itself.
fn what_is_lost(figures: &Figures) {
    let lost = figures.windows.lost + figures.windows.waiting;
    if lost > 0 {
        tracing::warn!(lost, "windows were lost: the relay did not take them");
    }
}

/// SIGHUP: the end of the terminal in live mode, else a request to read the configuration again.
struct Hangups<'a> {
    signal: &'a mut Signal,
    end: bool,
}

/// The other processes.
struct Parts<'a> {
    launcher: &'a Launcher,
    relay: &'a mut Relay,
    plugin: Option<&'a mut PluginChild>,
}

/// Waits until the daemon is stopped, or a part dies without which it cannot go on.
async fn watch(
    observer: &Observer,
    Parts { launcher, relay, mut plugin }: Parts<'_>,
    stop: impl Future<Output = ()>,
    hangups: Hangups<'_>,
    reloader: &mut Reloader,
) -> anyhow::Result<()> {
    let mut beat = tokio::time::interval(Duration::from_millis(500));
    let mut refusals = Refusals::of(sandbox::Process::Collector);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            _ = hangups.signal.recv() => {
                if hangups.end {
                    return Ok(());
                }
                reloader.reload(relay);
            }
            _ = beat.tick() => {
                if observer.is_dead() {
                    anyhow::bail!("the collector's thread died; see the log above");
                }
                if launcher.has_ended() {
                    anyhow::bail!(
                        "the process agent-launcher has ended: relay and plugin process could not be started again; \
                         start the daemon again (systemd does it by itself)"
                    );
                }
                relay.tend().await;
                if let Some(plugin) = &mut plugin {
                    plugin.tend();
                }
                refusals.log_new();
            }
        }
    }
}

/// Starts to collect log lines.
fn start_logs(config: &Config, relay: RelayHandle) -> anyhow::Result<Logs> {
    Logs::start(&config.host, &config.logs, &config.state_dir, relay).context("cannot start a thread")
}

fn limits_of(config: &Config) -> Limits {
    Limits {
        windows: config.history.windows,
        samples: config.history.samples,
        max_bytes: usize::try_from(config.history.max_bytes).unwrap_or(usize::MAX),
    }
}

/// Makes the daemon's own directories; those of the relay are beside them.
fn make_dirs(config: &Config) -> anyhow::Result<()> {
    make_dir(&config.run_dir, 0o700)?;
    make_dir(&config.state_dir, 0o700)
}

/// Makes a directory with this mode, if it is not there. Those above it are open to all: the server's user passes them, too.
fn make_dir(path: &Path, mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    path.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::DirBuilder::new().recursive(true).mode(mode).create(path))
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

//! `agent run`: collector, memory, rules, sink, control socket, and the server part as a process of its own.

mod child;
mod naming;
mod pipeline;
mod privileges;
mod reload;
mod secrets;
mod summary;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use flamegraphs::{Symbolizer, SymbolizerOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use child::{NO_USER, Ready, ServerChild, serve_from_stdin, server_config};
pub use privileges::{Role, keep};
pub use reload::Source;
pub use secrets::{mqtt_password_file, write_secret};

use self::reload::Reloader;
use crate::collector::Options;
use crate::config::{Config, Delivery};
use crate::control::server::{ControlSocket, Daemon, serve};
use crate::control::{AlertBoard, Answers};
use crate::history::Limits;
use crate::notify::Notifiers;
use crate::observer::{Observer, observe_with};
use crate::sink::mqtt::{self, MqttConfig, MqttSink};
use crate::sink::spool::{self, Spool, SpoolStats};

/// What the sink may take to send the last windows when the daemon ends.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs until `stop`, then drains. `live`: a summary line on the terminal in place of logs, and the terminal's end is ours.
///
/// Must be the whole of a multi-threaded runtime's `block_on`, on a thread of [`Role::Start`]; the runtime's own threads
/// are [`Role::Worker`].
pub async fn run(
    source: Source,
    config: Config,
    live: bool,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut hangup = signal(SignalKind::hangup())?;
    let socket = ControlSocket::bind(&config.socket)?;
    make_dirs(&config)?;

    let mut child = None;
    let mqtt = if config.mqtt.url.is_some() {
        external(&config)?
    } else {
        let (server, ready) = tokio::task::block_in_place(|| ServerChild::start(&config))?;
        child = Some(server);
        embedded(&config, &ready)
    };
    mqtt.check().context("broker")?;
    let spool = Spool::open(&config.spool_dir(), spool_limits(&config))?;
    let sink = privileges::with(Role::Worker, || MqttSink::start(mqtt, spool))?
        .context("cannot start the MQTT sink")?;

    let symbolizer = privileges::with(Role::Symbolizer, || Symbolizer::spawn(SymbolizerOptions::default()))?
        .context("cannot start the symbolizer")?;
    let observer = {
        let symbolizer = symbolizer.clone();
        let (options, limits) = (Options::of_host(&config.collector), limits_of(&config));
        let on_process = observe_with(symbolizer);
        let start = || privileges::with(Role::Collector, || Observer::start(options, limits, on_process));
        tokio::task::block_in_place(start)??
    };
    let names = symbolizer.clone();
    let notifiers = Notifiers::from_config(&config.alerts)?;
    keep(if child.is_some() { Role::Tend } else { Role::Wait })?;
    let board = Arc::new(AlertBoard::default());
    let daemon = Arc::new(Daemon {
        history: Arc::clone(observer.history()),
        answers: Answers {
            names: symbolizer.into(),
            host: config.host.as_str().into(),
            rate_hz: config.collector.rate_hz,
        },
        board: Arc::clone(&board),
        started,
    });
    tracing::info!(
        host = %config.host,
        rate_hz = config.collector.rate_hz,
        socket = %config.socket.display(),
        broker = %sink.stats().broker,
        "observing"
    );

    let processes = Arc::new(AtomicUsize::new(config.collector.processes));
    let mut reloader = Reloader {
        source,
        history: Arc::clone(observer.history()),
        sink: sink.clone(),
        processes: Arc::clone(&processes),
    };
    let control = tokio::spawn(serve(socket, Arc::clone(&daemon)));
    let pipeline = pipeline::Pipeline::new(
        &config,
        Arc::clone(&processes),
        sink.clone(),
        Arc::clone(&board),
        names,
        notifiers,
    );
    let pipeline = tokio::spawn(pipeline.run(daemon.history.subscribe()));
    let summary = live.then(|| tokio::spawn(summary::run(Arc::clone(&daemon), sink.clone())));

    let hangups = Hangups { signal: &mut hangup, end: live };
    let died = watch(&observer, child.as_mut(), stop, hangups, &mut reloader).await;
    // It holds a handle on the history and the sink.
    drop(reloader);

    tracing::info!("stopping");
    control.abort();
    if let Some(summary) = summary {
        summary.abort();
    }
    // The control task held the last handle on the socket; the observer's last window ends the pipeline.
    let _ = control.await;
    drop(daemon);
    tokio::task::spawn_blocking(move || drop(observer.stop())).await?;
    if tokio::time::timeout(DRAIN, pipeline).await.is_err() {
        tracing::warn!("the last window was not processed in time");
    }
    let stats = tokio::task::spawn_blocking(move || sink.close(DRAIN)).await?;
    match stats {
        Ok(stats) => told(&stats.spool),
        Err(error) => tracing::warn!(%error, "cannot close the spool"),
    }
    if let Some(child) = child {
        child.stop().await;
    }
    died
}

/// What becomes of the windows that no broker has taken.
fn told(spool: &SpoolStats) {
    let (memory, dropped) = (spool.in_memory, spool.dropped.total());
    let disk = spool.windows - memory;
    if memory + dropped > 0 {
        tracing::warn!(
            lost = memory + dropped,
            "windows were lost: the disk or the spool's limits had no room for them"
        );
    }
    if disk > 0 {
        tracing::info!(windows = disk, "kept on disk until the broker takes them");
    }
}

/// SIGHUP, and whether it means the end: of a terminal that we show ourselves on. Otherwise: read the configuration anew.
struct Hangups<'a> {
    signal: &'a mut Signal,
    end: bool,
}

/// Waits for the end: asked for, or the collector's thread has died.
async fn watch(
    observer: &Observer,
    mut child: Option<&mut ServerChild>,
    stop: impl Future<Output = ()>,
    hangups: Hangups<'_>,
    reloader: &mut Reloader,
) -> anyhow::Result<()> {
    let mut beat = tokio::time::interval(Duration::from_millis(500));
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            _ = hangups.signal.recv() => {
                if hangups.end {
                    return Ok(());
                }
                reloader.reload(child.as_deref_mut());
            }
            _ = beat.tick() => {
                if observer.is_dead() {
                    anyhow::bail!("the collector's thread died; see the log above");
                }
                if let Some(child) = &mut child {
                    child.tend();
                }
            }
        }
    }
}

fn spool_limits(config: &Config) -> spool::Limits {
    spool::Limits {
        max_bytes: config.spool.max_bytes,
        max_age: config.spool.max_age,
        ..spool::Limits::default()
    }
}

fn limits_of(config: &Config) -> Limits {
    Limits {
        windows: config.history.windows,
        samples: config.history.samples,
        max_bytes: usize::try_from(config.history.max_bytes).unwrap_or(usize::MAX),
    }
}

/// Ours alone; the server part has its own directories beside them.
fn make_dirs(config: &Config) -> anyhow::Result<()> {
    make_dir(&config.run_dir, 0o700)?;
    make_dir(&config.state_dir, 0o700)?;
    make_dir(&config.spool_dir(), 0o700)
}

/// Makes a directory with this mode, if it is not there. Those above it are open to all: the server's user passes them, too.
fn make_dir(path: &Path, mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    path.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::DirBuilder::new().recursive(true).mode(mode).create(path))
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

fn delivery(config: &Config) -> mqtt::Delivery {
    match config.mqtt.delivery {
        Delivery::Store => mqtt::Delivery::EndToEnd,
        Delivery::Broker => mqtt::Delivery::Broker,
    }
}

/// The broker of our own server part.
fn embedded(config: &Config, ready: &Ready) -> MqttConfig {
    MqttConfig {
        user: Some(server::broker::USER.to_owned()),
        password_file: ready.password_file.clone(),
        delivery: delivery(config),
        ..MqttConfig::new(&config.host, format!("mqtt://{}", ready.address))
    }
}

/// Somebody else's broker.
fn external(config: &Config) -> anyhow::Result<MqttConfig> {
    let mqtt = &config.mqtt;
    let Some(url) = &mqtt.url else { anyhow::bail!("no broker is configured") };
    Ok(MqttConfig {
        user: url.user.clone().or_else(|| mqtt.user.clone()),
        password_file: mqtt_password_file(config, &config.run_dir)?,
        ca_file: mqtt.ca_file.clone(),
        cert_file: mqtt.cert_file.clone(),
        key_file: mqtt.key_file.clone(),
        delivery: delivery(config),
        ..MqttConfig::new(&config.host, url.without_login())
    })
}

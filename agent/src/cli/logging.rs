//! Where `tracing` messages go: stderr, text or JSON lines.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, reload};

use crate::config::LogConfig;

/// Who logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A command: warnings, unless asked for more.
    Command,
    /// The daemon and the server: what happens, too.
    Daemon,
    /// The daemon with its summary line on a terminal: warnings.
    Live,
}

/// Puts a filter in force while the program runs.
type SetLevel = Box<dyn Fn(&str) + Send + Sync>;
static SET_LEVEL: OnceLock<SetLevel> = OnceLock::new();

/// Another level from now on, by the rules of the start.
pub(super) fn set_level(level: &str) {
    if let Some(set) = SET_LEVEL.get() {
        set(level);
    }
}

/// Starts logging. The configuration's level wins; `-v` raises what it leaves open.
pub(super) fn start(config: &LogConfig, verbose: u8, kind: Kind) {
    let filter = move |level: &str| EnvFilter::try_new(level_of(level, verbose, kind)).unwrap_or_default();
    let (in_force, handle) = reload::Layer::new(filter(&config.level));
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let layer = if config.json && kind == Kind::Daemon {
        layer.json().flatten_event(true).boxed()
    } else if kind == Kind::Command {
        layer.without_time().with_target(false).boxed()
    } else {
        layer.boxed()
    };
    // The filter is the layer's alone: the broker's refusals are counted whether they are shown or not. A second start
    // in one process (tests) keeps the first.
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(in_force));
    if subscriber.with(server::broker::refusals()).try_init().is_ok() {
        let _ = SET_LEVEL.set(Box::new(move |level| drop(handle.reload(filter(level)))));
    }
}

/// The filter for a configured level (which may be empty). An odd one was refused with the configuration.
fn level_of(level: &str, verbose: u8, kind: Kind) -> &str {
    match (level, verbose, kind) {
        ("", 0, Kind::Command | Kind::Live) => "warn",
        // The broker tells each packet at `info`, and calls every connection that closes an error.
        ("", 0, Kind::Daemon) => "info,rumqttd=warn,rumqttd::server::broker=off",
        ("", 1, _) => "info,agent=debug,server=debug,flamegraphs=debug",
        ("", _, _) => "debug",
        (level, _, _) => level,
    }
}

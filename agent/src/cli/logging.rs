//! Where `tracing` messages go: stderr, text or JSON lines.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use agent_common::text;
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
    let json = config.json && kind == Kind::Daemon;
    let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let layer = fmt::layer().with_writer(move || Stderr { json, ansi }).with_ansi(ansi);
    let layer = if json {
        layer.json().flatten_event(true).boxed()
    } else if kind == Kind::Command {
        layer.without_time().with_target(false).boxed()
    } else {
        layer.boxed()
    };
    // The filter is the layer's alone: the broker's refusals are counted whether they are shown or not. A second start
    // in one process (tests) keeps the first.
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(in_force));
    #[cfg(feature = "relay")]
    let subscriber = subscriber.with(server::broker::refusals());
    if subscriber.try_init().is_ok() {
        let _ = SET_LEVEL.set(Box::new(move |level| drop(handle.reload(filter(level)))));
    }
}

/// stderr, one event a write, other people's words in it made harmless: a line break would forge a line of the log.
/// (Values of fields have no escapes of their own: `tracing-subscriber` writes them out, so colours are ours.)
#[derive(Debug, Clone, Copy)]
struct Stderr {
    json: bool,
    ansi: bool,
}

impl Stderr {
    fn line(self, event: &str) -> String {
        let line = event.strip_suffix('\n').unwrap_or(event);
        let clean = match self {
            Self { json: true, .. } => text::clean_json(line),
            Self { ansi: true, .. } => text::clean_output(line),
            _ => text::cleaned(line),
        };
        clean.replace('\n', "\\n") + "\n"
    }
}

impl Write for Stderr {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(self.line(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The filter for a configured level (which may be empty). An odd one was refused with the configuration.
fn level_of(level: &str, verbose: u8, kind: Kind) -> &str {
    match (level, verbose, kind) {
        ("", 0, Kind::Command | Kind::Live) => "warn",
        // The broker logs each packet at `info`, and each closed connection as an error.
        ("", 0, Kind::Daemon) => "info,rumqttd=warn,rumqttd::server::broker=off",
        ("", 1, _) => "info,agent=debug,relay=debug,server=debug,flamegraphs=debug",
        ("", _, _) => "debug",
        (level, _, _) => level,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_harmless_line() {
        let event = "\u{1b}[33m WARN\u{1b}[0m x\u{202e}\nFORGED\u{9b}2J\n";
        let of = |json, ansi| Stderr { json, ansi }.line(event);
        assert_eq!(of(false, true), "\u{1b}[33m WARN\u{1b}[0m x\\u{202e}\\nFORGED\\u{9b}2J\n");
        assert_eq!(of(false, false), "\\u{1b}[33m WARN\\u{1b}[0m x\\u{202e}\\nFORGED\\u{9b}2J\n");
        let json = Stderr { json: true, ansi: false }.line("{\"comm\":\"a\u{202e}\"}\n");
        assert_eq!(json, "{\"comm\":\"a\\u202e\"}\n");
    }
}

//! The command line: what is asked, in which words it is answered, which exit code it ends with.

#[cfg(feature = "relay")]
mod access;
mod alerts;
mod ask;
mod completions;
mod config;
mod doctor;
mod environment;
mod explain;
mod flamegraph;
mod hold;
#[cfg(feature = "relay")]
mod host;
mod html;
mod http_args;
mod logging;
#[cfg(feature = "relay")]
mod logs;
mod moment;
mod observe;
#[cfg(feature = "relay")]
mod open;
mod parts;
#[cfg(feature = "relay")]
mod promql;
#[cfg(feature = "relay")]
mod query;
mod record;
#[cfg(feature = "relay")]
mod relay;
mod report;
#[cfg(feature = "relay")]
mod root;
#[cfg(feature = "relay")]
mod rules;
mod run;
#[cfg(feature = "relay")]
mod serve;
#[cfg(feature = "relay")]
mod store;
mod syscalls;
pub mod term;
#[cfg(feature = "relay")]
mod token;
mod top;
#[cfg(feature = "relay")]
mod user;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::config::{Config, Settings};

/// Exit code of wrong usage and wrong configuration (clap's own).
const EXIT_USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  sudo agent run                                 watch this host (daemon)
  sudo agent report                              what holds this host back right now, and why
  sudo agent flamegraph --pid 4242 -o out.svg    ten seconds of one process, as an SVG
  sudo agent flamegraph -o out.svg -- make -j4   a command from its start
  sudo agent syscalls --pid 4242                 which system calls, how many, how long
  agent doctor                                   what works on this kernel, what to do about the rest

Every command asks the daemon if one runs here and attaches the probes itself if not.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.";

/// eBPF performance agent: which process is slow, what it waits for, who makes it wait.
#[derive(Debug, Parser)]
#[command(name = "agent", version, about, after_help = EXAMPLES, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Configuration file [default: /etc/s7mpa/agent.toml if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "S7MPA_CONFIG")]
    config: Option<PathBuf>,

    /// Control socket of the daemon [default: /run/s7mpa/agent.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Set one configuration key, as `collector.rate_hz=49`; may be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,

    /// Attach the probes here even if a daemon runs
    #[arg(long, global = true)]
    no_daemon: bool,

    /// JSON in place of text; the shapes are stable
    #[arg(long, global = true)]
    json: bool,

    /// When to colour [possible values: auto, always, never]
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    color: term::When,

    /// Say more; twice for debug messages
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this host: the daemon, with broker, store and everything
    Run(run::RunArgs),
    /// Run the server part alone: broker, ingest, store
    #[cfg(feature = "relay")]
    Serve(serve::ServeArgs),
    /// Draw where the CPU time of a process, a command or the host goes
    Flamegraph(Box<flamegraph::FlamegraphArgs>),
    /// Count and time system calls
    Syscalls(syscalls::SyscallsArgs),
    /// Watch processes live
    Top(top::TopArgs),
    /// Say who uses what and what holds this host back
    Report(report::ReportArgs),
    /// Say why a process ended badly
    Explain(explain::ExplainArgs),
    /// Keep windows in a file, to be diagnosed later with `report --replay`
    Record(record::RecordArgs),
    /// Show findings as a stream, one line each
    Alerts(alerts::AlertsArgs),
    /// Read the history in the embedded store
    #[cfg(feature = "relay")]
    Query(query::QueryArgs),
    /// Ask the history in Prometheus's language
    #[cfg(feature = "relay")]
    Promql(promql::PromqlArgs),
    /// Search and follow log lines
    #[cfg(feature = "relay")]
    Logs(Box<logs::LogsArgs>),
    /// Open the page of the server on this host: prints a link that works once
    #[cfg(feature = "relay")]
    Open(open::OpenArgs),
    /// Accounts of people for the HTTP API
    #[cfg(feature = "relay")]
    #[command(subcommand)]
    User(user::UserCommand),
    /// Tokens of programs for the HTTP API
    #[cfg(feature = "relay")]
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Look after the embedded store: figures, soundness, size, export
    #[cfg(feature = "relay")]
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Hosts that the embedded store has: list them, forget one
    #[cfg(feature = "relay")]
    #[command(subcommand)]
    Host(host::HostCommand),
    /// Check and test rule files
    #[cfg(feature = "relay")]
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Say what works on this kernel, what is lost, and what to do
    Doctor(doctor::DoctorArgs),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// The unprivileged half of `run`, started by it
    #[cfg(feature = "relay")]
    #[command(name = crate::daemon::RELAY, hide = true)]
    Relay,
    /// Read profiles from the store for a command that is root
    #[cfg(feature = "relay")]
    #[command(name = flamegraph::READER, hide = true)]
    ReadProfiles,
    /// Wait for a byte, then run a command (how `flamegraph -- cmd` holds its child)
    #[command(name = hold::NAME, hide = true)]
    Hold(hold::HoldArgs),
    /// Start processes for a daemon
    #[command(name = crate::daemon::launcher::NAME, hide = true)]
    Launcher(parts::LauncherArgs),
    /// Make diagnostic sockets for a daemon
    #[command(name = crate::daemon::NETNS, hide = true)]
    Netns,
    /// Run foreign programs for a daemon
    #[command(name = crate::daemon::plugin::NAME, hide = true)]
    Plugin(parts::PluginArgs),
    /// Attach one set of probes until stdin closes (for `cargo xtask bench syscalls`)
    #[command(hide = true)]
    BenchProbe {
        /// Which
        probes: crate::bench_probe::Set,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.to_owned())),
        None => Err("write it as KEY=VALUE".to_owned()),
    }
}

/// Duration flags.
fn duration(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text)
}

/// What a command ran into, with the exit code that goes with it.
#[derive(Debug)]
enum Failed {
    /// Wrong usage or configuration, said in full.
    Usage(Vec<String>),
    /// Anything else.
    Error(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

type Outcome = Result<ExitCode, Failed>;

/// Parses the command line, runs the command, says what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    crate::heap::keep_small();
    // Clap reads one of our variables, so it comes first.
    let parsed = Cli::try_parse();
    environment::take();
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are "errors" that go to stdout; a broken pipe there is no failure.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * EXIT_USAGE);
        }
    };
    let paint = term::Paint::stderr(cli.global.color);
    match dispatch(cli) {
        Ok(code) => code,
        Err(Failed::Usage(lines)) => {
            for text in lines {
                term::complain_of_error(paint, &text);
            }
            ExitCode::from(EXIT_USAGE)
        }
        Err(Failed::Error(error)) if term::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(Failed::Error(error)) => {
            term::complain_of_error(paint, &term::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let Cli { global, command } = cli;
    match command {
        // These come first: they work with a broken configuration.
        Command::Completions(args) => completions::run(&args),
        Command::Hold(args) => hold::run(&args),
        Command::Launcher(args) => parts::launcher(&args),
        Command::Netns => parts::netns(),
        Command::Plugin(args) => parts::plugin(&args),
        Command::BenchProbe { probes } => {
            crate::bench_probe::run(probes).map(|()| ExitCode::SUCCESS).map_err(Failed::from)
        }
        Command::Config(command) => config::run(&global, &command),
        Command::Run(args) => run::run(&global, &args),
        #[cfg(feature = "relay")]
        Command::Relay => relay::run(),
        #[cfg(feature = "relay")]
        Command::Serve(args) => serve::run(&global, &args),
        #[cfg(feature = "relay")]
        Command::ReadProfiles => flamegraph::read(),
        Command::Flamegraph(args) => on_runtime(&global, |context| flamegraph::run(context, *args)),
        Command::Syscalls(args) => on_runtime(&global, |context| syscalls::run(context, args)),
        Command::Top(args) => on_runtime(&global, |context| top::run(context, args)),
        Command::Report(args) => on_runtime(&global, |context| report::run(context, args)),
        Command::Explain(args) => on_runtime(&global, |context| explain::run(context, args)),
        Command::Record(args) => on_runtime(&global, |context| record::run(context, args)),
        Command::Alerts(args) => on_runtime(&global, |context| alerts::run(context, args)),
        #[cfg(feature = "relay")]
        Command::Query(args) => on_runtime(&global, |context| query::run(context, args)),
        #[cfg(feature = "relay")]
        Command::Logs(args) => on_runtime(&global, |context| logs::run(context, *args)),
        #[cfg(feature = "relay")]
        Command::Promql(args) => on_runtime(&global, |context| promql::run(context, args)),
        #[cfg(feature = "relay")]
        Command::Open(args) => on_runtime(&global, |context| open::run(context, args)),
        #[cfg(feature = "relay")]
        Command::User(command) => on_runtime(&global, |context| user::run(context, command)),
        #[cfg(feature = "relay")]
        Command::Token(command) => on_runtime(&global, |context| token::run(context, command)),
        #[cfg(feature = "relay")]
        Command::Host(command) => on_runtime(&global, |context| host::run(context, command)),
        #[cfg(feature = "relay")]
        Command::Store(command) => on_runtime(&global, |context| store::run(context, command)),
        #[cfg(feature = "relay")]
        Command::Rules(command) => on_runtime(&global, |context| rules::run(context, command)),
        Command::Doctor(args) => on_runtime(&global, |context| doctor::run(context, args)),
    }
}

/// What a command works with.
#[derive(Debug, Clone)]
struct Context {
    config: Config,
    global: Global,
    /// For stdout.
    paint: term::Paint,
}

fn on_runtime<F: Future<Output = Outcome>>(global: &Global, command: impl FnOnce(Context) -> F) -> Outcome {
    let settings = settings(global, &[]);
    let config = settings.config().map_err(usage)?;
    logging::start(&config.log, global.verbose, logging::Kind::Command);
    warn_of_exposed(&settings);
    let context = Context { config, global: global.clone(), paint: term::Paint::stdout(global.color) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(command(context))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn usage(errors: Vec<crate::config::ConfigError>) -> Failed {
    Failed::Usage(errors.iter().map(ToString::to_string).collect())
}

/// All layers, with a command's own flags (`key`, value, flag) on top of the environment and below `--set`.
fn settings(global: &Global, flags: &[(&str, Option<String>, &str)]) -> Settings {
    let mut settings = Settings::load(global.config.as_deref(), environment::taken());
    if let Some(socket) = &global.socket {
        let absolute = std::path::absolute(socket).unwrap_or_else(|_| socket.clone());
        settings.add_flag("socket", &absolute.to_string_lossy(), "--socket");
    }
    for (key, value, flag) in flags {
        if let Some(value) = value {
            settings.add_flag(key, value, flag);
        }
    }
    for (key, value) in &global.set {
        settings.add_flag(key, value, "--set");
    }
    settings
}

/// Warns about secrets on the command line.
fn warn_of_exposed(settings: &Settings) {
    for exposed in settings.exposed() {
        tracing::warn!("{exposed}");
    }
}

#[cfg(test)]
mod tests;

//! `agent run`.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;

use super::ask::Interrupt;
use super::http_args::HttpArgs;
use super::{Global, Outcome, logging, settings, usage, warn_of_exposed};
use crate::daemon::{self, Source};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent run                                   all in one: probes, broker and store on this host
  sudo agent run --mqtt mqtts://me@broker:8883     a bare collector for a broker elsewhere

Spool, MQTT, broker and store are in a process of their own, as user s7mpa or nobody, without privileges; this one has no network.
The password of --mqtt comes from mqtt.password_file or S7MPA_MQTT_PASSWORD.
SIGTERM and Ctrl-C end it in order; what the broker has not taken waits on disk. SIGHUP has it read its
configuration anew and say what changed.")]
pub(super) struct RunArgs {
    /// Broker to send to, in place of the embedded one: mqtt://[user@]host[:port], mqtts:// for TLS. The store is there, and its API
    #[arg(long, value_name = "URL")]
    mqtt: Option<String>,

    /// Samples a second and CPU [default: 97]
    #[arg(short, long, value_name = "HZ")]
    rate: Option<u32>,

    /// Spool and store [default: /var/lib/s7mpa]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,

    /// Control socket and secrets [default: /run/s7mpa]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<String>,

    /// Form of the log: text, json
    #[arg(long, value_name = "FORMAT")]
    log: Option<String>,

    #[command(flatten)]
    http: HttpArgs,
}

pub(super) fn run(global: &Global, args: &RunArgs) -> Outcome {
    let flags = [
        ("mqtt.url", args.mqtt.clone(), "--mqtt"),
        ("collector.rate_hz", args.rate.map(|rate| rate.to_string()), "--rate"),
        ("state_dir", args.state_dir.clone(), "--state-dir"),
        ("run_dir", args.run_dir.clone(), "--run-dir"),
        ("log.format", args.log.clone(), "--log"),
        args.http.listen(),
        args.http.enabled(),
    ];
    let read = {
        let global = global.clone();
        move || settings(&global, &flags)
    };
    let settings = read();
    let mut config = settings.config().map_err(usage)?;
    let live = std::io::stderr().is_terminal() && global.verbose == 0 && !config.log.json;
    if live && config.log.level.is_empty() {
        // For the server part, too: its news would push the summary line away.
        "warn,rumqttd::server::broker=off".clone_into(&mut config.log.level);
    }
    logging::start(
        &config.log,
        global.verbose,
        if live { logging::Kind::Live } else { logging::Kind::Daemon },
    );
    warn_of_exposed(&settings);
    // A daemon that may not attach says so at once, not after broker and store are up.
    crate::bpf::may_attach().map_err(|error| super::observe::explain(&error))?;
    crate::bpf::raise_memlock();
    let processes = daemon::prepare(&config)?;
    let source = Source { settings, read: Box::new(read), set_log_level: logging::set_level };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = Interrupt::new()?;
        daemon::run(source, config, processes, live, interrupt.wait()).await
    })?;
    Ok(ExitCode::SUCCESS)
}

//! `agent serve`.

use std::io::IsTerminal as _;
use std::os::unix::fs::DirBuilderExt;
use std::process::ExitCode;
use std::time::Duration;

use ::relay::webhook::Webhook;
use agent_common::wire::silence::Silences;
use anyhow::Context as _;
use clap::Args;
use notifier::{FIRST_PAUSE, Notifiers, REPEAT_OPEN_EVERY};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use server::api::Service;
use server::rules::{MAX_WAITING_ALERTS, post_to};

use super::ask::Interrupt;
use super::http_args::HttpArgs;
use super::{Failed, Global, Outcome, logging, root, settings, usage, warn_of_exposed};
use crate::daemon;

/// Longest time for the receivers to get the last alerts.
const NOTIFIERS_DRAIN: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  agent serve --state-dir ~/s7mpa --run-dir ~/s7mpa/run --set server.mqtt_listen=0.0.0.0:7677
  agent serve --mqtt mqtts://ingest@broker:8883 --set server.store=influx2 \\
      --set server.influx_url=http://influx:8086

SIGHUP has it read its configuration anew. It needs no privileges: as root it becomes the user of server.user at once, and needs files that one may read. `agent run`
starts one by itself unless it is given a broker.")]
pub(super) struct ServeArgs {
    /// Broker to read from, in place of the embedded one
    #[arg(long, value_name = "URL")]
    mqtt: Option<String>,

    /// Store [default: /var/lib/s7mpa]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,

    /// Secrets [default: /run/s7mpa]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<String>,

    #[command(flatten)]
    http: HttpArgs,
}

pub(super) fn run(global: &Global, args: &ServeArgs) -> Outcome {
    let flags = [
        ("mqtt.url", args.mqtt.clone(), "--mqtt"),
        ("state_dir", args.state_dir.clone(), "--state-dir"),
        ("run_dir", args.run_dir.clone(), "--run-dir"),
        args.http.listen(),
        args.http.enabled(),
    ];
    let read = || settings(global, &flags).config();
    let first = settings(global, &flags);
    let mut config = first.config().map_err(usage)?;
    logging::start(&config.log, global.verbose, logging::Kind::Daemon);
    warn_of_exposed(&first);
    if nix::unistd::geteuid().is_root() {
        daemon::make_relay_dirs(&config)?;
        root::drop(&config, "its store")?;
    }
    let run_dir = config.server_run_dir();
    for dir in [&config.server_dir(), &run_dir] {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| {
            format!("cannot make {}; set --state-dir and --run-dir to places of yours", dir.display())
        })?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        tokio::spawn(crate::heap::keep_giving_back());
        let mut interrupt = Interrupt::new()?;
        let mut hangup = signal(SignalKind::hangup())?;
        // A terminal that goes away is the end; from a service manager the signal means: read the configuration anew.
        let terminal = std::io::stderr().is_terminal();
        loop {
            let settings = daemon::server_config(&config, &run_dir)?;
            let silences = Silences::default();
            let notifiers = notifiers(&config, silences.clone())?;
            let again = serve_once(settings, notifiers, silences, &mut interrupt, &mut hangup).await?;
            if !again || terminal {
                return Ok::<_, Failed>(ExitCode::SUCCESS);
            }
            match read() {
                Ok(new) => {
                    tracing::info!("the configuration was read anew: starting again with it");
                    logging::set_level(&new.log.level);
                    config = new;
                }
                Err(errors) => {
                    for error in errors {
                        tracing::error!("{error}");
                    }
                    tracing::error!("the configuration was read anew and is wrong: nothing was changed");
                }
            }
        }
    })
}

/// Receivers of the alerts of rules. Those of hosts go to the receivers that their own agents name.
fn notifiers(config: &crate::config::Config, silences: Silences) -> anyhow::Result<Notifiers> {
    let mut notifiers = Notifiers::new(silences);
    if let Some(url) = &config.alerts.webhook {
        notifiers.add(Webhook::new(url, config.alerts.timeout)?, REPEAT_OPEN_EVERY, FIRST_PAUSE);
    }
    Ok(notifiers)
}

/// Serves until a signal, and closes the store in order. True: the signal was SIGHUP.
async fn serve_once(
    settings: server::Config,
    notifiers: Notifiers,
    silences: Silences,
    interrupt: &mut Interrupt,
    hangup: &mut Signal,
) -> anyhow::Result<bool> {
    let api = Service::start(&settings, silences);
    let mut server = server::Server::start(settings).await?;
    api.health().watch(server.ingest());
    let (to_notifiers, mut of_rules) = mpsc::channel(MAX_WAITING_ALERTS);
    api.health().evaluate(server.start_rules(post_to(to_notifiers))?);
    api.health().push_to(server.start_push()?);
    // Ends with the rules.
    let passing = tokio::spawn(async move {
        while let Some(alert) = of_rules.recv().await {
            tracing::info!(state = ?alert.state, id = agent_common::text::clean(&alert.id), "alert of a rule");
            notifiers.send(&alert);
        }
        notifiers.close(NOTIFIERS_DRAIN).await;
    });
    if let (Some(address), Some(file)) = (server.broker_address(), server.broker_password_file()) {
        tracing::info!(%address, user = server::broker::USER, password_file = %file.display(), "broker listens");
    }
    let mut again = false;
    let ended = async {
        tokio::select! {
            () = interrupt.wait() => {}
            _ = hangup.recv() => again = true,
        }
    };
    server.run(ended).await?;
    passing.await?;
    Ok(again)
}

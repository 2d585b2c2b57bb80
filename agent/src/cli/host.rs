//! `agent host`: the hosts that the embedded store has.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;
use server::store::embedded::{FILE, Forgetting, Host};
use server::store::{logs, profiles};

use super::term::{Side, Table};
use super::{Context, Outcome, query, store, term};
use crate::clock;

/// A host that was silent for less is one that runs: what it sends next would make it anew. Longer than the server keeps its
/// last windows apart.
const SILENT: Duration = Duration::from_mins(15);

#[derive(Debug, Subcommand)]
pub(super) enum HostCommand {
    /// Show all hosts: since when they are there, when they came last, what they take
    List,
    /// Delete all that the store has of a host that has ended
    #[command(after_help = "\
Metrics, alerts, reports, profiles, evidence and log lines go; a backup (`agent store backup`) has them still. The server may
run. A host that still sends is refused: end its agent first, and wait fifteen minutes.
Room in the files is used again; `agent store compact` gives it back at once.

Example:
  sudo agent host forget web-7")]
    Forget {
        /// Its name, as `agent host list` shows it
        host: String,
    },
}

pub(super) async fn run(context: Context, command: HostCommand) -> Outcome {
    let path = context.config.server_dir().join(FILE);
    query::become_owner(&context, &path)?;
    tokio::task::spawn_blocking(move || match command {
        HostCommand::List => list(&context, &hosts(&path)?),
        HostCommand::Forget { host } => Ok(forget(&context, &path, &host)?),
    })
    .await?
}

fn hosts(path: &Path) -> anyhow::Result<Vec<Host>> {
    Ok(store::open(path)?.info()?.hosts())
}

fn list(context: &Context, hosts: &[Host]) -> Outcome {
    if context.global.json {
        let host = |host: &Host| {
            json!({
                "host": host.name, "from_unix_ns": host.from.0, "to_unix_ns": host.to.0, "windows": host.windows,
                "samples": host.samples, "bytes": host.bytes
            })
        };
        term::print_json(&json!(hosts.iter().map(host).collect::<Vec<_>>()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        ("HOST", Side::Left),
        ("FROM", Side::Left),
        ("TO", Side::Left),
        ("WINDOWS", Side::Right),
        ("VALUES", Side::Right),
        ("BYTES", Side::Right),
    ]);
    for host in hosts {
        table.row(&[
            host.name.clone(),
            term::utc(host.from.0),
            term::utc(host.to.0),
            term::count(host.windows),
            term::count(host.samples),
            term::bytes(host.bytes),
        ]);
    }
    term::print(&table.render(context.paint))?;
    Ok(ExitCode::SUCCESS)
}

fn forget(context: &Context, path: &Path, name: &str) -> anyhow::Result<ExitCode> {
    let hosts = hosts(path)?;
    let Some(host) = hosts.iter().find(|host| host.name == name) else {
        bail!("the store has no host `{}`: `agent host list` shows those that it has", term::clean(name));
    };
    let silent = Duration::from_nanos(clock::unix().0.saturating_sub(host.to.0));
    if silent < SILENT {
        bail!(
            "`{}` sent its last window {} ago: end its agent first and wait {}, or what it sends makes it anew",
            term::clean(name),
            term::span(Duration::from_secs(silent.as_secs())),
            term::span(SILENT)
        );
    }
    let progress = term::Progress::new();
    let forgetting = Forgetting::open(path, name)?;
    let mut values = 0;
    while let Some(more) = forgetting.step()? {
        values += more;
        progress.show(&format!(
            "{} of {} values deleted, Ctrl-C ends",
            term::count(values),
            term::count(host.samples)
        ));
    }
    let of_profiles = path.with_file_name(profiles::FILE);
    let samples = if of_profiles.exists() { profiles::forget(&of_profiles, name)? } else { 0 };
    let of_logs = path.with_file_name(logs::FILE);
    let lines = if of_logs.exists() { logs::forget(&of_logs, name)? } else { 0 };
    drop(progress);
    if context.global.json {
        let gone = json!({ "host": name, "samples": values, "profile_samples": samples, "log_lines": lines });
        term::print_json(&gone)?;
    } else {
        term::print(&format!(
            "forgot {}: {} values, {} samples of profiles, {} log lines\n",
            term::clean(name),
            term::count(values),
            term::count(samples),
            term::count(lines)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

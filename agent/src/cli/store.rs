//! `agent store`: looks after the embedded store.

mod backup;
mod check;
mod compact;
mod export;
mod info;

use std::path::Path;

use anyhow::Context as _;
use clap::Subcommand;
use server::store::embedded::{FILE, Reader};

use super::{Context, Outcome, query};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Say how large it is, what it has of which host and time, what was deleted
    Info,
    /// Look at everything in it and name what is damaged; changes nothing
    #[command(after_help = "\
Every page, every stored value and every running sum is looked at; the daemon may run.
Exit codes: 0 sound, 1 damaged.")]
    Check,
    /// Give what is free in the file back to the file system; the daemon may run
    #[command(after_help = "\
Retention deletes what is old, and new data takes that place: this helps when the store was given less room
(server.max_bytes, server.retention). It works in steps of 1 MiB, and leaves the store to the daemon in between.")]
    Compact,
    /// Write it as line protocol or `OpenMetrics`
    Export(export::ExportArgs),
    /// Copy metrics, profiles and log lines as they are now; the daemon may run
    Backup(backup::BackupArgs),
}

pub(super) async fn run(context: Context, command: StoreCommand) -> Outcome {
    let path = context.config.server_dir().join(FILE);
    // The file to write is the caller's; the store is read as its owner.
    let out = match &command {
        StoreCommand::Export(args) => args.create()?,
        _ => None,
    };
    let files = match &command {
        StoreCommand::Backup(args) => args.create(&path)?,
        _ => Vec::new(),
    };
    query::become_owner(&context, &path)?;
    tokio::task::spawn_blocking(move || match command {
        StoreCommand::Info => info::run(&context, &path),
        StoreCommand::Check => check::run(&context, &path),
        StoreCommand::Compact => compact::run(&context, &path),
        StoreCommand::Export(args) => export::run(&args, out, &path),
        StoreCommand::Backup(_) => backup::run(files),
    })
    .await?
}

/// The store at this path.
pub(super) fn open(path: &Path) -> anyhow::Result<Reader> {
    Reader::open(path).with_context(|| format!("cannot open {}", path.display()))
}

//! `agent store backup`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use server::store::{backup, logs, profiles};

use super::super::{Outcome, term};

#[derive(Debug, Args)]
#[command(after_help = "\
Writes metrics.db (metrics, alerts, reports), profiles.db and logs.db into the directory. Each is a copy of one moment; the daemon goes on
writing. While a copy is made, the store's directory needs room for it. Files that are there already are not overwritten.

To restore: stop the daemon, put the files in the place of those in `server/` below `state_dir`, delete
their `-wal` and `-shm` files there, give them the owner that the old ones had, and start the daemon.

Examples:
  sudo agent store backup /backup/$(date +%F)
  sudo agent store backup --no-profiles /backup")]
pub(in crate::cli) struct BackupArgs {
    /// Leave out the profiles
    #[arg(long)]
    no_profiles: bool,

    /// Leave out the log lines
    #[arg(long)]
    no_logs: bool,

    /// Directory to write into; made if it is not there
    directory: PathBuf,
}

/// A database, where it is copied to, and that file.
pub(super) struct Copy {
    from: PathBuf,
    to: PathBuf,
    file: File,
}

impl BackupArgs {
    /// Makes the files, for the caller alone: by the time they are written this is another user.
    pub(super) fn create(&self, metrics: &Path) -> anyhow::Result<Vec<Copy>> {
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot make {}", self.directory.display()))?;
        let mut from = vec![metrics.to_owned()];
        for (file, is_left_out) in [(profiles::FILE, self.no_profiles), (logs::FILE, self.no_logs)] {
            let path = metrics.with_file_name(file);
            if !is_left_out && path.exists() {
                from.push(path);
            }
        }
        let make = |from: PathBuf| {
            let Some(name) = from.file_name() else { bail!("{} is no file", from.display()) };
            let to = self.directory.join(name);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to);
            let file = file.with_context(|| format!("cannot write {}", to.display()))?;
            Ok(Copy { from, to, file })
        };
        from.into_iter().map(make).collect()
    }
}

pub(super) fn run(copies: Vec<Copy>) -> Outcome {
    for Copy { from, to, mut file } in copies {
        let bytes = backup(&from, &mut file).map_err(anyhow::Error::from)?;
        term::complain(&format!("{}: {}", to.display(), term::bytes(bytes)));
    }
    Ok(ExitCode::SUCCESS)
}

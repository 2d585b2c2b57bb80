//! `agent doctor`.

use clap::Args;

use super::{Context, Outcome};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {}

pub(super) async fn run(_context: Context, _args: DoctorArgs) -> Outcome {
    Err(anyhow::anyhow!("not built yet").into())
}

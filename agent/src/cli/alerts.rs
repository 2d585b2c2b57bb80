//! `agent alerts`.

use clap::Args;

use super::{Context, Outcome};

#[derive(Debug, Args)]
pub(super) struct AlertsArgs {}

pub(super) async fn run(_context: Context, _args: AlertsArgs) -> Outcome {
    Err(anyhow::anyhow!("not built yet").into())
}

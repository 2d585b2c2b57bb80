//! `agent top`.

use clap::Args;

use super::{Context, Outcome};

#[derive(Debug, Args)]
pub(super) struct TopArgs {}

pub(super) async fn run(_context: Context, _args: TopArgs) -> Outcome {
    Err(anyhow::anyhow!("not built yet").into())
}

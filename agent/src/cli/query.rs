//! `agent query`.

use clap::Args;

use super::{Context, Outcome};

#[derive(Debug, Args)]
pub(super) struct QueryArgs {}

pub(super) async fn run(_context: Context, _args: QueryArgs) -> Outcome {
    Err(anyhow::anyhow!("not built yet").into())
}

//! `agent run`.

use clap::Args;

use super::{Global, Outcome};

#[derive(Debug, Args)]
pub(super) struct RunArgs {}

pub(super) fn run(_global: &Global, _args: &RunArgs) -> Outcome {
    Err(anyhow::anyhow!("not built yet").into())
}

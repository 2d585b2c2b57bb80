//! `agent serve`.

use clap::Args;

use super::{Global, Outcome};

#[derive(Debug, Args)]
pub(super) struct ServeArgs {}

pub(super) fn run(_global: &Global, _args: &ServeArgs) -> Outcome {
    Err(anyhow::anyhow!("not built yet").into())
}

//! `agent store compact`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use server::store::embedded::Compaction;

use super::super::{Context, Outcome, term};

pub(super) fn run(context: &Context, path: &Path) -> Outcome {
    let compaction = Compaction::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let begin = compaction.begin()?;
    let progress = term::Progress::new();
    let mut longest = Duration::ZERO;
    while let Some(now) = compaction.step()? {
        longest = longest.max(now.held);
        progress.show(&format!("{} to give back, Ctrl-C ends", term::bytes(now.free_bytes)));
    }
    drop(progress);
    let end = compaction.begin()?;
    if context.global.json {
        term::print_json(&json!({
            "file_bytes_before": begin.file_bytes, "file_bytes": end.file_bytes, "free_bytes": end.free_bytes,
            "longest_step_ms": longest.as_millis() as u64
        }))?;
    } else {
        term::print(&format!(
            "{} before, {} now; a write of the daemon waited {} ms at most\n",
            term::bytes(begin.file_bytes),
            term::bytes(end.file_bytes),
            longest.as_millis()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

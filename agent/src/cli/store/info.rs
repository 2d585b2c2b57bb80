//! `agent store info`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use server::store::embedded::{Held, Info};

use super::super::term::{Side, Table};
use super::super::{Context, Outcome, term};

pub(super) fn run(context: &Context, path: &Path) -> Outcome {
    let info = super::open(path)?.info()?;
    if context.global.json {
        term::print_json(&data(context, &info))?;
    } else {
        term::print(&text(context, &info))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn ratio(bytes: u64, samples: u64) -> f64 {
    if samples == 0 { 0.0 } else { bytes as f64 / samples as f64 }
}

/// The file's bytes a value, all that is in it included.
fn overall(info: &Info) -> f64 {
    ratio(info.file_bytes - info.free_bytes, info.parts.iter().map(|part| part.samples).sum())
}

fn resolution(step_s: u64) -> String {
    match step_s {
        0 => "as written".to_owned(),
        step => term::span(Duration::from_secs(step)),
    }
}

fn data(context: &Context, info: &Info) -> serde_json::Value {
    let settings = &context.config.server;
    let part = |part: &Held| {
        json!({
            "host": part.host, "step_s": part.step_s, "from_unix_ns": part.from.0, "to_unix_ns": part.to.0,
            "windows": part.windows, "windows_waiting": part.waiting, "samples": part.samples, "bytes": part.bytes,
            "bytes_per_sample": ratio(part.bytes, part.samples)
        })
    };
    let deleted: serde_json::Map<_, _> =
        info.deleted.iter().map(|(what, count)| (what.clone(), json!(count))).collect();
    json!({
        "path": info.path, "version": info.version, "file_bytes": info.file_bytes, "free_bytes": info.free_bytes,
        "log_bytes": info.log_bytes, "series": info.series, "bytes_per_sample": overall(info),
        "hosts": info.parts.iter().map(part).collect::<Vec<_>>(),
        "retention": {
            "as_written_s": settings.retention_1s.as_secs(), "ten_seconds_s": settings.retention_10s.as_secs(),
            "all_s": settings.retention.as_secs(), "max_bytes": settings.max_bytes
        },
        "deleted": deleted
    })
}

fn text(context: &Context, info: &Info) -> String {
    let settings = &context.config.server;
    let mut text = format!(
        "{}\n  {} in the file, of that {} free; {} beside it wait to be taken in\n  {} series, {:.3} bytes a value in all\n",
        term::clean(&info.path.display().to_string()),
        term::bytes(info.file_bytes),
        term::bytes(info.free_bytes),
        term::bytes(info.log_bytes),
        term::count(info.series),
        overall(info)
    );
    let _ = writeln!(
        text,
        "  kept: {} as written, then one in 10 s up to {}, one in 60 s up to {}; {} at most\n",
        term::span(settings.retention_1s),
        term::span(settings.retention_10s),
        term::span(settings.retention),
        term::bytes(settings.max_bytes)
    );
    let mut table = Table::new(&[
        ("HOST", Side::Left),
        ("POINTS", Side::Left),
        ("FROM", Side::Left),
        ("TO", Side::Left),
        ("WINDOWS", Side::Right),
        ("VALUES", Side::Right),
        ("BYTES", Side::Right),
        ("B/VALUE", Side::Right),
    ]);
    for part in &info.parts {
        table.row(&[
            part.host.clone(),
            resolution(part.step_s),
            term::utc(part.from.0),
            term::utc(part.to.0),
            term::count(part.windows),
            term::count(part.samples),
            term::bytes(part.bytes),
            format!("{:.3}", ratio(part.bytes, part.samples)),
        ]);
    }
    text.push_str(&table.render(context.paint));
    if !info.deleted.is_empty() {
        text.push_str("\nDeleted or put together since it was made:\n");
        for (what, count) in &info.deleted {
            let _ = writeln!(text, "  {} {}", term::count(*count), term::clean(what));
        }
    }
    text
}

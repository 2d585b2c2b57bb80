//! `agent flamegraph diff`.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use flamegraphs::diff::{Change, Difference};
use flamegraphs::{SvgOptions, read, svg};
use profile::{FoldOptions, Folded};
use serde_json::json;

use super::{Context, term};
use crate::output::{self, OutputMode};

/// Least change that is shown, percentage points: less is noise in a profile of some thousand samples.
const MIN_CHANGE_PCT_POINTS: f64 = 0.05;

#[derive(Debug, Args)]
#[command(after_help = "\
Reads folded text and pprof, gzipped or not. The graph is that of AFTER; a frame is red where it was itself on top more
often than before, blue where less. What is gone has no width there: the table names it.")]
pub(super) struct DiffArgs {
    /// Profile before the change
    before: PathBuf,

    /// Profile after it
    after: PathBuf,

    /// File to write, `-` for stdout
    #[arg(short, long, value_name = "FILE", default_value = "flamegraph-diff.svg")]
    output: PathBuf,

    #[command(flatten)]
    output_mode: OutputMode,

    /// Compare weights as they are, not shares: for profiles of the same work
    #[arg(long)]
    absolute: bool,

    /// Functions in the table
    #[arg(short = 'n', long, value_name = "N", default_value_t = ROWS)]
    rows: usize,
}

/// How a difference is written.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    /// What the profile before is called.
    pub(super) old: String,
    /// What the one after it is called.
    pub(super) new: String,
    /// File, or `-`.
    pub(super) output: &'a Path,
    /// Its permissions.
    pub(super) mode: OutputMode,
    /// Weights as they are.
    pub(super) absolute: bool,
    /// Functions in the table.
    pub(super) rows: usize,
}

/// Functions in the table if none says how many.
pub(super) const ROWS: usize = 15;

pub(super) fn run(context: &Context, args: &DiffArgs) -> anyhow::Result<()> {
    let (before, after) = (open(&args.before)?, open(&args.after)?);
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let shown = Shown {
        old: name(&args.before),
        new: name(&args.after),
        output: &args.output,
        mode: args.output_mode,
        absolute: args.absolute,
        rows: args.rows,
    };
    write(context, &before, &after, &shown)
}

/// Writes the picture, and the table of what changed most.
pub(super) fn write(
    context: &Context,
    before: &Folded,
    after: &Folded,
    args: &Shown<'_>,
) -> anyhow::Result<()> {
    let plain = Difference::new(before, after);
    let mut changes = plain.changes();
    changes.retain(|change| change.points().abs() >= MIN_CHANGE_PCT_POINTS);
    let difference = if args.absolute { plain } else { plain.normalized() };
    let Shown { old, new, .. } = args;
    let options = SvgOptions {
        title: format!("{new} against {old}"),
        subtitle: Some(format!(
            "red: more than in {old}, blue: less; {}",
            scale(before, after, args.absolute)
        )),
        empty_reason: Some(format!("{new} has no samples")),
        count_name: "of weight".to_owned(),
        ..SvgOptions::default()
    };
    if args.output == Path::new("-") {
        if context.global.json {
            bail!("--json and the SVG both want stdout; name a file with -o");
        }
        svg::write_difference(&difference, &options, std::io::stdout().lock())?;
        return Ok(());
    }
    let path = args.output.display();
    let cannot = || format!("cannot write {path}");
    let mut file = output::Output::create(args.output, args.mode).with_context(cannot)?;
    svg::write_difference(&difference, &options, BufWriter::new(file.file()))
        .and_then(|()| file.finish())
        .with_context(|| format!("cannot write {path}"))?;
    let shown = &changes[..changes.len().min(args.rows)];
    if context.global.json {
        let rows = shown.iter().map(|change| {
            json!({"frame": change.frame, "before_pct": change.before_pct, "after_pct": change.after_pct})
        });
        return term::print_json(&json!({
            "output": path.to_string(),
            "before": before.total(),
            "after": after.total(),
            "changes": rows.collect::<Vec<_>>(),
        }));
    }
    term::complain(&format!("{path}: {}", scale(before, after, args.absolute)));
    term::print(&table(context, shown))?;
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Folded> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    read::folded(file, &FoldOptions::default()).with_context(|| format!("cannot read {}", path.display()))
}

fn scale(before: &Folded, after: &Folded, absolute: bool) -> String {
    let how = if absolute { "as they are" } else { "before scaled to after" };
    format!("weight {} before, {} after, {how}", before.total(), after.total())
}

fn table(context: &Context, changes: &[Change]) -> String {
    if changes.is_empty() {
        return "no function's own share changed\n".to_owned();
    }
    let mut table = term::Table::new(&[
        ("CHANGE", term::Side::Right),
        ("BEFORE", term::Side::Right),
        ("AFTER", term::Side::Right),
        ("FUNCTION ITSELF", term::Side::Left),
    ]);
    for change in changes {
        table.row(&[
            format!("{:+.2}", change.points()),
            format!("{:.2} %", change.before_pct),
            format!("{:.2} %", change.after_pct),
            term::clean(&change.frame),
        ]);
    }
    table.render(context.paint)
}

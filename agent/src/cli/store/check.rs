//! `agent store check`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use server::store::embedded::Checked;

use super::super::{Context, Outcome, term};

pub(super) fn run(context: &Context, path: &Path) -> Outcome {
    let progress = term::Progress::new();
    let checked = super::open(path)?
        .check(|done, all| progress.show(&format!("{done} of {all} slots, Ctrl-C ends")))?;
    drop(progress);
    if context.global.json {
        term::print_json(&json!({
            "sound": checked.damaged == 0, "damaged": checked.damaged, "damages": checked.damages,
            "slots": checked.slots, "head_windows": checked.head_windows, "series": checked.series,
            "sums": checked.sums
        }))?;
    } else {
        term::print(&text(context, &checked))?;
    }
    Ok(ExitCode::from(u8::from(checked.damaged > 0)))
}

fn text(context: &Context, checked: &Checked) -> String {
    let paint = context.paint;
    let mut text = String::new();
    for damage in &checked.damages {
        let _ = writeln!(text, "{} {}", paint.red("damaged"), term::clean(damage));
    }
    let more = checked.damaged - checked.damages.len() as u64;
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
    let verdict = if checked.damaged == 0 { paint.green("sound") } else { paint.red("not sound") };
    let _ = writeln!(
        text,
        "{verdict}: {} slots, {} windows, {} series, {} running sums",
        checked.slots, checked.head_windows, checked.series, checked.sums
    );
    text
}

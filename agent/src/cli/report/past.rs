//! `agent report --at`: a past time from the recordings that the daemon keeps, else the report that the store has of it.

use std::sync::Arc;
use std::time::Duration;

use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::report::PastTime;
#[cfg(feature = "relay")]
use agent_common::wire::report::Report;
use anyhow::{Context as _, bail};
use diagnosis::alert;

use super::Answer;
use crate::aggregate::ReportOptions;
use crate::cli::{Context, term};
use crate::clock;
use crate::control::{Answers, Namer};
use crate::recording::ring::{self, Past, Span};
use crate::recording::{Cause, Error};

/// A time of this length, unless another is asked for.
pub(super) const DURATION: Duration = Duration::from_mins(1);
/// Longest time: all its windows are in memory, up to a megabyte each.
const LONGEST: Duration = Duration::from_mins(10);
/// Time before it that the rules see: growth of memory is judged over a minute.
const WARM_UP: Duration = Duration::from_mins(2);
/// Farthest report of the store that still tells something of a time: one a minute is kept.
#[cfg(feature = "relay")]
const NEAR: Duration = Duration::from_mins(10);
/// What may be missing unsaid: windows do not begin on the second.
const SLACK: DurNs = DurNs(1_500_000_000);

/// Reads and judges. Blocks.
pub(super) fn answer(
    context: &Context,
    at: UnixNs,
    duration: Duration,
    options: &ReportOptions,
    page: bool,
) -> anyhow::Result<Answer> {
    if duration > LONGEST {
        bail!("--at shows at most {}: ask for a part of it", term::span(LONGEST));
    }
    let now = clock::unix();
    if at >= now {
        bail!("{} has not been yet", term::utc(at.0));
    }
    let span = Span { from: at, to: UnixNs(at.0.saturating_add(duration.as_nanos() as u64).min(now.0)) };
    let length = DurNs(span.to.0 - span.from.0);
    let dir = context.config.recordings_dir();
    let past = match ring::past(&dir, span, WARM_UP) {
        Ok(past) => past,
        Err(Error { what: Cause::Io { source, .. }, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            Past::default()
        }
        Err(error) if is_denied(&error) => {
            return Err(error).context("the recordings are root's: run this with sudo");
        }
        Err(error) => return Err(error.into()),
    };
    for damage in &past.damaged {
        term::complain(&format!("warning: {}", term::chain(damage)));
    }
    if past.windows.is_empty() {
        return stored(context, span, &past);
    }
    let missing = past.missing(length);
    say_what_is_missing(&past, missing);
    let answers = Answers {
        names: Namer::Recorded(Arc::new(past.names)),
        host: past.head.host.as_str().into(),
        rate_hz: past.head.rate_hz,
    };
    let mut report = answers.report_after(&past.before, &past.windows, options);
    report.past = Some(PastTime {
        from_unix_ns: span.from.0,
        until_unix_ns: span.to.0,
        missing_s: missing.as_secs_f64(),
        alerts: alert::replay(&past.head.host, &past.before, &past.windows),
    });
    if page {
        return Ok(Answer::Page(Box::new(answers.page_with(report, &past.windows, options)?)));
    }
    Ok(Answer::Report(Box::new(report)))
}

fn is_denied(error: &Error) -> bool {
    matches!(&error.what, Cause::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
}

fn say_what_is_missing(past: &Past, missing: DurNs) {
    if past.left_out > 0 {
        term::complain(&format!(
            "the daemon was started again in this time: {} windows of its other run are left out",
            past.left_out
        ));
    } else if missing > SLACK {
        let missing = term::span(Duration::from_nanos(missing.0));
        term::complain(&format!(
            "{missing} of this time are not recorded: the daemon did not run, or could not write"
        ));
    }
}

/// What the store has of a time that is not recorded: the nearest report of this host.
#[cfg(feature = "relay")]
fn stored(context: &Context, span: Span, past: &Past) -> anyhow::Result<Answer> {
    use server::store::embedded::{FILE, Reader};
    let recorded = recorded(past);
    let path = context.config.server_dir().join(FILE);
    let report = crate::cli::query::become_owner(context, &path).and_then(|()| {
        let reader = Reader::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(reader.report_near(&context.config.host, span.from)?)
    });
    let found = match report {
        Ok(Some(found)) if found.at.0.abs_diff(span.from.0) <= NEAR.as_nanos() as u64 => found,
        Ok(_) => bail!("{recorded}, and the store has no report of about that time"),
        Err(error) => {
            return Err(error.context(format!("{recorded}, and the store's reports cannot be read")));
        }
    };
    term::complain(&format!(
        "{recorded}: this is the report that the store has kept of {}",
        term::utc(found.at.0)
    ));
    let mut report: Report = serde_json::from_str(&found.json).context("a report in the store")?;
    let length = (report.window_s * 1e9) as u64;
    report.past = Some(PastTime {
        from_unix_ns: found.at.0.saturating_sub(length),
        until_unix_ns: found.at.0,
        ..PastTime::default()
    });
    Ok(Answer::Report(Box::new(report)))
}

#[cfg(not(feature = "relay"))]
fn stored(_: &Context, _: Span, past: &Past) -> anyhow::Result<Answer> {
    bail!("{}", recorded(past))
}

/// That the time is not recorded, and which is.
fn recorded(past: &Past) -> String {
    match past.kept {
        Some(kept) => format!(
            "that time is not recorded (the recordings are of {} to {})",
            term::utc(kept.from.0),
            term::utc(kept.to.0)
        ),
        None => "nothing is recorded here (`agent run` does, unless recordings.max_bytes is 0)".to_owned(),
    }
}

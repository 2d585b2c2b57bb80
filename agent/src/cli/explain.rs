//! `agent explain`.

use std::fmt::Write as _;
use std::process::ExitCode;

use agent_common::text;
use agent_common::wire::postmortem::{EndKind, PostMortem};
use clap::Args;
use postmortem::signal_name;

use super::ask;
use super::term::{self, Paint};
use super::{Context, Outcome};
use crate::control::Which;
use crate::control::protocol::{Explained, Reply, Request};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent explain --last                     the newest bad end on this host
  sudo agent explain --pid 4242                 why that process ended
  sudo agent explain --unit web                 why the service failed last
  sudo agent explain --event crash/process/4242/1796064615     what an alert is about
  sudo agent explain --last --json | jq .cause

First the likely cause, then what speaks for it, then what was ruled out. The daemon must have been running when the
process ended. A process that ended as it is meant to has no post-mortem.")]
#[group(required = true, multiple = false)]
pub(super) struct WhichArgs {
    /// The newest bad end
    #[arg(long)]
    last: bool,

    /// The newest of this process
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,

    /// The newest of this systemd unit
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,

    /// One by its name, as its alert has it
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    which: WhichArgs,

    /// All that was seen of the end, as JSON; also of one that needs no explanation
    #[arg(long)]
    facts: bool,
}

pub(super) async fn run(context: Context, args: ExplainArgs) -> Outcome {
    let WhichArgs { last: _, pid, unit, event } = args.which;
    let which = match (pid, unit, event) {
        (Some(pid), ..) => Which::Pid(pid),
        (_, Some(unit), _) => Which::Unit(unit),
        (.., Some(event)) => Which::Event(event),
        _ => Which::Last,
    };
    let mut client = ask::daemon_only(&context, "explain").await?;
    let request = Request::Explain { which, facts: args.facts };
    let other = || anyhow::anyhow!("the daemon answered something else");
    let Reply::Explained(explained) = ask::ask(&mut client, request, "asking", None).await? else {
        return Err(other().into());
    };
    let Explained { id, postmortem, facts } = *explained;
    if args.facts {
        term::print_json(&facts)?;
        return Ok(ExitCode::SUCCESS);
    }
    let postmortem = postmortem.ok_or_else(other)?;
    if context.global.json {
        term::print_json(&postmortem)?;
    } else {
        term::print(&render(&id, &postmortem.cleaned(), context.paint))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Cause, evidence, what was ruled out.
fn render(id: &str, postmortem: &PostMortem, paint: Paint) -> String {
    let mut out = String::new();
    let PostMortem { process, ended, cause, evidence, ruled_out, repeats } = postmortem;
    let place = match (&process.container, &process.unit) {
        (Some(container), _) => format!(" of container {container}"),
        (None, Some(unit)) => format!(" of unit {unit}"),
        (None, None) => String::new(),
    };
    let how = match (ended.kind, ended.signal, ended.code) {
        (EndKind::Oom, ..) => "was killed for lack of memory".to_owned(),
        (_, Some(signal), _) => format!("was ended by {}", signal_name(signal)),
        (_, None, code) => format!("exited with code {}", code.unwrap_or(0)),
    };
    let core = if ended.core { " (core dumped)" } else { "" };
    let _ =
        writeln!(out, "{} ({}){place} {how}{core} at {}", process.comm, process.pid, text::utc(ended.at_ns));
    if let Some(by) = &ended.by {
        let _ = writeln!(out, "  sent by {} ({}) of uid {}", by.comm, by.pid, by.uid);
    }
    if !process.cmdline.is_empty() {
        let _ = writeln!(out, "  {}", paint.dim(&process.cmdline));
    }
    let _ = writeln!(out, "\n{}", paint.bold(&cause.text));
    let _ = writeln!(out, "  {}, confidence {:.0} %", cause.class, cause.confidence * 100.0);
    if let Some(repeats) = repeats {
        let _ = writeln!(out, "  It is in a loop: {} bad ends in {} s.", repeats.count, repeats.span_s);
    }
    if !evidence.is_empty() {
        let _ = writeln!(out, "\nEvidence");
    }
    for proof in evidence {
        let mut lines = proof.text.lines();
        let _ = write!(out, "  {:<8}{}", proof.kind.name(), lines.next().unwrap_or_default());
        if !proof.reference.is_empty() {
            let _ = write!(out, "  [{}]", proof.reference);
        }
        out.push('\n');
        for more in lines {
            let _ = writeln!(out, "          {more}");
        }
    }
    if !ruled_out.is_empty() {
        let _ = writeln!(out, "\nRuled out");
    }
    for lost in ruled_out {
        let _ = writeln!(out, "  {}: {}", lost.class, lost.why_not);
    }
    let _ = writeln!(out, "\n{}", paint.dim(id));
    out
}

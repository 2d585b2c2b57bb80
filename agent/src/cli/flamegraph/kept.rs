//! `agent flamegraph --at`, `--from`, `--alert`: the past, out of the store of profiles.

mod ask;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agent_common::text::utc;
use agent_common::units::{DurNs, UnixNs};
use anyhow::bail;
use clap::Args;
use profile::block::{Block, Group, Looked, MAX_COLUMNS, Shown};
use profile::{Folded, Mode, Parts, Roots};
use server::store::profiles::{By, Selection};

use super::super::moment::moment;
use super::diff;
use super::output::{self, Format, Output};
use super::{Context, Failed, FlamegraphArgs, Outcome, fold_options, term};
use crate::clock;
use crate::control::protocol::{Profile, Target};
use ask::{Answer, Question};
pub(in crate::cli) use ask::{READER, read};

/// Time that `--at` shows if no flag says how much.
const DEFAULT_DURATION: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
#[command(next_help_heading = "The past, from the store of profiles")]
pub(super) struct KeptArgs {
    /// From this moment on, for --duration: 5m (ago), 14:03, 'yesterday 14:03', '2026-11-29 14:03:05' (UTC) [default duration: 1m]
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with_all = ["from", "alert", "last", "replay", "rate", "command"])]
    at: Option<UnixNs>,

    /// From this moment …
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with_all = ["alert", "last", "replay", "rate", "command", "duration"])]
    from: Option<UnixNs>,

    /// … to this one [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "from")]
    to: Option<UnixNs>,

    /// What went out as evidence with the alert of this id: the five minutes before it
    #[arg(long, value_name = "ID", conflicts_with_all = ["last", "replay", "rate", "command", "duration"])]
    alert: Option<String>,

    /// Compare with the time of the same length that begins here: red is more than then, blue less
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "alert")]
    base: Option<UnixNs>,

    /// This host; may be repeated [default: all in the store]
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,

    /// Processes of this name; may be repeated
    #[arg(long, value_name = "NAME")]
    comm: Vec<String>,

    /// Processes of this container (beginning of its id), cgroup or unit; may be repeated
    #[arg(long = "in", value_name = "PLACE")]
    place: Vec<String>,
}

impl KeptArgs {
    pub(super) fn is_asked(&self) -> bool {
        self.at.is_some() || self.from.is_some() || self.alert.is_some()
    }
}

pub(super) fn run(context: &Context, args: &FlamegraphArgs) -> Outcome {
    if let Some(wrong) = wrong(args) {
        return Err(Failed::Usage(vec![wrong]));
    }
    let kept = &args.kept;
    if let Some(alert) = &kept.alert {
        let output = Output::open(context, args)?;
        let answer = ask::ask(&context.config, &Question::Evidence { alert: alert.clone() })?;
        let Some(block) = answer.block else {
            let known = near(alert, &answer.names);
            return Err(
                anyhow::anyhow!("no evidence of an alert {} is kept{known}", term::clean(alert)).into()
            );
        };
        let selection = selection(args, block.from, block.to());
        let block = block.only(|_, entry| selection.takes(&block.groups[entry.group as usize]));
        output.write(context, &shown(args, &block, (block.from, block.to()), &answer.names))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (from, to) = span(args);
    if from >= to {
        return Err(Failed::Usage(vec!["--to must be after --from".to_owned()]));
    }
    let Some(base) = kept.base else {
        let output = Output::open(context, args)?;
        output.write(context, &merged(context, args, from, to)?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let after = merged(context, args, from, to)?;
    let before = merged(context, args, base, UnixNs(base.0.saturating_add(to.0 - from.0)))?;
    let file = args.output.clone().unwrap_or_else(|| PathBuf::from("flamegraph-diff.svg"));
    let when = |profile: &Profile| profile.when.clone().unwrap_or_default();
    let shown = diff::Shown {
        old: when(&before),
        new: when(&after),
        output: &file,
        mode: args.output_mode,
        absolute: false,
        rows: diff::ROWS,
    };
    diff::write(context, &before.folded, &after.folded, &shown)?;
    Ok(ExitCode::SUCCESS)
}

/// What cannot be shown of the past, in words.
fn wrong(args: &FlamegraphArgs) -> Option<String> {
    let parts = args.kernel || args.user;
    if fold_options(args).roots == Roots::Thread {
        return Some("of the past there are processes, not threads; use --by process".to_owned());
    }
    if args.mode == Mode::Wakers && parts {
        return Some(
            "--kernel and --user cannot divide the stacks of who ended the waits; leave them out".to_owned(),
        );
    }
    if args.kept.base.is_some() && output::format(args) != Format::Svg {
        return Some("a difference is written as SVG alone".to_owned());
    }
    None
}

fn span(args: &FlamegraphArgs) -> (UnixNs, UnixNs) {
    let kept = &args.kept;
    if let Some(at) = kept.at {
        let length = args.duration.unwrap_or(DEFAULT_DURATION);
        return (at, UnixNs(at.0.saturating_add(length.as_nanos() as u64)));
    }
    (kept.from.unwrap_or_default(), kept.to.unwrap_or_else(clock::unix))
}

fn selection(args: &FlamegraphArgs, from: UnixNs, to: UnixNs) -> Selection {
    let times = output::format(args).has_times();
    let by_process = times || args.pid.is_some() || fold_options(args).roots == Roots::Process;
    Selection {
        hosts: args.kept.host.clone(),
        pids: args.pid.into_iter().collect(),
        comms: args.kept.comm.clone(),
        places: args.kept.place.clone(),
        by: if by_process { By::Process } else { By::Comm },
        columns: if times { MAX_COLUMNS } else { 1 },
        looked: Looked::ALL
            .into_iter()
            .filter(|looked| match looked {
                Looked::Cpu => args.mode.has_samples(),
                Looked::Wait => args.mode.has_waits(),
            })
            .collect(),
        ..Selection::new(from, to)
    }
}

fn merged(context: &Context, args: &FlamegraphArgs, from: UnixNs, to: UnixNs) -> anyhow::Result<Profile> {
    let selection = selection(args, from, to);
    let answer = ask::ask(&context.config, &Question::Merged(selection.into()))?;
    let Answer { block: Some(block), names, span: Some(span), .. } = &answer else {
        let reach = answer.reach.map_or_else(
            || "there are none yet; the first comes a minute after the daemon has started".to_owned(),
            |(first, last)| format!("there are some from {} to {}", utc(first.0), utc(last.0)),
        );
        bail!("no profile is kept of {} to {}: {reach}", utc(from.0), utc(to.0));
    };
    Ok(shown(args, block, *span, names))
}

/// A block as every format is written from it.
fn shown(args: &FlamegraphArgs, block: &Block, (from, to): (UnixNs, UnixNs), hosts: &[String]) -> Profile {
    let fold = fold_options(args);
    let parts = if args.kernel {
        Parts::Kernel
    } else if args.user {
        Parts::User
    } else {
        Parts::Both
    };
    let mut timeline = Shown::of(args.mode, args.no_idle, parts, |shown| block.timeline(shown, Group::place));
    let some = args.pid.is_some() || !args.kept.comm.is_empty() || !args.kept.place.is_empty();
    if some {
        // They were counted of all processes.
        timeline.names = profile::NameCoverage::default();
    }
    let folded = Folded::new(&timeline, &fold);
    let (samples, _) = block.total(Looked::Cpu);
    let (waits, waited_ns) = block.total(Looked::Wait);
    let comm = match args.kept.comm.as_slice() {
        [comm] => Some(comm.clone()),
        _ => args.pid.and_then(|pid| {
            block.groups.iter().find(|group| group.tgid == pid).map(|group| group.comm.to_string())
        }),
    };
    let of = match hosts {
        [] => String::new(),
        [host] => format!(" on {host}"),
        hosts => format!(" on {} hosts", hosts.len()),
    };
    Profile {
        target: args.pid.map_or(Target::All, Target::Pid),
        comm,
        window_s: DurNs(to.0.saturating_sub(from.0)).as_secs_f64(),
        rate_hz: block.rate_hz,
        mode: args.mode,
        samples: if args.mode.has_samples() { samples } else { 0 },
        waits: if args.mode.has_waits() { waits } else { 0 },
        waited_ns: if args.mode.has_waits() { waited_ns } else { 0 },
        blocked_ns: None,
        coverage: block.coverage(some),
        folded,
        start_unix_ns: from.0,
        timeline: output::format(args).has_times().then_some(timeline),
        ended_early: None,
        when: Some(format!("{} to {}{of}", utc(from.0), utc(to.0))),
    }
}

fn near(alert: &str, known: &[String]) -> String {
    let nearest = known
        .iter()
        .map(|other| (strsim::jaro_winkler(alert, other), other))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| format!("; the nearest that is: {}", term::clean(other)));
    nearest.unwrap_or_default()
}

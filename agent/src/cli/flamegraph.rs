//! `agent flamegraph`.

mod diff;
#[cfg(feature = "relay")]
mod kept;
mod output;
mod picture;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use agent_common::units::Tgid;
use anyhow::{Context as _, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use profile::{FoldOptions, Mode, Parts, Roots};

use super::ask::{self, Interrupt};
use super::hold::Held;
use super::observe::{self, Ended, Observing};
use super::{Context, Failed, Outcome, duration, record, term};
use crate::collector::{Filter, Options};
use crate::config::SyscallTier;
use crate::control::pid::{self, PidError};
use crate::control::protocol::{Profile, Reply, Request, Span, Target};
use crate::control::{Answers, Client};
use crate::history::History;
use crate::output::OutputMode;
use output::{Format, Output};

#[cfg(feature = "relay")]
pub(super) use kept::{READER, read};
pub(super) use picture::svg;

/// Time observed if no flag sets it.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// The modes by name, each with its help.
fn modes() -> impl TypedValueParser<Value = Mode> {
    let values = Mode::ALL.map(|mode| PossibleValue::new(mode.name()).help(mode.help()));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Mode>())
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  sudo agent flamegraph --pid 4242 -o out.svg           ten seconds of one process
  sudo agent flamegraph --all --duration 30s            the whole host
  sudo agent flamegraph -o build.svg -- make -j4        a command from its start, with all it starts
  sudo agent flamegraph --pid 4242 --last 5m            the past, from the daemon's memory
  sudo agent flamegraph --all --format folded | grep read
  sudo agent flamegraph --all -o out.html               with a heat map: select a time, see its graph
  sudo agent flamegraph --pid 4242 -o out.pb.gz         for `go tool pprof`
  sudo agent flamegraph --pid 4242 --mode off-cpu       where it waits and what for
  sudo agent flamegraph --pid 4242 --mode wakers        and who ends the waits
  sudo agent flamegraph --at 'yesterday 14:03' -o y.svg a minute of the past, from the store of profiles
  sudo agent flamegraph --from 10:00 --to 11:00 --comm nginx --base 'yesterday 10:00'
                                                        an hour, in red and blue against the same of yesterday
  sudo agent flamegraph --alert cpu-user/process/4242/1795960985
                                                        the five minutes before an alert
  agent flamegraph --all --replay slow.s7rec            a recording, without root
  agent flamegraph diff before.folded after.pb.gz       what changed, in red and blue

Ends early, with what it has, on Ctrl-C or when the process exits. With `-- command` the exit code is the
command's (128 + signal if it was killed)."
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
pub(super) struct FlamegraphArgs {
    #[command(subcommand)]
    what: Option<What>,

    /// One process
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..),
          required_unless_present_any = ["all", "command", "at", "from", "alert"], conflicts_with_all = ["all", "command"])]
    pid: Option<u32>,

    /// All processes of the host
    #[arg(short, long, conflicts_with = "command")]
    all: bool,

    /// What of
    #[arg(short, long, value_name = "MODE", default_value = "on-cpu", value_parser = modes())]
    mode: Mode,

    /// Leave out waits for work: poll, sleep, accept, condition variables
    #[arg(long)]
    no_idle: bool,

    /// A recording of `agent record`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["duration", "rate", "last", "command"])]
    replay: Option<PathBuf>,

    /// How long [default: 10s; of a command: until it exits]
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,

    /// Samples a second and CPU; a prime does not beat with timers [default: the configuration's, 97]
    #[arg(short, long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1..=9973))]
    rate: Option<u32>,

    /// The past, from the daemon's memory
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = ["duration", "rate", "command"])]
    last: Option<Duration>,

    /// File to write, `-` for stdout [default: flamegraph with the format's ending; folded text goes to stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    output_mode: OutputMode,

    /// What to write [default: what the file's name says, else svg]
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,

    /// What stands at the bottom of each stack [default: comm; process where waits are in it]
    #[arg(long, value_name = "WHAT")]
    by: Option<By>,

    /// The kernel's frames alone
    #[arg(long)]
    kernel: bool,

    /// The frames of user space alone
    #[arg(long, conflicts_with = "kernel")]
    user: bool,

    /// Command to profile, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    #[cfg(feature = "relay")]
    #[command(flatten)]
    kept: kept::KeptArgs,
}

/// What to do in place of observing.
#[derive(Debug, Subcommand)]
enum What {
    /// Show what changed between two profiles
    Diff(diff::DiffArgs),
}

/// What stands at the bottom of each stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Process names
    Comm,
    /// Process names and PIDs
    Process,
    /// Thread names, PIDs and thread ids
    Thread,
    /// Containers (or services), then process names
    Container,
}

pub(super) async fn run(context: Context, args: FlamegraphArgs) -> Outcome {
    if let Some(What::Diff(args)) = &args.what {
        return diff::run(&context, args).map(|()| ExitCode::SUCCESS).map_err(Into::into);
    }
    if let Some(wrong) = output::misnamed(&args) {
        return Err(Failed::Usage(vec![wrong]));
    }
    #[cfg(feature = "relay")]
    if args.kept.is_asked() {
        return kept::run(&context, &args);
    }
    // Now, not after ten seconds.
    let output = Output::open(&context, &args)?;
    let (profile, status) = if args.command.is_empty() {
        (profile(&context, &args).await?, None)
    } else {
        let (profile, status) = of_command(&context, &args).await?;
        (profile, status)
    };
    if let Some(why) = not_sampled(&profile) {
        return Err(anyhow::anyhow!("nothing could be sampled: {why}").into());
    }
    output.write(&context, &profile)?;
    Ok(status.map_or(ExitCode::SUCCESS, exit_code))
}

/// Why there are no samples, where the kernel refused to take any: an empty picture would say that nothing ran.
fn not_sampled(profile: &Profile) -> Option<&str> {
    let (mode, coverage) = (profile.mode, &profile.coverage);
    let wanted = mode.has_samples() && !mode.has_waits() && coverage.expected == 0;
    wanted.then(|| coverage.missing.iter().find(|missing| missing.starts_with("oncpu:")))?.map(String::as_str)
}

fn fold_options(args: &FlamegraphArgs) -> FoldOptions {
    let usual = if args.mode.has_waits() { By::Process } else { By::Comm };
    let roots = match args.by.unwrap_or(usual) {
        By::Comm => Roots::Comm,
        By::Process => Roots::Process,
        By::Thread => Roots::Thread,
        By::Container => Roots::Group,
    };
    let parts = match (args.kernel, args.user) {
        (true, _) => Parts::Kernel,
        (_, true) => Parts::User,
        _ => Parts::Both,
    };
    FoldOptions { roots, parts, ..FoldOptions::default() }
}

async fn profile(context: &Context, args: &FlamegraphArgs) -> anyhow::Result<Profile> {
    let target = args.pid.map_or(Target::All, Target::Pid);
    if let Some(path) = &args.replay {
        let recording = record::open(path)?;
        let answers = record::answers(&recording);
        return Ok(answers.flamegraph(
            &recording.windows,
            target,
            fold_options(args),
            args.mode,
            args.no_idle,
            output::format(args).has_times(),
        )?);
    }
    if let Some(last) = args.last {
        let mut client = ask::daemon_only(context, "--last").await?;
        return of_daemon(&mut client, target, Span::LastMs(last.as_millis() as u64), args).await;
    }
    let found = args.pid.map(|pid| pid::find(pid).map(|found| (pid, found))).transpose()?;
    let what = match &found {
        Some((pid, found)) => format!("sampling {} ({pid})", term::clean(&found.comm)),
        None => "sampling all processes".to_owned(),
    };
    let span = args.duration.unwrap_or(DEFAULT_DURATION);
    if let Some(mut client) = ask::daemon(context).await?
        && rate_fits(&mut client, args).await?
    {
        return of_daemon(&mut client, target, Span::NextMs(span.as_millis() as u64), args).await;
    }

    let mut interrupt = Interrupt::new()?;
    let filter = match &found {
        Some((pid, _)) => Filter::Tgids { tgids: vec![Tgid(*pid)], follow: false },
        None => Filter::All,
    };
    let observing = observe::start(context, options(context, args, filter)).await?;
    if let Some((pid, found)) = &found {
        if !pid::is_alive(*pid, found) {
            bail!(PidError::ExitedSince { pid: *pid, comm: found.comm.clone() });
        }
        observing.answers.names.observe(*pid);
    }
    let gone = || found.as_ref().is_some_and(|(pid, found)| !pid::is_alive(*pid, found));
    let ended = observing.wait(&mut interrupt, &what, Some(span), gone).await;
    let mut profile = fold(observing, target, args).await?;
    profile.ended_early = match ended {
        Ended::Duration => None,
        Ended::Interrupt => Some("ended early".to_owned()),
        Ended::Exited => Some("the process exited".to_owned()),
    };
    Ok(profile)
}

fn options(context: &Context, args: &FlamegraphArgs, filter: Filter) -> Options {
    let rate_hz = args.rate.unwrap_or(match context.config.collector.rate_hz {
        0 => 97,
        rate => rate,
    });
    let sched = args.mode.has_waits();
    // `/proc` says which container a process is in.
    let proc = args.by == Some(By::Container) || output::format(args).has_times();
    // The user stack of a wait is taken as its system call returns.
    let syscalls = if sched { SyscallTier::Counts } else { SyscallTier::Off };
    Options { rate_hz, filter, syscalls, sched, resources: false, endings: false, proc }
}

/// The daemon samples at its own rate; another one needs probes of our own.
async fn rate_fits(client: &mut Client, args: &FlamegraphArgs) -> anyhow::Result<bool> {
    let Reply::Status(status) = client.ask(Request::Status, std::future::pending()).await? else {
        bail!("the daemon did not say its status");
    };
    let fits = args.rate.is_none_or(|rate| rate == status.rate_hz) && status.rate_hz > 0;
    if !fits {
        tracing::debug!(daemon = status.rate_hz, "another rate than the daemon's: attaching probes here");
    }
    Ok(fits)
}

async fn of_daemon(
    client: &mut Client,
    target: Target,
    span: Span,
    args: &FlamegraphArgs,
) -> anyhow::Result<Profile> {
    let what = match target {
        Target::All => "sampling all processes".to_owned(),
        Target::Pid(pid) => format!("sampling process {pid}"),
    };
    let wait = match span {
        Span::NextMs(ms) => Some(Duration::from_millis(ms)),
        Span::LastMs(_) => None,
    };
    let request = Request::Flamegraph {
        target,
        span,
        fold: fold_options(args),
        mode: args.mode,
        no_idle: args.no_idle,
        timeline: output::format(args).has_times(),
    };
    match ask::ask(client, request, &what, wait).await? {
        Reply::Flamegraph(profile) => Ok(*profile),
        _ => bail!("the daemon answered something else"),
    }
}

async fn of_command(
    context: &Context,
    args: &FlamegraphArgs,
) -> anyhow::Result<(Profile, Option<ExitStatus>)> {
    let name =
        Path::new(&args.command[0]).file_name().unwrap_or(&args.command[0]).to_string_lossy().into_owned();
    let mut interrupt = Interrupt::new()?;
    let held = Held::spawn(&args.command).context("cannot start the command")?;
    let tgid = Tgid(held.child.id());
    let filter = Filter::Tgids { tgids: vec![tgid], follow: true };
    let observing = observe::start(context, options(context, args, filter)).await?;
    let mut child = held.release().context("cannot start the command")?;
    let mut status = None;
    let gone = || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    };
    let what = format!("profiling {}", term::clean(&name));
    let ended = observing.wait(&mut interrupt, &what, args.duration, gone).await;
    if ended == Ended::Interrupt {
        // Ctrl-C reaches the whole process group: give the command the moment it needs to end.
        for _ in 0..20 {
            status = child.try_wait()?;
            if status.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    let mut profile = fold(observing, Target::All, args).await?;
    profile.comm = Some(name.clone());
    if let Some(status) = status {
        if !status.success() {
            term::complain(&format!("{} {}", term::clean(&name), ended_how(status)));
        }
    } else {
        profile.ended_early = Some("ended early".to_owned());
        term::complain(&format!("{} ({tgid}) runs on", term::clean(&name)));
    }
    Ok((profile, status))
}

fn ended_how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (_, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(name) => format!("was killed by {}", name.as_str()),
            Err(_) => format!("was killed by signal {signal}"),
        },
        _ => "ended".to_owned(),
    }
}

/// The command's code; 128 + signal as shells do.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(code as u8)
}

async fn fold(observing: Observing, target: Target, args: &FlamegraphArgs) -> anyhow::Result<Profile> {
    let (history, answers): (std::sync::Arc<History>, Answers) = observing.finish().await?;
    let (options, mode, no_idle) = (fold_options(args), args.mode, args.no_idle);
    let timeline = output::format(args).has_times();
    let work = move || answers.flamegraph(&history.all(), target, options, mode, no_idle, timeline);
    Ok(tokio::task::spawn_blocking(work).await??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_the_commands() {
        assert_eq!(
            format!("{:?}", exit_code(ExitStatus::from_raw(3 << 8))),
            format!("{:?}", ExitCode::from(3))
        );
        assert_eq!(format!("{:?}", exit_code(ExitStatus::from_raw(9))), format!("{:?}", ExitCode::from(137)));
        assert_eq!(ended_how(ExitStatus::from_raw(9)), "was killed by SIGKILL");
    }
}

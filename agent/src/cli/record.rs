//! `agent record`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_common::units::{Tgid, UnixNs};
use anyhow::Context as _;
use clap::Args;
use diagnosis::recording::{Head, Recording};
use diagnosis::window::Window;
use serde_json::json;

use super::ask::Interrupt;
use super::term::{self, Progress};
use super::{Context, Outcome, duration, observe};
use crate::collector::{Filter, Options};
use crate::control::{Namer, pid};
use crate::history::{Limits, Subscription};
use crate::output::OutputMode;
use crate::recording::{self, Writer};

/// Windows in memory: what a slow disk may lag behind.
const LIMITS: Limits =
    Limits { windows: Duration::from_secs(30), samples: Duration::from_secs(30), max_bytes: 64 << 20 };

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent record -o slow.s7rec                 until Ctrl-C
  sudo agent record -o slow.s7rec --duration 1m
  agent report --replay slow.s7rec                anywhere, without root
  agent flamegraph --replay slow.s7rec --all --mode off-cpu

The file holds names of processes, files and functions, peers' addresses, stacks; no contents. It is readable by its
owner alone, unless --output-mode says otherwise. A recording that was cut off keeps its whole windows.")]
pub(super) struct RecordArgs {
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    output_mode: OutputMode,

    /// How long [default: until Ctrl-C]
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,

    /// These processes and what they start, in place of the host; may be repeated. Who holds them up may then be missing
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Vec<u32>,

    /// Leave out on-CPU samples: a fraction of the size, no on-CPU flame graph
    #[arg(long)]
    no_samples: bool,
}

pub(super) async fn run(context: Context, args: RecordArgs) -> Outcome {
    for pid in &args.pid {
        pid::find(*pid)?;
    }
    let head = Head {
        host: context.config.host.clone(),
        rate_hz: context.config.collector.rate_hz,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        began: UnixNs(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as u64),
        samples: !args.no_samples,
    };
    let mut interrupt = Interrupt::new()?;
    // Now, not after the probes are attached.
    let mut writer = Writer::create(&args.output, args.output_mode, &head)?;
    let filter = match args.pid.as_slice() {
        [] => Filter::All,
        pids => Filter::Tgids { tgids: pids.iter().copied().map(Tgid).collect(), follow: true },
    };
    let options = Options {
        rate_hz: if args.no_samples { 0 } else { head.rate_hz },
        filter,
        endings: false,
        ..Options::of_host(&context.config.collector)
    };
    let observing = match observe::start_with(&context, options, LIMITS).await {
        Ok(observing) => observing,
        Err(error) => {
            // Best effort: a recording without windows is no use.
            let _ = std::fs::remove_file(&args.output);
            return Err(error.into());
        }
    };
    let mut windows = observing.history().subscribe();
    let names = observing.answers.names.clone();
    let progress = Progress::new();
    let begin = Instant::now();
    let over = async {
        match args.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut spent = Duration::ZERO;
    loop {
        let window = tokio::select! {
            () = &mut over => break,
            () = interrupt.wait() => break,
            window = windows.next() => window,
        };
        let Some(window) = window else { break };
        (writer, spent) = keep(writer, spent, window, names.clone()).await?;
        progress.tick("recording", begin.elapsed(), args.duration);
    }
    let (history, _) = observing.finish().await?;
    (writer, spent) = rest(writer, spent, &mut windows, &names).await?;
    drop(progress);
    let lagged = history.stats().lagged;
    let (count, bytes) = writer.finish()?;
    if context.global.json {
        term::print_json(&json!({
            "output": args.output.display().to_string(),
            "windows": count,
            "bytes": bytes,
            "lost_windows": lagged,
            "write_ns": spent.as_nanos() as u64,
        }))?;
    } else {
        let each = bytes / count.max(1);
        term::complain(&format!(
            "{}: {count} windows, {} ({} each, {} to name and write it)",
            args.output.display(),
            term::bytes(bytes),
            term::bytes(each),
            term::nanos(spent.as_nanos() as u64 / count.max(1)),
        ));
        if lagged > 0 {
            term::complain(&format!("{lagged} windows are missing: the disk or the symbolizer was too slow"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Names and writes a window on a thread that may block.
async fn keep(
    mut writer: Writer,
    spent: Duration,
    window: Arc<Window>,
    names: Namer,
) -> anyhow::Result<(Writer, Duration)> {
    tokio::task::spawn_blocking(move || {
        let begin = Instant::now();
        let found = match (&names, writer.unnamed(&window)) {
            (Namer::Live(symbolizer), samples) if !samples.is_empty() => {
                symbolizer.names(samples).context("cannot name the stacks")?.1
            }
            _ => profile::Names::default(),
        };
        writer.window(&window, &found)?;
        Ok((writer, spent + begin.elapsed()))
    })
    .await?
}

/// What was closed while the last was written, and the last one itself.
async fn rest(
    mut writer: Writer,
    mut spent: Duration,
    windows: &mut Subscription,
    names: &Namer,
) -> anyhow::Result<(Writer, Duration)> {
    while let Some(window) = windows.next().await {
        (writer, spent) = keep(writer, spent, window, names.clone()).await?;
    }
    Ok((writer, spent))
}

/// Opens a recording for a command; what is wrong with it is said, and what is whole is used.
pub(super) fn open(path: &std::path::Path) -> anyhow::Result<Recording> {
    let recording = recording::open(path)?;
    if let Some(fault) = &recording.damage {
        let damage = recording::wrong(path, fault.clone());
        if recording.windows.is_empty() {
            return Err(damage.into());
        }
        term::complain(&format!("warning: {}", term::chain(&damage)));
    }
    anyhow::ensure!(!recording.windows.is_empty(), "recording {} has no windows", path.display());
    Ok(recording)
}

/// Answers from a recording.
pub(super) fn answers(recording: &Recording) -> crate::control::Answers {
    crate::control::Answers {
        names: Namer::Recorded(Arc::new(recording.names.clone())),
        host: recording.head.host.as_str().into(),
        rate_hz: recording.head.rate_hz,
    }
}

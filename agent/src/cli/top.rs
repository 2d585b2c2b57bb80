//! `agent top`.

mod screen;

use std::io::IsTerminal;
use std::process::ExitCode;

use agent_common::wire::report::Report;
use anyhow::bail;
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::sync::mpsc;

use super::ask::{self, Interrupt};
use super::observe::{self, Observing};
use super::{Context, Outcome, report, term};
use crate::aggregate::ReportOptions;
use crate::collector::Options;
use crate::control::Client;
use crate::control::protocol::{Reply, Request};
use crate::history::Subscription;
use screen::{Screen, Sort};

/// Processes asked for each second: more than any screen shows, few enough for a small message.
const TOP_N: usize = 200;

#[derive(Debug, Args)]
#[command(after_help = "\
Keys: q quit · P sort by CPU · M memory · s syscalls · e errors · r wait for a CPU · i disk bytes · l lost time
      t states or counters · h or ? help · ↑ ↓ PgUp PgDn scroll · space pause

Where the output is not a terminal, `--once` is meant. `--json` prints one line a second; with `--once` one.")]
pub(super) struct TopArgs {
    /// Print one second as text and end
    #[arg(short = '1', long)]
    once: bool,

    /// Sort by
    #[arg(short, long, value_name = "BY", default_value = "cpu")]
    sort: Sort,

    /// Rows with --once, 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    rows: usize,
}

/// Where a report a second comes from.
#[derive(Debug)]
enum Feed {
    Daemon(Client),
    Ours(Observing, Subscription),
}

impl Feed {
    async fn open(context: &Context) -> anyhow::Result<Self> {
        if let Some(mut client) = ask::daemon(context).await? {
            client.send(Request::Watch { top_n: TOP_N }).await?;
            return Ok(Self::Daemon(client));
        }
        let options = Options::of_host(&context.config.collector);
        let observing = observe::start(context, options).await?;
        let windows = observing.history().subscribe();
        Ok(Self::Ours(observing, windows))
    }

    async fn next(&mut self) -> anyhow::Result<Report> {
        match self {
            Self::Daemon(client) => match client.next().await? {
                Some(Reply::Report(report)) => Ok(*report),
                Some(_) => bail!("the daemon answered something else"),
                None => bail!("the daemon ended"),
            },
            Self::Ours(observing, windows) => match windows.next().await {
                Some(window) => {
                    Ok(observing.answers.glance(&[window], &ReportOptions { top_n: TOP_N, pid: None }))
                }
                None => bail!("the collector ended"),
            },
        }
    }
}

pub(super) async fn run(context: Context, args: TopArgs) -> Outcome {
    let mut interrupt = Interrupt::new()?;
    let mut feed = Feed::open(&context).await?;
    let outcome = if context.global.json {
        lines(&mut feed, &args, &mut interrupt).await
    } else if args.once || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        once(&context, &mut feed, &args, &mut interrupt).await
    } else {
        live(&mut feed, &args, &mut interrupt).await
    };
    if let Feed::Ours(observing, _) = feed {
        observing.finish().await?;
    }
    outcome?;
    Ok(ExitCode::SUCCESS)
}

/// One JSON object a line.
async fn lines(feed: &mut Feed, args: &TopArgs, interrupt: &mut Interrupt) -> anyhow::Result<()> {
    loop {
        let mut report = tokio::select! {
            () = interrupt.wait() => return Ok(()),
            report = feed.next() => report?,
        };
        screen::sort(&mut report.processes, args.sort);
        term::print_json_line(&report)?;
        if args.once {
            return Ok(());
        }
    }
}

async fn once(
    context: &Context,
    feed: &mut Feed,
    args: &TopArgs,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    let mut report = tokio::select! {
        () = interrupt.wait() => return Ok(()),
        report = feed.next() => report?,
    };
    screen::sort(&mut report.processes, args.sort);
    Ok(term::print(&report::render(&report.cleaned(), args.rows, context.paint))?)
}

async fn live(feed: &mut Feed, args: &TopArgs, interrupt: &mut Interrupt) -> anyhow::Result<()> {
    let (keys, mut pressed) = mpsc::channel(16);
    // Reading keys blocks; the thread goes with the process.
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if keys.blocking_send(event).is_err() {
                return;
            }
        }
    });
    let mut terminal = ratatui::try_init()?;
    let mut screen = Screen::new(args.sort);
    let outcome = async {
        loop {
            terminal.draw(|frame| screen.draw(frame))?;
            tokio::select! {
                () = interrupt.wait() => return Ok(()),
                report = feed.next() => screen.update(report?),
                event = pressed.recv() => match event {
                    Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                        if screen.key(key) {
                            return Ok(());
                        }
                    }
                    // A resize is drawn with the next turn.
                    Some(_) => {}
                    None => bail!("the terminal went away"),
                },
            }
        }
    }
    .await;
    ratatui::try_restore()?;
    outcome
}

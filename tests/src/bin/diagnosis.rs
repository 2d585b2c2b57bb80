//! Judges the diagnosis by cases of which the cause is known: `cargo xtask bench diagnosis`.
//!
//! `diagnosis [--bare | --loaded] [--repeat N] [--record DIR] [--own] [--soak MINUTES] [--ignore NAME]… [-v] [CASE…]`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tests::diagnosis::load::Load;
use tests::diagnosis::recorded::Recorder;
use tests::diagnosis::run::{Outcome, run, run_until_harmed, short};
use tests::diagnosis::score::Score;
use tests::diagnosis::watch::Watch;
use tests::diagnosis::{Case, cases};

/// What was asked for.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
struct Args {
    bare: bool,
    loaded: bool,
    repeat: usize,
    record: Option<PathBuf>,
    own: bool,
    soak: u64,
    verbose: bool,
    /// Processes of others on a shared machine.
    ignore: Vec<String>,
    cases: Vec<String>,
}

impl Args {
    fn parse() -> Result<Self> {
        let mut args = Self { repeat: 1, ..Self::default() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| anyhow::anyhow!("{word} needs a value"));
            match word.as_str() {
                "--bare" => args.bare = true,
                "--loaded" => args.loaded = true,
                "--own" => args.own = true,
                "--repeat" => args.repeat = value()?.parse()?,
                "--record" => args.record = Some(value()?.into()),
                "--ignore" => args.ignore.push(value()?),
                "--soak" => args.soak = value()?.parse()?,
                "-v" | "--verbose" => args.verbose = true,
                word if word.starts_with('-') => bail!("no option {word}"),
                _ => args.cases.push(word),
            }
        }
        if !args.bare && !args.loaded {
            (args.bare, args.loaded) = (true, true);
        }
        Ok(args)
    }

    fn cases(&self) -> Result<Vec<&'static Case>> {
        let all: Vec<_> = cases::all().collect();
        if self.cases.is_empty() {
            return Ok(all);
        }
        let wanted = |case: &&Case| self.cases.iter().any(|name| case.name == name);
        let chosen: Vec<_> = all.iter().copied().filter(|case| wanted(case)).collect();
        for name in &self.cases {
            let names = || all.iter().map(|case| case.name).collect::<Vec<_>>().join(" ");
            ensure!(cases::named(name).is_some(), "no case {name}; there are {}", names());
        }
        Ok(chosen)
    }
}

fn main() -> ExitCode {
    match judge() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn judge() -> Result<()> {
    let args = Args::parse()?;
    ensure!(nix::unistd::geteuid().is_root(), "loading BPF programs needs root: run this as root");
    let cases = args.cases()?;
    let mut watch = Watch::start(args.ignore.clone())?;
    if args.soak > 0 {
        return soak(&mut watch, args.soak);
    }
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut failed = Vec::new();
    for loaded in [false, true] {
        if !(if loaded { args.loaded } else { args.bare }) {
            continue;
        }
        let _load = loaded.then(Load::start);
        for round in 0..args.repeat {
            for case in &cases {
                let kind = if loaded { "loaded" } else { "bare" };
                let file = format!("{}-{kind}-{round}.s7rec", case.name);
                let recorder =
                    || args.record.as_ref().map(|dir| Recorder::new(&dir.join(&file), args.own)).transpose();
                match run_until_harmed(case, &mut watch, loaded, recorder) {
                    Ok(outcome) => {
                        println!("{outcome}");
                        if args.verbose {
                            print(&outcome);
                        }
                        outcomes.push(outcome);
                    }
                    Err(error) => {
                        println!("NOT RUN: {error:#}");
                        failed.push(case.name);
                    }
                }
            }
        }
    }
    for (loaded, title) in [(false, "bare"), (true, "beside a build")] {
        if outcomes.iter().any(|outcome| outcome.loaded == loaded) {
            println!("\n{}", Score::of(outcomes.iter().filter(|o| o.loaded == loaded)).text(title));
        }
    }
    ensure!(failed.is_empty(), "not run here: {}", failed.join(" "));
    Ok(())
}

/// Everything that was found, with its numbers.
fn print(outcome: &Outcome) {
    for judged in &outcome.report {
        let text = serde_json::to_string_pretty(&judged.finding).unwrap_or_default();
        println!("{text}");
    }
}

/// Only decoys, one after the other, and idle time between: whatever is said is false.
fn soak(watch: &mut Watch, minutes: u64) -> Result<()> {
    let begin = Instant::now();
    let decoys: Vec<_> = cases::all().filter(|case| case.is_decoy()).collect();
    let (mut alerts, mut others, mut seconds) = (0, 0, 0);
    for case in decoys.iter().cycle() {
        if begin.elapsed() > Duration::from_secs(minutes * 60) {
            break;
        }
        let outcome = run(case, watch, false, None)?;
        println!("{outcome}");
        let mut idle = Vec::new();
        watch.forget();
        for _ in 0..20 {
            idle.extend(watch.second().opened);
        }
        for finding in &idle {
            println!("      of others: {}", short(finding));
        }
        others += outcome.calm_others.len() + outcome.others.len() + idle.len();
        alerts += outcome.false_alerts.len() + outcome.more.len();
        seconds += outcome.calm + tests::diagnosis::run::FAULTY + 20;
    }
    println!(
        "{} alerts in all: {alerts} about decoys in {seconds} s of decoys and idle; {others} about what else ran here",
        alerts + others
    );
    Ok(())
}

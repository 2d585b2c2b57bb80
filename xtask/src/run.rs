//! `run`: builds the agent and runs its main job on embedded defaults. When it observes, it prints a link to its page.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::shell;

/// Time between two looks at whether the page is there.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked for: a minute. Without the page the agent does all else.
const TRIES: usize = 120;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Given on to `agent run`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if shell::which("cc").is_none() {
        crate::apt::install(&["gcc", "libc6-dev"])?;
    }
    shell::run(shell::cargo().args(["build", "--release", "--package", "agent"]))?;
    let agent = shell::root().join("target/release/agent");
    let mut command: Command = shell::as_root(&agent, &[])?;
    if !shell::is_root() {
        eprintln!("loading BPF programs needs root: asking sudo");
    }
    let mut child = command.arg("run").args(&args.rest).spawn()?;
    if !args.rest.iter().any(|word| word == "--no-http" || word == "--mqtt" || word.starts_with("--mqtt=")) {
        say_where(&mut child, &agent, &args.rest)?;
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { bail!("agent run: {status}") }
}

/// Prints the link once the daemon answers and its page is there; nothing if it ends before, or has none.
fn say_where(child: &mut Child, agent: &Path, rest: &[String]) -> Result<()> {
    for _ in 0..TRIES {
        sleep(PAUSE);
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        if asked(agent, rest, "alerts")?.is_none() {
            continue;
        }
        if let Some(link) = asked(agent, rest, "open")? {
            println!(
                "\nthe page, with a link that works once within five minutes (`sudo agent open` makes another one):\n{}",
                link.trim()
            );
            return Ok(());
        }
    }
    Ok(())
}

/// What a command of the agent prints about the daemon that was started with these words; `None`: it fails, as yet.
fn asked(agent: &Path, rest: &[String], word: &str) -> Result<Option<String>> {
    let mut command = shell::as_root(agent, &[])?;
    command.arg(word).stderr(Stdio::null()).stdin(Stdio::null());
    if word == "open" {
        command.arg("--no-browser");
    }
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let (name, value) =
            word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let key = match name {
            "--state-dir" => "state_dir",
            "--run-dir" => "run_dir",
            "--config" | "--set" | "--socket" => {
                command.arg(word);
                if value.is_none() {
                    command.args(words.next());
                }
                continue;
            }
            _ => continue,
        };
        if let Some(value) = value.map(str::to_owned).or_else(|| words.next().cloned()) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
    }
    let output = command.output()?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

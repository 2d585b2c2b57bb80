//! `agent doctor`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use agent_common::units::Tgid;
use clap::Args;

use super::term::Paint;
use super::{Context, Outcome, ask, term};
use crate::bpf::{State, Verdict};
use crate::control::protocol::{Reply, Request, Status};
use crate::doctor::stacks::{self, Stacks};
use crate::doctor::{Check, Diagnosis, Health, diagnose, is_replaced};

#[derive(Debug, Args)]
#[command(after_help = "\
Every probe is loaded and attached once and let go. Exit code 1 when the main job (syscalls and stacks per
process) cannot work here.

Examples:
  sudo agent doctor
  sudo agent doctor --pid 4242      how well its stacks can be read
  sudo agent doctor --json | jq '.probes[] | select(.state != \"works\")'")]
pub(super) struct DoctorArgs {
    /// Look at the stacks of this process instead: samples it for two seconds
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

pub(super) async fn run(context: Context, args: DoctorArgs) -> Outcome {
    if let Some(pid) = args.pid {
        let look = move || stacks::look_at(Tgid(pid));
        let stacks =
            tokio::task::spawn_blocking(look).await?.map_err(|error| super::observe::explain(&error))?;
        if context.global.json {
            term::print_json(&stacks)?;
        } else {
            term::print(&render_stacks(&stacks))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let daemon = daemon_status(&context).await;
    let probes = tokio::task::spawn_blocking(crate::bpf::probe_verdicts).await?;
    let diagnosis = diagnose(Path::new("/"), &context.config, daemon, probes);
    if context.global.json {
        term::print_json(&diagnosis)?;
    } else {
        term::print(&render(&diagnosis, context.paint))?;
    }
    Ok(if diagnosis.works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn daemon_status(context: &Context) -> Result<Option<Box<Status>>, String> {
    let Some(mut client) = ask::daemon(context).await.map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let asked = tokio::time::timeout(
        std::time::Duration::from_secs(2),
        client.ask(Request::Status, std::future::pending()),
    );
    match asked.await {
        Ok(Ok(Reply::Status(status))) => Ok(Some(status)),
        Ok(Ok(_)) => Err("the daemon answered something else".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the daemon does not answer within 2 s".to_owned()),
    }
}

fn render(diagnosis: &Diagnosis, paint: Paint) -> String {
    let mut text = String::new();
    let width = diagnosis.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in &diagnosis.checks {
        render_check(&mut text, check, width, paint);
    }
    if !diagnosis.probes.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("Probes"));
    }
    for probe in &diagnosis.probes {
        render_probe(&mut text, probe, &diagnosis.probes, paint);
    }
    let verdict = if diagnosis.works {
        paint.green("The main job works here.")
    } else {
        paint.red("The main job cannot work here: see the lines marked ✗.")
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}

fn render_stacks(stacks: &Stacks) -> String {
    let mut text = format!("{}: {}\n", stacks.pid, stacks.verdict);
    for code in &stacks.code {
        let table = match (code.functions, &code.missing) {
            (Some(functions), _) => format!("{functions} functions described"),
            (None, Some(missing)) => format!("frame pointers ({missing})"),
            (None, None) => "frame pointers".to_owned(),
        };
        let _ = writeln!(text, "  {:<50}  {table}", term::clean(&code.name));
    }
    text
}

fn render_check(text: &mut String, check: &Check, width: usize, paint: Paint) {
    let mark = match check.health {
        Health::Ok => paint.green("✓"),
        Health::Note => paint.dim("·"),
        Health::Warn => paint.yellow("!"),
        Health::Fail => paint.red("✗"),
    };
    let _ = writeln!(text, "{mark} {:width$}  {}", check.name, term::clean(&check.found));
    for (what, said) in [("lost", &check.lost), ("cure", &check.cure)] {
        if let Some(said) = said {
            let (what, said) = (paint.dim(format!("{what}:")), term::clean(said));
            let _ = writeln!(text, "  {:width$}  {what} {said}", "");
        }
    }
}

fn render_probe(text: &mut String, probe: &Verdict, all: &[Verdict], paint: Paint) {
    let (mark, word) = match probe.state {
        State::Works => (paint.green("✓"), "works"),
        _ if is_replaced(probe, all) => (paint.dim("·"), "replaced"),
        State::Unsupported => (paint.yellow("✗"), "unsupported"),
        State::Denied => (paint.red("✗"), "denied"),
        State::Broken => (paint.red("✗"), "broken"),
    };
    let _ = write!(text, "{mark} {:16} {:10} {word}", probe.program, probe.feature);
    if probe.state != State::Works {
        let _ = write!(text, "\n    {} {}", paint.dim("lost:"), probe.lost);
        let _ = write!(text, "\n    {} {}", paint.dim("kernel:"), term::clean(&probe.detail));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_mark_and_its_cure() {
        let check = |health, cure: Option<&str>| Check {
            name: "thing",
            health,
            found: "so".to_owned(),
            lost: None,
            cure: cure.map(str::to_owned),
        };
        let probe = Verdict {
            program: "oncpu_sample",
            feature: "oncpu",
            state: State::Denied,
            detail: "EPERM".to_owned(),
            lost: "flame graphs",
        };
        let diagnosis = Diagnosis {
            works: false,
            version: "0",
            checks: vec![check(Health::Ok, None), check(Health::Fail, Some("do this"))],
            probes: vec![probe],
        };
        let text = render(&diagnosis, Paint::plain());
        assert!(text.starts_with("✓ thing  so\n✗ thing  so\n         cure: do this\n"), "{text}");
        assert!(
            text.contains(
                "✗ oncpu_sample     oncpu      denied\n    lost: flame graphs\n    kernel: EPERM\n"
            ),
            "{text}"
        );
        assert!(text.contains("cannot work"));
    }
}

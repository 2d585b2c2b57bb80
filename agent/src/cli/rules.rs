//! `agent rules`: checks and tests rule files, as promtool does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent_common::settings::server::RuleFile;
use clap::{Args, Subcommand};
use promql::rules::{RuleError, unit_test};
use promql::{Group, Macros};
use serde_json::json;

use super::{Context, Outcome, term};
use crate::config::rule_files;

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// Check rule files: each fault with line, column and cure
    Check(CheckArgs),
    /// Run unit tests of rules, in promtool's format
    Test(TestArgs),
    /// List the functions of rules.macros with their help
    Functions,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  agent rules check                                        those of rules.files
  agent rules check node.yml 'team/*.yml'

Ends with 0 where all rules are right, with 1 where one is not.")]
pub(super) struct CheckArgs {
    /// Rule files [default: rules.files of the configuration]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  agent rules test tests/node_test.yml

Ends with 0 where all expectations hold, with 1 where one does not. The format is promtool's: rule_files, evaluation_interval,
tests with input_series, alert_rule_test and promql_expr_test; without native histograms.")]
pub(super) struct TestArgs {
    /// Files of tests
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(super) async fn run(context: Context, command: RulesCommand) -> Outcome {
    let macros = match Macros::parse(&context.config.rules.macros) {
        Ok(macros) => macros,
        Err(error) => {
            term::complain(&format!("rules.macros: {error}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let work = move || match command {
        RulesCommand::Check(args) => check(&context, &args, &macros),
        RulesCommand::Test(args) => test(&context, &args, &macros),
        RulesCommand::Functions => functions(&context, &macros),
    };
    Ok(tokio::task::spawn_blocking(work).await??)
}

/// What a checked file has.
struct Checked {
    path: PathBuf,
    groups: usize,
    rules: usize,
    faults: Vec<RuleError>,
}

fn check(context: &Context, args: &CheckArgs, macros: &Macros) -> anyhow::Result<ExitCode> {
    let patterns = if args.files.is_empty() { &context.config.rules.files } else { &args.files };
    let files = rule_files(patterns)?;
    if files.is_empty() {
        term::complain("no rule file matches; rules.files names them");
    }
    let checked: Vec<Checked> = files.iter().map(|file| one(file, macros)).collect();
    let is_right = checked.iter().all(|file| file.faults.is_empty());
    if context.global.json {
        let fault = |fault: &RuleError| {
            let promql::rules::Place { line, column } = fault.place;
            json!({ "line": line, "column": column, "message": fault.message, "cure": fault.cure })
        };
        let file = |file: &Checked| {
            json!({
                "path": file.path,
                "groups": file.groups,
                "rules": file.rules,
                "faults": file.faults.iter().map(fault).collect::<Vec<_>>(),
            })
        };
        term::print_json(&json!({ "files": checked.iter().map(file).collect::<Vec<_>>() }))?;
    } else {
        let mut text = String::new();
        for file in &checked {
            let path = term::clean(&file.path.to_string_lossy());
            let _ = writeln!(text, "Checking {path}");
            if file.faults.is_empty() {
                let _ = writeln!(text, "  SUCCESS: {} rules found", file.rules);
            } else {
                let _ = writeln!(text, "  FAILED:");
            }
            for fault in &file.faults {
                let _ = writeln!(text, "{path}:{}", term::clean(&fault.to_string()));
            }
        }
        term::print(&text)?;
    }
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(file: &RuleFile, macros: &Macros) -> Checked {
    let parsed = Group::parse_all(&file.text, macros);
    Checked {
        path: file.path.clone(),
        groups: parsed.groups.len(),
        rules: parsed.groups.iter().map(|group| group.rules.len()).sum(),
        faults: parsed.faults,
    }
}

fn test(context: &Context, args: &TestArgs, macros: &Macros) -> anyhow::Result<ExitCode> {
    let mut is_right = true;
    let mut results = Vec::new();
    let mut text = String::new();
    for path in &args.files {
        let shown = term::clean(&path.to_string_lossy());
        let failures = test_file(path, macros);
        let _ = writeln!(text, "Unit Testing:  {shown}");
        match &failures {
            failures if failures.is_empty() => text.push_str("  SUCCESS\n"),
            failures => {
                is_right = false;
                text.push_str("  FAILED:\n");
                for failure in failures {
                    let _ = writeln!(text, "{shown}:{}", cleaned(failure));
                }
            }
        }
        results.push(json!({ "path": path, "failures": failures }));
    }
    if context.global.json {
        term::print_json(&json!({ "files": results }))?;
    } else {
        term::print(&text)?;
    }
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Several lines, each cleaned.
fn cleaned(text: &str) -> String {
    text.lines().map(term::clean).collect::<Vec<_>>().join("\n")
}

/// What does not hold, with the place where it is in the file, or why there is nothing to hold.
fn test_file(path: &Path, macros: &Macros) -> Vec<String> {
    match tested(path, macros) {
        Ok(failures) => failures,
        Err(error) => vec![error],
    }
}

fn tested(path: &Path, macros: &Macros) -> Result<Vec<String>, String> {
    let [file] = rule_files(&[path.to_owned()])
        .map_err(|error| error.to_string())?
        .try_into()
        .map_err(|_| "no such file")?;
    let file = unit_test::File::parse(&file.text).map_err(|error| error.to_string())?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let patterns: Vec<PathBuf> = file.rule_files.iter().map(|name| dir.join(name)).collect();
    let mut groups = Vec::new();
    let mut faults = Vec::new();
    for rules in rule_files(&patterns).map_err(|error| error.to_string())? {
        let parsed = Group::parse_all(&rules.text, macros);
        faults.extend(parsed.faults.iter().map(|fault| format!("{}:{fault}", rules.path.display())));
        groups.extend(parsed.groups);
    }
    if !faults.is_empty() {
        return Ok(faults);
    }
    let place = |failure: unit_test::Failure| {
        format!("{}:{}: {}", failure.place.line, failure.place.column, failure.text)
    };
    Ok(file.run(&groups, macros).into_iter().map(place).collect())
}

fn functions(context: &Context, macros: &Macros) -> anyhow::Result<ExitCode> {
    if context.global.json {
        let one = |own: &promql::Macro| json!({ "name": own.name, "parameters": own.parameters, "body": own.body, "help": own.help });
        term::print_json(&json!({ "functions": macros.list().map(one).collect::<Vec<_>>() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for own in macros.list() {
        let head = format!("{}({})", own.name, own.parameters.join(", "));
        let _ = writeln!(text, "{}  {}", context.paint.bold(term::clean(&head)), term::clean(&own.help));
        let _ = writeln!(text, "    {}", term::clean(&own.body));
    }
    if text.is_empty() {
        term::complain("rules.macros defines none");
    }
    term::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

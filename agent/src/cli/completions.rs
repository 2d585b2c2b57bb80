//! `agent completions`.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Outcome, term};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  agent completions bash | sudo tee /etc/bash_completion.d/agent
  agent completions zsh > ~/.zfunc/_agent
  agent completions fish > ~/.config/fish/completions/agent.fish")]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "agent", &mut script);
    term::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

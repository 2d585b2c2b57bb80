//! `agent token`: tokens of programs for the HTTP API.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use server::access::{Role, now};

use super::access::{note, open, when};
use super::term::{Side, Table};
use super::{Context, Outcome, duration, term};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A program sends its token as `Authorization: Bearer TOKEN`. The token is printed once; nobody can read it again.
Roles: a writer pushes metrics and sees nothing; a viewer reads; an operator does both; an admin also sees who did what.

Examples:
  sudo agent token create --name grafana --role viewer
  sudo agent token create --name telegraf --role writer
  sudo agent token create --name ci --role operator --expires 90d > token-file
  sudo agent token revoke grafana")]
pub(super) enum TokenCommand {
    /// Make a token and print it
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// writer, viewer, operator or admin
        #[arg(long)]
        role: Role,
        /// How long it is valid [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires: Option<Duration>,
    },
    /// Show all tokens, without their secrets
    List,
    /// End a token
    Revoke {
        /// Its name
        name: String,
    },
}

pub(super) async fn run(context: Context, command: TokenCommand) -> Outcome {
    tokio::task::spawn_blocking(move || work(&context, command)).await??;
    Ok(ExitCode::SUCCESS)
}

fn work(context: &Context, command: TokenCommand) -> anyhow::Result<()> {
    let access = open(context)?;
    match command {
        TokenCommand::Create { name, role, expires } => {
            let life = expires.map(|life| i64::try_from(life.as_secs()).unwrap_or(i64::MAX));
            let ends = life.map(|life| now().saturating_add(life));
            let token = access.create_token(&name, role, ends, now())?;
            note(&access, &format!("token create --name {name} --role {role}"))?;
            Ok(term::print(&format!("{token}\n"))?)
        }
        TokenCommand::Revoke { name } => {
            access.revoke_token(&name)?;
            note(&access, &format!("token revoke {name}"))
        }
        TokenCommand::List => {
            let tokens = access.tokens()?;
            if context.global.json {
                return term::print_json(&serde_json::json!({ "tokens": tokens }));
            }
            let columns = ["NAME", "ROLE", "MADE", "EXPIRES", "USED"].map(|name| (name, Side::Left));
            let mut table = Table::new(&columns);
            for token in &tokens {
                table.row(&[
                    token.name.clone(),
                    token.role.to_string(),
                    when(token.made_at),
                    token.expires_at.map_or_else(|| "never".to_owned(), when),
                    token.used_at.map_or_else(|| "never".to_owned(), when),
                ]);
            }
            Ok(term::print(&table.render(context.paint))?)
        }
    }
}

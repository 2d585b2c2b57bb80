//! `agent user`: accounts of people for the HTTP API.

use std::process::ExitCode;

use clap::Subcommand;
use server::access::Role;

use super::access::{new_password, note, open, when};
use super::term::{Side, Table};
use super::{Context, Outcome, term};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Roles: a viewer reads, an operator also pushes metrics and silences alerts, an admin also sees who did what.
Passwords are asked for, or read from the first line of standard input: they have no place on a command line.

Examples:
  sudo agent user add alice --role admin
  sudo agent user add board --role viewer < password-file
  sudo agent user list")]
pub(super) enum UserCommand {
    /// Make an account
    Add {
        /// Its name
        name: String,
        /// viewer, operator or admin
        #[arg(long)]
        role: Role,
    },
    /// Give an account another password; its sessions end
    Passwd {
        /// Its name
        name: String,
    },
    /// Give an account another role
    Role {
        /// Its name
        name: String,
        /// viewer, operator or admin
        role: Role,
    },
    /// Show all accounts
    List,
    /// Remove an account; its sessions end
    Remove {
        /// Its name
        name: String,
    },
}

pub(super) async fn run(context: Context, command: UserCommand) -> Outcome {
    tokio::task::spawn_blocking(move || work(&context, command)).await??;
    Ok(ExitCode::SUCCESS)
}

fn work(context: &Context, command: UserCommand) -> anyhow::Result<()> {
    let access = open(context)?;
    let done = match command {
        UserCommand::Add { name, role } => {
            access.add_account(&name, role, &new_password()?, server::access::now())?;
            format!("user add {name} --role {role}")
        }
        UserCommand::Passwd { name } => {
            access.set_password(&name, &new_password()?)?;
            format!("user passwd {name}")
        }
        UserCommand::Role { name, role } => {
            access.set_role(&name, role)?;
            format!("user role {name} {role}")
        }
        UserCommand::Remove { name } => {
            access.remove_account(&name)?;
            format!("user remove {name}")
        }
        UserCommand::List => {
            let accounts = access.accounts()?;
            if context.global.json {
                return term::print_json(&serde_json::json!({ "accounts": accounts }));
            }
            let mut table = Table::new(&[("NAME", Side::Left), ("ROLE", Side::Left), ("MADE", Side::Left)]);
            for account in &accounts {
                table.row(&[account.name.clone(), account.role.to_string(), when(account.made_at)]);
            }
            return Ok(term::print(&table.render(context.paint))?);
        }
    };
    note(&access, &done)
}

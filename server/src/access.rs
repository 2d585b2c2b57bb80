//! Who may use the API: accounts, sessions, tokens, one-use links, and the log of who did what. And what people said of alerts:
//! that they know of one, or that no notifier is to be told.
//!
//! All of it is in a database of its own beside the store, [`FILE`]: it has another schema, other rights and another life than
//! the metrics. The server and the commands (`agent open`, `user`, `token`) have it open at the same time; what a command
//! changes is in force with the next request. No secret is in it: of tokens their SHA-256, of passwords their argon2id hash.
//!
//! All calls block. Times are arguments, in seconds since 1970.

mod accounts;
mod alerts;
mod audit;
mod error;
mod limits;
mod links;
mod password;
mod role;
mod schema;
mod sessions;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use sha2::{Digest as _, Sha256};

pub use accounts::Account;
pub use alerts::Acknowledgement;
pub use audit::{Entry, Outcome};
pub use error::AccessError;
pub use limits::Limits;
pub use links::LINK_LIFE;
pub use password::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS};
pub use role::Role;
pub use sessions::{SESSION_LIFE, Session};
pub use tokens::Token;

use crate::secret;

/// The database's file in the state directory.
pub const FILE: &str = "access.db";
/// Longest name of an account or a token.
const MAX_NAME_BYTES: usize = 64;

/// The database, open.
#[derive(Debug)]
pub struct Access {
    conn: Mutex<Connection>,
    path: PathBuf,
}

impl Access {
    /// Opens the database in the state directory, and makes it where there is none.
    pub fn open(state_dir: &Path) -> Result<Self, AccessError> {
        let path = state_dir.join(FILE);
        Ok(Self { conn: Mutex::new(schema::open(&path)?), path })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a change: another process that writes is waited for.
    fn begin(conn: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
        conn.transaction_with_behavior(TransactionBehavior::Immediate)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Now, seconds since 1970.
pub fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// A last use that cannot be written, on a full disk say, keeps nobody out.
fn noted(written: rusqlite::Result<usize>) {
    if let Err(error) = written {
        tracing::debug!(%error, "access.db: a last use is not noted");
    }
}

/// A new secret of 256 bits as text, and what is kept of it.
fn new_secret(prefix: &str) -> Result<(String, [u8; 32]), AccessError> {
    let text = format!("{prefix}{}", secret::hex(&secret::random::<32>()?));
    let hash = digest(&text);
    Ok((text, hash))
}

/// What is kept of a secret. It has 256 bits: nobody finds it by trying, so no slow hash is needed.
pub(crate) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A name that may stand in a log, a table and a URL.
fn check_name(name: &str) -> Result<(), AccessError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(allowed) {
        return Err(AccessError::Name { name: name.chars().take(MAX_NAME_BYTES).collect() });
    }
    Ok(())
}

/// The first characters of a text.
fn first(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// The same, as people may see it.
fn cut(text: &str, most: usize) -> String {
    agent_common::text::clean(&first(text, most))
}

/// A role that people may have.
pub(crate) fn check_person(role: Role) -> Result<(), AccessError> {
    if role == Role::Writer { Err(AccessError::WriterIsNoPerson) } else { Ok(()) }
}

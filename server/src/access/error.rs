//! Why accounts, tokens and sessions cannot be read or changed.

use std::io;
use std::path::PathBuf;

use super::{MAX_NAME_BYTES, MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS};

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The database's file.
    #[error("cannot open {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's word.
        #[source]
        source: rusqlite::Error,
    },
    /// It was made by a newer version, or by another program.
    #[error("{path} {what}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// A statement failed.
    #[error("the database of accounts")]
    Database(#[from] rusqlite::Error),
    /// The kernel has no random numbers.
    #[error("/dev/urandom cannot be read")]
    Random(#[from] io::Error),
    /// There is one already.
    #[error("{what} `{name}` is there already")]
    Taken {
        /// An account or a token.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// There is none.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// An account or a token.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// More than there may be.
    #[error("there are {most} {what} already; remove one first")]
    TooMany {
        /// Accounts or tokens.
        what: &'static str,
        /// Most.
        most: usize,
    },
    /// Not a name.
    #[error("`{name}` cannot be a name: write 1 to {MAX_NAME_BYTES} letters, digits, and . _ - @")]
    Name {
        /// What was given.
        name: String,
    },
    /// People have another one.
    #[error(
        "the role writer is for tokens: programs push with it and see nothing; write viewer, operator or admin"
    )]
    WriterIsNoPerson,
    /// Not a password.
    #[error("a password has at least {MIN_PASSWORD_CHARS} characters and at most {MAX_PASSWORD_BYTES} bytes")]
    Password,
    /// argon2.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

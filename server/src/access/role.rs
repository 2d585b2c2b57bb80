//! What somebody may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A role; but for the writer, each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A program that pushes metrics, and sees nothing.
    Writer,
    /// Reads everything that is measured.
    Viewer,
    /// Also pushes metrics, acknowledges and silences alerts, asks for live samples.
    Operator,
    /// Also sees the audit log and ends other people's sessions.
    Admin,
}

impl Role {
    /// All, the least first.
    pub const ALL: [Self; 4] = [Self::Writer, Self::Viewer, Self::Operator, Self::Admin];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Whether it may push metrics.
    pub const fn may_write(self) -> bool {
        !matches!(self, Self::Viewer)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| {
            format!("`{text}` is no role; write viewer, operator or admin, or writer for a token")
        })
    }
}

impl rusqlite::types::ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl rusqlite::types::FromSql for Role {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|why: String| rusqlite::types::FromSqlError::Other(why.into()))
    }
}

//! The log of who did what, when, from where.

use rusqlite::params;
use serde::Serialize;

use super::{Access, AccessError, cut};

/// Most entries of what was done, and of what was refused: whoever guesses passwords must not push the rest out.
const MAX_DONE: i64 = 10_000;
const MAX_FAILED: i64 = 2_000;
/// Longest text of an entry, characters.
const MAX_TEXT_CHARS: usize = 200;

/// How it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Done,
    /// Refused, or it failed.
    Failed,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When, seconds since 1970.
    pub at: i64,
    /// Account, token, or local user.
    pub who: String,
    /// What.
    pub what: String,
    /// How it came out.
    pub outcome: Outcome,
    /// From where.
    pub address: String,
}

impl Access {
    /// Adds an entry, and removes the oldest above the bound.
    pub fn audit(&self, entry: &Entry) -> Result<(), AccessError> {
        let text = |text: &str| cut(text, MAX_TEXT_CHARS);
        let (failed, most) = match entry.outcome {
            Outcome::Done => (false, MAX_DONE),
            Outcome::Failed => (true, MAX_FAILED),
        };
        let mut conn = self.lock();
        let tx = Self::begin(&mut conn)?;
        tx.execute(
            "INSERT INTO audit(at, who, what, failed, address) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![entry.at, text(&entry.who), text(&entry.what), failed, text(&entry.address)],
        )?;
        tx.execute(
            "DELETE FROM audit WHERE id IN
             (SELECT id FROM audit WHERE failed = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2)",
            params![failed, most],
        )?;
        Ok(tx.commit()?)
    }

    /// The newest entries, the newest first.
    pub fn audit_log(&self, most: usize) -> Result<Vec<Entry>, AccessError> {
        let conn = self.lock();
        let mut statement =
            conn.prepare("SELECT at, who, what, failed, address FROM audit ORDER BY id DESC LIMIT ?1")?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let all = statement.query_map([most], |row| {
            let outcome = if row.get(3)? { Outcome::Failed } else { Outcome::Done };
            Ok(Entry { at: row.get(0)?, who: row.get(1)?, what: row.get(2)?, outcome, address: row.get(4)? })
        })?;
        Ok(all.collect::<Result<_, _>>()?)
    }
}

//! Tokens of programs: Grafana, Prometheus, Telegraf, scripts.

use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;

use super::{Access, AccessError, Role, check_name, digest, new_secret, noted};

/// By this text scanners of secrets find a token that was published by mistake.
const PREFIX: &str = "s7mpa_";
/// Most tokens.
const MAX_TOKENS: usize = 1_000;
/// How exact `used_at` is: a request does not write to the disk.
const USED_EVERY_S: i64 = 60;

/// A token, without itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub made_at: i64,
    /// When it ends; `None`: never.
    pub expires_at: Option<i64>,
    /// When it was last used, to the minute.
    pub used_at: Option<i64>,
}

const SELECT: &str = "SELECT name, role, made_at, expires_at, used_at FROM token";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Token> {
    Ok(Token {
        name: row.get(0)?,
        role: row.get(1)?,
        made_at: row.get(2)?,
        expires_at: row.get(3)?,
        used_at: row.get(4)?,
    })
}

impl Access {
    /// Makes one, and returns it: nobody can read it again.
    pub fn create_token(
        &self,
        name: &str,
        role: Role,
        expires_at: Option<i64>,
        now: i64,
    ) -> Result<String, AccessError> {
        check_name(name)?;
        let (secret, hash) = new_secret(PREFIX)?;
        let conn = self.lock();
        let count: i64 = conn.query_row("SELECT count(*) FROM token", [], |row| row.get(0))?;
        if count >= MAX_TOKENS as i64 {
            return Err(AccessError::TooMany { what: "tokens", most: MAX_TOKENS });
        }
        let made = conn.execute(
            "INSERT INTO token(name, secret, role, made_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            params![name, hash, role, now, expires_at],
        )?;
        if made == 0 {
            return Err(AccessError::Taken { what: "the token", name: name.to_owned() });
        }
        Ok(secret)
    }

    /// Ends one.
    pub fn revoke_token(&self, name: &str) -> Result<(), AccessError> {
        match self.lock().execute("DELETE FROM token WHERE name = ?1", [name])? {
            0 => Err(AccessError::Unknown { what: "token", name: name.chars().take(64).collect() }),
            _ => Ok(()),
        }
    }

    /// All, by name; also those that have ended.
    pub fn tokens(&self) -> Result<Vec<Token>, AccessError> {
        let conn = self.lock();
        let mut statement = conn.prepare(&format!("{SELECT} ORDER BY name"))?;
        let all = statement.query_map([], read)?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// The token that this secret is, if it has not ended.
    pub fn token(&self, secret: &str, now: i64) -> Result<Option<Token>, AccessError> {
        if !secret.starts_with(PREFIX) {
            return Ok(None);
        }
        let conn = self.lock();
        let mut statement = conn.prepare_cached(&format!(
            "{SELECT} WHERE secret = ?1 AND (expires_at IS NULL OR expires_at > ?2)"
        ))?;
        let found = statement.query_row(params![digest(secret), now], read).optional()?;
        if let Some(token) = &found
            && token.used_at.is_none_or(|used| now - used >= USED_EVERY_S)
        {
            noted(conn.execute("UPDATE token SET used_at = ?2 WHERE name = ?1", params![token.name, now]));
        }
        Ok(found)
    }
}

//! One-use links: what `agent open` gives to a browser.

use std::net::IpAddr;
use std::time::Duration;

use rusqlite::{OptionalExtension as _, params};

use super::{Access, AccessError, Role, check_person, digest, new_secret};

/// A link that was not used is worth nothing after so long.
pub const LINK_LIFE: Duration = Duration::from_mins(5);
/// Most links that were not used; the oldest goes.
const MAX_LINKS: i64 = 100;

impl Access {
    /// Makes one.
    pub fn make_link(&self, role: Role, now: i64) -> Result<String, AccessError> {
        check_person(role)?;
        let (secret, hash) = new_secret("")?;
        let mut conn = self.lock();
        let tx = Self::begin(&mut conn)?;
        tx.execute("DELETE FROM link WHERE expires_at <= ?1", [now])?;
        tx.execute(
            "DELETE FROM link WHERE secret IN (SELECT secret FROM link ORDER BY expires_at DESC LIMIT -1 OFFSET ?1)",
            [MAX_LINKS - 1],
        )?;
        tx.execute(
            "INSERT INTO link(secret, role, expires_at) VALUES (?1, ?2, ?3)",
            params![hash, role, now + LINK_LIFE.as_secs() as i64],
        )?;
        tx.commit()?;
        Ok(secret)
    }

    /// Takes one in exchange for a session; `None`: it was used, is too old, or never was.
    pub fn use_link(
        &self,
        secret: &str,
        from: IpAddr,
        now: i64,
    ) -> Result<Option<(String, Role)>, AccessError> {
        let mut conn = self.lock();
        let tx = Self::begin(&mut conn)?;
        let role: Option<Role> = tx
            .query_row(
                "DELETE FROM link WHERE secret = ?1 AND expires_at > ?2 RETURNING role",
                params![digest(secret), now],
                |row| row.get(0),
            )
            .optional()?;
        let Some(role) = role else { return Ok(None) };
        let session = Self::begin_link_session(&tx, role, from, now)?;
        tx.commit()?;
        Ok(Some((session, role)))
    }
}

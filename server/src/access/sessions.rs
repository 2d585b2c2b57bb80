//! Sessions of browsers.

use std::net::IpAddr;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

use super::{Access, AccessError, Role, digest, new_secret, noted};

/// A session ends so long after it began …
pub const SESSION_LIFE: Duration = Duration::from_hours(30 * 24);
/// … or after so long without a request.
const MAX_IDLE: Duration = Duration::from_hours(7 * 24);
/// Most sessions; the one that was idle longest goes.
const MAX_SESSIONS: i64 = 1_000;
/// How exact `seen_at` is: a request does not write to the disk.
const SEEN_EVERY_S: i64 = 60;

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its number.
    pub id: i64,
    /// The account's name; `None`: it began with a one-use link of `agent open`.
    pub account: Option<String>,
    /// What it may do.
    pub role: Role,
    /// When it began.
    pub made_at: i64,
    /// When a request of it last came, to the minute.
    pub seen_at: i64,
    /// From where it began.
    pub address: String,
}

impl Session {
    /// When it ends at the latest.
    pub const fn expires_at(&self) -> i64 {
        self.made_at + SESSION_LIFE.as_secs() as i64
    }
}

/// The session's own role is that of a link.
const SELECT: &str =
    "SELECT session.id, account.name, coalesce(account.role, session.role), session.made_at, session.seen_at,
    session.address FROM session LEFT JOIN account ON account.id = session.account";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        account: row.get(1)?,
        role: row.get(2)?,
        made_at: row.get(3)?,
        seen_at: row.get(4)?,
        address: row.get(5)?,
    })
}

impl Access {
    /// Begins a session of an account. The secret is for the browser alone.
    pub fn begin_session(&self, account: &str, from: IpAddr, now: i64) -> Result<String, AccessError> {
        let (secret, hash) = new_secret("")?;
        let conn = self.lock();
        let made = conn.execute(
            "INSERT INTO session(secret, account, made_at, seen_at, address)
             SELECT ?1, id, ?3, ?3, ?4 FROM account WHERE name = ?2",
            params![hash, account, now, from.to_string()],
        )?;
        // It was removed since its password was checked.
        if made == 0 {
            return Err(AccessError::Unknown { what: "account", name: account.to_owned() });
        }
        tidy(&conn, now)?;
        Ok(secret)
    }

    /// Begins the session of a one-use link.
    pub(super) fn begin_link_session(
        conn: &Connection,
        role: Role,
        from: IpAddr,
        now: i64,
    ) -> Result<String, AccessError> {
        let (secret, hash) = new_secret("")?;
        conn.execute(
            "INSERT INTO session(secret, role, made_at, seen_at, address) VALUES (?1, ?2, ?3, ?3, ?4)",
            params![hash, role, now, from.to_string()],
        )?;
        tidy(conn, now)?;
        Ok(secret)
    }

    /// The session with this secret, if it has not ended.
    pub fn session(&self, secret: &str, now: i64) -> Result<Option<Session>, AccessError> {
        let conn = self.lock();
        let mut statement =
            conn.prepare_cached(&format!("{SELECT} WHERE session.secret = ?1 AND {ALIVE}"))?;
        let found = statement
            .query_row(params![digest(secret), begun_after(now), seen_after(now)], read)
            .optional()?;
        if let Some(session) = &found
            && now - session.seen_at >= SEEN_EVERY_S
        {
            noted(conn.execute("UPDATE session SET seen_at = ?2 WHERE id = ?1", params![session.id, now]));
        }
        Ok(found)
    }

    /// All that have not ended, the newest first.
    pub fn sessions(&self, now: i64) -> Result<Vec<Session>, AccessError> {
        let conn = self.lock();
        let mut statement =
            conn.prepare(&format!("{SELECT} WHERE ?1 IS NULL AND {ALIVE} ORDER BY session.id DESC"))?;
        let all = statement.query_map(params![None::<i64>, begun_after(now), seen_after(now)], read)?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// Ends one; false: there was none.
    pub fn end_session(&self, id: i64) -> Result<bool, AccessError> {
        Ok(self.lock().execute("DELETE FROM session WHERE id = ?1", [id])? > 0)
    }
}

/// With [`begun_after`] and [`seen_after`] as the second and third parameter.
const ALIVE: &str = "session.made_at > ?2 AND session.seen_at > ?3";

/// A session that began before has ended.
const fn begun_after(now: i64) -> i64 {
    now - SESSION_LIFE.as_secs() as i64
}

/// Likewise one that was last seen before.
const fn seen_after(now: i64) -> i64 {
    now - MAX_IDLE.as_secs() as i64
}

/// Removes sessions that have ended, and those above the bound.
fn tidy(conn: &Connection, now: i64) -> Result<(), AccessError> {
    conn.execute(
        "DELETE FROM session WHERE made_at <= ?1 OR seen_at <= ?2",
        params![begun_after(now), seen_after(now)],
    )?;
    conn.execute(
        "DELETE FROM session WHERE id IN (SELECT id FROM session ORDER BY seen_at DESC, id DESC LIMIT -1 OFFSET ?1)",
        [MAX_SESSIONS],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn access() -> (tempfile::TempDir, Access) {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::open(dir.path()).unwrap();
        (dir, access)
    }

    #[test]
    fn a_session_ends_with_its_life_and_when_nobody_uses_it() {
        let (_dir, access) = access();
        let day = 24 * 3600;
        access.make_link(Role::Viewer, 0).unwrap();
        let begin = |at| {
            let link = access.make_link(Role::Viewer, at).unwrap();
            access.use_link(&link, HERE, at).unwrap().unwrap().0
        };
        let (used, idle) = (begin(0), begin(0));
        for days in (5..30).step_by(5) {
            assert!(access.session(&used, days * day).unwrap().is_some(), "day {days}");
        }
        assert!(access.session(&idle, 7 * day).unwrap().is_none());
        assert!(access.session(&used, 30 * day).unwrap().is_none());
        assert_eq!(access.sessions(26 * day).unwrap().len(), 1);
        // The next one removes what has ended.
        begin(40 * day);
        assert_eq!(access.sessions(0).unwrap().len(), 1);
    }

    #[test]
    fn links_tokens_and_the_log_have_bounds() {
        let (_dir, access) = access();
        let first = access.make_link(Role::Viewer, 0).unwrap();
        for at in 1..=100 {
            access.make_link(Role::Viewer, at).unwrap();
        }
        assert!(access.use_link(&first, HERE, 1).unwrap().is_none(), "the oldest went");
        let entry = |what: String, outcome| super::super::Entry {
            at: 7,
            who: "x".repeat(1_000),
            what,
            outcome,
            address: "a\u{202e}b".to_owned(),
        };
        access.audit(&entry("kept".to_owned(), super::super::Outcome::Done)).unwrap();
        access.lock().execute_batch("PRAGMA synchronous=OFF").unwrap();
        for n in 0..2_010 {
            access.audit(&entry(n.to_string(), super::super::Outcome::Failed)).unwrap();
        }
        let log = access.audit_log(100_000).unwrap();
        assert_eq!((log.len(), log[0].what.as_str(), log[2_000].what.as_str()), (2_001, "2009", "kept"));
        assert_eq!(log[0].who.len(), 200);
        assert!(!log[0].address.contains('\u{202e}'));
        for wrong in ["", "a b", "a/b", &"x".repeat(65), "\u{e4}"] {
            assert!(access.create_token(wrong, Role::Viewer, None, 0).is_err(), "{wrong}");
        }
        access.create_token("t", Role::Viewer, None, 0).unwrap();
        assert!(
            access
                .create_token("t", Role::Viewer, None, 0)
                .unwrap_err()
                .to_string()
                .contains("there already")
        );
    }
}

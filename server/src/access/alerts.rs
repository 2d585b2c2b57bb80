//! What people said of alerts: acknowledgements and silences.

use agent_common::wire::silence::{MAX_NAME_CHARS, MAX_SILENCE_S, MAX_SILENCES, Match, Silence};
use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;

use super::{Access, AccessError, cut, first};

/// How long an acknowledgement is kept, seconds: as long as alerts are.
const KEPT_S: i64 = 90 * 86_400;
/// Most acknowledgements.
const MAX_ACKNOWLEDGED: i64 = 100_000;
/// Longest note, and longest id of an alert, characters.
const MAX_NOTE_CHARS: usize = 500;
const MAX_ID_CHARS: usize = 512;

/// That somebody knows of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When, seconds since 1970.
    pub at: i64,
    /// What they said.
    pub note: String,
}

/// A name as it is kept: names of hosts, alerts and processes are compared with it as they are.
fn name(text: &str) -> String {
    first(text, MAX_NAME_CHARS)
}

fn id(text: &str) -> String {
    first(text, MAX_ID_CHARS)
}

impl Access {
    /// Writes down that somebody knows of an alert; again: with another note.
    pub fn acknowledge(
        &self,
        host: &str,
        alert: &str,
        who: &str,
        note: &str,
        now: i64,
    ) -> Result<(), AccessError> {
        let mut conn = self.lock();
        let tx = Self::begin(&mut conn)?;
        tx.execute(
            "INSERT OR REPLACE INTO acknowledged(host, alert, who, at, note) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![name(host), id(alert), cut(who, MAX_NAME_CHARS), now, cut(note, MAX_NOTE_CHARS)],
        )?;
        tx.execute("DELETE FROM acknowledged WHERE at < ?1", [now - KEPT_S])?;
        tx.execute(
            "DELETE FROM acknowledged WHERE (host, alert) IN
             (SELECT host, alert FROM acknowledged ORDER BY at DESC LIMIT -1 OFFSET ?1)",
            [MAX_ACKNOWLEDGED],
        )?;
        Ok(tx.commit()?)
    }

    /// Takes that back; `false`: nobody had said it.
    pub fn unacknowledge(&self, host: &str, alert: &str) -> Result<bool, AccessError> {
        let gone = "DELETE FROM acknowledged WHERE host = ?1 AND alert = ?2";
        Ok(self.lock().execute(gone, [name(host), id(alert)])? > 0)
    }

    /// Whether somebody knows of each of these alerts, by host and id.
    pub fn acknowledged(
        &self,
        alerts: &[(String, String)],
    ) -> Result<Vec<Option<Acknowledgement>>, AccessError> {
        let conn = self.lock();
        let mut statement =
            conn.prepare_cached("SELECT who, at, note FROM acknowledged WHERE host = ? AND alert = ?")?;
        let mut one = |(host, alert): &(String, String)| {
            let read = |row: &rusqlite::Row<'_>| {
                Ok(Acknowledgement { by: row.get(0)?, at: row.get(1)?, note: row.get(2)? })
            };
            statement.query_row([name(host), id(alert)], read).optional()
        };
        Ok(alerts.iter().map(&mut one).collect::<Result<_, _>>()?)
    }

    /// Silences alerts until a time, and returns the number of it.
    pub fn silence(
        &self,
        which: &Match,
        until: i64,
        who: &str,
        note: &str,
        now: i64,
    ) -> Result<i64, AccessError> {
        let mut conn = self.lock();
        let tx = Self::begin(&mut conn)?;
        tx.execute("DELETE FROM silence WHERE until_at <= ?1", [now])?;
        let count: i64 = tx.query_row("SELECT count(*) FROM silence", [], |row| row.get(0))?;
        if count >= MAX_SILENCES as i64 {
            return Err(AccessError::TooMany { what: "silences", most: MAX_SILENCES });
        }
        let text = |text: &Option<String>| text.as_deref().map(name);
        tx.execute(
            "INSERT INTO silence(host, class, comm, from_at, until_at, who, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                text(&which.host),
                text(&which.class),
                text(&which.comm),
                now,
                until.min(now.saturating_add(MAX_SILENCE_S)),
                cut(who, MAX_NAME_CHARS),
                cut(note, MAX_NOTE_CHARS)
            ],
        )?;
        let id = tx.last_insert_rowid();
        tx.commit()?;
        Ok(id)
    }

    /// Ends a silence; `false`: there is no such one.
    pub fn end_silence(&self, id: i64) -> Result<bool, AccessError> {
        Ok(self.lock().execute("DELETE FROM silence WHERE id = ?1", [id])? > 0)
    }

    /// Those in force, the newest first.
    pub fn silences(&self, now: i64) -> Result<Vec<Silence>, AccessError> {
        let conn = self.lock();
        let mut statement = conn.prepare(
            "SELECT id, host, class, comm, from_at, until_at, who, note FROM silence WHERE until_at > ?1 ORDER BY id DESC",
        )?;
        let all = statement.query_map([now], |row| {
            Ok(Silence {
                id: row.get(0)?,
                which: Match { host: row.get(1)?, class: row.get(2)?, comm: row.get(3)? },
                from: row.get(4)?,
                until: row.get(5)?,
                by: row.get(6)?,
                note: row.get(7)?,
            })
        })?;
        Ok(all.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> (tempfile::TempDir, Access) {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::open(dir.path()).unwrap();
        (dir, access)
    }

    #[test]
    fn an_acknowledgement_is_of_one_alert_of_one_host_until_it_is_taken_back() {
        let (_dir, access) = access();
        access.acknowledge("a", "x/1", "me", "I look\nat it", 1_000).unwrap();
        access.acknowledge("b", "x/1", "you", "", 1_001).unwrap();
        let known = |host: &str| {
            let asked = [(host.to_owned(), "x/1".to_owned()), (host.to_owned(), "other".to_owned())];
            let mut found = access.acknowledged(&asked).unwrap();
            assert!(found.pop().unwrap().is_none());
            found.pop().unwrap()
        };
        let own = known("a").unwrap();
        assert_eq!((own.by.as_str(), own.at), ("me", 1_000));
        assert!(!own.note.contains('\n'), "{}", own.note);
        assert!(access.unacknowledge("a", "x/1").unwrap() && !access.unacknowledge("a", "x/1").unwrap());
        assert!(known("a").is_none() && known("b").is_some());
        access.acknowledge("c", "y", "me", "", 1_002 + KEPT_S).unwrap();
        assert!(known("b").is_none(), "the old ones are gone");
    }

    #[test]
    fn silences_end_and_are_bounded() {
        let (_dir, access) = access();
        let which = Match { class: Some("futex".to_owned()), ..Match::default() };
        let id = access.silence(&which, 2_000, "me", "upgrade", 1_000).unwrap();
        let all = access.silences(1_999).unwrap();
        assert_eq!((all[0].id, &all[0].which, all[0].until), (id, &which, 2_000));
        assert!(access.silences(2_000).unwrap().is_empty());
        let id = access.silence(&which, i64::MAX, "me", "", 3_000).unwrap();
        assert_eq!(access.silences(3_000).unwrap()[0].until, 3_000 + MAX_SILENCE_S);
        assert!(access.end_silence(id).unwrap() && !access.end_silence(id).unwrap());
        for _ in 0..MAX_SILENCES {
            access.silence(&which, 9_000, "me", "", 4_000).unwrap();
        }
        assert!(matches!(access.silence(&which, 9_000, "me", "", 4_000), Err(AccessError::TooMany { .. })));
        assert!(access.silence(&which, 9_900, "me", "", 9_000).is_ok(), "those that ended make room");
    }
}

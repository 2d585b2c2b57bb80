//! Accounts of people.

use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;

use super::password::Hashed;
use super::{Access, AccessError, Role, check_name, check_person};

/// Most accounts.
const MAX_ACCOUNTS: usize = 1_000;

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub made_at: i64,
}

impl Access {
    /// Makes an account. Takes 19 MiB and some 20 ms, as [`Self::password_is`] does.
    pub fn add_account(&self, name: &str, role: Role, password: &str, now: i64) -> Result<(), AccessError> {
        check_name(name)?;
        check_person(role)?;
        let hashed = Hashed::new(password)?;
        let conn = self.lock();
        let count: i64 = conn.query_row("SELECT count(*) FROM account", [], |row| row.get(0))?;
        if count >= MAX_ACCOUNTS as i64 {
            return Err(AccessError::TooMany { what: "accounts", most: MAX_ACCOUNTS });
        }
        let made = conn.execute(
            "INSERT INTO account(name, role, made_at, salt, hash, memory_kib, passes, lanes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            params![
                name,
                role,
                now,
                hashed.salt,
                hashed.hash,
                hashed.memory_kib,
                hashed.passes,
                hashed.lanes
            ],
        )?;
        if made == 0 {
            return Err(AccessError::Taken { what: "the account", name: name.to_owned() });
        }
        Ok(())
    }

    /// Gives an account another password, and ends its sessions.
    pub fn set_password(&self, name: &str, password: &str) -> Result<(), AccessError> {
        let hashed = Hashed::new(password)?;
        let mut conn = self.lock();
        let tx = Self::begin(&mut conn)?;
        let changed = tx.execute(
            "UPDATE account SET salt = ?2, hash = ?3, memory_kib = ?4, passes = ?5, lanes = ?6 WHERE name = ?1",
            params![name, hashed.salt, hashed.hash, hashed.memory_kib, hashed.passes, hashed.lanes],
        )?;
        if changed == 0 {
            return Err(unknown(name));
        }
        tx.execute("DELETE FROM session WHERE account = (SELECT id FROM account WHERE name = ?1)", [name])?;
        Ok(tx.commit()?)
    }

    /// Gives an account another role; its sessions have it from now on.
    pub fn set_role(&self, name: &str, role: Role) -> Result<(), AccessError> {
        check_person(role)?;
        match self.lock().execute("UPDATE account SET role = ?2 WHERE name = ?1", params![name, role])? {
            0 => Err(unknown(name)),
            _ => Ok(()),
        }
    }

    /// Removes an account with its sessions.
    pub fn remove_account(&self, name: &str) -> Result<(), AccessError> {
        match self.lock().execute("DELETE FROM account WHERE name = ?1", [name])? {
            0 => Err(unknown(name)),
            _ => Ok(()),
        }
    }

    /// All, by name.
    pub fn accounts(&self) -> Result<Vec<Account>, AccessError> {
        let conn = self.lock();
        let mut statement = conn.prepare("SELECT name, role, made_at FROM account ORDER BY name")?;
        let rows = statement.query_map([], |row| {
            Ok(Account { name: row.get(0)?, role: row.get(1)?, made_at: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether this is the account's password; for an account that does not exist it takes as long to say no. Takes 19 MiB and
    /// some 20 ms: callers bound how many run at once.
    pub fn password_is(&self, name: &str, password: &str) -> Result<bool, AccessError> {
        let found = self
            .lock()
            .query_row(
                "SELECT salt, hash, memory_kib, passes, lanes FROM account WHERE name = ?1",
                [name],
                |row| {
                    Ok(Hashed {
                        salt: row.get(0)?,
                        hash: row.get(1)?,
                        memory_kib: row.get(2)?,
                        passes: row.get(3)?,
                        lanes: row.get(4)?,
                    })
                },
            )
            .optional()?;
        found.unwrap_or_else(Hashed::of_nobody).is(password)
    }
}

fn unknown(name: &str) -> AccessError {
    AccessError::Unknown { what: "account", name: name.chars().take(super::MAX_NAME_BYTES).collect() }
}

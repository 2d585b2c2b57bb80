//! What is not touched for now: what does not answer, and what belongs to users that have used up their time.
//!
//! One list for the whole process: a mount that hung the symbolizer does not hang the unwinder as well.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::process;

/// Threads that one user's files may hold up: each has a stack of its own until its file system answers.
const MAX_LOST_OF_USER: u32 = 4;
/// Threads that the files of all users but root may hold up.
const MAX_LOST: u32 = 24;
/// Threads that root's files may hold up, beside those. Many: a host with dozens of dead mounts, each of which holds up a thread
/// or two, still has names for all that runs from its own disk.
const MAX_LOST_OF_ROOT: u32 = 128;
/// CPU time that the files of one user may take at once, and the part of each second that comes back. Reading the symbol
/// tables of a desktop takes 2 s. Root's files are not limited.
const CPU_BURST: Duration = Duration::from_secs(10);
const CPU_REFILL_PCT: u32 = 10;
/// Users whose CPU time is remembered at most (~64 bytes each).
const MAX_USERS: usize = 4096;

/// What a touch may hang at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A file system, by the device that `maps` prints (any packing, always the same).
    Device(u64),
    /// A process: its memory, its descriptors, its root directory.
    Process(u32),
}

/// The users that pay for an access to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The real user of the process that it is done for.
    pub uid: u32,
    /// What it touches.
    pub place: Place,
}

impl Owner {
    /// Ourselves, for what only root and the operator can have placed there.
    #[must_use]
    pub fn own() -> Self {
        Self { uid: 0, place: Place::Process(std::process::id()) }
    }

    /// Process `tgid`. One that is gone counts as root's.
    #[must_use]
    pub fn of_process(tgid: u32) -> Self {
        let uid = process::status(tgid).map_or(0, |status| status.uid);
        Self { uid, place: Place::Process(tgid) }
    }

    /// The same user, for a file on device `dev`.
    #[must_use]
    pub const fn on(self, dev: u64) -> Self {
        Self { place: Place::Device(dev), ..self }
    }
}

/// Why something was not touched, or given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// A thread waits for it already, and has for long.
    #[error("its file system or process does not answer")]
    NoAnswer,
    /// The files of its user, or of all users, hold up as many threads as they may.
    #[error("too many file systems do not answer")]
    TooMany,
    /// The files of its user have used up their CPU time.
    #[error("its user's files have used up their time")]
    OverTime,
    /// There was no thread to do it on.
    #[error("no thread could be started")]
    NoThread,
}

/// How often something was given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Threads that wait for a file system now.
    pub lost_threads: u32,
    /// Touches given up so far.
    pub gave_up_total: u64,
    /// Touches refused so far, since a thread waits there already or the user's time is used up.
    pub refused_total: u64,
}

#[derive(Debug)]
struct Spent {
    left: Duration,
    at: Instant,
}

#[derive(Debug, Default)]
struct State {
    /// Threads lost, by what they wait for and by user.
    places: HashMap<Place, u32>,
    users: HashMap<u32, u32>,
    spent: HashMap<u32, Spent>,
    counts: Counts,
}

fn state() -> MutexGuard<'static, State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    STATE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// What has been given up so far.
#[must_use]
pub fn blocked() -> Counts {
    state().counts
}

/// May this be touched now?
pub(crate) fn admit(owner: Owner) -> Result<(), Blocked> {
    state().admit(owner, Instant::now())
}

/// A thread does not come back from there.
pub(crate) fn lose(owner: Owner) {
    state().lose(owner);
}

/// It has come back.
pub(crate) fn find(owner: Owner) {
    state().find(owner);
}

/// The files of this user have taken so much CPU time.
pub fn charge(uid: u32, cpu: Duration) {
    state().charge(uid, cpu, Instant::now());
}

impl State {
    fn admit(&mut self, owner: Owner, now: Instant) -> Result<(), Blocked> {
        let of_user = self.users.get(&owner.uid).copied().unwrap_or(0);
        let of_root = self.users.get(&0).copied().unwrap_or(0);
        let others = self.counts.lost_threads - of_root;
        let too_many = match owner.uid {
            0 => of_root >= MAX_LOST_OF_ROOT,
            _ => of_user >= MAX_LOST_OF_USER || others >= MAX_LOST,
        };
        let result = if self.places.contains_key(&owner.place) {
            Err(Blocked::NoAnswer)
        } else if too_many {
            Err(Blocked::TooMany)
        } else if self.left(owner.uid, now) == Duration::ZERO {
            Err(Blocked::OverTime)
        } else {
            Ok(())
        };
        self.counts.refused_total += u64::from(result.is_err());
        result
    }

    fn lose(&mut self, owner: Owner) {
        *self.places.entry(owner.place).or_default() += 1;
        *self.users.entry(owner.uid).or_default() += 1;
        self.counts.lost_threads += 1;
        self.counts.gave_up_total += 1;
    }

    fn find(&mut self, owner: Owner) {
        take_one(&mut self.places, &owner.place);
        take_one(&mut self.users, &owner.uid);
        self.counts.lost_threads = self.counts.lost_threads.saturating_sub(1);
    }

    fn left(&self, uid: u32, now: Instant) -> Duration {
        match self.spent.get(&uid) {
            Some(spent) if uid != 0 => {
                let back = now.saturating_duration_since(spent.at) * CPU_REFILL_PCT / 100;
                (spent.left + back).min(CPU_BURST)
            }
            _ => CPU_BURST,
        }
    }

    fn charge(&mut self, uid: u32, cpu: Duration, now: Instant) {
        if uid == 0 {
            return;
        }
        if self.spent.len() >= MAX_USERS {
            // Users with a full budget need no entry.
            let whole: Vec<u32> =
                self.spent.keys().copied().filter(|uid| self.left(*uid, now) == CPU_BURST).collect();
            for uid in whole {
                self.spent.remove(&uid);
            }
        }
        let left = self.left(uid, now).saturating_sub(cpu);
        self.spent.insert(uid, Spent { left, at: now });
    }
}

fn take_one<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: u32, dev: u64) -> Owner {
        Owner { uid, place: Place::Device(dev) }
    }

    #[test]
    fn one_user_can_hold_up_few_threads_and_all_users_leave_some_for_root() {
        let (mut state, now) = (State::default(), Instant::now());
        let mut device = 0;
        for uid in 1..100 {
            while state.admit(owner(uid, device), now).is_ok() {
                state.lose(owner(uid, device));
                assert_eq!(state.admit(owner(0, device), now), Err(Blocked::NoAnswer));
                device += 1;
            }
        }
        assert_eq!(device, u64::from(MAX_LOST));
        assert_eq!(state.admit(owner(1, 999), now), Err(Blocked::TooMany));
        for device in 1000..1000 + u64::from(MAX_LOST_OF_ROOT) {
            assert_eq!(state.admit(owner(0, device), now), Ok(()));
            state.lose(owner(0, device));
        }
        assert_eq!(state.admit(owner(0, 999), now), Err(Blocked::TooMany));
        state.find(owner(1, 0));
        assert_eq!(state.admit(owner(1, 0), now), Ok(()));
    }

    #[test]
    fn a_user_that_took_all_its_time_waits_and_others_do_not() {
        let (mut state, now) = (State::default(), Instant::now());
        state.charge(1000, CPU_BURST, now);
        state.charge(0, CPU_BURST * 9, now);
        assert_eq!(state.admit(owner(1000, 1), now), Err(Blocked::OverTime));
        assert_eq!(state.admit(owner(1001, 1), now), Ok(()));
        assert_eq!(state.admit(owner(0, 1), now), Ok(()));
        assert_eq!(state.admit(owner(1000, 1), now + Duration::from_secs(1)), Ok(()));
        for uid in 1..10_000 {
            state.charge(uid, Duration::from_millis(1), now + Duration::from_secs(u64::from(uid)));
        }
        assert!(state.spent.len() <= MAX_USERS);
    }
}

//! The thread that owns a lock, read from the futex word and the words beside it. A program may write anything there, so the
//! value is checked.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use agent_common::units::{DurNs, MonoNs, Tid};

use crate::source::in_flight::threads;
use crate::source::lasting::Lasting;
use crate::source::touch;

/// Age of a wait from which its lock is checked for an ended owner: a thread that ends releases its locks first.
const ORPHAN_CHECK_AFTER: DurNs = DurNs(2_000_000_000);
/// Most locks inspected in a window, 50 µs each.
const MAX_LOCKS: usize = 16;
/// Most threads of a process in another PID namespace whose numbers there are compared.
const MAX_THREADS: usize = 1024;

/// `struct __pthread_mutex_s` of glibc (`sysdeps/x86/nptl/bits/struct_mutex.h`), 40 bytes, as words: lock, count, owner, users,
/// kind, spins, and the links of a robust list.
const MUTEX_BYTES: usize = 40;
/// Bits of its kind: recursive, error-checking, adaptive; elision; shared with other processes. Robust mutexes and those with
/// priority inheritance have another word, and the kernel frees them.
const KIND_BITS: u32 = 3 | 0x300 | KIND_SHARED;
const KIND_SHARED: u32 = 0x80;
const KIND_ADAPTIVE: u32 = 3;

/// What is known of owners.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Whether a thread is one of a process, asked once a window.
    threads: HashMap<(u32, u32), bool>,
    /// Waits that were looked at: whether the owner has ended, and the window that saw them last.
    gone: HashMap<(Tid, MonoNs), (bool, u32)>,
    window: u32,
    looks: usize,
}

impl Owners {
    /// The next window begins.
    pub(super) fn next_window(&mut self) {
        self.threads.clear();
        let window = self.window;
        self.gone.retain(|_, (_, seen)| *seen == window);
        self.window = window.wrapping_add(1);
        self.looks = 0;
    }

    /// Whether `tid` can own a lock that a thread of `tgid` waits for: the words beside a futex word need not name its owner.
    pub(super) fn is_owner(&mut self, tgid: u32, tid: u32, shared: bool) -> bool {
        let mut is_thread =
            |path: String, key| *self.threads.entry(key).or_insert_with(|| Path::new(&path).exists());
        tid != 0
            && (is_thread(format!("/proc/{tgid}/task/{tid}"), (tgid, tid))
                // A listing of /proc leaves out threads other than the leader; looking one up by its tid works.
                || shared && is_thread(format!("/proc/{tid}"), (0, tid)))
    }

    /// Whether the owner of a lock has ended without unlocking it: all words of the lock fit a glibc mutex, it is locked, and
    /// its owner is no live thread. No thread will unlock it. Each such wait is examined once.
    pub(super) fn is_gone(&mut self, lock: &Lasting) -> bool {
        if lock.owner.0 == 0 || lock.wait.age < ORPHAN_CHECK_AFTER {
            return false;
        }
        let window = self.window;
        let key = (lock.wait.tid, lock.since);
        if let Some((gone, seen)) = self.gone.get_mut(&key) {
            *seen = window;
            return *gone;
        }
        if self.looks == MAX_LOCKS {
            return false;
        }
        self.looks += 1;
        let gone = touch::memory::<MUTEX_BYTES>(lock.tgid, lock.wait.arg)
            .is_some_and(|bytes| is_mutex_of(&bytes, lock.owner.0, lock.shared))
            && has_no_owner(lock);
        self.gone.insert(key, (gone, window));
        gone
    }
}

/// These bytes are a mutex of glibc that `owner` has taken and others wait for.
fn is_mutex_of(bytes: &[u8; MUTEX_BYTES], owner: u32, shared: bool) -> bool {
    const MAX_USERS: u32 = 1 << 16;
    let (words, _) = bytes.as_chunks::<4>();
    let word = |at: usize| u32::from_ne_bytes(words[at]);
    let kind = word(4);
    let recursive = kind & 3 == 1;
    word(0) == 2
        && (recursive || word(1) <= 1)
        && word(2) == owner
        && (1..MAX_USERS).contains(&word(3))
        && kind & !KIND_BITS == 0
        && (kind & KIND_SHARED != 0) == shared
        && (kind & 3 == KIND_ADAPTIVE || word(5) == 0)
        && words[6..].iter().all(|word| *word == [0; 4])
}

/// The owner's number is that of no thread, as the process that waits counts them.
fn has_no_owner(lock: &Lasting) -> bool {
    let numbers = |tid: Tid| -> Option<Vec<u32>> {
        let status = fs::read_to_string(format!("/proc/{}/task/{tid}/status", lock.tgid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        line.split_whitespace().map(|number| number.parse().ok()).collect()
    };
    let Some(own) = numbers(lock.wait.tid) else { return false };
    if own.len() == 1 {
        // `is_owner` has looked for it, and `/proc/TID` is there for every thread.
        return !Path::new(&format!("/proc/{}", lock.owner)).exists();
    }
    // The process is in a PID namespace of its own; which other processes are in it is not known.
    let all: Vec<Tid> = threads(lock.tgid).take(MAX_THREADS + 1).collect();
    !lock.shared
        && all.len() <= MAX_THREADS
        && all.into_iter().all(|tid| numbers(tid).is_some_and(|own| own.last() != Some(&lock.owner.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutex(words: [u32; 6]) -> [u8; MUTEX_BYTES] {
        let mut bytes = [0; MUTEX_BYTES];
        for (to, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *to = word.to_ne_bytes();
        }
        bytes
    }

    #[test]
    fn all_words_of_a_taken_glibc_mutex_are_checked() {
        assert!(is_mutex_of(&mutex([2, 0, 77, 1, 0, 0]), 77, false));
        assert!(is_mutex_of(&mutex([2, 0, 77, 1, 0x80, 0]), 77, true), "shared");
        assert!(is_mutex_of(&mutex([2, 5, 77, 1, 1, 0]), 77, false), "recursive, taken five times");
        assert!(!is_mutex_of(&mutex([2, 0, 77, 1, 0, 0]), 77, true), "not a shared one");
        assert!(!is_mutex_of(&mutex([2, 0, 78, 1, 0, 0]), 77, false), "another owner by now");
        assert!(!is_mutex_of(&mutex([0, 0, 77, 1, 0, 0]), 77, false), "free");
        assert!(!is_mutex_of(&mutex([2, 0, 77, 0, 0, 0]), 77, false), "a mutex of Rust, and what it guards");
        assert!(!is_mutex_of(&mutex([2, 0, 77, 1, 0x10, 0]), 77, false), "robust");
        let mut linked = mutex([2, 0, 77, 1, 0, 0]);
        linked[39] = 1;
        assert!(!is_mutex_of(&linked, 77, false), "what is behind it is no mutex's");
    }
}

//! States, from `/proc`, of threads that have not woken since the probes were attached.

use std::collections::HashMap;
use std::fs;

use agent_common::abi::COMM_LEN;
use agent_common::abi::sched::{
    Call, NATIVE, State, futex_is_lock, futex_is_shared, futex_owner, nr_in_table, state_of_call,
    state_of_poll,
};
use agent_common::units::{MonoNs, Tgid, Tid};
use diagnosis::window::{OpenWait, SyscallAbi};

use super::kinds::Descriptors;
use crate::source::in_flight::threads;
use crate::source::lasting::Lasting;
use crate::source::touch;

/// A thread that has been in one state since before it was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resting {
    pub(super) tgid: Tgid,
    pub(super) state: State,
    since: MonoNs,
    nr: Option<u16>,
    arg: u64,
    pub(super) comm: [u8; COMM_LEN],
    /// Owner of the lock that it waits for; 0: none is known.
    owner: Tid,
    shared: bool,
}

impl Resting {
    /// The same thread in this state.
    const fn within(mut self, state: State, nr: Option<u16>, arg: u64) -> Self {
        (self.state, self.nr, self.arg) = (state, nr, arg);
        self
    }

    pub(super) fn lasting(&self, tid: Tid, now: MonoNs) -> Lasting {
        Lasting {
            tgid: self.tgid,
            wait: self.open(tid, now),
            since: self.since,
            comm: self.comm,
            owner: self.owner,
            shared: self.shared,
        }
    }

    pub(super) fn open(&self, tid: Tid, now: MonoNs) -> OpenWait {
        OpenWait {
            tid,
            state: self.state,
            age: now.since(self.since),
            syscall: self.nr.map(|nr| (SyscallAbi::Native, nr)),
            arg: self.arg,
        }
    }
}

/// `PF_KTHREAD` in field 9 of `/proc/PID/stat`.
const PF_KTHREAD: u32 = 0x0020_0000;

/// Looks at every thread of `tgids`: 15–20 µs each.
pub(super) fn all(tgids: impl IntoIterator<Item = Tgid>, now: MonoNs) -> HashMap<Tid, Resting> {
    let mut descriptors = Descriptors::default();
    let mut found = HashMap::new();
    for tgid in tgids {
        for tid in threads(tgid) {
            if let Some(rest) = one(tgid, tid, now, &mut descriptors) {
                found.insert(tid, rest);
            }
        }
    }
    found
}

fn one(tgid: Tgid, tid: Tid, now: MonoNs, descriptors: &mut Descriptors) -> Option<Resting> {
    let base = format!("/proc/{tgid}/task/{tid}");
    let stat = fs::read_to_string(format!("{base}/stat")).ok()?;
    // After the name in brackets: state is field 3, flags 9.
    let mut fields = stat.rsplit(") ").next()?.split(' ');
    let letter = fields.next()?;
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    let kernel = flags & PF_KTHREAD != 0;
    let mut comm = [0; COMM_LEN];
    let name = stat.split_once('(').and_then(|(_, rest)| Some(rest.rsplit_once(") ")?.0)).unwrap_or_default();
    comm.iter_mut().zip(name.bytes()).for_each(|(to, byte)| *to = byte);
    let whole = Resting {
        tgid,
        state: State::Oncpu,
        since: now,
        nr: None,
        arg: 0,
        comm,
        owner: Tid(0),
        shared: false,
    };
    let rest = |state, nr, arg| Some(whole.within(state, nr, arg));
    match letter {
        // It gets a slot when it leaves the CPU.
        "R" => rest(State::Oncpu, None, 0),
        "T" | "t" => rest(State::Stopped, None, 0),
        "S" | "I" | "P" if kernel => rest(State::KernelIdle, None, 0),
        "D" if kernel => rest(State::Uninterruptible, None, 0),
        "S" | "D" => {
            let deep = letter == "D";
            let text = fs::read_to_string(format!("{base}/syscall")).unwrap_or_default();
            let Some((nr, args)) = call(&text) else {
                return rest(if deep { State::Uninterruptible } else { State::Interruptible }, None, 0);
            };
            let call = Call(NATIVE[nr_in_table(u64::from(nr))]);
            if call == Call::POLL
                && args[1] == 1
                && let Some([fd, events]) = words(tgid, args[0])
            {
                let state = state_of_poll(descriptors.kind_of(tgid, fd), events as u16);
                let state = State::from_index(usize::from(state)).unwrap_or(State::Poll);
                return rest(state, Some(nr), if state == State::Poll { args[0] } else { u64::from(fd) });
            }
            let mut whole = whole;
            if call == Call::FUTEX && futex_is_lock(args[1], args[2]) {
                (whole.owner, whole.shared) = (owner_of(tgid, args[0]), futex_is_shared(args[1]));
            }
            let rest = |state, nr, arg| Some(whole.within(state, nr, arg));
            let kind = if call.wants_file() { descriptors.kind_of(tgid, args[0] as u32) } else { 0 };
            let number = state_of_call(call, [args[0], args[1], args[2]], deep, false, kind);
            let state = State::from_index(usize::from(number)).unwrap_or(State::Interruptible);
            rest(state, Some(nr), args[0])
        }
        _ => None,
    }
}

/// Words of a process' memory.
fn words<const N: usize>(tgid: Tgid, at: u64) -> Option<[u32; N]> {
    const { assert!(N <= 3) };
    let bytes: [u8; 12] = touch::memory(tgid, at)?;
    let mut words = [0; N];
    let (chunks, _) = bytes.as_chunks::<4>();
    words.iter_mut().zip(chunks).for_each(|(word, bytes)| *word = u32::from_ne_bytes(*bytes));
    Some(words)
}

/// Owner of the lock at an address, as far as it says so.
fn owner_of(tgid: Tgid, word: u64) -> Tid {
    Tid(words(tgid, word).map_or(0, futex_owner))
}

/// `232 0x4 0x7ff… … sp pc`: number and arguments. `None` outside of a call.
pub(in crate::source) fn call(text: &str) -> Option<(u16, [u64; 6])> {
    let mut words = text.split_whitespace();
    let nr = u16::try_from(words.next()?.parse::<i64>().ok()?).ok()?;
    let mut arg = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    Some((nr, [arg()?, arg()?, arg()?, arg()?, arg()?, arg()?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_with_its_arguments() {
        assert_eq!(
            call("202 0x7f00 0x80 0x2 0x0 0x0 0x0 0x7ffe 0x7f01\n"),
            Some((202, [0x7f00, 0x80, 2, 0, 0, 0]))
        );
        assert_eq!(call("-1 0x7ffe 0x7f01\n"), None, "a page fault");
        assert_eq!(call("running\n"), None);
        assert_eq!(call(""), None);
    }

    #[test]
    fn this_thread_runs() {
        let mut descriptors = Descriptors::default();
        let tid = Tid(std::process::id());
        let me = one(Tgid(tid.0), tid, MonoNs(1), &mut descriptors).expect("this process is there");
        assert_eq!(me.tgid, Tgid(tid.0));
    }
}

//! Starts and ends of processes, from the probes: which began, which ended and how, and the names of processes too short-lived
//! for `/proc`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use agent_common::abi::process::{KIND_EXEC, KIND_EXIT, KIND_FORK, ProcessEvent, numbered, tgid_of};
use agent_common::units::{BootNs, DurNs, MonoNs, Tgid};
use diagnosis::window::ProcessExit;
use diagnosis::window::TaskTotals;

/// Most names of ended processes in memory: their samples and counters may still arrive.
const MAX_ENDED_NAMES: usize = 65_536;

/// Windows for which the name of an ended process is used for its counters.
const ENDED_NAME_WINDOWS: u64 = 3;

/// Most exit events between the two events of one process: two CPUs emit them at the same moment.
const MAX_TWIN_DISTANCE: usize = 64;

/// Events of the probes since the last window.
#[derive(Debug, Default)]
pub struct ProcessSource {
    names: HashMap<Tgid, Arc<str>>,
    /// Names of processes that have ended, by [`numbered`], and the window in which they did.
    ended_names: HashMap<u32, (Arc<str>, u64)>,
    ended: Vec<Tgid>,
    window: u64,
    exits: Vec<ProcessExit>,
    forks: u64,
    /// Who forked whom, while both run the same program: until the child's exec, or the window after its end.
    forked_by: HashMap<Tgid, Tgid>,
    /// Ended since the counters were last read, by [`numbered`]: their keys may go.
    reap: HashSet<u32>,
}

impl ProcessSource {
    /// Takes one event.
    pub fn event(&mut self, event: &ProcessEvent) {
        let tgid = Tgid(event.tgid);
        match event.kind {
            KIND_FORK => {
                self.forks += 1;
                self.name(tgid, &event.comm);
                self.forked_by.insert(tgid, Tgid(event.parent_tgid));
                // One with the same number and generation: what is counted from now on is this one's.
                self.reap.remove(&numbered(event.tgid, event.start_boot_ns));
            }
            KIND_EXEC => {
                self.forked_by.remove(&tgid);
                self.name(tgid, &event.comm);
            }
            KIND_EXIT => self.exit(tgid, event),
            kind => tracing::debug!(kind, "process event of an unknown kind"),
        }
    }

    fn name(&mut self, tgid: Tgid, comm: &[u8]) -> Arc<str> {
        let comm = comm_str(comm);
        let known = self.names.entry(tgid).or_insert_with(|| comm.as_ref().into());
        if **known != *comm {
            *known = comm.as_ref().into();
        }
        Arc::clone(known)
    }

    fn exit(&mut self, tgid: Tgid, event: &ProcessEvent) {
        let exit = ProcessExit {
            tgid,
            parent: Tgid(event.parent_tgid),
            comm: self.name(tgid, &event.comm),
            start_boot_ns: BootNs(event.start_boot_ns),
            at: MonoNs(event.at_ns),
            code: (event.exit_status >> 8 & 0xff) as u8,
            signal: (event.exit_status & 0x7f) as u8,
            cpu: DurNs(event.cpu_ns),
            utime: DurNs(event.utime_ns),
            stime: DurNs(event.stime_ns),
            min_flt: event.min_flt,
            maj_flt: event.maj_flt,
            before: TaskTotals::default(),
        };
        // Two threads that end at once may both see the count of live threads at 0: the later sums hold more.
        if let Some(twin) = self
            .exits
            .iter_mut()
            .rev()
            .take(MAX_TWIN_DISTANCE)
            .find(|e| e.tgid == tgid && e.start_boot_ns == exit.start_boot_ns)
        {
            if exit.cpu > twin.cpu {
                *twin = exit;
            }
            return;
        }
        let process = numbered(tgid.0, exit.start_boot_ns.0);
        self.ended_names.insert(process, (Arc::clone(&exit.comm), self.window));
        self.exits.push(exit);
        self.ended.push(tgid);
        self.reap.insert(process);
    }

    /// Name of a process: from its events, else `known`.
    pub fn comm(&mut self, tgid: Tgid, known: impl FnOnce() -> Option<Arc<str>>) -> Arc<str> {
        if let Some(name) = self.names.get(&tgid) {
            return Arc::clone(name);
        }
        let name = known()
            .or_else(|| {
                let comm = std::fs::read_to_string(format!("/proc/{tgid}/comm")).ok()?;
                Some(comm.trim_end().into())
            })
            .unwrap_or_else(|| "<exited>".into());
        self.names.insert(tgid, Arc::clone(&name));
        name
    }

    /// Name of a process by [`numbered`]: its own, where another one has its number by now.
    pub fn comm_of(&mut self, process: u32, known: impl FnOnce() -> Option<Arc<str>>) -> Arc<str> {
        match self.ended_names.get(&process) {
            Some((name, _)) => Arc::clone(name),
            None => self.comm(Tgid(tgid_of(process)), known),
        }
    }

    /// Who forked this process, if it still runs, or ran to its end, what its parent ran then.
    #[must_use]
    pub fn forked_by(&self, tgid: Tgid) -> Option<Tgid> {
        self.forked_by.get(&tgid).copied()
    }

    /// Processes whose counters may be deleted after the reading that follows.
    pub fn take_reap(&mut self) -> HashSet<u32> {
        std::mem::take(&mut self.reap)
    }

    /// Exits and the number of forks since the last call.
    pub fn take(&mut self) -> (Vec<ProcessExit>, u64) {
        let exits = std::mem::take(&mut self.exits);
        // Their samples have been taken by now.
        for exit in &exits {
            self.forked_by.remove(&exit.tgid);
        }
        // Counters that lag are in the next window.
        self.window += 1;
        let window = self.window;
        self.ended_names.retain(|_, (_, ended)| *ended + ENDED_NAME_WINDOWS > window);
        // Names stay until the windows after have used them.
        if self.names.len() > MAX_ENDED_NAMES {
            for tgid in self.ended.drain(..) {
                self.names.remove(&tgid);
            }
        }
        (exits, std::mem::take(&mut self.forks))
    }
}

/// The text of a NUL-padded task name; bytes that are not UTF-8 are replaced.
pub(crate) fn comm_str(comm: &[u8]) -> std::borrow::Cow<'_, str> {
    let end = comm.iter().position(|b| *b == 0).unwrap_or(comm.len());
    String::from_utf8_lossy(&comm[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u32, tgid: u32, start: u64, cpu: u64) -> ProcessEvent {
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(b"work");
        ProcessEvent {
            kind,
            tgid,
            start_boot_ns: start,
            cpu_ns: cpu,
            exit_status: 3 << 8,
            comm,
            ..Default::default()
        }
    }

    #[test]
    fn two_exit_events_of_one_process_are_one_exit_with_the_larger_sums() {
        let mut source = ProcessSource::default();
        source.event(&event(KIND_EXIT, 7, 100, 5));
        source.event(&event(KIND_EXIT, 7, 100, 9));
        let (exits, forks) = source.take();
        assert_eq!((exits.len(), forks), (1, 0));
        assert_eq!((exits[0].cpu, exits[0].code, exits[0].signal), (DurNs(9), 3, 0));
    }

    #[test]
    fn a_child_has_its_parents_program_until_exec_and_until_its_samples_were_taken() {
        let mut source = ProcessSource::default();
        let fork = |tgid| ProcessEvent { parent_tgid: 5, ..event(KIND_FORK, tgid, 100, 0) };
        source.event(&fork(7));
        source.event(&fork(8));
        source.event(&event(KIND_EXEC, 8, 100, 0));
        source.event(&event(KIND_EXIT, 7, 100, 0));
        assert_eq!((source.forked_by(Tgid(7)), source.forked_by(Tgid(8))), (Some(Tgid(5)), None));
        source.take();
        assert_eq!(source.forked_by(Tgid(7)), None);
    }

    #[test]
    fn a_number_in_use_again_is_another_process_with_its_own_name() {
        let mut source = ProcessSource::default();
        let named = |comm: &[u8; 4], event: ProcessEvent| {
            let mut named = event;
            named.comm[..4].copy_from_slice(comm);
            named
        };
        source.event(&named(b"1st\0", event(KIND_EXIT, 7, 100, 5)));
        source.event(&named(b"2nd\0", event(KIND_FORK, 7, 200, 0)));
        let (first, second) = (numbered(7, 100), numbered(7, 200));
        assert_ne!(first, second);
        assert_eq!(source.take_reap(), HashSet::from([first]), "the second lives");
        assert_eq!(source.take().1, 1);
        assert_eq!((&*source.comm_of(first, || None), &*source.comm_of(second, || None)), ("1st", "2nd"));
        assert_eq!(&*source.comm(Tgid(7), || None), "2nd");
        for _ in 0..ENDED_NAME_WINDOWS {
            source.take();
        }
        assert!(source.ended_names.is_empty());
    }

    #[test]
    fn a_number_in_use_again_by_its_like_is_not_reaped() {
        let mut source = ProcessSource::default();
        source.event(&event(KIND_EXIT, 7, 100, 5));
        source.event(&event(KIND_FORK, 7, 100, 0));
        assert!(source.take_reap().is_empty());
    }
}

//! The name of a process: its main thread's name when the process was first seen after it began its program. A thread may
//! change its name with each request; a flame graph by current names would have one tower for each.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::process::{KIND_EXEC, KIND_FORK, ProcessEvent};
use agent_common::units::{MonoNs, Tgid, Tid};
use diagnosis::window::ProcessName;

use super::process::comm_str;

/// Most processes in memory, ~100 B each; then all are forgotten.
const MAX_PROCESSES: usize = 32_768;
/// Most programs in memory for one process: a script begins with two.
const MAX_PROGRAMS: usize = 8;

/// Names of processes, by the programs that they ran.
#[derive(Debug, Default)]
pub struct ProcessNames(HashMap<Tgid, Vec<Program>>);

#[derive(Debug)]
struct Program {
    since: MonoNs,
    comm: Arc<str>,
    /// It is its main thread's own; else that of whoever forked it.
    own: bool,
}

impl ProcessNames {
    /// Takes one event: exec gives a process its name, fork that of its parent for a moment.
    pub fn event(&mut self, event: &ProcessEvent) {
        let own = event.kind == KIND_EXEC;
        if own || event.kind == KIND_FORK {
            let comm = comm_str(&event.comm).as_ref().into();
            self.add(Tgid(event.tgid), Program { since: MonoNs(event.at_ns), comm, own });
        }
    }

    /// A thread of a process was called so.
    pub fn sampled(&mut self, tgid: Tgid, tid: Tid, at: MonoNs, comm: &Arc<str>) {
        if tid.0 != tgid.0 {
            return;
        }
        match self.0.get_mut(&tgid) {
            None => self.add(tgid, Program { since: MonoNs(0), comm: Arc::clone(comm), own: true }),
            Some(programs) => {
                let began = programs.partition_point(|program| program.since <= at);
                let program = began.checked_sub(1).and_then(|place| programs.get_mut(place));
                if let Some(program) = program.filter(|program| !program.own) {
                    (program.comm, program.own) = (Arc::clone(comm), true);
                }
            }
        }
    }

    /// The names of these processes. `read` returns the name of a main thread that was not seen; `None` if the process is gone.
    pub fn of(
        &mut self,
        tgids: impl IntoIterator<Item = Tgid>,
        read: impl Fn(Tgid) -> Option<Arc<str>>,
    ) -> Vec<ProcessName> {
        let mut names = Vec::new();
        for tgid in tgids {
            match self.0.get_mut(&tgid).and_then(|programs| programs.last_mut()) {
                None => {
                    if let Some(comm) = read(tgid) {
                        self.add(tgid, Program { since: MonoNs(0), comm, own: true });
                    }
                }
                Some(last) if !last.own => {
                    last.comm = read(tgid).unwrap_or_else(|| Arc::clone(&last.comm));
                    last.own = true;
                }
                Some(_) => {}
            }
            let programs = self.0.get(&tgid).into_iter().flatten();
            names.extend(programs.map(|one| ProcessName {
                tgid,
                since: one.since,
                comm: Arc::clone(&one.comm),
            }));
        }
        names
    }

    fn add(&mut self, tgid: Tgid, program: Program) {
        if self.0.len() >= MAX_PROCESSES {
            self.0.clear();
        }
        let programs = self.0.entry(tgid).or_default();
        if programs.len() >= MAX_PROGRAMS {
            programs.remove(0);
        }
        programs.push(program);
    }
}

/// `/proc/PID/comm`
pub fn read(tgid: Tgid) -> Option<Arc<str>> {
    let comm = std::fs::read(format!("/proc/{tgid}/comm")).ok()?;
    Some(String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(&comm)).as_ref().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u32, at_ns: u64, comm: &str) -> ProcessEvent {
        let mut event = ProcessEvent { kind, tgid: 7, at_ns, ..ProcessEvent::default() };
        event.comm[..comm.len()].copy_from_slice(comm.as_bytes());
        event
    }

    fn names(names: &mut ProcessNames, read: Option<&str>) -> Vec<(u64, String)> {
        let found = names.of([Tgid(7)], |_| read.map(Into::into));
        found.into_iter().map(|name| (name.since.0, name.comm.to_string())).collect()
    }

    #[test]
    fn threads_that_rename_themselves_leave_the_process_its_name() {
        let mut all = ProcessNames::default();
        for request in 0..500_u32 {
            let comm: Arc<str> = format!("req;{request}").into();
            all.sampled(Tgid(7), Tid(8), MonoNs(request.into()), &comm);
        }
        assert_eq!(names(&mut all, Some("server")), [(0, "server".to_owned())]);
        // The main thread too: what it was called first.
        all.sampled(Tgid(7), Tid(7), MonoNs(600), &"req;600".into());
        assert_eq!(names(&mut all, None), [(0, "server".to_owned())]);
    }

    #[test]
    fn exec_gives_another_name_and_a_forked_process_has_its_own() {
        let mut all = ProcessNames::default();
        all.event(&event(KIND_FORK, 10, "sh"));
        all.event(&event(KIND_EXEC, 20, "make"));
        all.sampled(Tgid(7), Tid(7), MonoNs(15), &"sh".into());
        assert_eq!(names(&mut all, None), [(10, "sh".to_owned()), (20, "make".to_owned())]);
        // A kernel thread is forked by another, and then called what it is.
        let mut all = ProcessNames::default();
        all.event(&event(KIND_FORK, 10, "kthreadd"));
        all.sampled(Tgid(7), Tid(7), MonoNs(15), &"kworker/0:1".into());
        assert_eq!(names(&mut all, Some("kworker/0:1-events")), [(10, "kworker/0:1".to_owned())]);
        let mut gone = ProcessNames::default();
        gone.event(&event(KIND_FORK, 10, "sh"));
        assert_eq!(names(&mut gone, None), [(10, "sh".to_owned())]);
    }
}

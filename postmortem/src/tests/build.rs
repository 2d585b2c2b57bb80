//! Facts in a few words.

use agent_common::wire::postmortem::{CauseClass, PostMortem};

use crate::facts::{
    Change, Earlier, Facts, FailedCall, Fault, Frame, Limit, Line, Oom, Other, ParentEnd, Place, Wait, Words,
};

pub(super) const END_NS: u64 = 1_764_500_000_000_000_000;
pub(super) const MS: u64 = 1_000_000;
pub(super) const PID: u32 = 4711;
pub(super) const PARENT: u32 = 4000;

/// A process `worker` that a shell script started.
fn worker() -> Facts {
    let mut facts = Facts::default();
    facts.process.pid = PID;
    facts.process.comm = "worker".into();
    facts.process.exe = "/opt/app/worker".into();
    facts.process.cmdline = "/opt/app/worker --serve".into();
    facts.process.parent = Other { pid: PARENT, comm: "runner".into(), ..Other::default() };
    facts.ended.at_ns = END_NS;
    facts
}

/// It exited with this code.
pub(super) fn exit(code: i32) -> Facts {
    let mut facts = worker();
    facts.ended.code = Some(code);
    facts
}

/// The kernel, or itself, ended it by this signal.
pub(super) fn signal(signal: u8, si_code: i32) -> Facts {
    let mut facts = worker();
    facts.ended.signal = Some(signal);
    facts.ended.si_code = si_code;
    facts
}

pub(super) fn process(pid: u32, comm: &str) -> Other {
    Other { pid, comm: comm.into(), ..Other::default() }
}

impl Facts {
    pub(super) fn comm(mut self, comm: &str) -> Self {
        self.process.comm = comm.into();
        self.process.exe = format!("/usr/bin/{comm}");
        self.process.cmdline = comm.into();
        self
    }

    pub(super) fn cmdline(mut self, cmdline: &str) -> Self {
        self.process.cmdline = cmdline.into();
        self
    }

    pub(super) fn parent(mut self, pid: u32, comm: &str) -> Self {
        self.process.parent = process(pid, comm);
        self
    }

    pub(super) fn parent_end(mut self, code: Option<i32>, signal: Option<u8>) -> Self {
        self.process.parent_end = Some(ParentEnd { at_ns: END_NS - MS, code, signal });
        self
    }

    /// The main process of a unit.
    pub(super) fn unit(mut self, unit: &str) -> Self {
        self.process.unit = Some(unit.into());
        self.parent(1, "systemd")
    }

    pub(super) fn container(mut self, name: &str) -> Self {
        self.process.container = Some(name.into());
        self.parent(900, "containerd-shim")
    }

    pub(super) fn by(mut self, pid: u32, comm: &str) -> Self {
        self.ended.by = Some(process(pid, comm));
        self
    }

    pub(super) fn by_cmdline(mut self, pid: u32, comm: &str, cmdline: &str) -> Self {
        self.ended.by = Some(Other { cmdline: cmdline.into(), ..process(pid, comm) });
        self
    }

    pub(super) fn never_execed(mut self) -> Self {
        self.ended.never_execed = true;
        self
    }

    /// Wrote to stderr so many ms before the end.
    pub(super) fn said(mut self, before_ms: u64, text: &str) -> Self {
        let text = format!("{text}\n");
        self.last_words.push(Words { at_ns: END_NS - before_ms * MS, fd: 2, text, cut: false });
        self
    }

    /// Wrote to stderr just before the end.
    pub(super) fn err(self, text: &str) -> Self {
        self.said(5, text)
    }

    /// Wrote to stdout just before the end.
    pub(super) fn out(mut self, text: &str) -> Self {
        self.last_words.push(Words { at_ns: END_NS - 6 * MS, fd: 1, text: format!("{text}\n"), cut: false });
        self
    }

    /// A line of a log.
    pub(super) fn log(mut self, before_ms: u64, severity: u8, text: &str) -> Self {
        let reference = format!("journal:{}", self.lines.len());
        let at_ns = END_NS - before_ms * MS;
        self.lines.push(Line { at_ns, severity, text: text.into(), reference, new_pattern: false });
        self
    }

    pub(super) fn new_pattern(mut self) -> Self {
        self.lines.last_mut().expect("a line").new_pattern = true;
        self
    }

    /// A call failed so many ms before the end; `target` is a path if it begins with `/`, else a peer.
    pub(super) fn call_at(mut self, before_ms: u64, call: &str, errno: &str, target: &str) -> Self {
        let (path, peer) = if target.starts_with('/') { (target, "") } else { ("", target) };
        self.failed_calls.push(FailedCall {
            at_ns: END_NS - before_ms * MS,
            call: call.into(),
            errno: errno.into(),
            path: path.into(),
            peer: peer.into(),
            count: 1,
            ..FailedCall::default()
        });
        self
    }

    /// A call failed just before the end.
    pub(super) fn call(self, call: &str, errno: &str, target: &str) -> Self {
        self.call_at(6, call, errno, target)
    }

    pub(super) fn times(mut self, count: u64) -> Self {
        self.failed_calls.last_mut().expect("a call").count = count;
        self
    }

    pub(super) fn exists(mut self) -> Self {
        self.failed_calls.last_mut().expect("a call").path_exists = Some(true);
        self
    }

    pub(super) fn holder(mut self, pid: u32, comm: &str) -> Self {
        self.failed_calls.last_mut().expect("a call").holder = Some(process(pid, comm));
        self
    }

    pub(super) fn fault(mut self, addr: u64, write: bool, place: Place) -> Self {
        let fault =
            Fault { addr, ip: 0x40_1136, sp: 0x7ffd_1000_0000, write: Some(write), fetch: None, place };
        self.fault = Some(fault);
        self
    }

    pub(super) fn frames(mut self, frames: &[(&str, &str, &str)]) -> Self {
        let frame = |(function, module, line): &(&str, &str, &str)| Frame {
            function: (*function).into(),
            module: (*module).into(),
            line: (*line).into(),
        };
        self.stack = frames.iter().map(frame).collect();
        self
    }

    pub(super) fn abort_text(mut self, text: &str) -> Self {
        self.abort_text = text.into();
        self
    }

    pub(super) fn limit(mut self, name: &str, used: f64, limit: f64) -> Self {
        let group = if name.contains('.') { "/app.slice" } else { "" };
        self.limits.push(Limit {
            name: name.into(),
            used: Some(used),
            limit: Some(limit),
            group: group.into(),
        });
        self
    }

    pub(super) fn oom(
        mut self,
        group: Option<&str>,
        anon_bytes: u64,
        largest: Option<(u32, &str, u64)>,
    ) -> Self {
        self.oom = Some(Oom {
            group: group.map(str::to_owned),
            limit_bytes: group.map(|_| 64 << 20),
            anon_bytes: Some(anon_bytes),
            largest: largest.map(|(pid, comm, bytes)| (process(pid, comm), bytes)),
        });
        self
    }

    pub(super) fn change(mut self, before_s: u64, kind: &str, what: &str) -> Self {
        let at_ns = END_NS - before_s * 1_000 * MS;
        self.changes.push(Change { at_ns, kind: kind.into(), what: what.into(), by: None });
        self
    }

    pub(super) fn changed_by(mut self, pid: u32, comm: &str) -> Self {
        self.changes.last_mut().expect("a change").by = Some(process(pid, comm));
        self
    }

    pub(super) fn earlier(mut self, before_s: u64, code: i32) -> Self {
        let at_ns = END_NS - before_s * 1_000 * MS;
        self.earlier.push(Earlier { at_ns, code: Some(code), signal: None });
        self
    }

    pub(super) fn wait(mut self, tid: u32, holder_tid: u32, seconds: u64) -> Self {
        let for_ns = seconds * 1_000 * MS;
        self.waits.push(Wait { tid, kind: "futex".into(), object: format!("{tid:#x}"), holder_tid, for_ns });
        self
    }

    pub(super) fn seccomp(mut self, call: &str) -> Self {
        self.seccomp_call = Some(call.into());
        self
    }
}

/// Everything that names the culprit, in one text.
pub(super) fn culprit(result: &PostMortem) -> String {
    let subject = &result.cause.subject;
    let pid = subject.pid.map(|pid| pid.to_string());
    let all = [
        pid,
        subject.comm.clone(),
        subject.path.clone(),
        subject.peer.clone(),
        subject.unit.clone(),
        subject.function.clone(),
        subject.line.clone(),
        subject.call.clone(),
        subject.limit.clone(),
        subject.name.clone(),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// What is wrong with a case, if anything.
pub(super) fn wrong(name: &str, facts: &Facts, class: &str, who: &str) -> Option<String> {
    let Some(result) = crate::examine(facts) else { return Some(format!("{name}: nothing, not {class}")) };
    let is_class = result.cause.class.name() == class;
    let is_who = who.is_empty() || culprit(&result).contains(who);
    let is_sure = result.cause.class == CauseClass::Unknown || result.cause.confidence >= 0.5;
    let fine = is_class && is_who && is_sure && !result.evidence.is_empty();
    (!fine).then(|| {
        format!(
            "{name}: wants {class} of `{who}`, has {} of `{}` ({}): {}",
            result.cause.class,
            culprit(&result),
            result.cause.confidence,
            result.cause.text
        )
    })
}

/// Every case has this class, and a culprit that contains this text.
pub(super) fn check(cases: Vec<(&str, Facts, &str, &str)>) {
    let count = cases.len();
    let wrong = cases.into_iter().filter_map(|(name, facts, class, who)| wrong(name, &facts, class, who));
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// None of them is a bad end.
pub(super) fn silent(cases: Vec<(&str, Facts)>) {
    let count = cases.len();
    let wrong = cases.into_iter().filter_map(|(name, facts)| {
        crate::examine(&facts).map(|result| format!("{name}: {}: {}", result.cause.class, result.cause.text))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// An address of which nothing is known.
pub(super) fn unknown_place() -> Place {
    Place::Unknown
}

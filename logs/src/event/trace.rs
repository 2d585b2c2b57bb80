//! Many lines of one fault of the kernel are one event: from the first line to its end mark, or to a pause.
//!
//! Lines of several CPUs may be mixed. Where the source says who wrote a line (the field `caller`), lines are told apart by it.
//! Else a telling line goes to the trace that has waited longest for one of its kind, and an end mark ends the oldest trace.

use agent_common::units::UnixNs;

use super::class::{Class, Source};
use super::finder::{CUT_HERE, Found, field};
use super::subject::{Subject, SubjectKind};
use crate::Record;

/// Traces that are open at once; more than a machine's CPUs print at a time is not readable anyway.
const MAX_OPEN: usize = 8;
/// Lines of a trace; one with all CPUs' stacks is cut.
const MAX_LINES: usize = 200;
/// Lines that an event's text keeps.
const MAX_TEXT_LINES: usize = 8;
/// A trace is over after this pause, or after this time.
const PAUSE_NS: u64 = 2_000_000_000;
const MAX_NS: u64 = 10_000_000_000;
/// Functions that every trace goes through.
const UNTELLING: [&str; 20] = [
    "dump_stack",
    "dump_stack_lvl",
    "__dump_stack",
    "show_stack",
    "show_regs",
    "dump_backtrace",
    "panic",
    "__schedule",
    "schedule",
    "schedule_timeout",
    "schedule_preempt_disabled",
    "io_schedule",
    "io_schedule_timeout",
    "__switch_to",
    "context_switch",
    "print_report",
    "kasan_report",
    "__warn",
    "report_bug",
    "handle_bug",
];

/// A trace that is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) class: &'static Class,
    pub(super) subject: Subject,
    pub(super) at: UnixNs,
    pub(super) position: u64,
    pub(super) lines: Vec<String>,
    pub(super) function: Option<String>,
}

#[derive(Debug)]
struct Open {
    class: Option<&'static Class>,
    subject: Subject,
    rank: u8,
    alone: bool,
    caller: Option<String>,
    at: UnixNs,
    last: UnixNs,
    position: u64,
    lines: Vec<String>,
    count: usize,
    process: Option<Subject>,
    function: Option<String>,
    in_calls: bool,
}

/// The traces that are open.
#[derive(Debug, Default)]
pub(super) struct Traces {
    open: Vec<Open>,
}

impl Traces {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Ends the traces that have paused.
    pub(super) fn sweep(&mut self, now: UnixNs, ended: &mut Vec<Ended>) {
        let is_over = |open: &Open| {
            now.since(open.last).0 >= PAUSE_NS || now.since(open.at).0 >= MAX_NS || open.count >= MAX_LINES
        };
        while let Some(nth) = self.open.iter().position(is_over) {
            self.end(nth, ended);
        }
    }

    /// Takes a line that begins a trace or belongs to one.
    pub(super) fn feed(
        &mut self,
        record: &Record,
        text: &str,
        found: Option<&Found>,
        ended: &mut Vec<Ended>,
    ) {
        let caller = field(record, "caller");
        match found.map(|found| (found, found.source)) {
            Some((found, Source::Trace(rank))) => {
                let nth = self.waiting(caller, rank).unwrap_or_else(|| self.begin(record, caller, ended));
                let open = &mut self.open[nth];
                if open.class.is_none_or(|class| found.class.severity < class.severity) {
                    open.class = Some(found.class);
                }
                if open.subject == Subject::HOST {
                    open.subject = found.subject.clone();
                }
                open.rank = rank;
                open.add(record, text);
            }
            Some((found, _)) => {
                let nth = self.begin(record, caller, ended);
                let open = &mut self.open[nth];
                open.class = Some(found.class);
                open.subject = found.subject.clone();
                open.alone = true;
                open.add(record, text);
            }
            None if text.contains(CUT_HERE) => {
                self.begin(record, caller, ended);
            }
            None => self.follow(record, text, caller, ended),
        }
    }

    /// The oldest trace that a telling line of this rank can belong to.
    fn waiting(&self, caller: Option<&str>, rank: u8) -> Option<usize> {
        self.open.iter().position(|open| !open.alone && open.rank < rank && open.caller.as_deref() == caller)
    }

    fn begin(&mut self, record: &Record, caller: Option<&str>, ended: &mut Vec<Ended>) -> usize {
        if self.open.len() >= MAX_OPEN {
            self.end(0, ended);
        }
        self.open.push(Open {
            class: None,
            subject: Subject::HOST,
            rank: 0,
            alone: false,
            caller: caller.map(|caller| caller.chars().take(32).collect()),
            at: record.at,
            last: record.at,
            position: record.position,
            lines: Vec::new(),
            count: 0,
            process: None,
            function: None,
            in_calls: false,
        });
        self.open.len() - 1
    }

    /// A line inside a trace.
    fn follow(&mut self, record: &Record, text: &str, caller: Option<&str>, ended: &mut Vec<Ended>) {
        let mine = |open: &Open| open.caller.as_deref() == caller;
        let is_bar = text.len() > 20 && text.bytes().all(|b| b == b'=');
        if text.starts_with("---[ end ") || is_bar {
            if let Some(nth) =
                self.open.iter().position(|open| mine(open) && open.class.is_some() && !open.alone)
            {
                self.end(nth, ended);
            }
            return;
        }
        let process = process_of(text);
        let function = register_of(text);
        let wants = |open: &Open| match (&process, &function) {
            (Some(_), _) => open.process.is_none(),
            (_, Some(_)) => open.function.is_none(),
            _ => false,
        };
        let nth = self.open.iter().position(|open| mine(open) && wants(open));
        let Some(nth) = nth.or_else(|| self.open.iter().rposition(mine)) else { return };
        let open = &mut self.open[nth];
        if open.process.is_none() {
            open.process = process;
        }
        if open.function.is_none() {
            open.function = function.or_else(|| if open.in_calls { call_of(text) } else { None });
        }
        open.in_calls |= text.trim_start().to_ascii_lowercase().starts_with("call trace");
        open.add(record, text);
        if open.alone && text.trim() == "</TASK>" {
            self.end(nth, ended);
        }
    }

    fn end(&mut self, nth: usize, ended: &mut Vec<Ended>) {
        let open = self.open.remove(nth);
        // Of what is named nowhere, nothing can be said.
        let Some(class) = open.class else { return };
        let subject =
            if open.subject == Subject::HOST { open.process.unwrap_or(Subject::HOST) } else { open.subject };
        let function =
            open.function.or_else(|| (subject.kind == SubjectKind::Function).then(|| subject.name.clone()));
        ended.push(Ended {
            class,
            subject,
            at: open.at,
            position: open.position,
            lines: open.lines,
            function,
        });
    }
}

impl Open {
    fn add(&mut self, record: &Record, text: &str) {
        self.last = self.last.max(record.at);
        self.count += 1;
        if self.lines.len() < MAX_TEXT_LINES {
            self.lines.push(text[..text.floor_char_boundary(256)].to_owned());
        }
    }
}

/// Of `CPU: 1 PID: 4242 Comm: rmmod Tainted: …`.
fn process_of(text: &str) -> Option<Subject> {
    let (_, rest) = text.strip_prefix("CPU: ")?.split_once(" PID: ")?;
    let (pid, rest) = rest.split_once(" Comm: ")?;
    let pid = pid.split(' ').next()?.parse().ok()?;
    let end = [" Not tainted", " Tainted: ", " Kdump: "].iter().filter_map(|mark| rest.find(mark)).min();
    let comm = &rest[..end.unwrap_or(rest.len())];
    Some(Subject::new(SubjectKind::Process, comm, pid))
}

/// Of `RIP: 0010:func+0x10/0x20 [module]`, `pc : func+0x10/0x20`.
fn register_of(text: &str) -> Option<String> {
    let rest = text
        .strip_prefix("RIP: 0010:")
        .or_else(|| text.strip_prefix("pc : "))
        .or_else(|| text.strip_prefix("PC is at "))?;
    function_of(rest)
}

/// Of ` func+0x10/0x20`, a line of a call trace that is sure.
fn call_of(text: &str) -> Option<String> {
    let text = text.trim_start();
    let text =
        text.split_once("] ").filter(|(address, _)| address.starts_with("[<")).map_or(text, |(_, rest)| rest);
    if text.starts_with("? ") {
        return None;
    }
    function_of(text).filter(|name| !UNTELLING.contains(&name.as_str()))
}

fn function_of(text: &str) -> Option<String> {
    let (name, offset) = text.split_once("+0x")?;
    let fits = !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$'))
        && offset.contains("/0x");
    fits.then(|| name.to_owned())
}

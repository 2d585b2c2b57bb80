//! Names of interpreted functions: what was read of the code objects of one Python process.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use agent_common::abi::python::PythonFrame;
use agent_common::clocks::kernel_monotonic;
use profile::{FrameName, Role, Unnamed};

use crate::python::{Code, Fingerprint, Interpreter, Memory};

/// Times of the samples to be named, the first and the last: `CLOCK_MONOTONIC` ns.
pub(super) type Span = (u64, u64);

/// Code objects of a process, by address.
#[derive(Debug, Default)]
pub(super) struct Interpreted {
    known: HashMap<u64, Known>,
    bytes: usize,
}

/// A code object. Another one may get its memory: whenever the function is sampled again, the object's fingerprint is read
/// and compared.
#[derive(Debug)]
struct Known {
    print: Fingerprint,
    code: Rc<Code>,
    /// When it was last seen to be this one.
    seen_ns: u64,
    /// What was there before, and when it was last seen.
    before: Option<(Rc<Code>, u64)>,
}

/// Map entry, counts.
const ENTRY_BYTES: usize = 112;

/// Code objects that are read at a question: the rest are read when they are sampled again.
const MAX_READ: usize = 4096;

/// An address, and what was there when it was last read.
pub(super) type Wanted = (u64, Option<Fingerprint>);

/// What is at an address now.
#[derive(Debug)]
pub(super) enum Read {
    /// What was there before.
    Same,
    /// This.
    New(Fingerprint, Code),
}

/// Reads code objects, or sees that they are still those that were read. May wait for the process' file systems.
pub(super) fn fetch(interpreter: &Interpreter, memory: &impl Memory, wanted: &[Wanted]) -> Vec<(u64, Read)> {
    let read = |&(addr, known): &Wanted| {
        if known.is_some() {
            // Gone: what was read is what was sampled.
            let print = interpreter.fingerprint(memory, addr)?;
            if Some(print) == known {
                return Some((addr, Read::Same));
            }
        }
        let (print, code) = interpreter.code(memory, addr)?;
        Some((addr, Read::New(print, code)))
    };
    wanted.iter().filter_map(read).collect()
}

impl Interpreted {
    /// What to [`fetch`] of these addresses.
    pub(super) fn wanted(&self, addrs: &[u64]) -> Vec<Wanted> {
        let print = |addr| self.known.get(addr).map(|known| known.print);
        addrs.iter().take(MAX_READ).map(|addr| (*addr, print(addr))).collect()
    }

    /// Takes what was read at `now_ns`.
    pub(super) fn take(&mut self, read: Vec<(u64, Read)>, now_ns: u64) {
        for (addr, read) in read {
            let (print, code) = match read {
                Read::Same => {
                    if let Some(known) = self.known.get_mut(&addr) {
                        known.seen_ns = now_ns;
                    }
                    continue;
                }
                Read::New(print, code) => (print, code),
            };
            self.bytes += ENTRY_BYTES + code.bytes();
            let code = Rc::new(code);
            let old = self.known.remove(&addr);
            let before = old.map(|old| {
                self.bytes = self.bytes.saturating_sub(old.before.map_or(0, |(code, _)| code.bytes()));
                (old.code, old.seen_ns)
            });
            self.known.insert(addr, Known { print, code, seen_ns: now_ns, before });
        }
    }

    /// The name of a frame of a sample from `span`; `None` if its code was never read.
    pub(super) fn find(&self, frame: PythonFrame, span: Span) -> Option<FrameName> {
        let known = self.known.get(&frame.code())?;
        let name = |code: &Code| {
            let source = Some(code.source(frame.instr()));
            let code_of = profile::Code { source, ..profile::Code::default() };
            FrameName {
                code: Some(Arc::new(code_of)),
                role: Role::Function,
                ..FrameName::named(Arc::clone(&code.text))
            }
        };
        let now = name(&known.code);
        Some(match &known.before {
            // It was seen when the last of these samples had been taken.
            Some((before, seen_ns)) if *seen_ns >= span.1 => name(before),
            Some((before, seen_ns)) if *seen_ns > span.0 && before.text != known.code.text => {
                FrameName { text: format!("{} or {}", before.text, now.text).into(), ..now }
            }
            _ => now,
        })
    }

    /// Memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A frame whose code was not read.
pub(super) fn stand_in(frame: PythonFrame) -> FrameName {
    FrameName::unnamed(format!("[python {:#x}]", frame.code()), Unnamed::PythonCode)
}

/// `CLOCK_MONOTONIC` as the kernel's programs read it, the clock of samples.
pub(super) fn now_ns() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let own = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs());
    kernel_monotonic(own)
}

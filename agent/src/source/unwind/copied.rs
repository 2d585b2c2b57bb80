//! Copied stacks: of processes whose mappings the kernel side did not have yet.

use std::time::Instant;

use agent_common::abi::unwind::{Rule, Verdict};
use flamegraphs::maps;

use super::files::Of;
use super::handle::{StackCopy, Walked};
use super::process::{Found, translate};
use super::walk::{Code, walk};
use super::worker::Worker;
use crate::source::spaces::Mappings;

impl Worker {
    pub(super) fn walk(&mut self, copy: &StackCopy, now: Instant) -> Walked {
        // In the middle of an exec, or of its end, it has registers of a program that it no longer has.
        let within = |mappings: &Mappings| find(mappings, copy.copied.pc).is_some();
        if copy.copied.stack.is_empty() || (!within(&copy.mappings) && within(&copy.before)) {
            return Walked { id: copy.id, frames: Vec::new(), verdict: Verdict::None };
        }
        let of = Of { gone: true, ..Of::process(copy.tgid) };
        let (frames, verdict) = walk(&copy.copied, |at| self.code((copy, of), at, now));
        let verdict = if copy.mappings.is_empty() { Verdict::NoProcess } else { verdict };
        Walked { id: copy.id, frames, verdict }
    }

    /// What the kernel side would find at an address.
    fn code(&mut self, (copy, of): (&StackCopy, Of), at: u64, now: Instant) -> Option<Code> {
        let mapping = find(&copy.mappings, at)?;
        let nothing = |reason| Some(Code { rule: Rule::GAP, wide: None, reason });
        let sizes = self.queue.sizes();
        match self.find(of, mapping, sizes, now) {
            Found::Table(id) => {
                let found = self.tables.get(id).and_then(|loaded| translate(mapping, loaded));
                let Some(found) = found.filter(|found| (found.start..found.end).contains(&at)) else {
                    return nothing(Verdict::NoTable);
                };
                let (rule, wide) = self.maps.rule(found.pages, at.wrapping_sub(found.bias));
                Some(Code { rule, wide, reason: Verdict::NoTable })
            }
            Found::Bare => nothing(Verdict::NoTable),
            Found::Jit => nothing(Verdict::Jit),
            Found::Pending | Found::Large => nothing(Verdict::Pending),
        }
    }
}

fn find(mappings: &Mappings, at: u64) -> Option<&maps::Mapping> {
    let place = mappings.partition_point(|mapping| mapping.start <= at);
    mappings[..place].last().filter(|mapping| at < mapping.end)
}

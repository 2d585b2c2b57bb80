//! Python code objects that have appeared in stacks since the last reading.

use std::collections::{HashMap, HashSet};

use agent_common::abi::python::PythonFrame;
use agent_common::units::Tgid;

/// Code objects of a process at most between two polls: 100 ms of samples name some hundred.
const MAX_CODE: usize = 4096;

/// Code objects by process, each once.
#[derive(Debug, Default)]
pub(super) struct CodeSeen(HashMap<Tgid, HashSet<u64>>);

impl CodeSeen {
    /// Notes the Python frames of a user stack.
    pub(super) fn stack(&mut self, tgid: Tgid, user: &[u64]) {
        // They are behind the native frames.
        let frames = user.iter().rev().map_while(|word| PythonFrame::of(*word));
        let mut codes = frames.map(PythonFrame::code).filter(|code| *code != 0).peekable();
        if codes.peek().is_some() {
            let seen = self.0.entry(tgid).or_default();
            codes.for_each(|code| {
                if seen.len() < MAX_CODE {
                    seen.insert(code);
                }
            });
        }
    }

    /// What was noted since the last call.
    pub(super) fn take(&mut self) -> Vec<(Tgid, Vec<u64>)> {
        self.0.drain().map(|(tgid, codes)| (tgid, codes.into_iter().collect())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_object_is_named_once_and_addresses_are_none() {
        let mut seen = CodeSeen::default();
        let word = |code, entry| PythonFrame::new(code, 7, entry).0;
        seen.stack(Tgid(1), &[0x1000, word(0x2000, false), word(0, true), word(0x2000, true)]);
        seen.stack(Tgid(2), &[0x1000]);
        assert_eq!(seen.take(), [(Tgid(1), vec![0x2000])]);
        assert_eq!(seen.take(), []);
    }
}

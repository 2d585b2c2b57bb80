//! Whether a thread still moves.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// A thread's own `status`, kept open: it answers for this thread alone.
#[derive(Debug)]
pub(crate) struct Watched(Option<File>);

/// What is seen of a thread at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    runnable: bool,
    switches: u64,
}

impl Watched {
    /// The calling thread.
    pub(crate) fn this_thread() -> Self {
        Self(File::open("/proc/thread-self/status").ok())
    }

    /// `None` where `/proc` has no value.
    pub(crate) fn look(&self) -> Option<Seen> {
        let mut text = [0; 4096];
        let length = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        parse(&text[..length])
    }
}

impl Seen {
    /// It has run since, or only waits for a CPU: a busy machine is not a file system that does not answer.
    pub(crate) fn has_moved_since(self, before: Self) -> bool {
        self.runnable || self.switches != before.switches
    }
}

fn parse(text: &[u8]) -> Option<Seen> {
    let text = String::from_utf8_lossy(text);
    let word = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let runnable = word("State:")?.starts_with('R');
    let count = |key| word(key)?.parse::<u64>().ok();
    let switches = count("voluntary_ctxt_switches:")? + count("nonvoluntary_ctxt_switches:")?;
    Some(Seen { runnable, switches })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_runs_or_switches_moves() {
        let line = |state: &str, switches: u32| {
            let text = format!(
                "Name:\tx\nState:\t{state}\nvoluntary_ctxt_switches:\t{switches}\nnonvoluntary_ctxt_switches:\t2\n"
            );
            parse(text.as_bytes()).unwrap()
        };
        let before = line("S (sleeping)", 5);
        assert!(!line("D (disk sleep)", 5).has_moved_since(before));
        assert!(line("D (disk sleep)", 6).has_moved_since(before));
        assert!(line("R (running)", 5).has_moved_since(before));
        assert!(Watched::this_thread().look().is_some_and(|seen| seen.runnable));
    }
}

//! `agent doctor --pid`: how well the stacks of one process can be read, and by what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use agent_common::units::Tgid;
use agent_common::wire::report::Coverage;
use flamegraphs::maps::{self, Backing};
use flamegraphs::unwind;
use serde::Serialize;

use crate::bpf::StartError;
use crate::collector::{Collector, Filter, Options};
use crate::config::SyscallTier;

/// Length of the test sampling: with [`RATE_HZ`] enough for a share within 2 percentage points of a busy process.
const SAMPLING_SPAN: Duration = Duration::from_secs(2);
const RATE_HZ: u32 = 997;

/// `agent doctor --pid --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stacks {
    /// The process.
    pub pid: u32,
    /// Samples by how the walk up their user stack ended; none where it did not run.
    pub unwound: BTreeMap<String, u64>,
    /// Samples by how the walk up their Python frames ended; none if it is no Python process.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pythons: BTreeMap<String, u64>,
    /// The same in words.
    pub verdict: String,
    /// What its code is made of, in the order of addresses.
    pub code: Vec<Code>,
}

/// A file with code, or memory with generated code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Code {
    /// Path in the process' mount namespace, or the kernel's word.
    pub name: String,
    /// Functions that its unwind information describes; `None`: frame pointers are followed.
    pub functions: Option<usize>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// Looks at a process and samples it for two seconds. Blocks.
pub fn look_at(pid: Tgid) -> Result<Stacks, StartError> {
    let code = code_of(pid);
    let mut collector = Collector::start(Options {
        rate_hz: RATE_HZ,
        filter: Filter::Tgids { tgids: vec![pid], follow: false },
        syscalls: SyscallTier::Off,
        resources: false,
        sched: false,
        endings: false,
        proc: false,
    })?;
    let end = Instant::now() + SAMPLING_SPAN;
    while Instant::now() < end {
        std::thread::sleep(Collector::POLL);
        collector.poll();
    }
    let window = collector.close_window().map(std::sync::Arc::new);
    let unwound = crate::aggregate::unwound(window.as_slice(), Some(pid));
    let pythons = crate::aggregate::pythons(window.as_slice(), Some(pid));
    let coverage = Coverage { unwound, pythons, ..Coverage::default() };
    let verdict = coverage.stacks_text().unwrap_or_else(|| "no samples: it did not run in 2 s".to_owned());
    Ok(Stacks { pid: pid.0, unwound: coverage.unwound, pythons: coverage.pythons, verdict, code })
}

fn code_of(pid: Tgid) -> Vec<Code> {
    let mut seen = BTreeSet::new();
    let mappings = maps::read(pid.0).unwrap_or_default();
    mappings
        .iter()
        .map(|mapping| {
            let (name, table) = match &mapping.backing {
                Backing::File { path, .. } => (path.clone(), table_of(pid, mapping)),
                Backing::Anonymous => ("generated code".to_owned(), Err("not a file".to_owned())),
                Backing::Vdso => {
                    ("[vdso]".to_owned(), Err("the kernel's own: its table is always there".to_owned()))
                }
                Backing::Special(name) => (name.clone(), Err("the kernel's".to_owned())),
            };
            match table {
                Ok(functions) => Code { name, functions: Some(functions), missing: None },
                Err(missing) => Code { name, functions: None, missing: Some(missing) },
            }
        })
        .filter(|code| seen.insert(code.name.clone()))
        .collect()
}

fn table_of(pid: Tgid, mapping: &maps::Mapping) -> Result<usize, String> {
    let mapped = unwind::mapped(pid.0, mapping).ok_or("no file")?;
    let build = move || {
        let file =
            mapped.open().and_then(|held| Ok(held.reader()?)).map_err(|refused| refused.to_string())?;
        unwind::build(&file).map(|table| table.functions).map_err(|error| error.to_string())
    };
    opener::Workers::new("doctor")
        .run(opener::Owner::of_process(pid.0), build)
        .map_err(|blocked| blocked.to_string())?
}

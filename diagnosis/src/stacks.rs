//! The stacks of a finding: of its waits, or of its on-CPU samples.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::wire::finding::{Class, Finding};
use profile::{Folded, Sample};

use super::scaffolding;
use crate::window::{Wait, Window};

/// Most stacks of a finding.
const MAX_STACKS: usize = 3;
/// Stands for all other stacks of a finding, behind its heaviest.
pub const OTHER_STACKS: &str = "[other stacks]";
/// Most waits and samples that are symbolized for one finding: more do not change the order of the first three stacks.
const MAX_SAMPLES: usize = 512;

/// States whose waits have the stacks of a class; empty for classes of time on a CPU.
fn states(class: &Class) -> &'static [State] {
    match class {
        Class::DiskRead => &[State::DiskRead],
        Class::DiskWrite => &[State::DiskWrite],
        Class::Fsync => &[State::Fsync],
        Class::Writeback => &[State::Writeback],
        Class::FaultMajorFile => &[State::FaultFile],
        Class::Swap => &[State::Swap],
        Class::Reclaim => &[State::Reclaim],
        Class::Futex => &[State::FutexLock, State::FutexWait],
        Class::KernelLock => &[State::KernelLock],
        Class::FileLock => &[State::FileLock],
        Class::IpcPeer => &[State::Ipc],
        Class::NetPeer | Class::NetRetransmit => &[State::NetRecv, State::NetSend],
        Class::NetConnect => &[State::NetConnect],
        Class::NetAcceptQueue => &[State::NetAccept],
        Class::Dns => &[State::Dns],
        Class::Child => &[State::Child],
        Class::TimerStorm => &[State::Sleep],
        Class::Hang => &[State::Uninterruptible, State::KernelLock, State::Child],
        _ => &[],
    }
}

/// Samples of a finding (its waits, else its on-CPU samples), heaviest first.
#[must_use]
pub fn samples(finding: &Finding, windows: &[Arc<Window>]) -> Vec<Sample> {
    let Some(pid) = finding.subject.pid else { return Vec::new() };
    let states = states(&finding.class);
    let waits = windows.iter().flat_map(|window| &window.waits).filter(|wait| {
        !wait.open && wait.tgid.0 == pid && (states.contains(&wait.state) || states.contains(&wait.accounted))
    });
    let mut samples: Vec<Sample> = waits.map(Wait::sample).collect();
    if samples.is_empty() {
        let oncpu = windows.iter().flat_map(|window| &window.samples).filter(|sample| sample.tgid == pid);
        samples = oncpu.cloned().collect();
    }
    samples.sort_by_key(|sample| Reverse(sample.weight));
    samples.truncate(MAX_SAMPLES);
    // A thread may have another name in each of them.
    if let Some(comm) = &finding.subject.comm {
        let comm: Arc<str> = comm.as_str().into();
        for sample in &mut samples {
            sample.comm = Arc::clone(&comm);
        }
    }
    samples
}

/// Writes the heaviest stacks, with names, into each finding. `fold` gets names from the symbolizer or a recording, and this blocks
/// as long as `fold`; where it returns `None`, the finding has no stacks.
pub fn name<'a>(
    findings: impl Iterator<Item = &'a mut Finding>,
    windows: &[Arc<Window>],
    fold: impl Fn(Vec<Sample>) -> Option<Folded>,
) {
    for finding in findings {
        let samples = samples(finding, windows);
        if samples.is_empty() {
            continue;
        }
        let Some(folded) = fold(samples) else { continue };
        // Stacks that differ in scaffolding alone are one.
        let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
        for (stack, weight) in folded.stacks {
            let sum = stacks.entry(scaffolding::without(&stack)).or_default();
            *sum = sum.saturating_add(weight);
        }
        let mut stacks: Vec<_> = stacks.into_iter().collect();
        stacks.sort_by_key(|(_, weight)| Reverse(*weight));
        let others: u64 =
            stacks.iter().skip(MAX_STACKS).fold(0, |sum, (_, weight)| sum.saturating_add(*weight));
        stacks.truncate(MAX_STACKS);
        if others > 0 {
            stacks.push((OTHER_STACKS.to_owned(), others));
        }
        finding.stacks = stacks.into_iter().map(|(stack, weight)| format!("{stack} {weight}")).collect();
    }
}

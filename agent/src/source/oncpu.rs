//! On-CPU samples from the probes, with the processes seen for the first time.

use std::collections::HashSet;
use std::sync::Arc;

use agent_common::abi::oncpu::SampleHeader;
use agent_common::units::Tgid;
use flamegraphs::sample::Sample;

use super::process::comm_str;

/// Samples since the last window.
#[derive(Debug, Default)]
pub struct OncpuSource {
    samples: Vec<Sample>,
    seen: HashSet<Tgid>,
    fresh: Vec<Tgid>,
    /// Samples share their names: a process has a few.
    names: HashSet<Arc<str>>,
}

/// Names kept before the set starts over.
const NAMES: usize = 4096;

impl OncpuSource {
    /// Takes one sample off the ring.
    pub fn sample(&mut self, header: &SampleHeader, kernel: &[u64], user: &[u64]) {
        let tgid = Tgid(header.tgid);
        if self.seen.insert(tgid) {
            self.fresh.push(tgid);
        }
        let comm = comm_str(&header.comm);
        let comm = if let Some(known) = self.names.get(comm.as_ref()) {
            Arc::clone(known)
        } else {
            if self.names.len() >= NAMES {
                self.names.clear();
            }
            let name: Arc<str> = comm.as_ref().into();
            self.names.insert(Arc::clone(&name));
            name
        };
        self.samples.push(Sample {
            at_ns: header.at_ns,
            tgid: header.tgid,
            tid: header.tid,
            comm,
            kernel: kernel.into(),
            user: user.into(),
            weight: 1,
        });
    }

    /// Processes sampled for the first time since the last call.
    pub fn take_fresh(&mut self) -> Vec<Tgid> {
        std::mem::take(&mut self.fresh)
    }

    /// A process is gone: whoever gets its number is another one. So is what exec put in its place.
    pub fn forget(&mut self, tgid: Tgid) {
        self.seen.remove(&tgid);
    }

    /// Samples since the last call.
    pub fn take(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.samples)
    }
}

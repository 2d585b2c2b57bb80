//! Samples of what runs on each CPU.

use agent_common::abi::oncpu::{SampleHeader, SampleTicks};
use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::{PerfEvent, ProgramError};

use super::{Maps, Plain, Probes, split, tell_native};
use crate::bpf::StartError;

/// Maps of the sampling program.
pub(super) struct Oncpu {
    ticks: PerCpuArray<MapData, Plain<SampleTicks>>,
    samples: RingBuf<MapData>,
}

impl Oncpu {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, StartError> {
        Ok(Self { ticks: maps.take("SAMPLE_TICKS")?, samples: maps.take("SAMPLES")? })
    }
}

impl Probes {
    /// Starts sampling every CPU at `rate_hz`.
    pub fn attach_sampling(&mut self, rate_hz: u32) {
        let attached = ["oncpu_sample", "oncpu_sample_r"].into_iter().any(|name| {
            let result = attach(&mut self.ebpf, name, &self.cpus, rate_hz);
            self.record(name, &result)
        });
        tracing::debug!(attached, rate_hz, "sampling");
    }

    /// Sampling ticks since load, by CPU.
    pub fn ticks(&self) -> Vec<(u32, SampleTicks)> {
        let Ok(values) = self.oncpu.ticks.get(&0, 0) else { return Vec::new() };
        self.cpus.iter().filter_map(|cpu| Some((*cpu, values.get(*cpu as usize)?.0))).collect()
    }

    /// Takes the samples out of the ring: header, kernel frames, user frames, leaf first, Python's behind the native
    /// ones, and what was copied.
    pub fn drain_samples(&mut self, mut each: impl FnMut(&SampleHeader, &[u64], &[u64], &[u64])) {
        let mut frames = Vec::with_capacity(256);
        while let Some(item) = self.oncpu.samples.next() {
            let Some(header) = split::<SampleHeader>(&item, &mut frames) else { continue };
            let user = usize::from(header.user_frames).min(frames.len());
            let (user, kernel) = frames.split_at_mut(user);
            let (user, copied) = user.split_at_mut(user.len().saturating_sub(header.copied.into()));
            tell_native(user, header.python_frames.into());
            tell_native(copied, 0);
            each(&header, &kernel[..kernel.len().min(header.kernel_frames.into())], user, copied);
        }
    }
}

/// One event a CPU.
fn attach(ebpf: &mut Ebpf, program: &str, cpus: &[u32], rate_hz: u32) -> Result<(), ProgramError> {
    let program: &mut PerfEvent = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()?;
    program.load()?;
    for cpu in cpus {
        program.attach(
            PerfEventConfig::Software(SoftwareEvent::CpuClock),
            PerfEventScope::AllProcessesOneCpu { cpu: *cpu },
            SamplePolicy::Frequency(u64::from(rate_hz)),
            false,
        )?;
    }
    Ok(())
}

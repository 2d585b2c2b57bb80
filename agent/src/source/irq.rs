//! Interrupt time by CPU.

use agent_common::abi::irq::{IrqCpu, VECTOR_NAMES};
use agent_common::units::DurNs;
use diagnosis::window::IrqRow;

#[derive(Debug, Default)]
pub(super) struct IrqSource {
    last: Vec<IrqCpu>,
}

impl IrqSource {
    /// Differences since the last call; CPUs without interrupts have no row.
    pub(super) fn take(&mut self, now: &[IrqCpu]) -> Vec<IrqRow> {
        self.last.resize(now.len(), IrqCpu::default());
        let mut rows = Vec::new();
        for (cpu, (before, now)) in self.last.iter_mut().zip(now).enumerate() {
            let softirq: Vec<_> = VECTOR_NAMES
                .into_iter()
                .enumerate()
                .filter(|(vector, _)| now.softirqs[*vector] > before.softirqs[*vector])
                .map(|(vector, name)| {
                    let ns = now.softirq_ns[vector] - before.softirq_ns[vector];
                    (name, now.softirqs[vector] - before.softirqs[vector], DurNs(ns))
                })
                .collect();
            let hardirq = DurNs(now.hardirq_ns - before.hardirq_ns);
            if !softirq.is_empty() || hardirq.0 > 0 {
                rows.push(IrqRow { cpu: cpu as u32, softirq, hardirq });
            }
            *before = *now;
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ran_has_a_place() {
        let mut source = IrqSource::default();
        let mut cpus = [IrqCpu::default(); 2];
        assert!(source.take(&cpus).is_empty());
        (cpus[1].softirqs[3], cpus[1].softirq_ns[3], cpus[1].hardirq_ns) = (5, 700, 90);
        let expected = IrqRow { cpu: 1, softirq: vec![("net_rx", 5, DurNs(700))], hardirq: DurNs(90) };
        assert_eq!(source.take(&cpus), [expected]);
        assert!(source.take(&cpus).is_empty());
    }
}

//! Holds the collector to account: what it should have seen, what it saw, what it lost, and what it cost.

use std::collections::HashMap;

use agent_common::units::DurNs;
use agent_common::wire::report::{Coverage, SelfCost};

use crate::bpf::{Probes, State};

/// Last values of cumulative figures.
#[derive(Debug)]
pub(super) struct Audit {
    rate_hz: u32,
    ticks: u64,
    drops: HashMap<&'static str, u64>,
    cpu_ns: u64,
    /// Expected samples are whole ticks; the fraction is carried into the next window.
    carry: f64,
    page_bytes: u64,
}

impl Audit {
    pub(super) fn new(probes: &Probes, rate_hz: u32) -> Self {
        let mut audit = Self {
            rate_hz,
            ticks: 0,
            drops: HashMap::new(),
            cpu_ns: 0,
            carry: 0.0,
            page_bytes: procfs::page_size(),
        };
        // What came before the first window began belongs to none.
        audit.coverage(probes, DurNs(0), "");
        audit.self_cost(probes, DurNs(1));
        audit
    }

    /// Coverage of a window of length `span`.
    pub(super) fn coverage(&mut self, probes: &Probes, span: DurNs, tier: &str) -> Coverage {
        let mut lost = std::collections::BTreeMap::new();
        for (reason, total) in probes.drops() {
            let before = self.drops.insert(reason.name(), total).unwrap_or(0);
            if total > before {
                lost.insert(reason.name().to_owned(), total - before);
            }
        }
        let ticks = probes.ticks();
        let ticks = ticks.busy + ticks.idle + ticks.filtered;
        let captured = ticks.saturating_sub(self.ticks);
        self.ticks = ticks;
        let sampling = probes.verdicts().iter().any(|v| v.feature == "oncpu" && v.state == State::Works);
        let expected = if sampling {
            f64::from(self.rate_hz) * probes.cpus() as f64 * span.as_secs_f64() + self.carry
        } else {
            0.0
        };
        self.carry = expected.fract();
        Coverage {
            expected: expected as u64,
            captured,
            lost,
            symbolized_pct: None,
            syscall_tier: tier.to_owned(),
            missing: missing(probes),
        }
    }

    /// CPU share of this process since the last call, its memory and its maps.
    pub(super) fn self_cost(&mut self, probes: &Probes, span: DurNs) -> SelfCost {
        let cpu_ns = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID)
            .map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64);
        let used = cpu_ns.saturating_sub(std::mem::replace(&mut self.cpu_ns, cpu_ns));
        let pages: u64 = std::fs::read_to_string("/proc/self/statm")
            .ok()
            .and_then(|s| s.split_whitespace().nth(1).and_then(|p| p.parse().ok()))
            .unwrap_or(0);
        SelfCost {
            cpu_pct: used as f64 * 100.0 / span.0.max(1) as f64,
            rss_bytes: pages * self.page_bytes,
            map_bytes: probes.map_bytes(),
        }
    }
}

/// Features that no program provides here: `feature: what is lost (why)`.
fn missing(probes: &Probes) -> Vec<String> {
    let verdicts = probes.verdicts();
    let works = |program: &str| verdicts.iter().any(|v| v.program == program && v.state == State::Works);
    let mut missing: Vec<String> = verdicts
        .iter()
        .filter(|v| v.state != State::Works)
        .filter(|v| !(v.program.starts_with("syscall_") && works(&format!("{}_r", v.program))))
        .map(|v| format!("{}: {} ({})", v.feature, v.lost, v.detail))
        .collect();
    if works("softirq_exit") && !probes.softirqs() {
        missing.push("irq: softirq time by vector (too many of them to account each)".to_owned());
    }
    missing
}

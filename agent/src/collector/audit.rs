//! Coverage and cost of the collector: expected, captured and lost samples, CPU and memory.

use std::collections::{BTreeMap, HashMap};

use agent_common::abi::drops::DropReason;
use agent_common::units::{DurNs, MonoNs};
use agent_common::wire::report::{Coverage, SelfCost, TIMER_STOPPED};

use super::ticks::{CpuNow, Settled, Ticks, idle_times};
use crate::bpf::{Probes, State};
use crate::clock;

/// Last values of cumulative figures.
#[derive(Debug)]
pub(super) struct Audit {
    rate_hz: u32,
    ticks: Ticks,
    /// Windows so far.
    windows: u64,
    /// The window to come is the last.
    ending: bool,
    drops: HashMap<&'static str, u64>,
    cpu_ns: u64,
    /// Expected samples are whole ticks; the fraction is carried into the next window.
    carry: f64,
    page_bytes: u64,
    tick_ns: u64,
}

/// Windows between two readings of [`DropReason::ProgramSkipped`], after the first windows: reading it took a twelfth of an idle
/// collector's time.
const SKIPPED_EVERY: u64 = 10;

impl Audit {
    pub(super) fn new(probes: &Probes, rate_hz: u32, now: MonoNs) -> Self {
        let mut audit = Self {
            rate_hz,
            ticks: Ticks::new(rate_hz),
            windows: 0,
            ending: false,
            drops: HashMap::new(),
            cpu_ns: 0,
            carry: 0.0,
            page_bytes: procfs::page_size(),
            tick_ns: 1_000_000_000 / procfs::ticks_per_second().max(1),
        };
        // What came before the first window began belongs to none.
        audit.coverage(probes, (now, now), 0, "");
        audit.self_cost(probes, DurNs(1));
        audit
    }

    /// Marks the next window as the last: it takes all that is left.
    pub(super) fn end(&mut self) {
        self.ending = true;
    }

    /// Coverage of a window from start to end, in which `samples` arrived.
    pub(super) fn coverage(
        &mut self,
        probes: &Probes,
        (start, end): (MonoNs, MonoNs),
        samples: u64,
        tier: &str,
    ) -> Coverage {
        let mut lost = BTreeMap::new();
        let due = self.ending || self.windows < SKIPPED_EVERY || self.windows.is_multiple_of(SKIPPED_EVERY);
        self.windows += 1;
        let skipped = due.then(|| (DropReason::ProgramSkipped, probes.skipped()));
        for (reason, total) in probes.drops().chain(skipped) {
            let before = self.drops.insert(reason.name(), total).unwrap_or(0);
            if total > before {
                lost.insert(reason.name().to_owned(), total - before);
            }
        }
        let ticks = self.ticks(probes, end);
        if ticks.stopped > 0 {
            lost.insert(TIMER_STOPPED.to_owned(), ticks.stopped);
        }
        let sampling = probes.verdicts().iter().any(|v| v.feature == "oncpu" && v.state == State::Works);
        let expected = if sampling {
            f64::from(self.rate_hz) * probes.cpus() as f64 * end.since(start).as_secs_f64() + self.carry
        } else {
            0.0
        };
        self.carry = expected.fract();
        Coverage {
            expected: expected as u64,
            captured: samples + ticks.idle + ticks.filtered,
            lost,
            symbolized_pct: None,
            unwound: BTreeMap::new(),
            pythons: BTreeMap::new(),
            syscall_tier: tier.to_owned(),
            missing: missing(probes),
        }
    }

    fn ticks(&mut self, probes: &Probes, now: MonoNs) -> Settled {
        let ticks = probes.ticks();
        let idle = std::fs::read_to_string("/proc/stat").map(|stat| idle_times(&stat, self.tick_ns));
        let idle = idle.unwrap_or_default();
        let idle_ns = |cpu: &u32| idle.get(cpu).copied().unwrap_or(0);
        self.ticks.settle(
            now,
            ticks.into_iter().map(|(cpu, ticks)| (cpu, CpuNow { ticks, idle_ns: idle_ns(&cpu) })),
        )
    }

    /// CPU share of this process since the last call, its memory and its maps.
    pub(super) fn self_cost(&mut self, probes: &Probes, span: DurNs) -> SelfCost {
        let cpu_ns = clock::process_cpu_ns();
        let used = cpu_ns.saturating_sub(std::mem::replace(&mut self.cpu_ns, cpu_ns));
        let pages: u64 = std::fs::read_to_string("/proc/self/statm")
            .ok()
            .and_then(|s| s.split_whitespace().nth(1).and_then(|p| p.parse().ok()))
            .unwrap_or(0);
        SelfCost {
            cpu_pct: used as f64 * 100.0 / span.0.max(1) as f64,
            rss_bytes: pages * self.page_bytes,
            map_bytes: probes.map_bytes(),
            ..SelfCost::default()
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

//! # `softirq`: interrupt work fills a CPU
//!
//! **Class** `softirq`; subject is the host, the culprit says which kind of work on which CPU.
//!
//! **What.** One CPU spends at least [`IRQ_SHARE_ENTER`] of the time in soft and hard interrupts (to stay, and in four of five
//! windows: [`IRQ_SHARE_LEAVE`]).
//!
//! **Why.** Interrupt work takes CPU time from the process that runs there: it looks busy or slow and is neither. Most often all
//! packets of a network card arrive at one CPU.
//!
//! **Cure.** Spread it: several queues (`ethtool -L`), `irqbalance`, receive packet steering (`rps_cpus`); less of it: bigger
//! packets (GRO, jumbo frames), interrupt coalescing.

use std::collections::HashMap;

use super::lost::{culprit, host, suspect_other};
use super::{Class, Need, Rule, Trend, Verdict, evidence, level, verdict};
use crate::facts::{Facts, lasts};

/// Share of one CPU's time in interrupts, to enter.
const IRQ_SHARE_ENTER: f64 = 0.50;
/// The same, to stay, and in each single window.
const IRQ_SHARE_LEAVE: f64 = 0.35;

pub(super) const RULE: Rule =
    Rule { name: "softirq", classes: &[Class::Softirq], needs: Need::Nothing, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut cpus: HashMap<u32, Vec<f64>> = HashMap::new();
    let mut kinds: HashMap<(u32, &str), u64> = HashMap::new();
    for (at, window) in facts.windows.iter().enumerate() {
        let mut set = |cpu: u32, ns: u64| {
            let series = cpus.entry(cpu).or_insert_with(|| vec![0.0; facts.windows.len()]);
            series[at] = f64::max(series[at], ns as f64 / window.span().0.max(1) as f64);
        };
        for (cpu, times) in &window.host.cpus {
            set(cpu.0, times.softirq.0 + times.irq.0);
        }
        for row in &window.irqs {
            set(row.cpu, row.softirq.iter().map(|(.., ns)| ns.0).sum::<u64>() + row.hardirq.0);
            for (kind, _, ns) in &row.softirq {
                *kinds.entry((row.cpu, kind)).or_default() += ns.0;
            }
        }
    }
    let mean = |series: &[f64]| series.iter().sum::<f64>() / series.len().max(1) as f64;
    let worst = cpus.iter().max_by(|a, b| mean(a.1).total_cmp(&mean(b.1)));
    let Some((cpu, series)) = worst.filter(|(_, series)| lasts(series, IRQ_SHARE_LEAVE)) else {
        return Verdict::Ok;
    };
    let share = mean(series);
    let Some(level) = level(share, IRQ_SHARE_ENTER, IRQ_SHARE_LEAVE) else { return Verdict::Ok };
    let kind = kinds.iter().filter(|((on, _), _)| on == cpu).max_by_key(|(_, ns)| **ns);
    let name = kind.map_or("interrupts", |((_, kind), _)| kind);
    let mut numbers = vec![evidence(
        format!("share of CPU {cpu}'s time in interrupts"),
        share * 100.0,
        "%",
        Some(IRQ_SHARE_ENTER * 100.0),
    )];
    if let Some(((_, kind), ns)) = kind {
        numbers.push(evidence(
            format!("time in softirq {kind} on that CPU"),
            facts.per_second(*ns) / 1e7,
            "% of a core",
            None,
        ));
    }
    let mut suspicion = suspect_other(RULE.name, Class::Softirq, host(), level, numbers);
    let finding = &mut suspicion.finding;
    finding.culprit = Some(culprit("host", format!("{name} on CPU {cpu}")));
    finding.lost_ns_per_s = (share * 1e9) as u64;
    finding.share_pct = share * 100.0;
    finding.confidence = 0.7;
    finding.advice = format!(
        "{name} fills CPU {cpu}: spread it (more queues, irqbalance, rps_cpus), or reduce it (GRO, coalescing)"
    );
    verdict(vec![suspicion])
}

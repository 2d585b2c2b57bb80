//! Coverage and own cost of several windows.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_common::abi::python::PythonVerdict;
use agent_common::abi::unwind::Verdict;
use agent_common::units::Tgid;
use agent_common::wire::report::{Coverage, SelfCost, UnwindCost};
use diagnosis::window::Window;

/// Adds up. The tier is that of all windows, `mixed` where it changed between them; the share of named frames is
/// weighted by the samples.
#[must_use]
pub fn coverage(windows: &[Arc<Window>]) -> Coverage {
    let mut sum = Coverage::default();
    let (mut named, mut weight) = (0.0, 0.0);
    for window in windows {
        let one = &window.coverage;
        sum.expected += one.expected;
        sum.captured += one.captured;
        for (reason, lost) in one.lost.iter().filter(|(_, lost)| **lost > 0) {
            *sum.lost.entry(reason.clone()).or_default() += lost;
        }
        if let Some(pct) = one.symbolized_pct {
            let samples = one.captured.max(1) as f64;
            named += pct * samples;
            weight += samples;
        }
        if sum.syscall_tier.is_empty() {
            sum.syscall_tier.clone_from(&one.syscall_tier);
        } else if !one.syscall_tier.is_empty() && sum.syscall_tier != one.syscall_tier {
            "mixed".clone_into(&mut sum.syscall_tier);
        }
        for missing in &one.missing {
            if !sum.missing.contains(missing) {
                sum.missing.push(missing.clone());
            }
        }
    }
    sum.symbolized_pct = (weight > 0.0).then(|| named / weight);
    sum.unwound = unwound(windows, None);
    sum.pythons = pythons(windows, None);
    sum
}

/// User stacks of one Python process, or of all, by how the walk up their Python frames ended.
#[must_use]
pub fn pythons(windows: &[Arc<Window>], pid: Option<Tgid>) -> BTreeMap<String, u64> {
    ended(windows.iter().flat_map(|window| &window.pythons), pid, PythonVerdict::ALL.map(PythonVerdict::name))
}

/// User stacks of one process, or of all, by how the walk up them ended.
#[must_use]
pub fn unwound(windows: &[Arc<Window>], pid: Option<Tgid>) -> BTreeMap<String, u64> {
    let mut sum =
        ended(windows.iter().flat_map(|window| &window.unwound), pid, Verdict::ALL.map(Verdict::name));
    sum.remove(Verdict::None.name());
    sum
}

/// Adds up by verdict, of one process or of all. What did not happen is left out.
fn ended<'a, const N: usize>(
    processes: impl Iterator<Item = (&'a Tgid, &'a [u64; N])>,
    pid: Option<Tgid>,
    names: [&str; N],
) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for (_, verdicts) in processes.filter(|(tgid, _)| pid.is_none_or(|pid| **tgid == pid)) {
        for (name, count) in names.iter().zip(verdicts).filter(|(_, count)| **count > 0) {
            *sum.entry((*name).to_owned()).or_default() += count;
        }
    }
    sum
}

/// CPU weighted by the windows' lengths, memory as of the last, what was counted summed up.
pub(super) fn self_cost(windows: &[Arc<Window>]) -> SelfCost {
    let span: f64 = windows.iter().map(|window| window.span().as_secs_f64()).sum();
    let spent: f64 =
        windows.iter().map(|window| window.self_cost.cpu_pct * window.span().as_secs_f64()).sum();
    let mut cost = windows.last().map(|window| window.self_cost.clone()).unwrap_or_default();
    cost.cpu_pct = if span > 0.0 { spent / span } else { 0.0 };
    let sum = |of: fn(&UnwindCost) -> u64| windows.iter().map(|window| of(&window.self_cost.unwind)).sum();
    cost.unwind.cpu_ns = sum(|unwind| unwind.cpu_ns);
    cost.unwind.evicted = sum(|unwind| unwind.evicted);
    cost.unwind.refused = sum(|unwind| unwind.refused);
    cost
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagnosis::testing::window;

    #[test]
    fn losses_add_up_by_reason_and_a_change_of_tier_is_said() {
        let mut first = window(0);
        first.coverage.expected = 194;
        first.coverage.captured = 190;
        first.coverage.lost = [("sample_ring_full".to_owned(), 4), ("read_failed".to_owned(), 0)].into();
        first.coverage.symbolized_pct = Some(90.0);
        let mut second = window(1);
        second.coverage.expected = 194;
        second.coverage.captured = 570;
        second.coverage.lost = [("sample_ring_full".to_owned(), 1)].into();
        second.coverage.symbolized_pct = Some(100.0);
        second.coverage.syscall_tier = "counts".into();
        second.coverage.missing = vec!["x".into()];
        let sum = coverage(&[Arc::new(first), Arc::new(second)]);
        assert_eq!((sum.expected, sum.captured), (388, 760));
        assert_eq!(sum.lost, [("sample_ring_full".to_owned(), 5)].into());
        assert_eq!(sum.symbolized_pct, Some(97.5));
        assert_eq!(sum.syscall_tier, "mixed");
        assert_eq!(sum.missing, ["x"]);
    }

    #[test]
    fn stacks_are_counted_by_process_and_kernel_threads_have_none() {
        let mut first = window(0);
        first.unwound.insert(Tgid(2), [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        first.unwound.insert(Tgid(7), [0, 90, 5, 0, 0, 0, 0, 4, 0, 0, 1, 0, 0, 0]);
        let mut second = window(1);
        second.unwound.insert(Tgid(7), [0, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        second.unwound.insert(Tgid(8), [0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0]);
        second.pythons.insert(Tgid(7), [0, 999, 1, 0, 0]);
        let windows = [Arc::new(first), Arc::new(second)];
        let sum = coverage(&windows);
        assert_eq!(
            sum.stacks_text().unwrap(),
            "user stacks 96.0% complete; cut: 4 no table, 3 jit, 1 fault; Python stacks 99.9% complete; cut: 1 truncated"
        );
        assert_eq!(pythons(&windows, Some(Tgid(8))), BTreeMap::new());
        assert_eq!(unwound(&windows, Some(Tgid(8))), [("jit".to_owned(), 3)].into());
        assert_eq!(unwound(&windows, Some(Tgid(2))), BTreeMap::new());
        assert_eq!(Coverage::default().stacks_text(), None);
    }

    #[test]
    fn own_cost_is_weighted_by_time() {
        let mut first = window(0);
        first.self_cost.cpu_pct = 1.0;
        first.self_cost.unwind = UnwindCost { tables: 9, cpu_ns: 3, refused: 1, ..UnwindCost::default() };
        let mut second = window(1);
        second.end.0 += 2_000_000_000;
        let unwind = UnwindCost { tables: 4, cpu_ns: 5, ..UnwindCost::default() };
        second.self_cost = SelfCost { cpu_pct: 5.0, rss_bytes: 7, map_bytes: 8, unwind };
        let cost = self_cost(&[Arc::new(first), Arc::new(second)]);
        let unwind = UnwindCost { tables: 4, cpu_ns: 8, refused: 1, ..UnwindCost::default() };
        assert_eq!(cost, SelfCost { cpu_pct: 4.0, rss_bytes: 7, map_bytes: 8, unwind });
        assert_eq!(self_cost(&[]), SelfCost::default());
    }
}

//! Which processes are shown one by one, and which are summed up.

use std::collections::HashSet;

use agent_common::units::Tgid;

use super::Usage;

/// Criteria by which a process can be interesting.
const CRITERIA: [fn(&Usage) -> u64; 9] = [
    |row| row.cpu().0,
    |row| row.lost().0,
    |row| row.runq.unwrap_or_default().0,
    |row| row.syscalls,
    Usage::io_bytes,
    |row| row.rss_bytes,
    |row| row.syscall_errors,
    |row| row.maj_flt,
    |row| row.min_flt,
];

/// [`rank_with`] without processes that must be in.
#[must_use]
pub fn rank(rows: Vec<Usage>, top_n: usize) -> (Vec<Usage>, Option<Usage>) {
    rank_with(rows, top_n, &[])
}

/// All rows that did anything, but at most `most`, and idle ones, the largest first: [`IDLE_ROWS`], or as many as fill up `few`. The rest
/// is one row `other`.
#[must_use]
pub fn rank_active(rows: Vec<Usage>, few: usize, most: usize) -> (Vec<Usage>, Option<Usage>) {
    let active: Vec<Tgid> = rows.iter().filter(|row| !row.is_idle()).map(|row| row.tgid).collect();
    if active.len() >= most {
        return rank(rows, most);
    }
    let top_n = (active.len() + IDLE_ROWS).max(few).min(most);
    rank_with(rows, top_n, &active)
}

/// Idle processes that are shown beside those that did something: the largest take nearly all the memory that idle ones have.
const IDLE_ROWS: usize = 50;

/// The `top_n` most interesting rows, and the rest as one row `other` (`tgid` 0), absent when there is no rest.
///
/// Those of `must` come in first; then the criteria choose in turn, each its highest row not chosen yet, so that the
/// greatest by any one of them is in from 9 rows on. The chosen rows come by CPU and run-queue time, then syscalls,
/// then memory.
#[must_use]
pub fn rank_with(rows: Vec<Usage>, top_n: usize, must: &[Tgid]) -> (Vec<Usage>, Option<Usage>) {
    let must: HashSet<Tgid> = must.iter().copied().collect();
    let mut chosen: Vec<bool> = rows.iter().map(|row| must.contains(&row.tgid)).collect();
    let orders: Vec<Vec<usize>> = CRITERIA.iter().map(|criterion| order(&rows, *criterion)).collect();
    let mut next = [0; CRITERIA.len()];
    let forced = chosen.iter().filter(|chosen| **chosen).count();
    let mut left = top_n.min(rows.len()).saturating_sub(forced);
    while left > 0 {
        let before = left;
        for (order, at) in orders.iter().zip(&mut next) {
            while order.get(*at).is_some_and(|row| chosen[*row]) {
                *at += 1;
            }
            if let Some(row) = order.get(*at).filter(|_| left > 0) {
                chosen[*row] = true;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    let mut other: Option<Usage> = None;
    let mut top = Vec::with_capacity(top_n.min(rows.len()));
    for (row, chosen) in rows.into_iter().zip(chosen) {
        if chosen {
            top.push(row);
        } else {
            let fresh = || Usage { comm: "other".into(), cgroup: "".into(), ..Usage::default() };
            other.get_or_insert_with(fresh).absorb(&row);
        }
    }
    let key = |row: &Usage| (row.cpu().0 + row.runq.unwrap_or_default().0, row.syscalls, row.rss_bytes);
    top.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| a.tgid.cmp(&b.tgid)));
    (top, other)
}

/// Rows with anything to say on a criterion, highest first.
fn order(rows: &[Usage], criterion: fn(&Usage) -> u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).filter(|row| criterion(&rows[*row]) > 0).collect();
    order.sort_by_key(|row| {
        (std::cmp::Reverse(criterion(&rows[*row])), rows[*row].tgid, rows[*row].start_boot_ns)
    });
    order
}

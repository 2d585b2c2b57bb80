//! Which statement is the reason.

use std::collections::HashMap;

use super::{Statement, Weight};

/// A pause of this length ends a burst of lines, ns: a program that fails says it at once.
const BURST_GAP_NS: u64 = 1_000_000_000;
/// The last burst begins at most so long before the end, ns.
const BURST_NS: u64 = 10_000_000_000;
/// What was said longer ago than this explains no end, ns.
const OLD_NS: u64 = 60_000_000_000;
/// Most reasons that are weighed: nobody reads on after the first few.
const MAX_REASONS: usize = 32;
/// A line that comes this often is the program's routine.
const ROUTINE_COUNT: usize = 3;

/// The text with each run of digits as one sign: lines of one kind are equal.
fn template(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            _ => out.push(c),
        }
    }
    out
}

/// The statements that can be the reason, the likeliest first: an uncaught exception; errors of the last burst, the first of them
/// first; older errors, the newest first; what was handled or is routine.
pub(super) fn reasons(all: &[Statement], end_ns: u64) -> Vec<Statement> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for statement in all {
        *counts.entry(template(&statement.text)).or_default() += 1;
    }
    let is_routine = |statement: &Statement| {
        counts[&template(&statement.text)] >= ROUTINE_COUNT && statement.trace.is_none()
    };
    let age =
        |statement: &Statement| if statement.at_ns == 0 { 0 } else { end_ns.saturating_sub(statement.at_ns) };
    // The burst is what stands after the last pause.
    let mut begin = all.len();
    for at in (0..all.len()).rev() {
        let gap = all.get(at + 1).map_or(0, |next| next.at_ns.saturating_sub(all[at].at_ns));
        let complains_after = all[at + 1..].iter().any(|statement| statement.weight >= Weight::Error);
        if complains_after && (gap > BURST_GAP_NS || age(&all[at]) > BURST_NS) {
            break;
        }
        begin = at;
    }
    let bad = |statement: &&Statement| statement.weight >= Weight::Error;
    let (old, burst) = all.split_at(begin);
    let fresh = |statement: &&Statement| age(statement) <= OLD_NS;
    let mut order: Vec<(u8, &Statement)> = Vec::new();
    let uncaught = burst.iter().rev().find(|statement| {
        statement.weight == Weight::Fatal
            && statement.trace.as_ref().is_some_and(|trace| !trace.is_consequence())
    });
    let said_before = |one: &Statement, at: usize| {
        burst[..at].iter().any(|before| {
            before.trace.is_none()
                && before.weight == Weight::Fatal
                && before.trouble.is_some()
                && one != before
        })
    };
    for (at, statement) in burst.iter().enumerate().filter(|(_, statement)| fresh(statement)) {
        let is_uncaught = uncaught.is_some_and(|one| std::ptr::eq(one, statement));
        let rank = match statement.weight {
            Weight::Plain => continue,
            _ if is_uncaught && !said_before(statement, at) => 0,
            Weight::Handled => 4,
            _ if is_routine(statement) => 4,
            Weight::Fatal if statement.trace.is_none() && statement.trouble.is_some() => 1,
            _ => 2,
        };
        // The first error counts, so errors and fatal ones are one rank unless the error is routine.
        order.push((if rank == 1 { 2 } else { rank }, statement));
    }
    for statement in old.iter().rev().filter(bad).filter(fresh) {
        order.push((if is_routine(statement) { 5 } else { 3 }, statement));
    }
    order.sort_by_key(|(rank, _)| *rank);
    order.truncate(MAX_REASONS);
    order.into_iter().map(|(rank, statement)| Statement { rank, ..statement.clone() }).collect()
}

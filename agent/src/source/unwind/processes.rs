//! Which mappings the kernel side has of each process.

use std::time::{Duration, Instant};

use agent_common::abi::unwind::{Mapping, PROCESSES, ProcessMaps};
use agent_common::units::Tgid;

use super::files::{Of, Sizes};
use super::process::{Found, Plan};
use super::tables::TableId;
use super::worker::Worker;
use crate::clock;

/// A process whose samples say that its mappings have changed is looked at again after this at the soonest; each time that
/// they have not after twice as long, up to [`REFRESH_MAX`]: code without a mapping may be one that cannot be unwound
/// whatever we do.
const REFRESH_MIN: Duration = Duration::from_millis(20);
const REFRESH_MAX: Duration = Duration::from_secs(30);
/// Reading a process' mappings may take at most one part in this many of the time: Java changes thousands.
const READ_TIME_DIVISOR: u32 = 50;
/// Failed readings in a row after which stacks that lead into unmapped code are no longer copied.
const MAX_FAILED_READS: u32 = 3;
/// Time without a sample after which a process may give its place to another one.
const EVICT_AFTER: Duration = Duration::from_mins(1);

/// A process that has been looked at.
#[derive(Debug)]
pub(super) struct Process {
    first: u32,
    count: u32,
    tables: Vec<TableId>,
    python: Option<(u64, u32)>,
    pub(super) sampled: Instant,
    /// Not looked at again before.
    pub(super) next: Instant,
    /// Looks since the last one that found something new.
    vain: u32,
}

impl Worker {
    /// The kernel side has let the child have its parent's list. It gets one of its own, since the parent's may go.
    pub(super) fn fork(&mut self, parent: Tgid, child: Tgid, now: Instant) {
        self.forget(child, now);
        let Some(parent) = self.processes.get(&parent) else { return };
        let mappings = self.mappings(parent);
        let (tables, python) = (parent.tables.clone(), parent.python);
        for table in &tables {
            self.tables.used_by_one_more(*table);
        }
        self.give(child, Plan { mappings, tables, python, left_out: 0 }, (0, REFRESH_MIN), now);
    }

    pub(super) fn forget(&mut self, tgid: Tgid, now: Instant) {
        self.queue.remove(tgid);
        if self.processes.contains_key(&tgid) {
            self.maps.drop_process(tgid.0);
            self.release(tgid, now);
        }
    }

    fn release(&mut self, tgid: Tgid, now: Instant) {
        if let Some(process) = self.processes.remove(&tgid) {
            self.places.give(process.first, process.count, now);
            for table in process.tables {
                self.tables.used_by_one_less(table, now);
            }
        }
    }

    /// Gives the process its mappings, with tables of files of these sizes. True if one was left for later.
    pub(super) fn look_at(&mut self, tgid: Tgid, sizes: Sizes, now: Instant) -> bool {
        let begin = clock::thread_cpu();
        // What does not answer keeps what it has.
        let Ok(found) = self.maps_of(tgid) else { return false };
        let Some(found) = found else {
            // Gone, or a kernel thread.
            self.forget(tgid, now);
            return false;
        };
        let took = clock::thread_cpu().saturating_sub(begin);
        if found.is_empty() {
            return false;
        }
        let mut left = false;
        let of = Of::process(tgid);
        let mut plan = Plan::default();
        for mapping in &found {
            let what = self.find(of, mapping, sizes, now);
            left |= what == Found::Large;
            if let Found::Table(id) = what
                && !plan.tables.contains(&id)
            {
                // At once, so that the next file does not put it out.
                self.tables.used_by_one_more(id);
                plan.tables.push(id);
            }
            let loaded = if let Found::Table(id) = what { self.tables.get(id) } else { None };
            plan.add(mapping, what, loaded);
            plan.python =
                plan.python.or_else(|| self.pythons.find(&mut self.maps, &self.workers, of, mapping));
        }
        self.refused += plan.left_out as u64;
        let vain = match self.processes.get(&tgid) {
            Some(process) if self.mappings(process) == plan.mappings => process.vain.saturating_add(1),
            _ => 0,
        };
        let pause = REFRESH_MIN
            .max(took * READ_TIME_DIVISOR)
            .saturating_mul(2u32.saturating_pow(vain))
            .min(REFRESH_MAX);
        self.give(tgid, plan, (vain, pause), now);
        left
    }

    /// What the kernel side has of a process.
    fn mappings(&self, process: &Process) -> Vec<Mapping> {
        (process.first..process.first + process.count).map(|at| self.maps.mapping(at)).collect()
    }

    /// Gives a process its mappings, in place of those it had. Their tables count it as a user already.
    fn give(&mut self, tgid: Tgid, plan: Plan, (vain, pause): (u32, Duration), now: Instant) {
        let sampled = self.processes.get(&tgid).map_or(now, |p| p.sampled);
        self.release(tgid, now);
        let count = plan.mappings.len() as u32;
        if self.processes.len() >= PROCESSES as usize {
            self.evict_processes(now);
        }
        let Some(first) = self.places.take(count, now) else {
            self.evict_processes(now);
            self.refused += 1;
            self.maps.drop_process(tgid.0);
            for table in plan.tables {
                self.tables.used_by_one_less(table, now);
            }
            return;
        };
        for (at, mapping) in plan.mappings.into_iter().enumerate() {
            self.maps.put_mapping(first + at as u32, mapping);
        }
        let copy_stacks = u32::from(vain < MAX_FAILED_READS);
        let (tables, python, next) = (plan.tables, plan.python, now + pause);
        self.processes.insert(tgid, Process { first, count, tables, python, sampled, next, vain });
        let (list, layout) = python.unwrap_or_default();
        if let Err(error) = self
            .maps
            .put_process(tgid.0, ProcessMaps { first, count, python: list, layout, young: copy_stacks })
        {
            tracing::debug!(%tgid, %error, "no room for another process' mappings");
            self.refused += 1;
            self.release(tgid, now);
        }
    }

    /// Processes that have not been sampled for long make room.
    pub(super) fn evict_processes(&mut self, now: Instant) {
        let idle: Vec<Tgid> = self
            .processes
            .iter()
            .filter(|(_, process)| now.saturating_duration_since(process.sampled) > EVICT_AFTER)
            .map(|(tgid, _)| *tgid)
            .collect();
        for tgid in idle {
            self.forget(tgid, now);
        }
    }
}

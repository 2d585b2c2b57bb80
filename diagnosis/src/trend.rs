//! Trends: a compact history of each process over its life, for growth that five seconds cannot show.
//!
//! Each process has four series (descriptors, threads, zombie children, memory) of at most [`MAX_POINTS`] points. A full series
//! drops every second point and doubles its step, so an hour costs as much as a minute. Beside it are the newest [`MAX_POINTS`]
//! windows, one point each. (2 × 4 × 64 × 16 bytes a process, 4 MiB for 500.)

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use agent_common::units::{BootNs, Tgid};

use crate::window::TaskState;
use crate::window::Window;

/// Most points of a series.
const MAX_POINTS: usize = 64;
/// Windows without a process after which its history is dropped.
const FORGET_AFTER_WINDOWS: u64 = 30;

/// A quantity that can grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Measure {
    Fds,
    Threads,
    Zombies,
    Memory,
}

impl Measure {
    pub(super) const ALL: [Self; 4] = [Self::Fds, Self::Threads, Self::Zombies, Self::Memory];
}

/// A series of (seconds since the first window, value), with growing steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    points: Vec<(f64, f64)>,
    step: u32,
    skip: u32,
    last: (f64, f64),
    recent: VecDeque<(f64, f64)>,
}

impl Series {
    fn push(&mut self, at: f64, value: f64) {
        self.last = (at, value);
        if self.recent.len() == MAX_POINTS {
            self.recent.pop_front();
        }
        self.recent.push_back((at, value));
        self.step = self.step.max(1);
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.skip = self.step - 1;
        self.points.push((at, value));
        if self.points.len() == MAX_POINTS {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
            self.step *= 2;
        }
    }

    /// Seconds from the first point to the last.
    pub(super) fn seconds(&self) -> f64 {
        self.points.first().map_or(0.0, |first| self.last.0 - first.0)
    }

    /// The newest part of at least `seconds`, in the finest steps that reach so far back.
    pub(super) fn newest(&self, seconds: f64) -> Self {
        let from = self.last.0 - seconds;
        let whole: Vec<(f64, f64)> = if self.recent.front().is_some_and(|first| first.0 <= from) {
            self.recent.iter().copied().collect()
        } else {
            self.points.clone()
        };
        let at = whole.iter().rposition(|point| point.0 <= from + 1e-6).unwrap_or(0);
        Self { points: whole[at..].to_vec(), last: self.last, ..Self::default() }
    }

    /// Its beginning until it first reached `value`; all of it if it never did.
    pub(super) fn up_to(&self, value: f64) -> Self {
        let end =
            self.points.iter().position(|point| point.1 >= value).map_or(self.points.len(), |at| at + 1);
        let last = if end < self.points.len() { self.points[end - 1] } else { self.last };
        Self { points: self.points[..end].to_vec(), last, ..Self::default() }
    }

    pub(super) const fn value(&self) -> f64 {
        self.last.1
    }

    /// Growth a second, if it is steady: each of `parts` equal parts has a slope of at least [`MIN_PART_SLOPE_RATIO`] of the whole. `None`
    /// for a step, a plateau or a saw-tooth.
    pub(super) fn steady_growth(&self, parts: usize) -> Option<f64> {
        let (first, length) = (self.points.first()?, self.seconds());
        if length <= 0.0 || self.points.len() <= parts {
            return None;
        }
        let whole = (self.last.1 - first.1) / length;
        let at = |time: f64| {
            let next = self.points.iter().chain([&self.last]).position(|point| point.0 >= time)?;
            let point = self.points.get(next).unwrap_or(&self.last);
            Some((point.0, point.1))
        };
        for part in 0..parts {
            let from = at(first.0 + length * part as f64 / parts as f64)?;
            let to = if part + 1 == parts {
                self.last
            } else {
                at(first.0 + length * (part + 1) as f64 / parts as f64)?
            };
            if to.0 > from.0 && (to.1 - from.1) / (to.0 - from.0) < MIN_PART_SLOPE_RATIO * whole {
                return None;
            }
        }
        (whole > 0.0).then_some(whole)
    }
}

/// Least slope of each part of steady growth, as a share of the whole's slope.
const MIN_PART_SLOPE_RATIO: f64 = 0.3;

/// The history of a process.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) comm: Arc<str>,
    pub(super) cgroup: Arc<str>,
    pub(super) fd_limit: Option<u64>,
    pub(super) series: [Series; 4],
    seen: u64,
}

/// The history of all processes, and the room left in the host's tables.
#[derive(Debug, Clone, Default)]
pub struct Trend {
    lives: HashMap<(Tgid, BootNs), Life>,
    windows: u64,
    seconds: f64,
    /// Memory that a process could still get: available and free swap, bytes.
    pub(super) memory_left: f64,
    pub(super) threads_left: Option<f64>,
    pub(super) pids_left: Option<f64>,
}

impl Trend {
    /// The trend of these windows alone.
    #[must_use]
    pub fn of(windows: &[Arc<Window>]) -> Self {
        let mut trend = Self::default();
        for window in windows {
            trend.push(window);
        }
        trend
    }

    /// Adds the next window.
    pub fn push(&mut self, window: &Window) {
        self.windows += 1;
        self.seconds += window.span().as_secs_f64();
        let mut zombies: HashMap<Tgid, u32> = HashMap::new();
        for task in window.tasks.iter().filter(|task| task.state == TaskState::Zombie) {
            *zombies.entry(task.parent).or_default() += 1;
        }
        for task in window.tasks.iter().filter(|task| !task.kernel && task.state != TaskState::Zombie) {
            let life = self.lives.entry((task.tgid, task.start_boot_ns)).or_insert_with(|| Life {
                comm: Arc::clone(&task.comm),
                cgroup: Arc::clone(&task.cgroup),
                fd_limit: None,
                series: Default::default(),
                seen: 0,
            });
            life.seen = self.windows;
            life.fd_limit = task.fd_limit;
            if life.comm != task.comm {
                // A new program: what it needs at the start is not a leak of the old one.
                life.comm = Arc::clone(&task.comm);
                life.series = Default::default();
            }
            let at = self.seconds;
            if let Some(fds) = task.fds {
                life.series[Measure::Fds as usize].push(at, f64::from(fds));
            }
            life.series[Measure::Threads as usize].push(at, f64::from(task.threads));
            let children = zombies.get(&task.tgid).copied().unwrap_or(0);
            life.series[Measure::Zombies as usize].push(at, f64::from(children));
            let memory = task.rss_bytes + task.swap_bytes.unwrap_or(0);
            life.series[Measure::Memory as usize].push(at, memory as f64);
        }
        let memory = &window.host.memory;
        self.memory_left = (memory.available_bytes + memory.swap_free_bytes) as f64;
        let tables = window.host.tables;
        let left = |(used, most): (u64, u64)| most.saturating_sub(used) as f64;
        self.threads_left = tables.threads.map(left);
        self.pids_left = tables.pids.map(left);
        let now = self.windows;
        self.lives.retain(|_, life| now - life.seen < FORGET_AFTER_WINDOWS);
    }

    /// Processes that were in the newest window.
    pub(super) fn lives(&self) -> impl Iterator<Item = (Tgid, &Life)> {
        let now = self.windows;
        self.lives.iter().filter(move |(_, life)| life.seen == now).map(|((tgid, _), life)| (*tgid, life))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: impl Iterator<Item = f64>) -> Series {
        let mut series = Series::default();
        values.enumerate().for_each(|(at, value)| series.push(at as f64, value));
        series
    }

    #[test]
    fn growth_is_steady_or_it_is_none() {
        assert!((series((0..20).map(|n| f64::from(n) * 5.0)).steady_growth(4).unwrap() - 5.0).abs() < 1e-9);
        let step = (0..20).map(|n| if n < 10 { 0.0 } else { 100.0 });
        assert_eq!(series(step).steady_growth(4), None, "a step");
        let plateau = (0..40).map(|n| f64::from(n.min(20)));
        assert_eq!(series(plateau).steady_growth(4), None, "a plateau");
        let saw = (0..40).map(|n| f64::from(n % 10));
        assert_eq!(series(saw).steady_growth(4), None, "a saw-tooth");
    }

    #[test]
    fn growth_up_to_a_limit_is_what_came_before_it() {
        let full = series((0..40).map(|n| f64::from(n.min(20)) * 5.0));
        assert_eq!(full.steady_growth(4), None, "a plateau");
        let before = full.up_to(95.0);
        assert!((before.steady_growth(4).unwrap() - 5.0).abs() < 1e-9, "{before:?}");
        assert!((full.up_to(1e9).seconds() - full.seconds()).abs() < 1e-9, "never that high");
    }

    #[test]
    fn a_long_life_costs_as_much_as_a_short_one() {
        let long = series((0..100_000).map(f64::from));
        assert!(long.points.len() < MAX_POINTS);
        assert!((long.seconds() - 99_999.0).abs() < 1e-9);
        assert!((long.steady_growth(4).unwrap() - 1.0).abs() < 1e-9);
    }
}

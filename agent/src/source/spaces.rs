//! What is mapped where in each process: kept for a moment after it has gone, since its samples are read later than taken.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use agent_common::units::{MonoNs, Tgid};
use flamegraphs::symbolize::maps::{self, Mapping};

use crate::bpf::{MappingChange, MappingEvent};

/// How long a process that has gone is remembered: its samples are read within a tenth of this.
const REMEMBERED_NS: u64 = 2_000_000_000;
/// Processes remembered at most; ~1 KiB each, most of it shared with whoever forked it.
const PROCESSES: usize = 16_384;

/// The executable mappings of a process, by address.
pub type Mappings = Arc<Vec<Mapping>>;

#[derive(Debug, Clone)]
struct Space {
    /// Since when they are these: the fork or the exec.
    since: MonoNs,
    mappings: Mappings,
    /// What was there before the exec.
    before: Option<Mappings>,
}

/// All processes that began while we looked, and those that forked them.
#[derive(Debug, Default)]
pub struct Spaces {
    known: HashMap<Tgid, Space>,
    gone: VecDeque<(MonoNs, Tgid)>,
}

impl Spaces {
    /// Takes what happened, in its order.
    pub fn take(&mut self, events: Vec<MappingEvent>) {
        for MappingEvent { at, tgid, what } in events {
            match what {
                MappingChange::Fork { parent } => self.fork(at, parent, tgid),
                MappingChange::Exec => self.exec(at, tgid),
                MappingChange::Exit => self.gone.push_back((at, tgid)),
                // What was mapped before we looked is not known of the others: they live, and `/proc` tells.
                MappingChange::Map(mapping) => {
                    if let Some(space) = self.known.get_mut(&tgid) {
                        put(Arc::make_mut(&mut space.mappings), mapping);
                    }
                }
            }
        }
    }

    /// Forgets those that are gone for long.
    pub fn trim(&mut self, now: MonoNs) {
        while let Some((at, tgid)) = self.gone.pop_front_if(|(at, _)| now.since(*at).0 > REMEMBERED_NS) {
            // Its number may be another one's by now.
            if self.known.get(&tgid).is_some_and(|space| space.since <= at) {
                self.known.remove(&tgid);
            }
        }
    }

    /// What process `tgid` had mapped at that time, with what it mapped since, and before the exec that came before that. Empty
    /// where nothing is known.
    #[must_use]
    pub fn at(&self, tgid: Tgid, at: MonoNs) -> (Mappings, Mappings) {
        let Some(space) = self.known.get(&tgid) else { return Default::default() };
        let before = space.before.clone().unwrap_or_default();
        if at >= space.since { (Arc::clone(&space.mappings), before) } else { (before, Mappings::default()) }
    }

    /// All that is known of a process: before its last exec, and since.
    pub fn of(&self, tgid: Tgid) -> impl Iterator<Item = &Mappings> {
        let space = self.known.get(&tgid);
        let all = space.into_iter().flat_map(|space| space.before.iter().chain([&space.mappings]));
        all.filter(|mappings| !mappings.is_empty())
    }

    fn fork(&mut self, at: MonoNs, parent: Tgid, child: Tgid) {
        if self.known.len() >= PROCESSES {
            return;
        }
        let parents = self.known.entry(parent).or_insert_with(|| {
            // One from before: what it has, its child has.
            let mappings = Arc::new(maps::read(parent.0).unwrap_or_default());
            Space { since: MonoNs(0), mappings, before: None }
        });
        let mappings = Arc::clone(&parents.mappings);
        self.known.insert(child, Space { since: at, mappings, before: None });
    }

    fn exec(&mut self, at: MonoNs, tgid: Tgid) {
        let before = self.known.get(&tgid).map(|space| Arc::clone(&space.mappings));
        self.known.insert(tgid, Space { since: at, mappings: Mappings::default(), before });
    }
}

/// A mapping takes the place of what was there.
fn put(mappings: &mut Vec<Mapping>, new: Mapping) {
    mappings.retain(|old| old.end <= new.start || new.end <= old.start);
    let place = mappings.partition_point(|old| old.start < new.start);
    mappings.insert(place, new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(start: u64) -> Mapping {
        Mapping::new((start, start + 0x1000), 0, (1, 2), "/bin/sh")
    }

    fn event(at: u64, tgid: u32, what: MappingChange) -> MappingEvent {
        MappingEvent { at: MonoNs(at), tgid: Tgid(tgid), what }
    }

    fn starts(spaces: &Spaces, tgid: u32, at: u64) -> Option<Vec<u64>> {
        let (mappings, _) = spaces.at(Tgid(tgid), MonoNs(at));
        let starts: Vec<u64> = mappings.iter().map(|mapping| mapping.start).collect();
        (!starts.is_empty()).then_some(starts)
    }

    #[test]
    fn a_child_has_its_parents_mappings_until_it_calls_exec() {
        let mut spaces = Spaces::default();
        spaces.take(vec![
            event(1, 10, MappingChange::Exec),
            event(2, 10, MappingChange::Map(mapping(0x5000))),
            event(3, 11, MappingChange::Fork { parent: Tgid(10) }),
            event(4, 10, MappingChange::Map(mapping(0x3000))),
            event(5, 11, MappingChange::Exec),
            event(6, 11, MappingChange::Map(mapping(0x9000))),
        ]);
        assert_eq!(starts(&spaces, 10, 9), Some(vec![0x3000, 0x5000]));
        assert_eq!(starts(&spaces, 11, 4), Some(vec![0x5000]));
        assert_eq!(starts(&spaces, 11, 9), Some(vec![0x9000]));
        assert_eq!(starts(&spaces, 12, 9), None);
    }

    #[test]
    fn a_process_is_remembered_for_a_moment_and_its_number_is_free_after_that() {
        let mut spaces = Spaces::default();
        spaces
            .take(vec![event(1, 10, MappingChange::Exec), event(2, 10, MappingChange::Map(mapping(0x5000)))]);
        spaces.take(vec![event(3, 10, MappingChange::Exit)]);
        spaces.trim(MonoNs(1000));
        assert!(starts(&spaces, 10, 9).is_some());
        spaces.take(vec![
            event(1500, 10, MappingChange::Exec),
            event(1501, 10, MappingChange::Map(mapping(0x7000))),
        ]);
        spaces.trim(MonoNs(3 + REMEMBERED_NS + 1));
        assert_eq!(starts(&spaces, 10, 1600), Some(vec![0x7000]));
        spaces.take(vec![event(1600, 10, MappingChange::Exit)]);
        spaces.trim(MonoNs(1600 + REMEMBERED_NS + 1));
        assert_eq!(starts(&spaces, 10, 1600), None);
    }

    #[test]
    fn what_is_mapped_over_another_takes_its_place() {
        let mut all = vec![mapping(0x1000), mapping(0x2000), mapping(0x4000)];
        put(&mut all, Mapping::new((0x1800, 0x3000), 0, (1, 2), "/x"));
        assert_eq!(all.iter().map(|mapping| mapping.start).collect::<Vec<_>>(), [0x1800, 0x4000]);
    }
}

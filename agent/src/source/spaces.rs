//! The mappings of each process. They stay for a short time after the process has ended, since its samples are read later than
//! they are taken.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use agent_common::units::{MonoNs, Tgid};
use flamegraphs::Mapped;
use flamegraphs::maps::Mapping;

use super::touch;
use crate::bpf::{MappingChange, MappingEvent};

/// How long a process that has gone is remembered: its samples are read within a tenth of this, and the stack of its end is walked
/// until the tables of its files are there.
const REMEMBERED_NS: u64 = 4_000_000_000;
/// Most processes in memory, ~1 KiB each; a fork shares most of it with its parent.
const MAX_PROCESSES: usize = 16_384;

/// The executable mappings of a process, by address.
pub type Mappings = Arc<Vec<Mapping>>;

/// Most programs in memory for one process: a script begins with two, and each exec adds one.
const MAX_PROGRAMS: usize = 8;

/// What a process had mapped since its fork or an exec.
#[derive(Debug, Clone)]
struct Program {
    since: MonoNs,
    mappings: Mappings,
    /// What was mapped in place of something else, when, and what that was.
    displaced: Vec<(MonoNs, Mapping, Vec<Mapping>)>,
}

/// Most replaced mappings in memory for a program, ~300 B each, until a sample needs them.
const MAX_REPLACED_MAPPINGS: usize = 64;

impl Program {
    fn new(since: MonoNs, mappings: Mappings) -> Self {
        Self { since, mappings, displaced: Vec::new() }
    }

    fn map(&mut self, at: MonoNs, new: Mapping) {
        let old = put(Arc::make_mut(&mut self.mappings), new.clone());
        if old.iter().any(|old| old.backing != new.backing) {
            if self.displaced.len() >= MAX_REPLACED_MAPPINGS {
                self.displaced.remove(0);
            }
            self.displaced.push((at, new, old));
        }
    }

    /// What it had mapped before anything took another's place.
    fn first(&self) -> Mappings {
        if self.displaced.is_empty() {
            return Arc::clone(&self.mappings);
        }
        let mut first: Vec<Mapping> = Vec::clone(&self.mappings);
        first.retain(|mapping| !self.displaced.iter().any(|(_, new, _)| overlap(mapping, new)));
        for old in self.displaced.iter().flat_map(|(.., old)| old) {
            if !first.iter().any(|known| overlap(known, old)) {
                put(&mut first, old.clone());
            }
        }
        Arc::new(first)
    }
}

/// Its programs, the last last.
#[derive(Debug, Clone)]
struct Space(Vec<Program>);

impl Space {
    fn new(since: MonoNs, mappings: Mappings) -> Self {
        Self(vec![Program::new(since, mappings)])
    }

    fn mappings(&self) -> Mappings {
        self.0.last().map(|program| Arc::clone(&program.mappings)).unwrap_or_default()
    }
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
                // Other processes began before the agent, so their earlier mappings are unknown: `/proc` has them all.
                MappingChange::Map(mapping) => {
                    if let Some(program) = self.known.get_mut(&tgid).and_then(|space| space.0.last_mut()) {
                        program.map(at, mapping);
                    }
                }
            }
        }
    }

    /// Forgets processes that ended long ago. Forgets all if too many remain: exits that the kernel could not deliver for lack of
    /// room add up.
    pub fn trim(&mut self, now: MonoNs) {
        if self.known.len() > MAX_PROCESSES {
            self.known.clear();
            self.gone.clear();
        }
        while let Some((at, tgid)) = self.gone.pop_front_if(|(at, _)| now.since(*at).0 > REMEMBERED_NS) {
            // Its number may be another one's by now.
            let is_gone = |space: &Space| space.0.last().is_none_or(|program| program.since <= at);
            if self.known.get(&tgid).is_some_and(is_gone) {
                self.known.remove(&tgid);
            }
        }
    }

    /// What the program that process `tgid` ran at that time had, or came to have, mapped; and what the one before had. Empty where
    /// nothing is known.
    #[must_use]
    pub fn at(&self, tgid: Tgid, at: MonoNs) -> (Mappings, Mappings) {
        let Some(Space(programs)) = self.known.get(&tgid) else { return Default::default() };
        let begun = programs.partition_point(|program| program.since <= at);
        let of = |place: usize| {
            programs.get(place).map(|program| Arc::clone(&program.mappings)).unwrap_or_default()
        };
        (begun.checked_sub(1).map(of).unwrap_or_default(), begun.checked_sub(2).map(of).unwrap_or_default())
    }

    /// How many mappings each program of a process has; the last program last.
    pub fn sizes(&self, tgid: Tgid) -> Vec<usize> {
        self.programs(tgid).map(|program| program.mappings.len()).collect()
    }

    /// All that is known of a process, the last program last.
    pub fn of(&self, tgid: Tgid) -> Vec<Mapped> {
        let mapped = self.programs(tgid).map(|program| {
            let began = Mapped::Program { since_ns: program.since.0, mappings: program.first() };
            let later = program.displaced.iter().map(|(at, new, _)| (at.0, new.clone())).collect();
            [began, Mapped::Later(later)]
        });
        mapped.flatten().filter(|one| !matches!(one, Mapped::Later(later) if later.is_empty())).collect()
    }

    fn programs(&self, tgid: Tgid) -> impl Iterator<Item = &Program> {
        let programs = self.known.get(&tgid).into_iter().flat_map(|space| &space.0);
        programs.filter(|program| !program.mappings.is_empty())
    }

    fn fork(&mut self, at: MonoNs, parent: Tgid, child: Tgid) {
        let parents = self.known.entry(parent).or_insert_with(|| {
            // One from before: what it has, its child has.
            Space::new(MonoNs(0), Arc::new(touch::mappings(parent)))
        });
        let mappings = parents.mappings();
        self.known.insert(child, Space::new(at, mappings));
    }

    fn exec(&mut self, at: MonoNs, tgid: Tgid) {
        let Space(programs) = self.known.entry(tgid).or_insert(Space(Vec::new()));
        if programs.len() >= MAX_PROGRAMS {
            programs.remove(0);
        }
        programs.push(Program::new(at, Mappings::default()));
    }
}

fn overlap(one: &Mapping, other: &Mapping) -> bool {
    one.start < other.end && other.start < one.end
}

/// A mapping takes the place of what was there, which is returned.
fn put(mappings: &mut Vec<Mapping>, new: Mapping) -> Vec<Mapping> {
    let old = mappings.extract_if(.., |old| overlap(old, &new)).collect();
    let place = mappings.partition_point(|old| old.start < new.start);
    mappings.insert(place, new);
    old
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
    fn processes_without_an_exit_event_do_not_add_up() {
        let mut spaces = Spaces::default();
        let begun = |tgid| event(1, tgid, MappingChange::Exec);
        spaces.take((1..=MAX_PROCESSES as u32).map(begun).collect());
        spaces.trim(MonoNs(2));
        assert_eq!(spaces.known.len(), MAX_PROCESSES);
        spaces.take(vec![begun(MAX_PROCESSES as u32 + 1)]);
        spaces.trim(MonoNs(3));
        assert_eq!(spaces.known.len(), 0);
    }

    #[test]
    fn what_is_mapped_over_another_takes_its_place() {
        let mut all = vec![mapping(0x1000), mapping(0x2000), mapping(0x4000)];
        put(&mut all, Mapping::new((0x1800, 0x3000), 0, (1, 2), "/x"));
        assert_eq!(all.iter().map(|mapping| mapping.start).collect::<Vec<_>>(), [0x1800, 0x4000]);
    }

    #[test]
    fn mappings_in_turn_are_reported_with_their_times() {
        let plugin = |name| Mapping::new((0x5000, 0x6000), 0, (1, 7), name);
        let mut spaces = Spaces::default();
        spaces.take(vec![
            event(1, 10, MappingChange::Exec),
            event(2, 10, MappingChange::Map(mapping(0x3000))),
            event(3, 10, MappingChange::Map(plugin("/alpha"))),
            event(4, 10, MappingChange::Map(plugin("/beta"))),
            // Its protection changes.
            event(5, 10, MappingChange::Map(plugin("/beta"))),
            event(6, 10, MappingChange::Map(plugin("/alpha"))),
        ]);
        let [Mapped::Program { since_ns: 1, mappings }, Mapped::Later(later)] = &spaces.of(Tgid(10))[..]
        else {
            panic!("{:?}", spaces.of(Tgid(10)));
        };
        assert_eq!(**mappings, [mapping(0x3000), plugin("/alpha")]);
        assert_eq!(*later, [(4, plugin("/beta")), (6, plugin("/alpha"))]);
        assert_eq!(spaces.sizes(Tgid(10)), [2]);
    }
}

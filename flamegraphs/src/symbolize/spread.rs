//! Debug info that is spread over several files: split DWARF (`.dwo`, or the `.dwp` of all of them), and what `dwz` has put
//! into a supplement. blazesym follows neither to the names of inlined functions; `addr2line` does.

mod places;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use addr2line::{Context, LookupContinuation as _, LookupResult};
use gimli::{DwarfPackage, EndianArcSlice, LittleEndian, Reader as _, SectionId, UnitType};
use profile::NotRead;

use super::files::{DebugName, Line};
use crate::elf::Elf;
pub(super) use places::Places;

type Slice = EndianArcSlice<LittleEndian>;
type Dwarf = gimli::Dwarf<Slice>;
type Unit = gimli::Unit<Slice>;

/// Units of one program looked at at most, and `.dwo` files opened for them: of a browser there are 30,000.
const MAX_UNITS: usize = 100_000;
const MAX_DWO: usize = 4096;

/// Ranges of addresses kept of units without their `.dwo`: all are searched for each address. 64 KiB.
const MAX_RANGES: usize = 4096;

/// Debug info of one file, and of those that it needs.
pub(super) struct Spread {
    context: Context<Slice>,
    /// Names that are in a supplement which was not found.
    no_supplement: bool,
    /// What is in `.dwo` files, by their number.
    split: HashMap<u64, Arc<Dwarf>>,
    /// Addresses of units whose `.dwo` was not found.
    not_found: Vec<std::ops::Range<u64>>,
    bytes: u64,
}

impl std::fmt::Debug for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spread").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Spread {
    /// The debug info of `file`; `None` if it is all in it, or if it is broken or more than `most` bytes. Of other files as much
    /// is read as there is room for. May wait for file systems.
    pub(super) fn read(file: &File, places: &Places, most: u64) -> Option<Self> {
        let elf = Elf::read(file)?;
        let links = [&b".gnu_debugaltlink"[..], b".debug_sup"];
        let supplemented = links.iter().any(|name| elf.section(name).is_some());
        if !supplemented && elf.section(b".debug_addr").is_none() {
            return None;
        }
        let budget = Budget(Cell::new(most));
        let mut dwarf = dwarf(file, &elf, SectionId::name, &budget)?;
        let skeletons = skeletons(&dwarf);
        if !supplemented && skeletons.is_empty() {
            return None;
        }
        let supplement = if supplemented { places.supplement(file, &elf) } else { None };
        let supplement =
            supplement.and_then(|(file, elf)| self::dwarf(&file, &elf, SectionId::name, &budget));
        let no_supplement = supplemented && supplement.is_none();
        if let Some(supplement) = supplement {
            dwarf.set_sup(supplement);
        }
        let dwarf = Arc::new(dwarf);
        let split = split(&dwarf, &skeletons, places, &budget);
        let is_missing = |unit: &&Unit| unit.dwo_id.is_some_and(|id| !split.contains_key(&id.0));
        let not_found = ranges(&dwarf, skeletons.iter().filter(is_missing));
        let bytes = most - budget.0.get() + size_of_val(&*not_found) as u64;
        let context = Context::from_arc_dwarf(dwarf).ok()?;
        Some(Self { context, no_supplement, split, not_found, bytes })
    }

    /// Memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is known of the code at `addr`; `None`: nothing.
    pub(super) fn find(&self, addr: u64) -> Option<DebugName<'static>> {
        let mut lookup = self.context.find_frames(addr);
        let mut frames = loop {
            match lookup {
                LookupResult::Output(frames) => break frames.ok()?,
                LookupResult::Load { load, continuation } => {
                    // Asked for once a unit, also where there is none.
                    lookup = continuation.resume(self.split.get(&load.dwo_id.0).cloned());
                }
            }
        };
        // The innermost comes first.
        let mut found: Vec<(Cow<'_, str>, Option<Line<'_>>)> = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.and_then(|function| Some(function.raw_name().ok()?.into_owned()));
            let line = frame.location.and_then(|location| {
                Some(Line { path: location.file?.to_owned().into(), line: location.line.unwrap_or(0) })
            });
            found.push((name.unwrap_or_default().into(), line));
        }
        let (name, source) = found.pop().unwrap_or_default();
        found.reverse();
        let mut not_read =
            self.not_found.iter().any(|range| range.contains(&addr)).then_some(NotRead::SplitDwarf);
        if self.no_supplement && found.iter().any(|(name, _)| name.is_empty()) {
            not_read = Some(NotRead::Supplement);
        }
        Some(DebugName { name, source, inlined: found, not_read })
    }
}

/// Bytes that may still be read.
struct Budget(Cell<u64>);

impl Budget {
    /// A section's content; empty where there is none. `None`: it is broken, or too much.
    fn content(&self, file: &File, elf: &Elf, name: &str) -> Option<Slice> {
        let section = elf.section(name.as_bytes()).filter(|_| !name.is_empty());
        let bytes = match section {
            Some(section) => section.content(file, self.0.get())?,
            None => Vec::new(),
        };
        self.0.set(self.0.get().saturating_sub(bytes.len() as u64));
        Some(EndianArcSlice::new(bytes.into(), LittleEndian))
    }
}

fn dwarf(file: &File, elf: &Elf, name: impl Fn(SectionId) -> &'static str, budget: &Budget) -> Option<Dwarf> {
    let mut dwarf = Dwarf::load(|id| budget.content(file, elf, name(id)).ok_or(())).ok()?;
    dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
    Some(dwarf)
}

/// The units that are but skeletons of those in other files.
fn skeletons(dwarf: &Dwarf) -> Vec<Unit> {
    let mut units = dwarf.units();
    let mut found = Vec::new();
    for _ in 0..MAX_UNITS {
        let Ok(Some(header)) = units.next() else { break };
        let may_be = match header.type_() {
            UnitType::Skeleton(_) => true,
            // Before version 5 it is an attribute.
            UnitType::Compilation => header.version() < 5,
            _ => false,
        };
        if may_be {
            found.extend(dwarf.unit(header).ok().filter(|unit| unit.dwo_id.is_some()));
        }
    }
    found
}

/// What they are the skeletons of, by number.
fn split(dwarf: &Dwarf, units: &[Unit], places: &Places, budget: &Budget) -> HashMap<u64, Arc<Dwarf>> {
    if units.is_empty() {
        return HashMap::new();
    }
    let package = places.package().and_then(|(file, elf)| package(&file, &elf, budget));
    let mut opened = 0;
    let found = units.iter().filter_map(|unit| {
        let id = unit.dwo_id?;
        let packed = package.as_ref().and_then(|package| package.find_cu(id, dwarf).ok()?);
        let found = packed.or_else(|| {
            opened += 1;
            (opened <= MAX_DWO).then(|| dwo(dwarf, unit, places, budget))?
        })?;
        Some((id.0, Arc::new(found)))
    });
    found.collect()
}

/// The addresses of these units, [`MAX_RANGES`] at most.
fn ranges<'a>(dwarf: &Dwarf, units: impl Iterator<Item = &'a Unit>) -> Vec<std::ops::Range<u64>> {
    let mut found = Vec::new();
    for unit in units {
        let Ok(mut ranges) = dwarf.unit_ranges(unit) else { continue };
        while let Ok(Some(range)) = ranges.next() {
            if found.len() == MAX_RANGES {
                return found;
            }
            found.push(range.begin..range.end);
        }
    }
    found
}

fn package(file: &File, elf: &Elf, budget: &Budget) -> Option<DwarfPackage<Slice>> {
    let empty = EndianArcSlice::new(Vec::new().into(), LittleEndian);
    let section = |id: SectionId| {
        let name = id.dwo_name().unwrap_or_else(|| id.name());
        budget.content(file, elf, name).ok_or(gimli::Error::Io)
    };
    DwarfPackage::load(section, empty).ok()
}

fn dwo(dwarf: &Dwarf, unit: &Unit, places: &Places, budget: &Budget) -> Option<Dwarf> {
    let text = |slice: Slice| Some(slice.to_string_lossy().ok()?.into_owned());
    let path = text(dwarf.attr_string(unit, unit.dwo_name().ok()??).ok()?)?;
    let dir = unit.comp_dir.clone().and_then(text).unwrap_or_default();
    places.split(&dir, &path).find_map(|(file, elf)| {
        let name = |id: SectionId| id.dwo_name().unwrap_or_default();
        let mut split = self::dwarf(&file, &elf, name, budget)?;
        split.make_dwo(dwarf);
        let header = split.units().next().ok()??;
        // Another version of the source has another number.
        (split.unit(header).ok()?.dwo_id == unit.dwo_id).then_some(split)
    })
}

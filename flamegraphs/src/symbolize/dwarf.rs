//! Debug info: the functions, those inlined in them, and lines. Also where it is spread over several files: split DWARF (`.dwo`,
//! or the `.dwp` of all of them), and what `dwz` has put into a supplement.

mod places;
mod section;
mod units;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use addr2line::{Context, LookupContinuation as _, LookupResult};
use gimli::{DwarfPackage, Reader as _, SectionId, UnitType};
use profile::NotRead;

use super::files::{DebugName, Line};
use crate::elf::{self, Elf, SHF_COMPRESSED};
pub(super) use places::Places;
use section::{Pages, Section};
use units::{Part, Units};

type Dwarf = gimli::Dwarf<Section>;
type Unit = gimli::Unit<Section>;

/// Units of one program at most, and `.dwo` files opened for them: a browser has 30,000.
const MAX_UNITS: usize = 100_000;
const MAX_DWO: usize = 4096;

/// Ranges of addresses kept of units without their `.dwo`: all are searched for each address. 64 KiB.
const MAX_RANGES: usize = 4096;

/// Debug info of one file, and of those that it needs.
pub(super) struct DebugInfo {
    dwarf: Arc<Dwarf>,
    /// Where it is all in one file: its units, and where they are. Of the others all units are parsed at once.
    units: Option<(Units, Arc<Pages>)>,
    /// Names that are in a supplement which was not found.
    no_supplement: bool,
    /// What is in `.dwo` files, by their number.
    split: HashMap<u64, Arc<Dwarf>>,
    /// Addresses of units whose `.dwo` was not found.
    not_found: Vec<std::ops::Range<u64>>,
    bytes: u64,
}

impl std::fmt::Debug for DebugInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DebugInfo").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl DebugInfo {
    /// The debug info of `file`; `None` if there is none, if it is broken or has too many units. Of what is compressed, and of
    /// `.dwo` files, `most` bytes are read. May wait for file systems.
    pub(super) fn read(file: &File, places: &Places, most: u64) -> Option<Self> {
        let elf = Elf::read(file)?;
        let links = [&b".gnu_debugaltlink"[..], b".debug_sup"];
        let supplemented = links.iter().any(|name| elf.section(name).is_some());
        let sources = Sources { left: Cell::new(most) };
        let (mut dwarf, info) = sources.paged(file, &elf)?;
        let in_one_file = !supplemented && elf.section(b".debug_addr").is_none();
        // Where all is in one file, `Units` looks at them.
        let skeletons = if in_one_file { Vec::new() } else { skeletons(&dwarf)? };
        let supplement = if supplemented { places.supplement(file, &elf) } else { None };
        let supplement = supplement.and_then(|(file, elf)| sources.paged(&file, &elf));
        let no_supplement = supplemented && supplement.is_none();
        if let Some((supplement, _)) = supplement {
            dwarf.set_sup(supplement);
        }
        let units = if !supplemented && skeletons.is_empty() {
            Some((Units::read(&dwarf, info.offset)?, info.pages))
        } else {
            None
        };
        let split = split(&dwarf, &skeletons, places, &sources);
        let is_missing = |unit: &&Unit| unit.dwo_id.is_some_and(|id| !split.contains_key(&id.0));
        let not_found = ranges(&dwarf, skeletons.iter().filter(is_missing));
        let of_units = units.as_ref().map_or(0, |(units, _)| units.bytes());
        let bytes = most - sources.left.get() + size_of_val(&*not_found) as u64 + of_units;
        Some(Self { dwarf: Arc::new(dwarf), units, no_supplement, split, not_found, bytes })
    }

    /// Memory between two questions.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is known of the code at each of `addrs`, sorted; `None`: nothing. May wait for file systems.
    pub(super) fn find_all(&self, addrs: &[u64]) -> Vec<Option<DebugName<'static>>> {
        let Some((units, pages)) = &self.units else { return self.find(addrs).0 };
        let mut found = Vec::with_capacity(addrs.len());
        let mut refers = false;
        for Part { addrs: count, hidden } in units.parts(addrs) {
            pages.hide(hidden);
            let (mut part, incomplete) = self.find(&addrs[found.len()..][..count]);
            refers |= incomplete;
            found.append(&mut part);
        }
        if refers {
            // After optimization of a program as a whole its units refer to each other.
            pages.hide(Vec::new());
            let again: Vec<usize> = (0..addrs.len()).filter(|at| found[*at].is_none()).collect();
            let addrs: Vec<u64> = again.iter().map(|at| addrs[*at]).collect();
            for (at, name) in again.into_iter().zip(self.find(&addrs).0) {
                found[at] = name;
            }
        }
        pages.forget();
        found
    }

    /// The same of the units that are not hidden. Whether an answer may be in one that is.
    fn find(&self, addrs: &[u64]) -> (Vec<Option<DebugName<'static>>>, bool) {
        let Ok(context) = Context::from_arc_dwarf(Arc::clone(&self.dwarf)) else {
            return (addrs.iter().map(|_| None).collect(), false);
        };
        let mut incomplete = false;
        let find = |addr: &u64| {
            let found = self.find_in(&context, *addr);
            incomplete |= found.is_err();
            found.ok().flatten()
        };
        (addrs.iter().map(find).collect(), incomplete)
    }

    /// What is known of the code at `addr`; `None`: nothing.
    fn find_in(
        &self,
        context: &Context<Section>,
        addr: u64,
    ) -> Result<Option<DebugName<'static>>, gimli::Error> {
        // addr2line adds one to it.
        if addr == u64::MAX {
            return Ok(None);
        }
        let mut lookup = context.find_frames(addr);
        let mut frames = loop {
            match lookup {
                LookupResult::Output(frames) => break frames?,
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
        let Some((name, source)) = found.pop() else { return Ok(None) };
        found.reverse();
        let mut not_read =
            self.not_found.iter().any(|range| range.contains(&addr)).then_some(NotRead::SplitDwarf);
        if self.no_supplement && found.iter().any(|(name, _)| name.is_empty()) {
            not_read = Some(NotRead::Supplement);
        }
        Ok(Some(DebugName { name, source, inlined: found, not_read }))
    }
}

/// What no answer is made of: where variables are, and macros. In a C library half of what is compressed.
const UNUSED: [SectionId; 4] =
    [SectionId::DebugLoc, SectionId::DebugLocLists, SectionId::DebugMacinfo, SectionId::DebugMacro];

/// Where the units are.
struct Info {
    pages: Arc<Pages>,
    /// Of `.debug_info` in them.
    offset: u64,
}

/// Where sections come from.
struct Sources {
    /// Bytes that may still be taken into memory.
    left: Cell<u64>,
}

impl Sources {
    /// The debug info of a file, which is kept open.
    fn paged(&self, file: &File, elf: &Elf) -> Option<(Dwarf, Info)> {
        let section = elf.section(SectionId::DebugInfo.name().as_bytes())?;
        let pages = Arc::new(Pages::of_file(file.try_clone().ok()?));
        let (info, size) = if section.flags & SHF_COMPRESSED == 0 {
            (Info { pages: Arc::clone(&pages), offset: section.offset }, section.size)
        } else {
            let bytes = self.content(section, file)?;
            let size = bytes.len() as u64;
            (Info { pages: Arc::new(Pages::of_memory(bytes)), offset: 0 }, size)
        };
        let load = |id: SectionId| match id {
            SectionId::DebugInfo => Some(Section::of_pages(&info.pages, info.offset, size)),
            id if UNUSED.contains(&id) => Some(Section::of_memory(Vec::new())),
            id => self.section(Some(&pages), file, elf, id.name()),
        };
        let dwarf = Dwarf::load(|id| load(id).ok_or(())).ok()?;
        Some((cached(dwarf), info))
    }

    /// A section's content; empty where there is none. `None`: it is broken, or too much.
    fn section(&self, pages: Option<&Arc<Pages>>, file: &File, elf: &Elf, name: &str) -> Option<Section> {
        let Some(section) = elf.section(name.as_bytes()).filter(|_| !name.is_empty()) else {
            return Some(Section::of_memory(Vec::new()));
        };
        if let Some(pages) = pages.filter(|_| section.flags & SHF_COMPRESSED == 0) {
            return Some(Section::of_pages(pages, section.offset, section.size));
        }
        self.content(section, file).map(Section::of_memory)
    }

    fn content(&self, section: &elf::Section, file: &File) -> Option<Vec<u8>> {
        let bytes = section.content(file, self.left.get())?;
        self.left.set(self.left.get().saturating_sub(bytes.len() as u64));
        Some(bytes)
    }
}

fn cached(mut dwarf: Dwarf) -> Dwarf {
    dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
    dwarf
}

/// The units that are but skeletons of those in other files; `None` where there are too many units.
fn skeletons(dwarf: &Dwarf) -> Option<Vec<Unit>> {
    let mut units = dwarf.units();
    let mut found = Vec::new();
    for _ in 0..MAX_UNITS {
        let Ok(Some(header)) = units.next() else { return Some(found) };
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
    None
}

/// What they are the skeletons of, by number.
fn split(dwarf: &Dwarf, units: &[Unit], places: &Places, sources: &Sources) -> HashMap<u64, Arc<Dwarf>> {
    if units.is_empty() {
        return HashMap::new();
    }
    let package = places.package().and_then(|(file, elf)| package(&file, &elf, sources));
    let mut opened = 0;
    let found = units.iter().filter_map(|unit| {
        let id = unit.dwo_id?;
        let packed = package.as_ref().and_then(|package| package.find_cu(id, dwarf).ok()?);
        let found = packed.or_else(|| {
            opened += 1;
            (opened <= MAX_DWO).then(|| dwo(dwarf, unit, places, sources))?
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

fn package(file: &File, elf: &Elf, sources: &Sources) -> Option<DwarfPackage<Section>> {
    let pages = Arc::new(Pages::of_file(file.try_clone().ok()?));
    let section = |id: SectionId| {
        let name = id.dwo_name().unwrap_or_else(|| id.name());
        sources.section(Some(&pages), file, elf, name).ok_or(gimli::Error::Io)
    };
    DwarfPackage::load(section, Section::of_memory(Vec::new())).ok()
}

/// What is in a `.dwo`. There are many: none is kept open.
fn dwo(dwarf: &Dwarf, unit: &Unit, places: &Places, sources: &Sources) -> Option<Dwarf> {
    let text = |section: Section| Some(section.to_string_lossy().ok()?.into_owned());
    let path = text(dwarf.attr_string(unit, unit.dwo_name().ok()??).ok()?)?;
    let dir = unit.comp_dir.clone().and_then(text).unwrap_or_default();
    places.split(&dir, &path).find_map(|(file, elf)| {
        let section =
            |id: SectionId| sources.section(None, &file, &elf, id.dwo_name().unwrap_or_default()).ok_or(());
        let mut split = cached(Dwarf::load(section).ok()?);
        split.make_dwo(dwarf);
        let header = split.units().next().ok()??;
        // Another version of the source has another number.
        (split.unit(header).ok()?.dwo_id == unit.dwo_id).then_some(split)
    })
}

#[cfg(test)]
mod tests {
    use opener::file::Root;

    use super::*;

    #[test]
    fn what_is_found_in_few_units_is_what_is_found_in_all_of_them() {
        let file = File::open("/proc/self/exe").unwrap();
        let places = Places { root: Root::Own, path: "/nonexistent/program".into(), trusted: true };
        let info = DebugInfo::read(&file, &places, 1 << 30).unwrap();
        let text = *Elf::read(&file).unwrap().section(b".text").unwrap();
        let addrs: Vec<u64> = (0..500).map(|part| text.addr + text.size / 500 * part).collect();
        let few = info.find_all(&addrs);
        let (units, pages) = info.units.as_ref().unwrap();
        pages.hide(Vec::new());
        let (all, incomplete) = info.find(&addrs);
        assert!(!incomplete);
        assert!(few.iter().flatten().count() > 250, "most of the program has debug info");
        assert_eq!(format!("{few:?}"), format!("{all:?}"));
        assert!(units.parts(&addrs[..1])[0].hidden.len() > 10, "one address needs few units");
    }
}

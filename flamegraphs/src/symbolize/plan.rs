//! The addresses of one fold that files must name, gathered over all processes: libc is mapped by all of
//! them, and its symbol table is read (and, over the budget, dropped) once.

use std::collections::BTreeMap;
use std::rc::Rc;

use profile::{FrameName, Unnamed};

use super::cache::NameCache;
use super::files::{Files, MappedFile};

/// An address to ask for, and the slot its name goes to.
type Place = (u64, usize);

/// Names in the making.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// One slot an address; holds a stand-in until its file is asked.
    pub(crate) names: Vec<FrameName>,
    /// Addresses in our own vDSO.
    pub(crate) vdso: Vec<Place>,
    /// Slots whose names belong together, since it is not known which is right: the first, and one more.
    either: Vec<(usize, usize)>,
    /// By content, in order of first use.
    files: BTreeMap<u32, (Rc<MappedFile>, Vec<Place>)>,
}

impl Plan {
    /// Asks `file` for the name of `vaddr`.
    pub(crate) fn ask(&mut self, file: &Rc<MappedFile>, vaddr: u64, slot: usize) {
        self.files
            .entry(file.content())
            .or_insert_with(|| (Rc::clone(file), Vec::new()))
            .1
            .push((vaddr, slot));
    }

    /// A slot for another name of what is in `slot`: it is one of them.
    pub(crate) fn also(&mut self, slot: usize) -> usize {
        let other = self.names.len();
        self.names.push(FrameName::unnamed("[unknown]", Unnamed::Unmapped));
        self.either.push((slot, other));
        other
    }

    /// Asks the files, each once, and returns the names by slot; behind them are those that [`Self::also`] has added.
    pub(crate) fn finish(mut self, files: &mut Files, cache: &mut NameCache) -> Vec<FrameName> {
        for (file, mut places) in std::mem::take(&mut self.files).into_values() {
            self.fill(&mut places, |vaddrs| files.names(&file, vaddrs, cache));
            files.enforce_budget();
        }
        if !self.vdso.is_empty() {
            let mut places = std::mem::take(&mut self.vdso);
            self.fill(&mut places, |addrs| files.vdso_names(addrs));
        }
        for (slot, other) in std::mem::take(&mut self.either) {
            let (one, other) = (&self.names[slot], &self.names[other]);
            if one.text != other.text {
                let text = format!("{} or {}", one.text, other.text).into();
                self.names[slot] = FrameName { text, unnamed: one.unnamed.or(other.unnamed), ..one.clone() };
            }
        }
        self.names
    }

    /// Sorts `places`, asks for each address once, and fills the slots.
    fn fill(&mut self, places: &mut [Place], ask: impl FnOnce(&[u64]) -> Vec<FrameName>) {
        places.sort_unstable();
        let mut addrs: Vec<u64> = places.iter().map(|&(addr, _)| addr).collect();
        addrs.dedup();
        let found = ask(&addrs);
        let mut at = 0;
        for &mut (addr, slot) in places {
            while addrs.get(at).is_some_and(|&known| known < addr) {
                at += 1;
            }
            if let Some(name) = found.get(at) {
                self.names[slot] = name.clone();
            }
        }
    }
}

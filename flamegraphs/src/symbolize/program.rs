//! One process: what it has mapped, and what its run-time compiled and interpreted code is called.

use std::rc::Rc;
use std::sync::Arc;

use profile::{Code, FrameName, Role, Unnamed};

use super::asker::Asker;
use super::files::{Files, MappedFile};
use super::interpreted::Interpreted;
use super::jit::{Jit, Places};
use super::jitdump::Dump;
use super::space::{self, Space};
use super::unread;
use crate::maps::{self, Backing};
use crate::python::{self, Interpreter};

/// What an executable mapping is, with the file resolved.
#[derive(Debug, Clone)]
pub(super) enum Target {
    File(Rc<MappedFile>),
    Anonymous,
    Vdso,
    Special(Arc<str>),
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => Rc::ptr_eq(one, other),
            (Self::Anonymous, Self::Anonymous) | (Self::Vdso, Self::Vdso) => true,
            (Self::Special(one), Self::Special(other)) => one == other,
            _ => false,
        }
    }
}

/// An executable mapping.
pub(super) type Region = space::Region<Target>;

#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) space: Space<Target>,
    /// Who it is, once it has been looked at while it lived.
    pub(super) asker: Option<Asker>,
    /// Why there are no mappings.
    pub(super) failed: Option<Unnamed>,
    pub(super) used: u64,
    pub(super) jit: Jit,
    pub(super) interpreted: Interpreted,
    /// Who forked it: what it has not been asked itself in time, that one may know.
    pub(super) parent: Option<u32>,
}

impl Process {
    /// Looks who it is.
    pub(super) fn look(&mut self, tgid: u32) {
        self.asker = Asker::of(tgid).or(self.asker);
    }

    pub(super) fn asker(&self, tgid: u32) -> Asker {
        self.asker.unwrap_or(Asker::gone(tgid))
    }

    /// Opens what it has mapped, so that it stays to be read.
    pub(super) fn open_files(&self, tgid: u32, files: &mut Files) {
        for region in self.space.present() {
            if let Target::File(file) = &region.target {
                let _ = files.open(self.asker(tgid), (region.range.start, region.range.end), file);
            }
        }
    }

    /// The CPython that it runs.
    pub(super) fn interpreter(&self, tgid: u32, files: &mut Files) -> Option<Arc<Interpreter>> {
        self.space.regions().find_map(|region| {
            let Target::File(file) = &region.target else { return None };
            if !Interpreter::may_be_in(file.path()) {
                return None;
            }
            let _ = files.open(self.asker(tgid), (region.range.start, region.range.end), file);
            file.interpreter()
        })
    }

    /// Names `places` (slot, address) from the process' perf map and jitdump.
    pub(super) fn name_jit(
        &mut self,
        tgid: u32,
        slots: &[(usize, u64)],
        files: &Files,
        names: &mut [FrameName],
    ) {
        let places = self.jit_places(tgid);
        let mut jit = std::mem::take(&mut self.jit);
        let read = move || {
            jit.refresh(&places);
            jit
        };
        let missing = match files.workers.run(self.asker(tgid).owner(), read) {
            Ok(jit) => {
                self.jit = jit;
                if self.jit.is_full() { Unnamed::OverBudget } else { Unnamed::Anonymous }
            }
            Err(blocked) => unread::blocked(blocked),
        };
        for &(slot, addr) in slots {
            if let Some(name) = self.jit.find(addr) {
                names[slot] = name;
            } else if names[slot].unnamed != Some(Unnamed::NotElf) {
                names[slot] = FrameName::unnamed("[jit]", missing);
            }
        }
    }

    /// It has a jitdump mapped.
    pub(super) fn maps_dump(&self) -> bool {
        self.space
            .regions()
            .any(|region| matches!(&region.target, Target::File(file) if Dump::is_name(file.path())))
    }

    /// Where its perf map and jitdump may be.
    pub(super) fn jit_places(&self, tgid: u32) -> Places {
        let mapped = self.space.regions().filter_map(|region| match &region.target {
            Target::File(file) if Dump::is_name(file.path()) => {
                Some(file.mapped(tgid, (region.range.start, region.range.end)))
            }
            _ => None,
        });
        Places { asker: self.asker(tgid), dumps: mapped.collect() }
    }
}

/// A frame of the interpreter's loop in `file`.
pub(super) fn a_loop(file: &MappedFile) -> FrameName {
    let code = Code { module: Some(Arc::clone(file.module())), ..Code::default() };
    FrameName { role: Role::Loop, code: Some(Arc::new(code)), ..FrameName::named(python::LOOP.into()) }
}

pub(super) fn region(map: &maps::Mapping, space: u64, files: &mut Files) -> Region {
    let target = match &map.backing {
        Backing::File { .. } => files.intern(map, space).map_or(Target::Anonymous, Target::File),
        Backing::Anonymous => Target::Anonymous,
        Backing::Vdso => Target::Vdso,
        Backing::Special(name) => Target::Special(name.as_str().into()),
    };
    Region { range: map.start..map.end, offset: map.offset, target }
}

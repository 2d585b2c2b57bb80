//! The names of one profile's addresses: what a symbolizer hands to [`crate::fold`].

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::units::MonoNs;
use serde::{Deserialize, Serialize};

use crate::coverage::{NotRead, Unnamed};
use crate::frame::Source;

/// Index of a name in [`Names`].
pub(crate) type NameId = u32;

/// The text of a frame, and why it is not a real name if it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameName {
    /// What to show: `main`, `[libfoo.so+0x1a2b]`, `[unknown]`. Without any annotation.
    pub text: Arc<str>,
    /// Why `text` is a stand-in; `None` for a real name.
    pub unnamed: Option<Unnamed>,
    /// Compiled at run time (from a perf map or jitdump).
    pub jit: bool,
    /// What is known beyond the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Arc<Code>>,
    /// What it has to do with an interpreter.
    #[serde(default, skip_serializing_if = "Role::is_none")]
    pub role: Role,
}

/// What a frame has to do with an interpreter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Nothing.
    #[default]
    None,
    /// The interpreter's loop: interpreted functions stand for it.
    Loop,
    /// A function that it runs.
    Function,
}

impl Role {
    /// It has nothing to do with one.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// What debug info and mappings know of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Code {
    /// Path of the file that the code was mapped from.
    #[serde(default)]
    pub module: Option<Arc<str>>,
    /// The line of the function itself: with inlined functions that of the call to the first of them.
    #[serde(default)]
    pub source: Option<Source>,
    /// Functions inlined there, the outermost first; what runs is the last.
    #[serde(default)]
    pub inlined: Vec<Inlined>,
    /// Debug info of this place that was not read: functions inlined there are missing, or have no names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_read: Option<NotRead>,
}

/// An inlined function.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Inlined {
    /// Its name.
    pub text: Arc<str>,
    /// The line in it.
    #[serde(default)]
    pub source: Option<Source>,
}

impl FrameName {
    /// A real name.
    #[must_use]
    pub fn named(text: Arc<str>) -> Self {
        Self { text, unnamed: None, jit: false, code: None, role: Role::None }
    }

    /// A stand-in with its reason.
    #[must_use]
    pub fn unnamed(text: impl Into<Arc<str>>, reason: Unnamed) -> Self {
        Self { text: text.into(), unnamed: Some(reason), jit: false, code: None, role: Role::None }
    }

    /// Functions inlined at the address, the outermost first.
    #[must_use]
    pub fn inlined(&self) -> &[Inlined] {
        self.code.as_ref().map_or(&[], |code| &code.inlined)
    }
}

/// Names by address, for the kernel and for each process. Addresses are those of
/// [`crate::lookup_addr`].
#[derive(Debug, Clone, Default)]
pub struct Names {
    frames: Vec<FrameName>,
    kernel: HashMap<u64, NameId>,
    user: HashMap<u32, HashMap<u64, NameId>>,
    /// Of addresses at which something else was in turn: names, and from when on they hold, in order.
    turns: HashMap<u32, HashMap<u64, Vec<(MonoNs, NameId)>>>,
}

impl Names {
    /// Sets the name of a kernel address.
    pub fn set_kernel(&mut self, addr: u64, name: FrameName) {
        let id = self.push(name);
        self.kernel.insert(addr, id);
    }

    /// Sets the name of an address of process `tgid`.
    pub fn set_user(&mut self, tgid: u32, addr: u64, name: FrameName) {
        let id = self.push(name);
        self.user.entry(tgid).or_default().insert(addr, id);
    }

    /// Sets the name of an address of process `tgid` from this time on (0: at all times), until that of
    /// another name of it.
    pub fn set_user_from(&mut self, tgid: u32, addr: u64, from: MonoNs, name: FrameName) {
        if from == MonoNs(0) {
            return self.set_user(tgid, addr, name);
        }
        let id = self.push(name);
        let turns = self.turns.entry(tgid).or_default().entry(addr).or_default();
        let place = turns.partition_point(|(since, _)| *since <= from);
        turns.insert(place, (from, id));
    }

    /// The name of a kernel address.
    #[must_use]
    pub fn kernel(&self, addr: u64) -> Option<&FrameName> {
        self.kernel_id(addr).map(|id| self.get(id))
    }

    /// The name of an address of process `tgid` in a sample of this time; 0: it does not matter which of several.
    #[must_use]
    pub fn user(&self, tgid: u32, addr: u64, at: MonoNs) -> Option<&FrameName> {
        self.user_id(tgid, addr, at).map(|id| self.get(id))
    }

    /// All names of kernel addresses, in no particular order.
    pub fn kernel_names(&self) -> impl Iterator<Item = (u64, &FrameName)> {
        self.kernel.iter().map(|(addr, id)| (*addr, self.get(*id)))
    }

    /// All names of user addresses, with their processes and the times from which on they hold, in no particular order.
    pub fn user_names(&self) -> impl Iterator<Item = (u32, u64, MonoNs, &FrameName)> {
        let always = self
            .user
            .iter()
            .flat_map(|(tgid, names)| names.iter().map(|(addr, id)| (*tgid, *addr, MonoNs(0), *id)));
        let turns = self.turns.iter().flat_map(|(tgid, names)| {
            names.iter().flat_map(|(addr, turns)| turns.iter().map(|(from, id)| (*tgid, *addr, *from, *id)))
        });
        always.chain(turns).map(|(tgid, addr, from, id)| (tgid, addr, from, self.get(id)))
    }

    pub(crate) fn kernel_id(&self, addr: u64) -> Option<NameId> {
        self.kernel.get(&addr).copied()
    }

    pub(crate) fn user_id(&self, tgid: u32, addr: u64, at: MonoNs) -> Option<NameId> {
        let always = || self.user.get(&tgid)?.get(&addr).copied();
        let Some(turns) = self.turns.get(&tgid).and_then(|turns| turns.get(&addr)) else { return always() };
        let next = turns.partition_point(|(from, _)| *from <= at);
        let before = next.checked_sub(1).and_then(|at| turns.get(at));
        before.map(|(_, id)| *id).or_else(always).or_else(|| Some(turns.first()?.1))
    }

    pub(crate) fn get(&self, id: NameId) -> &FrameName {
        &self.frames[id as usize]
    }

    /// Ids are below this.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    fn push(&mut self, name: FrameName) -> NameId {
        // Neighbouring addresses are often in one function.
        if self.frames.last() != Some(&name) {
            self.frames.push(name);
        }
        // SANITY: non-empty after the push; 2^32 names would be > 100 GiB.
        (self.frames.len() - 1) as NameId
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_name_of_its_time() {
        let mut names = Names::default();
        let name = |text: &str| FrameName::named(text.into());
        names.set_user_from(7, 0x10, MonoNs(200), name("beta"));
        names.set_user_from(7, 0x10, MonoNs(100), name("alpha"));
        names.set_user_from(7, 0x20, MonoNs(0), name("main"));
        let text = |names: &Names, addr, at| {
            names.user(7, addr, MonoNs(at)).map(|name| name.text.to_string()).unwrap_or_default()
        };
        let at = |addr, at| text(&names, addr, at);
        assert_eq!([50, 100, 199, 200].map(|time| at(0x10, time)), ["alpha", "alpha", "alpha", "beta"]);
        assert_eq!([at(0x20, 5), at(0x30, 5)], ["main", ""]);
        // What was known before the first change.
        names.set_user(7, 0x10, name("gamma"));
        assert_eq!([50, 100].map(|time| text(&names, 0x10, time)), ["gamma", "alpha"]);
        assert_eq!(names.user_names().count(), 4);
    }
}

//! The names of one profile's addresses: what [`crate::symbolize`] hands to [`crate::fold`].

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::coverage::Unnamed;
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
/// [`crate::sample::lookup_addr`].
#[derive(Debug, Clone, Default)]
pub struct Names {
    frames: Vec<FrameName>,
    kernel: HashMap<u64, NameId>,
    user: HashMap<u32, HashMap<u64, NameId>>,
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

    /// The name of a kernel address.
    #[must_use]
    pub fn kernel(&self, addr: u64) -> Option<&FrameName> {
        self.kernel_id(addr).map(|id| self.get(id))
    }

    /// The name of an address of process `tgid`.
    #[must_use]
    pub fn user(&self, tgid: u32, addr: u64) -> Option<&FrameName> {
        self.user_id(tgid, addr).map(|id| self.get(id))
    }

    /// All names of kernel addresses, in no particular order.
    pub fn kernel_names(&self) -> impl Iterator<Item = (u64, &FrameName)> {
        self.kernel.iter().map(|(addr, id)| (*addr, self.get(*id)))
    }

    /// All names of user addresses, with their processes, in no particular order.
    pub fn user_names(&self) -> impl Iterator<Item = (u32, u64, &FrameName)> {
        self.user
            .iter()
            .flat_map(|(tgid, names)| names.iter().map(|(addr, id)| (*tgid, *addr, self.get(*id))))
    }

    pub(crate) fn kernel_id(&self, addr: u64) -> Option<NameId> {
        self.kernel.get(&addr).copied()
    }

    pub(crate) fn user_id(&self, tgid: u32, addr: u64) -> Option<NameId> {
        self.user.get(&tgid)?.get(&addr).copied()
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

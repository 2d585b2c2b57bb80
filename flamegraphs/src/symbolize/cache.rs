//! Names by (file content, address), under a byte budget: what makes a warm flame graph cheap, since
//! neither symbol tables are searched nor names demangled again.

use std::collections::HashMap;

use profile::{Code, FrameName, Inlined, Source};

/// Key, value, `Arc` header, and the map's share of empty slots.
const ENTRY_BYTES: usize = 96;

/// Names in two generations. A look-up moves its name to the recent one. When the recent generation fills half the budget, it
/// becomes the old one and the previous old one is freed. So a name is forgotten if it is not looked up while half a budget
/// of other names is.
#[derive(Debug)]
pub(crate) struct NameCache {
    recent: HashMap<(u32, u64), FrameName>,
    old: HashMap<(u32, u64), FrameName>,
    recent_bytes: usize,
    old_bytes: usize,
    half: usize,
    /// Names forgotten so far.
    pub(crate) evicted: u64,
}

impl NameCache {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            recent: HashMap::new(),
            old: HashMap::new(),
            recent_bytes: 0,
            old_bytes: 0,
            half: budget / 2,
            evicted: 0,
        }
    }

    pub(crate) fn get(&mut self, content: u32, vaddr: u64) -> Option<FrameName> {
        let key = (content, vaddr);
        if let Some(name) = self.recent.get(&key) {
            return Some(name.clone());
        }
        let name = self.old.remove(&key)?;
        self.old_bytes -= bytes(&name);
        self.insert(content, vaddr, name.clone());
        Some(name)
    }

    pub(crate) fn insert(&mut self, content: u32, vaddr: u64, name: FrameName) {
        self.recent_bytes += bytes(&name);
        if let Some(before) = self.recent.insert((content, vaddr), name) {
            self.recent_bytes -= bytes(&before);
        }
        if self.recent_bytes > self.half {
            self.evicted += self.old.len() as u64;
            self.old = std::mem::take(&mut self.recent);
            self.old_bytes = std::mem::take(&mut self.recent_bytes);
        }
    }

    /// Memory of the cache, an upper bound (names shared by addresses count each time).
    pub(crate) fn bytes(&self) -> usize {
        self.recent_bytes + self.old_bytes
    }

    /// Number of names in the cache.
    pub(crate) fn len(&self) -> usize {
        self.recent.len() + self.old.len()
    }
}

fn bytes(name: &FrameName) -> usize {
    let source = |source: &Option<Source>| source.as_ref().map_or(0, |source| source.file.len());
    let inlined = |one: &Inlined| size_of::<Inlined>() + one.text.len() + source(&one.source);
    let code = name.code.as_deref().map_or(0, |code| {
        size_of::<Code>() + source(&code.source) + code.inlined.iter().map(inlined).sum::<usize>()
    });
    ENTRY_BYTES + name.text.len() + code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_holds_and_what_is_used_stays() {
        let budget = 200 * (ENTRY_BYTES + 4);
        let mut cache = NameCache::new(budget);
        for vaddr in 0..10_000 {
            cache.insert(1, vaddr, FrameName::named("name".into()));
            assert!(cache.get(1, 0).is_some(), "used name forgotten at {vaddr}");
            assert!(cache.bytes() <= budget + ENTRY_BYTES + 4);
        }
        assert!(cache.len() <= 201);
        assert!(cache.evicted > 9_000);
        assert_eq!(cache.get(1, 5_000), None);
        assert_eq!(cache.get(2, 0), None);
    }
}

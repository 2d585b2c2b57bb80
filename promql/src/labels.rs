//! Labels of a series.

use std::fmt;
use std::sync::Arc;

use crate::matcher::Matcher;

/// The label that holds a metric's name.
pub const NAME: &str = "__name__";

/// Labels, sorted by name, each once; an empty value is as good as no label, so there is none. The name of the metric is
/// `__name__`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Vec<(Arc<str>, Arc<str>)>);

impl Labels {
    /// Of these pairs; of two of one name the last counts.
    pub fn new(pairs: impl IntoIterator<Item = (Arc<str>, Arc<str>)>) -> Self {
        let mut labels = Self::default();
        for (name, value) in pairs {
            labels.set(name, value);
        }
        labels
    }

    /// The value of a label; empty: there is none.
    pub fn get(&self, name: &str) -> &str {
        self.place(name).map_or("", |at| &self.0[at].1)
    }

    /// Sets a label, or takes it away where `value` is empty.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) {
        let (name, value) = (name.into(), value.into());
        match (self.place(&name), value.is_empty()) {
            (Ok(at), true) => drop(self.0.remove(at)),
            (Ok(at), false) => self.0[at].1 = value,
            (Err(_), true) => {}
            (Err(at), false) => self.0.insert(at, (name, value)),
        }
    }

    /// Takes a label away.
    pub fn remove(&mut self, name: &str) {
        if let Ok(at) = self.place(name) {
            self.0.remove(at);
        }
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of these names.
    pub(crate) fn only(&self, names: &[Arc<str>]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.contains(name)).cloned().collect())
    }

    /// Those of other names than these.
    pub(crate) fn except(&self, names: &[Arc<str>]) -> Self {
        Self(self.0.iter().filter(|(name, _)| !names.contains(name)).cloned().collect())
    }

    /// All but the metric's name.
    pub(crate) fn nameless(mut self) -> Self {
        self.remove(NAME);
        self
    }

    /// Memory that they take, roughly, in bytes; the texts are shared.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.len() * size_of::<(Arc<str>, Arc<str>)>()
    }

    /// Whether they fulfil all conditions.
    pub fn fulfil(&self, matchers: &[Matcher]) -> bool {
        matchers.iter().all(|matcher| matcher.matches(self.get(&matcher.label)))
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| (**own).cmp(name))
    }
}

impl fmt::Display for Labels {
    /// As in a query: `name{a="1",b="2","a name in UTF-8"="3"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.iter().filter(|(name, _)| **name != *NAME).peekable();
        f.write_str(self.get(NAME))?;
        if rest.peek().is_none() && !self.get(NAME).is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        for (at, (name, value)) in rest.enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if plain { write!(f, "{name}={value:?}")? } else { write!(f, "{name:?}={value:?}")? }
        }
        f.write_str("}")
    }
}

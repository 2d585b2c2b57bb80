//! Names and values out of a line, with bounds.

/// Fields of one line; a store has a column each.
pub const MAX_LINE_FIELDS: usize = 64;
/// A field's name, with those of the objects around it.
pub const MAX_FIELD_NAME_BYTES: usize = 128;
/// What of a field's value is kept.
pub const MAX_FIELD_VALUE_BYTES: usize = 4 << 10;

/// The fields of one line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Names and values, in the order of the line. A name may be there more than once.
    pub pairs: Vec<(String, String)>,
    /// Fields that were left out or cut: by number, or by the length of name or value.
    pub short: u64,
}

impl Fields {
    pub(super) fn push(&mut self, name: &str, value: &str) {
        if self.pairs.len() >= MAX_LINE_FIELDS || name.len() > MAX_FIELD_NAME_BYTES {
            self.short += 1;
            return;
        }
        let end = value.floor_char_boundary(MAX_FIELD_VALUE_BYTES);
        self.short += u64::from(end < value.len());
        self.pairs.push((name.to_owned(), value[..end].to_owned()));
    }

    /// The first value of the first of these names that is there.
    pub(super) fn first(&self, names: &[&str]) -> Option<(usize, &str)> {
        names.iter().find_map(|name| {
            let at = self.pairs.iter().position(|(known, _)| known == name)?;
            Some((at, self.pairs[at].1.as_str()))
        })
    }
}

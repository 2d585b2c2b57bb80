//! YAML as rule files need it: maps, lists and texts, with their lines. A text stays a text: `severity: 1` is "1".

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::Marker;

use super::file::{Place, RuleError, fault};

/// Deepest nesting: a rule file has five levels.
const MAX_DEPTH: usize = 16;

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    List(Vec<Item>),
    Map(Vec<(String, Item)>),
}

/// What is open: a list, or a map with the key whose value comes next.
struct Open {
    item: Item,
    key: Option<String>,
}

/// The value of a document. Nothing where it is empty. Refuses aliases: a few of them in each other fill any memory.
pub(super) fn parse(text: &str) -> Result<Option<Item>, RuleError> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    loop {
        let place = |mark: Marker| Place { line: mark.line().max(1), column: mark.col() + 1 };
        let (event, mark) =
            parser.next_token().map_err(|error| fault(place(*error.marker()), error.info()))?;
        let place = place(mark);
        let done = match event {
            Event::StreamEnd | Event::DocumentEnd => return Ok(None),
            Event::Alias(_) => {
                return Err(fault(place, "aliases are not supported").cure("write the value out"));
            }
            Event::Scalar(text, ..) => Some(Item { place, value: Value::Text(text) }),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                let list = matches!(event, Event::SequenceStart(..));
                let value = if list { Value::List(Vec::new()) } else { Value::Map(Vec::new()) };
                open.push(Open { item: Item { place, value }, key: None });
                if open.len() > MAX_DEPTH {
                    return Err(fault(place, "it nests too deep"));
                }
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|open| open.item),
            Event::Nothing | Event::StreamStart | Event::DocumentStart => None,
        };
        let Some(done) = done else { continue };
        match open.last_mut() {
            None => return Ok(Some(done)),
            Some(outer) => outer.put(done)?,
        }
    }
}

impl Open {
    fn put(&mut self, item: Item) -> Result<(), RuleError> {
        match (&mut self.item.value, self.key.take(), item) {
            (Value::List(list), _, item) => list.push(item),
            (Value::Map(_), None, Item { value: Value::Text(key), .. }) => self.key = Some(key),
            (Value::Map(map), Some(key), item) => {
                if map.iter().any(|(own, _)| *own == key) {
                    return Err(fault(item.place, format!("{key} comes twice")));
                }
                map.push((key, item));
            }
            (_, _, item) => return Err(fault(item.place, "a key is a text")),
        }
        Ok(())
    }
}

impl Item {
    /// The keys and values, which are of these keys alone.
    pub(super) fn map(self, what: &str, keys: &[&str]) -> Result<Fields, RuleError> {
        let Value::Map(map) = self.value else { return Err(fault(self.place, format!("{what} is a map"))) };
        if let Some((key, item)) = map.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
            let cure = format!("its fields are {}", keys.join(", "));
            return Err(fault(item.place, format!("{what} has no field {key}")).cure(cure));
        }
        Ok(Fields { place: self.place, map })
    }

    pub(super) fn list(self, what: &str) -> Result<Vec<Self>, RuleError> {
        match self.value {
            Value::List(list) => Ok(list),
            // `rules:` with nothing behind it.
            Value::Text(text) if text.is_empty() || text == "~" => Ok(Vec::new()),
            _ => Err(fault(self.place, format!("{what} is a list"))),
        }
    }

    pub(super) fn text(self, what: &str) -> Result<String, RuleError> {
        match self.value {
            Value::Text(text) => Ok(text),
            _ => Err(fault(self.place, format!("{what} is a text"))),
        }
    }

    /// Texts by name.
    pub(super) fn texts(self, what: &str) -> Result<Vec<(String, String)>, RuleError> {
        let Value::Map(map) = self.value else { return Err(fault(self.place, format!("{what} is a map"))) };
        map.into_iter().map(|(name, item)| Ok((name, item.text(what)?))).collect()
    }
}

/// A map whose keys are known.
pub(super) struct Fields {
    pub(super) place: Place,
    map: Vec<(String, Item)>,
}

impl Fields {
    pub(super) fn take(&mut self, key: &str) -> Option<Item> {
        let place = self.map.iter().position(|(own, _)| own == key)?;
        Some(self.map.swap_remove(place).1)
    }

    pub(super) fn take_text(&mut self, key: &str) -> Result<Option<String>, RuleError> {
        self.take(key).map(|item| item.text(key)).transpose()
    }
}

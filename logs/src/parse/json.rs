//! A line that is one JSON object, flattened.

use std::borrow::Cow;

use super::fields::Fields;

/// Objects within objects that become dotted names; what lies deeper is a value, as text.
const MAX_FLAT_DEPTH: usize = 8;
/// Objects and arrays within each other. Lines of logs have a handful.
const MAX_DEPTH: usize = 64;

/// The fields of a line that is a JSON object from `{` to `}`, and nothing else. `{"a":{"b":1},"c":[2]}` has `a.b` = `1` and
/// `c` = `[2]`: strings are unescaped, all other values are as they stand in the line.
#[must_use]
pub fn object(line: &str) -> Option<Fields> {
    let line = line.trim_ascii();
    if !(line.starts_with('{') && line.ends_with('}')) {
        return None;
    }
    let mut parser = Parser { text: line, at: 1, name: String::new(), fields: Fields::default() };
    parser.members(1, true)?;
    (parser.at == line.len()).then_some(parser.fields)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Of the member that is being read.
    name: String,
    fields: Fields,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The members of an object, up to its end.
    fn members(&mut self, depth: usize, keep: bool) -> Option<()> {
        self.skip_blank();
        if self.eat(b'}').is_some() {
            if keep && depth > 1 {
                self.fields.push(&self.name, "{}");
            }
            return Some(());
        }
        loop {
            self.skip_blank();
            let key = self.string()?;
            self.skip_blank();
            self.eat(b':')?;
            self.skip_blank();
            let outer = self.name.len();
            if keep {
                if depth > 1 {
                    self.name.push('.');
                }
                // One that is too long is never kept; a little more than the bound says so.
                self.name.push_str(&key[..key.floor_char_boundary(super::MAX_FIELD_NAME_BYTES + 1)]);
            }
            self.member(depth, keep)?;
            self.name.truncate(outer);
            self.skip_blank();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn member(&mut self, depth: usize, keep: bool) -> Option<()> {
        let start = self.at;
        if !keep {
            return self.value(depth);
        }
        match self.peek()? {
            b'{' if depth < MAX_FLAT_DEPTH => {
                self.at += 1;
                self.members(depth + 1, true)
            }
            b'"' => {
                let value = self.string()?;
                self.fields.push(&self.name, &value);
                Some(())
            }
            _ => {
                self.value(depth)?;
                self.fields.push(&self.name, &self.text[start..self.at]);
                Some(())
            }
        }
    }

    /// Passes over a value.
    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'{' => {
                self.at += 1;
                self.members(depth + 1, false)
            }
            b'[' => {
                self.at += 1;
                self.elements(depth + 1)
            }
            b'"' => self.string().map(|_| ()),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn elements(&mut self, depth: usize) -> Option<()> {
        self.skip_blank();
        if self.eat(b']').is_some() {
            return Some(());
        }
        loop {
            self.skip_blank();
            self.value(depth)?;
            self.skip_blank();
            if self.eat(b',').is_none() {
                return self.eat(b']');
            }
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.eat(b'-');
        if self.eat(b'0').is_none() {
            self.digits()?;
        }
        if self.eat(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.eat(b'"')?;
        let mut start = self.at;
        let mut unescaped: Option<String> = None;
        loop {
            let bytes = self.text.as_bytes();
            while self.peek().is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            let part = &self.text[start..self.at];
            match bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(match unescaped {
                        None => Cow::Borrowed(part),
                        Some(before) => Cow::Owned(before + part),
                    });
                }
                b'\\' => {
                    let into = unescaped.get_or_insert_default();
                    into.push_str(part);
                    self.at += 1;
                    let character = self.escape()?;
                    unescaped.get_or_insert_default().push(character);
                    start = self.at;
                }
                // A control character has to be escaped.
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += 1;
        Some(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.four()?;
                if !(0xd800..0xdc00).contains(&high) {
                    // Half of a pair alone is no character.
                    return Some(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                let before = self.at;
                if self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    let low = self.four()?;
                    if (0xdc00..0xe000).contains(&low) {
                        return char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                    }
                    self.at = before;
                }
                char::REPLACEMENT_CHARACTER
            }
            _ => return None,
        })
    }

    fn four(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    fn pairs(line: &str) -> Option<Vec<(String, String)>> {
        object(line).map(|fields| fields.pairs)
    }

    #[test]
    fn an_object_is_flat_afterwards() {
        let line = r#" {"level":"info","a":{"b":1,"c":{"d":"x\ty\u00e9\ud83d\ude00"}},"list":[1, {"k":2}],"no":null,"yes":true,
            "big":12345678901234567890.0e10,"":"empty","o":{}} "#;
        let expected = [
            ("level", "info"),
            ("a.b", "1"),
            ("a.c.d", "x\ty\u{e9}\u{1f600}"),
            ("list", r#"[1, {"k":2}]"#),
            ("no", "null"),
            ("yes", "true"),
            ("big", "12345678901234567890.0e10"),
            ("", "empty"),
            ("o", "{}"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        assert_eq!(pairs(line).unwrap(), expected);
    }

    #[test]
    fn what_is_no_whole_object_is_none() {
        for line in [
            "",
            "{",
            "}",
            "[1]",
            "{}x",
            "{a:1}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":01}",
            "{\"a\":1} {\"b\":2}",
            "{\"a\":.5}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":tru}",
            "{\"a\":-}",
            "{'a':1}",
            "{\"a\":\"\\ud83d\\u12\"}",
            "{\"a\":[1,]}",
        ] {
            assert_eq!(pairs(line), None, "{line}");
        }
        assert_eq!(pairs("{}"), Some(Vec::new()));
    }

    /// The same by a library.
    fn flat(value: &Value, name: &str, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (key, value) in members {
                    let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                    flat(value, &name, into);
                }
            }
            Value::String(text) => drop(into.insert(name.to_owned(), text.clone())),
            other => drop(into.insert(name.to_owned(), other.to_string())),
        }
    }

    #[test]
    fn it_takes_what_serde_takes_and_finds_the_same_also_when_bytes_change() {
        let line = r#"{"ts":1,"m":"a \"quoted\" \\ part\n","o":{"p":{"q":true,"r":"z"}},"l":[1,[2,{"k":null}],"s"],"n":-12}"#;
        assert!(object(line).is_some());
        let mut number = 1u64;
        let mut taken = 0;
        for run in 0..200_000 {
            let mut bytes = line.as_bytes().to_vec();
            for _ in 0..run % 3 {
                number =
                    number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (number >> 33) as usize % bytes.len();
                match number >> 20 & 3 {
                    0 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, b"{}[]\",:\\u0e1 -."[(number >> 40) as usize % 15]),
                    _ => bytes[at] = b"{}[]\",:\\u0e1 -."[(number >> 40) as usize % 15],
                }
            }
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let theirs = serde_json::from_str::<Value>(&text).ok().filter(Value::is_object);
            let ours = object(&text);
            // Serde refuses numbers beyond f64, and half surrogates; this one keeps a number's text.
            if text.contains("\\u") || text.contains(['e', 'E']) && theirs.is_none() {
                continue;
            }
            assert_eq!(ours.is_some(), theirs.is_some(), "{text}");
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            let mut expected = BTreeMap::new();
            flat(&theirs, "", &mut expected);
            let names: Vec<&String> = ours.pairs.iter().map(|(name, _)| name).collect();
            let unique = names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len();
            if unique && !theirs.as_object().unwrap().contains_key("") && expected.len() == names.len() {
                for (name, value) in &ours.pairs {
                    let (ours, theirs) = (value, &expected[name]);
                    let as_value = |text: &str| serde_json::from_str::<Value>(text).ok();
                    assert!(
                        ours == theirs || as_value(ours) == as_value(theirs),
                        "{text}: {name} {ours} {theirs}"
                    );
                }
                taken += 1;
            }
        }
        assert!(taken > 60_000, "{taken}");
    }

    #[test]
    fn bounds_hold_and_what_is_over_is_counted() {
        let many: Vec<String> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
        let fields = object(&format!("{{{}}}", many.join(","))).unwrap();
        assert_eq!((fields.pairs.len(), fields.short), (super::super::MAX_LINE_FIELDS, 36));
        let fields =
            object(&format!("{{\"{}\":1,\"v\":\"{}\"}}", "n".repeat(200), "\u{20ac}".repeat(5000))).unwrap();
        assert_eq!((fields.pairs.len(), fields.short), (1, 2));
        assert!(fields.pairs[0].1.len() <= super::super::MAX_FIELD_VALUE_BYTES);
        let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(object(&deep(8)).unwrap().pairs[0], ("a.a.a.a.a.a.a.a".to_owned(), "1".to_owned()));
        assert_eq!(
            object(&deep(9)).unwrap().pairs[0],
            ("a.a.a.a.a.a.a.a".to_owned(), "{\"a\":1}".to_owned())
        );
        assert_eq!(object(&deep(100_000)), None);
    }
}

//! Lines that look like one before: the same fields in the same order, of the same types. Most lines of a store's input do.

use super::parse::{Line, Value};
use crate::units::UnixNs;

/// How the fields of a line look: their names and types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Every name with what stands around it: `,name=`; the first without the comma.
    fields: Box<[(Box<str>, Type)]>,
}

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Int,
    Float,
    Bool,
    Text,
}

impl Template {
    /// Of a line; `None`: a name in it is escaped.
    #[must_use]
    pub fn of(line: &Line<'_>) -> Option<Self> {
        let mut fields = Vec::with_capacity(line.fields.len());
        for (number, (name, value)) in line.fields.iter().enumerate() {
            if name.bytes().any(|b| matches!(b, b',' | b'=' | b' ' | b'\\')) {
                return None;
            }
            let kind = match value {
                Value::Int(_) => Type::Int,
                Value::Float(_) => Type::Float,
                Value::Bool(_) => Type::Bool,
                Value::Text(_) => Type::Text,
            };
            let comma = if number == 0 { "" } else { "," };
            fields.push((format!("{comma}{name}=").into(), kind));
        }
        Some(Self { fields: fields.into() })
    }

    /// Reads the fields and the time of a line that [`super::lines`] would take, given the text after its key and the space
    /// there: calls with each field's number and value, and returns the time and how many bytes the line takes, its newline
    /// included. `None`: it looks different; some values may have been given already.
    pub fn read<'a>(&self, text: &'a str, mut each: impl FnMut(usize, Value<'a>)) -> Option<(UnixNs, usize)> {
        let bytes = text.as_bytes();
        let mut at = 0;
        for (number, (name, kind)) in self.fields.iter().enumerate() {
            let name = name.as_bytes();
            if bytes.get(at..at + name.len())? != name {
                return None;
            }
            at += name.len();
            let value = match kind {
                Type::Int => Value::Int(int(bytes, &mut at)?),
                Type::Float => Value::Float(float(text, &mut at)?),
                Type::Bool => Value::Bool(flag(bytes, &mut at)?),
                Type::Text => Value::Text(string(text, &mut at)?.into()),
            };
            each(number, value);
        }
        if *bytes.get(at)? != b' ' {
            return None;
        }
        at += 1;
        let time = digits(bytes, &mut at)?;
        match bytes.get(at) {
            None => {}
            Some(b'\n') => at += 1,
            Some(_) => return None,
        }
        Some((UnixNs(time.cast_unsigned()), at))
    }
}

/// Up to 18 digits, at least one: eight at a time.
fn digits(bytes: &[u8], at: &mut usize) -> Option<i64> {
    const ASCII: u64 = 0x3030_3030_3030_3030;
    let begin = *at;
    let mut value = 0_i64;
    while let Some(eight) = bytes.get(*at..*at + 8).and_then(|eight| eight.try_into().ok()) {
        let word = u64::from_le_bytes(eight).wrapping_sub(ASCII);
        // A byte above nine has one of these bits, or gets one when 0x76 is added.
        if (word | word.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 || *at - begin > 8 {
            break;
        }
        // Neighbours are put together: digits into pairs, these into fours, these into eight.
        let pairs = word.wrapping_mul(10).wrapping_add(word >> 8) & 0x00ff_00ff_00ff_00ff;
        let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
        let all = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
        value = value * 100_000_000 + all as i64;
        *at += 8;
    }
    while let Some(digit) = bytes.get(*at).map(|b| b.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.checked_mul(10)?.checked_add(i64::from(digit))?;
        *at += 1;
    }
    (*at > begin).then_some(value)
}

fn int(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let negative = bytes.get(*at) == Some(&b'-');
    *at += usize::from(negative);
    let value = digits(bytes, at)?;
    if *bytes.get(*at)? != b'i' {
        return None;
    }
    *at += 1;
    Some(if negative { -value } else { value })
}

fn float(text: &str, at: &mut usize) -> Option<f64> {
    let rest = &text[*at..];
    let end = rest.bytes().position(|b| b == b',' || b == b' ')?;
    if !rest.as_bytes()[..end]
        .iter()
        .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'))
    {
        return None;
    }
    *at += end;
    rest[..end].parse().ok().filter(|value: &f64| value.is_finite())
}

fn flag(bytes: &[u8], at: &mut usize) -> Option<bool> {
    for (text, value) in [(&b"true"[..], true), (b"false", false)] {
        if bytes[*at..].starts_with(text) {
            *at += text.len();
            return Some(value);
        }
    }
    None
}

/// One without escapes.
fn string<'a>(text: &'a str, at: &mut usize) -> Option<&'a str> {
    let rest = text.get(*at..)?.strip_prefix('"')?;
    let end = rest.bytes().position(|b| matches!(b, b'"' | b'\\' | b'\n'))?;
    if rest.as_bytes()[end] != b'"' {
        return None;
    }
    *at += end + 2;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::super::lines;
    use super::*;

    /// Values by the numbers of their fields.
    type Values = Vec<(usize, Value<'static>)>;

    /// What the parser makes of a line, and what the template of another makes of it.
    fn both(of: &str, line: &str) -> (Values, Option<Values>) {
        let parsed = lines(of).next().expect("a line").expect("well-formed");
        let template = Template::of(&parsed).expect("no escapes");
        let own = |value: &Value<'_>| match value {
            Value::Int(v) => Value::Int(*v),
            Value::Float(v) => Value::Float(*v),
            Value::Bool(v) => Value::Bool(*v),
            Value::Text(v) => Value::Text(v.to_string().into()),
        };
        let expected = lines(line).next().expect("a line").expect("well-formed");
        let mut got = Vec::new();
        let rest = line.strip_prefix(expected.key).and_then(|rest| rest.strip_prefix(' ')).expect("its key");
        let read = template.read(rest, |number, value| got.push((number, own(&value))));
        if let Some((time, len)) = read {
            assert_eq!(
                (time, len),
                (expected.time, rest.find('\n').map_or(rest.len(), |end| end + 1)),
                "{line}"
            );
        }
        let expected = expected.fields.iter().enumerate().map(|(number, (_, value))| (number, own(value)));
        (expected.collect(), read.map(|_| got))
    }

    #[test]
    fn lines_that_look_the_same_are_read_as_the_parser_reads_them() {
        let of = "m,a=b x=1i,y=2.5,z=true,t=\"R\" 5\n";
        for line in [
            "m,a=b x=1i,y=2.5,z=true,t=\"R\" 1700000000123456789\n",
            "n x=-42i,y=-1e-7,z=false,t=\"\" 0",
            "m,a=c x=12345678i,y=0.1,z=true,t=\"ü \" 17000000\nm a=1i 5\n",
            "m x=123456789012345678i,y=7,z=true,t=\"a,b=c d\" 1234567890123456\n",
            "m x=0i,y=1.7976931348623157e308,z=false,t=\"R\" 9223372036854775807\n",
            "m x=99999999i,y=1.0,z=false,t=\"R\" 99999999\n",
            "m x=9999999999999999i,y=1.0,z=false,t=\"R\" 1\n",
            "m x=10000000000000000i,y=1.0,z=false,t=\"R\" 1\n",
        ] {
            let (expected, got) = both(of, line);
            assert_eq!(got.as_ref(), Some(&expected), "{line}");
        }
    }

    #[test]
    fn numbers_of_every_length_are_read() {
        for length in 1..19_u32 {
            for number in [10_i64.pow(length - 1), 10_i64.pow(length - 1) * 7 + 3, 10_i64.pow(length) - 1] {
                let line = format!("m x={number}i,y=-{number}i {number}\n");
                let (expected, got) = both("m x=1i,y=1i 5", &line);
                assert_eq!(got, Some(expected), "{line}");
            }
        }
    }

    #[test]
    fn what_looks_different_is_left_to_the_parser() {
        let of = "m x=1i,t=\"R\" 5\n";
        for line in [
            "m x=1i 5",
            "m x=1.0,t=\"R\" 5",
            "m y=1i,t=\"R\" 5",
            "m x=1i,t=\"R\",u=1i 5",
            "m x=1i,t=\"a\\\"b\" 5",
            "m t=\"R\",x=1i 5",
            "m x=1i,t=true 5",
            "m x=1i,t=\"R\"  5\r\n",
        ] {
            if let Some(Ok(_)) = lines(line).next() {
                assert_eq!(both(of, line).1, None, "{line}");
            }
        }
        let escaped = lines("m x\\,y=1i 5").next().expect("a line").expect("well-formed");
        assert_eq!(Template::of(&escaped), None);
    }
}

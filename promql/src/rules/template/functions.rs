//! Functions of templates.

use regex::{Regex, RegexBuilder};

use super::data::Data;
use super::printf::printf;
use super::{MAX_BYTES, Subject};
use crate::duration::milliseconds;
use crate::eval::functions::compare_naturally;
use crate::matcher::MAX_REGEX_BYTES;
use crate::number;

/// All of them.
pub(super) const NAMES: [&str; 38] = [
    "and",
    "eq",
    "externalURL",
    "first",
    "ge",
    "graphLink",
    "gt",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "index",
    "label",
    "le",
    "len",
    "lt",
    "match",
    "ne",
    "not",
    "or",
    "parseDuration",
    "pathPrefix",
    "print",
    "printf",
    "println",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toLower",
    "toUpper",
    "value",
];

/// Calls a function; `query` is the caller's.
pub(super) fn call(name: &str, arguments: &[Data], subject: &Subject<'_>) -> Result<Data, String> {
    if let Some(result) = logic(name, arguments) {
        return result;
    }
    if let Some(result) = numbers(name, arguments) {
        return result;
    }
    if let Some(result) = of_series(name, arguments) {
        return result;
    }
    let shown = |data: &Data| data.text(subject);
    let all = || arguments.iter().map(shown).collect::<Vec<_>>();
    let text = match (name, arguments) {
        ("print", _) => all().concat(),
        ("println", _) => all().join(" ") + "\n",
        ("printf", [Data::Text(format), values @ ..]) => printf(format, values, subject)?,
        ("toUpper", [one]) => shown(one).to_uppercase(),
        ("toLower", [one]) => shown(one).to_lowercase(),
        ("title", [one]) => title(&shown(one)),
        ("safeHtml", [one]) => shown(one),
        ("stripPort", [one]) => strip_port(&shown(one)),
        ("stripDomain", [one]) => strip_domain(&shown(one)),
        ("externalURL", []) => subject.external_url.to_owned(),
        ("pathPrefix", []) => path(subject.external_url).to_owned(),
        ("graphLink", [Data::Text(query)]) => link(query, 0),
        ("tableLink", [Data::Text(query)]) => link(query, 1),
        ("reReplaceAll", [Data::Text(pattern), Data::Text(by), Data::Text(text)]) => {
            let replaced = regex(pattern)?.replace_all(text, by.as_str()).into_owned();
            if replaced.len() > MAX_BYTES {
                return Err(format!("a text is longer than {MAX_BYTES} bytes"));
            }
            replaced
        }
        ("match", [Data::Text(pattern), Data::Text(text)]) => {
            return Ok(Data::Bool(regex(pattern)?.is_match(text)));
        }
        _ => return Err(format!("{name} does not take these arguments")),
    };
    Ok(Data::Text(text))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build().map_err(|error| error.to_string())
}

fn logic(name: &str, arguments: &[Data]) -> Option<Result<Data, String>> {
    let compared = |holds: fn(std::cmp::Ordering) -> bool| match arguments {
        [a, b] => match order(a, b) {
            Some(order) => Ok(Data::Bool(holds(order))),
            None if is_nan(a) || is_nan(b) => Ok(Data::Bool(false)),
            None => Err(INCOMPATIBLE.to_owned()),
        },
        _ => Err(format!("{name} compares two values")),
    };
    Some(match (name, arguments) {
        ("and", [_, ..]) => Ok(arguments.iter().find(|one| !one.is_true()).or(arguments.last()).cloned()?),
        ("or", [_, ..]) => Ok(arguments.iter().find(|one| one.is_true()).or(arguments.last()).cloned()?),
        ("not", [one]) => Ok(Data::Bool(!one.is_true())),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            let same: Result<Vec<bool>, String> = rest.iter().map(|other| same(first, other)).collect();
            same.map(|same| Data::Bool(same.contains(&true)))
        }
        ("ne", [a, b]) => same(a, b).map(|same| Data::Bool(!same)),
        ("lt", _) => compared(std::cmp::Ordering::is_lt),
        ("le", _) => compared(std::cmp::Ordering::is_le),
        ("gt", _) => compared(std::cmp::Ordering::is_gt),
        ("ge", _) => compared(std::cmp::Ordering::is_ge),
        ("len", [Data::Text(text)]) => Ok(Data::Integer(text.len() as i64)),
        ("len", [Data::List(list)]) => Ok(Data::Integer(list.len() as i64)),
        ("len", [Data::Labels(labels)]) => Ok(Data::Integer(labels.iter().count() as i64)),
        _ => return None,
    })
}

fn order(a: &Data, b: &Data) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Data::Number(a), Data::Number(b)) => a.partial_cmp(b),
        (Data::Integer(a), Data::Integer(b)) => Some(a.cmp(b)),
        (Data::Text(a), Data::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// As in Go, a whole number is not comparable with a float: `eq $value 1` is an error, `eq $value 1.0` is none.
const INCOMPATIBLE: &str = "incompatible types for comparison";

fn same(a: &Data, b: &Data) -> Result<bool, String> {
    match (order(a, b), a, b) {
        (Some(order), ..) => Ok(order.is_eq()),
        (None, Data::Bool(a), Data::Bool(b)) => Ok(a == b),
        (None, ..) if is_nan(a) || is_nan(b) => Ok(false),
        _ => Err(INCOMPATIBLE.to_owned()),
    }
}

fn is_nan(data: &Data) -> bool {
    matches!(data, Data::Number(number) if number.is_nan())
}

fn numbers(name: &str, arguments: &[Data]) -> Option<Result<Data, String>> {
    let write: fn(f64) -> String = match name {
        "humanize" => |value| number::humanized(value, 1000.0),
        "humanize1024" => |value| number::humanized(value, 1024.0),
        "humanizeDuration" => number::duration,
        "humanizePercentage" => |value| format!("{}%", number::general(value * 100.0, 4)),
        "humanizeTimestamp" => number::timestamp,
        "parseDuration" => {
            let [Data::Text(text)] = arguments else {
                return Some(Err("parseDuration takes a text".to_owned()));
            };
            let ms = milliseconds(text).ok_or_else(|| format!("{text:?} is no duration"));
            return Some(ms.map(|ms| Data::Number(ms as f64 / 1e3)));
        }
        _ => return None,
    };
    Some(match arguments {
        [one] => match one.number() {
            Some(number) => Ok(Data::Text(write(number))),
            None => Err(format!("{name} takes a number, not {one:?}")),
        },
        _ => Err(format!("{name} takes one number")),
    })
}

/// Functions of what a query answered.
fn of_series(name: &str, arguments: &[Data]) -> Option<Result<Data, String>> {
    Some(Ok(match (name, arguments) {
        ("first", [Data::List(list)]) => match list.first() {
            Some((labels, value)) => Data::Sample(labels.clone(), *value),
            None => return Some(Err("first() called on vector with no elements".to_owned())),
        },
        ("value", [Data::Sample(_, value)]) => Data::Number(*value),
        ("label", [Data::Text(name), Data::Sample(labels, _)])
        | ("index", [Data::Labels(labels), Data::Text(name)]) => Data::Text(labels.get(name).to_owned()),
        ("strvalue", [Data::Sample(labels, _)]) => Data::Text(labels.get("__value__").to_owned()),
        ("sortByLabel", [Data::Text(name), Data::List(list)]) => {
            let mut list = list.clone();
            list.sort_by(|(a, _), (b, _)| compare_naturally(a.get(name), b.get(name)));
            Data::List(list)
        }
        ("index", [Data::List(list), Data::Integer(at)]) => {
            match usize::try_from(*at).ok().and_then(|at| list.get(at)) {
                Some((labels, value)) => Data::Sample(labels.clone(), *value),
                None => return Some(Err("index out of range".to_owned())),
            }
        }
        _ => return None,
    }))
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut begins = true;
    let letters = text.chars().flat_map(|c| {
        let upper = std::mem::replace(&mut begins, !(c.is_alphanumeric() || c == '_' || c == '\''))
            && c.is_alphabetic();
        let letters: Vec<char> = if upper { c.to_uppercase().collect() } else { vec![c] };
        letters
    });
    letters.collect()
}

fn strip_port(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.chars().all(|c| c.is_ascii_digit()) => {
            let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
            // An address of version 6 without a port has colons, too.
            if inside.is_none() && name.contains(':') {
                host.to_owned()
            } else {
                inside.unwrap_or(name).to_owned()
            }
        }
        _ => host.to_owned(),
    }
}

fn strip_domain(host: &str) -> String {
    let (name, port) = host
        .rsplit_once(':')
        .filter(|(name, _)| !name.contains(':'))
        .map_or((host, None), |(n, p)| (n, Some(p)));
    let is_address = name.parse::<std::net::IpAddr>().is_ok() || name.starts_with('[') || name.contains(':');
    let short = if is_address { name } else { name.split('.').next().unwrap_or(name) };
    port.map_or_else(|| short.to_owned(), |port| format!("{short}:{port}"))
}

fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

fn link(query: &str, tab: u8) -> String {
    let escaped: String = query
        .bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            _ if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("/graph?g0.expr={escaped}&g0.tab={tab}")
}

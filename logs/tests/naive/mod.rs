//! Queries and what they mean, by looking at one line at a time with nothing of the crate's own.
#![allow(missing_docs, unreachable_pub, reason = "a part of a test")]

use logs::{Record, Severity, Stream};

use crate::kit::{NAMES, Random, VALUES, WORDS};

/// What a line has to have, told without the means of the crate.
pub enum Naive {
    All(Vec<Naive>),
    Any(Vec<Naive>),
    Not(Box<Naive>),
    Word(String, bool, bool),
    Regex(regex::Regex),
    Field(String, Box<dyn Fn(&str) -> bool>),
    Label(String, String),
    AtLeast(u8),
    Pid(u32),
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_ascii_alphanumeric() || !letter.is_ascii()
}

/// All places at which `needle` is, by characters.
fn has_word(text: &str, needle: &str, case: bool, open: bool) -> bool {
    let lower = |text: &str| -> Vec<char> {
        if case { text.chars().collect() } else { text.chars().flat_map(char::to_lowercase).collect() }
    };
    let needle = lower(needle);
    // An ASCII phrase is looked for among ASCII letters alone: `İ` is not another way to write `i̇`.
    let text = if needle.iter().all(char::is_ascii) && !case {
        text.chars().map(|letter| letter.to_ascii_lowercase()).collect()
    } else {
        lower(text)
    };
    (0..text.len()).any(|at| {
        let Some(found) = text.get(at..at + needle.len()) else { return false };
        let joined = |left: Option<&char>, right: Option<&char>| {
            left.zip(right).is_some_and(|(left, right)| is_word(*left) && is_word(*right))
        };
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        found == needle
            && !joined(before, needle.first())
            && (open || !joined(needle.last(), text.get(at + needle.len())))
    })
}

impl Naive {
    pub fn matches(&self, stream: &Stream, record: &Record) -> bool {
        let mut texts = std::iter::once(&record.message).chain(record.fields.iter().map(|(_, value)| value));
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(stream, record)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(stream, record)),
            Self::Not(part) => !part.matches(stream, record),
            Self::Word(word, case, open) => texts.any(|text| has_word(text, word, *case, *open)),
            Self::Regex(regex) => texts.any(|text| regex.is_match(text)),
            Self::Field(name, test) => {
                record.fields.iter().any(|(known, value)| known == name && test(value))
            }
            Self::Label(name, value) => stream.get(name).unwrap_or("") == value,
            Self::AtLeast(severity) => record.severity as u8 <= *severity,
            Self::Pid(pid) => record.pid == *pid,
        }
    }
}

const PATTERNS: [&str; 28] = [
    "err",
    "(?i)ERR",
    r"\berror\b",
    r"\Berr",
    "^error",
    "error$",
    "(?m)^disk",
    r"disk\s",
    r"\sdisk\s",
    "[^a]",
    "x*",
    "",
    r"connection\s+refused",
    "(?i) disk ",
    "(?i) k ",
    "10\\.0\\.0\\.1",
    "é.",
    "(error|timeout): ",
    " (disk|disks) ",
    r"\w+-\w+",
    "(?s).\n.",
    r"^$",
    "refused fr",
    "imeout x",
    r"onnection.*\d",
    r"isk \d+ time",
    "k[0-9]+ at 12",
    "user_7",
];

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

/// A query and what it means.
pub fn query(random: &mut Random, depth: u32) -> (String, Naive) {
    let kind = random.below(if depth == 0 { 8 } else { 12 });
    match kind {
        0 | 1 => {
            let word = loop {
                let word = random.one(&WORDS);
                if !word.trim().is_empty() {
                    break word;
                }
            };
            match random.below(4) {
                0 => (format!("={}", quote(word)), Naive::Word(word.to_owned(), true, false)),
                1 if !word.contains('=') => (format!("{word}*"), Naive::Word(word.to_owned(), false, true)),
                _ => (quote(word), Naive::Word(word.to_owned(), false, false)),
            }
        }
        2 => {
            let phrase = format!("{} {}", random.one(&WORDS), random.one(&WORDS));
            (quote(&phrase), Naive::Word(phrase, false, false))
        }
        3 => {
            let pattern = loop {
                let pattern = random.one(&PATTERNS);
                if !pattern.is_empty() {
                    break pattern;
                }
            };
            (format!("~{}", quote(pattern)), Naive::Regex(regex::Regex::new(pattern).unwrap()))
        }
        4 => {
            let (name, value) = (
                loop {
                    let name = random.one(&NAMES);
                    if !name.is_empty() {
                        break name;
                    }
                },
                (*random.one(&VALUES)).to_owned(),
            );
            match random.below(5) {
                0 => (format!("field.{name}=*"), Naive::Field(name.to_owned(), Box::new(|_| true))),
                1 => (
                    format!("field.{name}!={}", quote(&value)),
                    Naive::Not(Box::new(Naive::Field(
                        name.to_owned(),
                        Box::new(move |known| known == value),
                    ))),
                ),
                2 => {
                    let regex = regex::Regex::new("^[45]0|r").unwrap();
                    (
                        format!("field.{name}~\"^[45]0|r\""),
                        Naive::Field(name.to_owned(), Box::new(move |known| regex.is_match(known))),
                    )
                }
                _ => (
                    format!("field.{name}={}", quote(&value)),
                    Naive::Field(name.to_owned(), Box::new(move |known| known == value)),
                ),
            }
        }
        5 => {
            let value = *random.one(&[&"nginx.service", &"Ärger.service", &""]);
            (format!("unit={}", quote(value)), Naive::Label("unit".to_owned(), value.to_owned()))
        }
        6 => {
            let severity = random.below(9) as u8;
            let name = Severity::of_number(u64::from(severity)).name();
            (format!("severity>={name}"), Naive::AtLeast(severity))
        }
        7 => {
            let pid = random.below(3) as u32;
            (format!("pid={pid}"), Naive::Pid(pid))
        }
        8 => {
            let (text, naive) = query(random, depth - 1);
            (format!("NOT ({text})"), Naive::Not(Box::new(naive)))
        }
        _ => {
            let parts: Vec<(String, Naive)> =
                (0..2 + random.below(2)).map(|_| query(random, depth - 1)).collect();
            let (texts, naives): (Vec<String>, Vec<Naive>) = parts.into_iter().unzip();
            let texts: Vec<String> = texts.into_iter().map(|text| format!("({text})")).collect();
            if kind == 9 {
                (texts.join(" OR "), Naive::Any(naives))
            } else {
                (texts.join(" "), Naive::All(naives))
            }
        }
    }
}

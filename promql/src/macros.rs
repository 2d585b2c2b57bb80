//! Functions of the user's own: `lost_share(p) = rate(lost_seconds_total{comm=p}[1m])`. A call is replaced by the text before
//! the grammar sees it, so that a parameter may stand for whatever is an expression, a string, a label or a duration.

use std::collections::{BTreeMap, HashMap};

use crate::error::{MacroError, ParseError};
use crate::tokens::{Kind, MAX_QUERY_BYTES, Piece, pieces};

/// Most calls that one query may make, those in bodies included: a body that calls twice what calls twice … doubles the work
/// each time.
pub const MAX_CALLS: usize = 1_000;

/// A function of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macro {
    /// Its name.
    pub name: String,
    /// Names of its parameters. Wherever the body has one as a word, the argument takes its place.
    pub parameters: Vec<String>,
    /// What a call is replaced by.
    pub body: String,
    /// What it is for.
    pub help: String,
}

const TOO_LARGE: MacroError = MacroError::TooLarge { bytes: MAX_QUERY_BYTES, calls: MAX_CALLS };

/// Functions of the user's own, by name.
#[derive(Debug, Clone, Default)]
pub struct Macros {
    by_name: BTreeMap<String, Macro>,
}

impl Macros {
    /// Reads definitions. Each begins a line; what follows it up to the next one, or to an empty line, belongs to it. Comments
    /// directly above are its help.
    pub fn parse(text: &str) -> Result<Self, MacroError> {
        let mut macros = Self::default();
        let (mut help, mut definition) = (String::new(), String::new());
        for line in text.lines().chain([""]) {
            let comment = line.trim().strip_prefix('#').map(str::trim);
            let begins = comment.is_some() || line.trim().is_empty() || head(line).is_some();
            if begins && !definition.is_empty() {
                macros.insert(&std::mem::take(&mut definition), &std::mem::take(&mut help))?;
            }
            match comment {
                Some(comment) => {
                    help = if help.is_empty() { comment.to_owned() } else { format!("{help} {comment}") }
                }
                None if line.trim().is_empty() => help.clear(),
                None => {
                    definition.push_str(line);
                    definition.push('\n');
                }
            }
        }
        Ok(macros)
    }

    /// Adds a function, or replaces the one of the same name. Fails where it would call itself.
    pub fn insert(&mut self, definition: &str, help: &str) -> Result<(), MacroError> {
        let malformed = || MacroError::Malformed(definition.trim().to_owned());
        let (name, parameters, body) = head(definition).ok_or_else(malformed)?;
        let body = body.trim();
        if body.is_empty() {
            return Err(malformed());
        }
        if is_taken(name) {
            return Err(MacroError::Taken(name.to_owned()));
        }
        for (nth, parameter) in parameters.iter().enumerate() {
            if parameters[..nth].contains(parameter) {
                return Err(MacroError::SameParameters { name: name.into(), parameter: parameter.clone() });
            }
        }
        let new = Macro { name: name.to_owned(), parameters, body: body.to_owned(), help: help.to_owned() };
        let replaced = self.by_name.insert(name.to_owned(), new);
        let refused = self.refuse_recursion(name);
        if refused.is_err() {
            match replaced {
                Some(before) => self.by_name.insert(name.to_owned(), before),
                None => self.by_name.remove(name),
            };
        }
        refused
    }

    /// All of them, by name.
    pub fn list(&self) -> impl Iterator<Item = &Macro> {
        self.by_name.values()
    }

    /// The query with all calls replaced.
    pub fn expand(&self, text: &str) -> Result<String, MacroError> {
        if self.by_name.is_empty() {
            return Ok(text.to_owned());
        }
        let mut calls = 0;
        self.expanded(text, &mut calls)
    }

    fn expanded(&self, text: &str, calls: &mut usize) -> Result<String, MacroError> {
        let pieces: Vec<Piece<'_>> = pieces(text).collect();
        let mut result = String::new();
        let mut at = 0;
        while let Some(piece) = pieces.get(at) {
            let call = self.by_name.get(piece.text).filter(|_| piece.kind == Kind::Word);
            match call.and_then(|own| Some((own, opening(&pieces, at + 1)?))) {
                Some((own, open)) => {
                    *calls += 1;
                    if *calls > MAX_CALLS {
                        return Err(TOO_LARGE);
                    }
                    let (arguments, close) =
                        arguments(&pieces, open).ok_or_else(|| MacroError::Open(own.name.clone()))?;
                    let replaced = self.called(own, &arguments, calls)?;
                    result.push_str(&enclosed(&replaced));
                    at = close;
                }
                None => result.push_str(piece.text),
            }
            at += 1;
            if result.len() > MAX_QUERY_BYTES {
                return Err(TOO_LARGE);
            }
        }
        Ok(result)
    }

    /// The body with the arguments in it, expanded.
    fn called(&self, own: &Macro, arguments: &[String], calls: &mut usize) -> Result<String, MacroError> {
        if arguments.len() != own.parameters.len() {
            return Err(MacroError::Arguments {
                name: own.name.clone(),
                parameters: own.parameters.clone(),
                wanted: own.parameters.len(),
                given: arguments.len(),
            });
        }
        let values =
            own.parameters.iter().map(String::as_str).zip(arguments.iter().map(|text| enclosed(text)));
        let values: HashMap<&str, String> = values.collect();
        let mut body = String::new();
        for piece in pieces(&own.body) {
            let value = values.get(piece.text).filter(|_| piece.kind == Kind::Word);
            body.push_str(value.map_or(piece.text, String::as_str));
            if body.len() > MAX_QUERY_BYTES {
                return Err(TOO_LARGE);
            }
        }
        self.expanded(&body, calls)
    }

    fn refuse_recursion(&self, name: &str) -> Result<(), MacroError> {
        let mut reached: Vec<&str> = vec![name];
        let mut next = 0;
        while let Some(own) = reached.get(next).and_then(|name| self.by_name.get(*name)) {
            for piece in pieces(&own.body).filter(|piece| piece.kind == Kind::Word) {
                let Some((called, _)) = self.by_name.get_key_value(piece.text) else { continue };
                if called == name {
                    return Err(MacroError::Recursion(name.to_owned()));
                }
                if !reached.contains(&called.as_str()) {
                    reached.push(called);
                }
            }
            next += 1;
        }
        Ok(())
    }
}

/// Name, parameters and body of a definition.
fn head(text: &str) -> Option<(&str, Vec<String>, &str)> {
    let (name, rest) = text.trim_start().split_once('(')?;
    let (parameters, rest) = rest.split_once(')')?;
    // `==` compares.
    let body = rest.trim_start().strip_prefix('=').filter(|body| !body.starts_with(['=', '~']))?;
    let name = name.trim_end();
    let parameters: Vec<String> =
        parameters.split(',').map(|parameter| parameter.trim().to_owned()).collect();
    let parameters = if parameters == [""] { Vec::new() } else { parameters };
    let all_names = std::iter::once(name).chain(parameters.iter().map(String::as_str)).all(is_name);
    all_names.then_some((name, parameters, body))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether the language has that name: a keyword is no selector, and a call of a function says what it lacks.
fn is_taken(name: &str) -> bool {
    const KEYWORDS: [&str; 14] = [
        "and",
        "or",
        "unless",
        "atan2",
        "offset",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "bool",
        "inf",
        "nan",
    ];
    const OURS: [&str; 5] = ["mean", "median", "mean_over_time", "median_over_time", "holt_winters"];
    const AGGREGATIONS: [&str; 14] = [
        "sum",
        "avg",
        "count",
        "min",
        "max",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "count_values",
        "quantile",
        "limitk",
        "limit_ratio",
    ];
    let lower = name.to_ascii_lowercase();
    let unknown = crate::eval::functions::find(name).is_err()
        && !crate::eval::functions::UNSUPPORTED.iter().any(|(own, _)| *own == name);
    !unknown || [&KEYWORDS[..], &OURS, &AGGREGATIONS].concat().contains(&lower.as_str())
}

/// The place of the parenthesis that opens here, white space aside.
fn opening(pieces: &[Piece<'_>], from: usize) -> Option<usize> {
    let at = (from..pieces.len()).find(|at| pieces[*at].kind != Kind::Space)?;
    pieces[at].is_sign("(").then_some(at)
}

/// The arguments of a call whose parenthesis opens here, and the place where it closes.
fn arguments(pieces: &[Piece<'_>], open: usize) -> Option<(Vec<String>, usize)> {
    let mut arguments = vec![String::new()];
    let mut depth = 0_usize;
    for (at, piece) in pieces.iter().enumerate().skip(open) {
        let sign = if piece.kind == Kind::Sign { piece.text } else { "" };
        match sign {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            let only_empty = arguments.len() == 1 && arguments[0].trim().is_empty();
            return Some((if only_empty { Vec::new() } else { arguments }, at));
        }
        if at == open {
            continue;
        }
        if depth == 1 && sign == "," {
            arguments.push(String::new());
        } else if let Some(last) = arguments.last_mut() {
            last.push_str(if piece.kind == Kind::Space { " " } else { piece.text });
        }
    }
    None
}

/// The text between parentheses where it has an operator outside of any: what stands beside it must not get in between. A
/// selector or a string stays as it is: `(x)[5m]` and `{a=("b")}` are not of the language.
fn enclosed(text: &str) -> String {
    let text = text.trim();
    let mut depth = 0_usize;
    let operator = pieces(text).any(|piece| match (piece.kind, piece.text) {
        (Kind::Sign, "(" | "[" | "{") => {
            depth += 1;
            false
        }
        (Kind::Sign, ")" | "]" | "}") => {
            depth = depth.saturating_sub(1);
            false
        }
        (Kind::Sign, _) => depth == 0,
        (Kind::Word, word) => {
            depth == 0 && ["and", "or", "unless", "atan2"].iter().any(|own| own.eq_ignore_ascii_case(word))
        }
        _ => false,
    });
    if operator { format!("({text})") } else { text.to_owned() }
}

impl From<MacroError> for ParseError {
    fn from(error: MacroError) -> Self {
        Self::Macro(error)
    }
}

#[cfg(test)]
mod tests;

//! `printf`: the verbs that texts for people need.

use super::Subject;
use super::data::Data;
use crate::number;

/// Widest field and most digits.
const MAX_WIDTH: usize = 100;

/// The text of a format with its values.
pub(super) fn printf(format: &str, values: &[Data], subject: &Subject<'_>) -> Result<String, String> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let verb_at =
            after.find(|c: char| c.is_ascii_alphabetic() || c == '%').ok_or("printf: % has no verb")?;
        let (modifiers, verb) = (&after[..verb_at], &after[verb_at..=verb_at]);
        rest = &after[verb_at + 1..];
        if verb == "%" {
            out.push('%');
            continue;
        }
        let Some(value) = values.next() else {
            out.push_str("%!");
            out.push_str(verb);
            out.push_str("(MISSING)");
            continue;
        };
        out.push_str(&padded(modifiers, &one(verb, modifiers, value, subject)?)?);
    }
    out.push_str(rest);
    Ok(out)
}

fn one(verb: &str, modifiers: &str, value: &Data, subject: &Subject<'_>) -> Result<String, String> {
    let digits = modifiers.split_once('.').map(|(_, digits)| if digits.is_empty() { "0" } else { digits });
    let digits =
        digits.map(str::parse::<usize>).transpose().map_err(|_| format!("printf: %{modifiers}{verb}"))?;
    if digits.is_some_and(|digits| digits > MAX_WIDTH) {
        return Err(format!("printf: more than {MAX_WIDTH} digits"));
    }
    let text = value.text(subject);
    Ok(match (verb, value, digits) {
        ("v", _, None)
        | ("d", Data::Integer(_), _)
        | ("s", Data::Text(_), None)
        | ("t", Data::Bool(_), _)
        | ("g", Data::Number(_), None) => text,
        ("s", Data::Text(_), Some(digits)) => text.chars().take(digits).collect(),
        ("q", Data::Text(_), _) => format!("{text:?}"),
        ("f" | "F", Data::Number(number), digits) => number::fixed(*number, digits.unwrap_or(6)),
        ("g" | "v", Data::Number(number), Some(digits)) => number::general(*number, digits.max(1)),
        ("e", Data::Number(number), digits) => number::scientific(*number, digits.unwrap_or(6)),
        // As Go says it.
        (verb, Data::Number(_), _) => format!("%!{verb}(float64={text})"),
        (verb, Data::Integer(_), _) => format!("%!{verb}(int={text})"),
        (verb, _, _) => format!("%!{verb}(string={text})"),
    })
}

/// Blanks, or zeros, up to the width.
fn padded(modifiers: &str, text: &str) -> Result<String, String> {
    let width = modifiers.split('.').next().unwrap_or_default();
    let left = width.contains('-');
    let plus =
        width.contains('+') && !text.starts_with('-') && text.starts_with(|c: char| c.is_ascii_digit());
    let text = if plus { format!("+{text}") } else { text.to_owned() };
    let width = width.trim_start_matches(['-', '+', ' ', '#']);
    let zeros = width.starts_with('0');
    let width: usize =
        if width.is_empty() { 0 } else { width.parse().map_err(|_| format!("printf: %{modifiers}"))? };
    if width > MAX_WIDTH {
        return Err(format!("printf: wider than {MAX_WIDTH}"));
    }
    let missing = width.saturating_sub(text.chars().count());
    Ok(if left {
        text + &" ".repeat(missing)
    } else if zeros {
        let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
        format!("{sign}{}{digits}", "0".repeat(missing))
    } else {
        " ".repeat(missing) + &text
    })
}

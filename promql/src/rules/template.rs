//! Texts with values in them: the part of Go's templates that annotations need.
//!
//! `{{ $value }}`, `{{ $labels.comm }}`, and of these, alone or after `|`: `humanize`, `humanize1024`, `humanizeDuration`,
//! `humanizePercentage`, `toUpper`, `toLower`, `printf "%.2f"`. What else is between `{{` and `}}` is an error where the text is
//! loaded.

use crate::labels::Labels;
use crate::number;

/// A text with values in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Value { of: Source, through: Vec<Step> },
}

#[derive(Debug, Clone, PartialEq)]
enum Source {
    Value,
    Label(String),
    Text(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Humanize,
    Humanize1024,
    HumanizeDuration,
    HumanizePercentage,
    ToUpper,
    ToLower,
    /// Text before, digits after the point, text after.
    Fixed(String, usize, String),
    /// Text before and after.
    Plain(String, String),
}

/// A value on its way through the steps.
enum Filled {
    Number(f64),
    Text(String),
}

impl Template {
    /// Understands a text. Fails at what is not supported, and says what.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after.split_once("}}").ok_or("{{ has no }}")?;
            // `{{-` and `-}}` take the white space beside them away.
            let (inside, trims_before) =
                inside.strip_prefix("- ").map_or((inside, false), |inside| (inside, true));
            let (inside, trims_after) =
                inside.strip_suffix(" -").map_or((inside, false), |inside| (inside, true));
            let before = if trims_before { before.trim_end() } else { before };
            parts.push(Part::Text(before.to_owned()));
            parts.push(value(inside.trim())?);
            rest = if trims_after { after.trim_start() } else { after };
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self { parts })
    }

    /// The text for a series with this value.
    pub fn fill(&self, value: f64, labels: &Labels) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value { of, through } => {
                let first = match of {
                    Source::Value => Filled::Number(value),
                    Source::Label(name) => Filled::Text(labels.get(name).to_owned()),
                    Source::Text(text) => Filled::Text(text.clone()),
                };
                through.iter().fold(first, |filled, step| Filled::Text(step.apply(&filled))).text()
            }
        };
        self.parts.iter().map(part).collect::<Vec<String>>().concat()
    }
}

/// What is between the braces.
fn value(inside: &str) -> Result<Part, String> {
    let unsupported = || {
        format!("{{{{ {inside} }}}} is not supported: $value, $labels.name, humanize…, printf \"%.2f\" are")
    };
    let words = words(inside).ok_or_else(unsupported)?;
    let mut steps = words.split(|word| word == "|");
    let first = steps.next().unwrap_or_default();
    let (of, mut through) = match first {
        [source] => (self::source(source).ok_or_else(unsupported)?, Vec::new()),
        [function @ .., source] => {
            let step = step(function).ok_or_else(unsupported)?;
            (self::source(source).ok_or_else(unsupported)?, vec![step])
        }
        [] => return Err(unsupported()),
    };
    for function in steps {
        through.push(step(function).ok_or_else(unsupported)?);
    }
    Ok(Part::Value { of, through })
}

/// Words and quoted texts; nothing where a quote stays open.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = match rest.chars().next()? {
            '"' => rest[1..].find('"')? + 2,
            '|' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || c == '|').unwrap_or(rest.len()),
        };
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    Some(words)
}

fn source(word: &str) -> Option<Source> {
    if word == "$value" || word == ".Value" {
        return Some(Source::Value);
    }
    if let Some(text) = word.strip_prefix('"') {
        return Some(Source::Text(text.strip_suffix('"')?.to_owned()));
    }
    let name = word.strip_prefix("$labels.").or_else(|| word.strip_prefix(".Labels."))?;
    super::is_label(name).then(|| Source::Label(name.to_owned()))
}

fn step(words: &[String]) -> Option<Step> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(match words.as_slice() {
        ["humanize"] => Step::Humanize,
        ["humanize1024"] => Step::Humanize1024,
        ["humanizeDuration"] => Step::HumanizeDuration,
        ["humanizePercentage"] => Step::HumanizePercentage,
        ["toUpper"] => Step::ToUpper,
        ["toLower"] => Step::ToLower,
        ["printf", format] => printf(format)?,
        _ => return None,
    })
}

/// `"before %.2f after"`, with one of `%f`, `%.2f`, `%g`, `%v`, `%s`.
fn printf(quoted: &str) -> Option<Step> {
    let format = quoted.strip_prefix('"')?.strip_suffix('"')?;
    // `%%` is a percent sign.
    let mut marks = format.match_indices('%').map(|(at, _)| at);
    let mut verb = None;
    while let Some(at) = marks.next() {
        if format[at + 1..].starts_with('%') {
            marks.next();
        } else if verb.replace(at).is_some() {
            return None;
        }
    }
    let verb = verb?;
    let unescaped = |text: &str| text.replace("%%", "%");
    let (before, rest) = (unescaped(&format[..verb]), &format[verb + 1..]);
    let kind = rest.find(|c: char| c.is_ascii_alphabetic())?;
    let (precision, after) = (&rest[..kind], unescaped(&rest[kind + 1..]));
    match (&rest[kind..=kind], precision) {
        ("f", "") => Some(Step::Fixed(before, 6, after)),
        ("f", precision) => {
            let digits: usize = precision.strip_prefix('.')?.parse().ok().filter(|digits| *digits <= 20)?;
            Some(Step::Fixed(before, digits, after))
        }
        ("g" | "v" | "s", "") => Some(Step::Plain(before, after)),
        _ => None,
    }
}

impl Filled {
    fn text(self) -> String {
        match self {
            Self::Number(number) => number::short(number),
            Self::Text(text) => text,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

impl Step {
    fn apply(&self, filled: &Filled) -> String {
        let text = || match filled {
            Filled::Number(number) => number::short(*number),
            Filled::Text(text) => text.clone(),
        };
        // A text that is no number stays what it is.
        let number = |written: &dyn Fn(f64) -> String| filled.number().map_or_else(text, written);
        match self {
            Self::Humanize => number(&|value| number::humanized(value, 1000.0)),
            Self::Humanize1024 => number(&|value| number::humanized(value, 1024.0)),
            Self::HumanizeDuration => number(&number::duration),
            Self::HumanizePercentage => number(&|value| format!("{}%", number::general(value * 100.0, 4))),
            Self::ToUpper => text().to_uppercase(),
            Self::ToLower => text().to_lowercase(),
            Self::Fixed(before, digits, after) => {
                let digits = *digits;
                format!("{before}{}{after}", number(&|value| number::fixed(value, digits)))
            }
            Self::Plain(before, after) => format!("{before}{}{after}", text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, value: f64) -> String {
        let labels = super::super::labels([("comm".to_owned(), "make".to_owned())]);
        Template::parse(template).expect(template).fill(value, &labels)
    }

    #[test]
    fn values_and_labels_take_their_places() {
        assert_eq!(filled("{{ $labels.comm }} lost {{ $value }} s", 1.5), "make lost 1.5 s");
        assert_eq!(filled("{{$labels.nothing}}.", 0.0), ".");
        assert_eq!(filled("a {{- $value -}} b", 2.0), "a2b");
    }

    #[test]
    fn numbers_are_written_for_people() {
        for (template, value, text) in [
            ("{{ $value | humanize }}", 1_234_567.0, "1.235M"),
            ("{{ humanize $value }}", 0.001_234, "1.234m"),
            ("{{ $value | humanize1024 }}", 2048.0, "2ki"),
            ("{{ $value | humanizePercentage }}", 0.123_456, "12.35%"),
            ("{{ $value | humanizeDuration }}", 3_725.0, "1h 2m 5s"),
            ("{{ $value | humanizeDuration }}", 0.0015, "1.5ms"),
            ("{{ printf \"%.2f\" $value }}", 2.345_6, "2.35"),
            ("{{ $value | printf \"%.0f%%\" }}", 99.6, "100%"),
            ("{{ $labels.comm | toUpper }}", 0.0, "MAKE"),
            ("{{ $value }}", f64::INFINITY, "+Inf"),
            ("{{ $value }}", 1e21, "1e+21"),
            ("{{ $value }}", 1e20, "100000000000000000000"),
        ] {
            assert_eq!(filled(template, value), text, "{template}");
        }
    }

    #[test]
    fn what_is_not_supported_is_an_error() {
        for template in [
            "{{ if $value }}x{{ end }}",
            "{{ query \"up\" }}",
            "{{ $value",
            "{{ }}",
            "{{ $labels }}",
            "{{ $value | unknown }}",
            "{{ printf \"%d\" $value }}",
            "{{ printf \"%f %f\" $value }}",
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}

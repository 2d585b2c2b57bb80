//! Which conditions another language can be given.
//!
//! A condition is passed on only where it means the same there, or leaves more. It narrows what is sent; who asks looks at
//! all series again. So one that is left out costs time alone.

use promql::{Matcher, NAME, Operator};

/// A condition that any of the languages understands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Condition<'m> {
    /// A label has this value.
    Is(&'m str, &'m str),
    /// The whole of a label's value fulfils this expression; `.` is any character.
    Matches(&'m str, &'m str),
}

/// Those of these conditions that can be passed on. Conditions that a missing label fulfils cannot: languages differ there.
pub(super) fn passed_on(matchers: &[Matcher]) -> impl Iterator<Item = Condition<'_>> {
    matchers.iter().filter(|matcher| matcher.label != NAME && !matcher.matches("")).filter_map(|matcher| {
        let (label, value) = (matcher.label.as_str(), matcher.value.as_str());
        // No language has a way to write that.
        if label.is_empty() || [label, value].iter().any(|text| text.contains('\0')) {
            return None;
        }
        match matcher.operator {
            Operator::Equal => Some(Condition::Is(label, value)),
            Operator::Matches if is_plain(value) => Some(Condition::Matches(label, value)),
            Operator::Matches | Operator::NotEqual | Operator::NotMatches => None,
        }
    })
}

/// Whether an expression means the same in Go's, Rust's and InfluxDB's dialects: letters, `.`, `*`, `+`, `?`, `|` and groups
/// without names or flags.
fn is_plain(expression: &str) -> bool {
    let is_known = |c: char| c.is_ascii_alphanumeric() || " _:/@,=-.*+?|()".contains(c);
    expression.chars().all(is_known) && !expression.replace("(?:", "(").contains("(?")
}

/// The host, where the conditions name one.
pub(super) fn host(matchers: &[Matcher]) -> Vec<Matcher> {
    let names_host = |matcher: &&Matcher| matcher.label == "host" && matcher.operator == Operator::Equal;
    matchers.iter().filter(names_host).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_means_the_same_everywhere_is_passed_on() {
        let passed = |operator: Operator, value: &str| {
            let matchers = [Matcher::new("comm", operator, value).unwrap()];
            passed_on(&matchers).count() == 1
        };
        assert!(passed(Operator::Equal, "a\"b\\c\n'd"));
        for plain in ["a|b", "nginx.*", "(?:a|b)+", "a b:/@"] {
            assert!(passed(Operator::Matches, plain), "{plain}");
        }
        for foreign in
            ["[a&&b]", r"\d", r"a\.b", "(?i)a", "(?P<n>a)", "a{2}", "a\nb", "$a", "ä", "a'b", "a\"b"]
        {
            assert!(!passed(Operator::Matches, foreign), "{foreign}");
        }
        for missing in ["", ".*", "a?"] {
            assert!(!passed(Operator::Matches, missing), "{missing}: a series without the label fulfils it");
        }
        assert!(!passed(Operator::Equal, "") && !passed(Operator::Equal, "a\0b"));
        let nameless = [Matcher::new("", Operator::Equal, "a").unwrap()];
        assert_eq!(passed_on(&nameless).count(), 0);
        assert!(!passed(Operator::NotEqual, "a") && !passed(Operator::NotMatches, "a"));
    }
}

//! Conditions on labels.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::memo::Memo;

/// Most memory that one compiled expression may take, bytes. `[a-z]{1,1000}` nested twice would take more.
pub(crate) const MAX_REGEX_BYTES: usize = 1 << 20;

/// Compiled expressions that are kept, and the longest of them: some hundred KiB each, 16 MiB where all are as large as they may be.
const MAX_KNOWN: usize = 16;
const MAX_KNOWN_BYTES: usize = 4 << 10;

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`: the whole value, where `.` is any character.
    Matches,
    /// `!~`
    NotMatches,
}

/// A condition on one label. A label that a series has not is empty.
#[derive(Clone)]
pub struct Matcher {
    /// Its name; that of the metric is `__name__`.
    pub label: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what: a value or a regular expression.
    pub value: String,
    pattern: Option<Pattern>,
}

/// An expression on a whole value.
#[derive(Debug, Clone)]
enum Pattern {
    /// One of these texts, such as `a|b`.
    Texts(Arc<BTreeSet<String>>),
    /// What it begins with, before anything that may vary; and itself.
    Regex(Arc<str>, Regex),
}

impl Pattern {
    fn new(expression: &str) -> Result<Self, regex::Error> {
        const SIGNS: &[char] = &['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'];
        if !expression.contains(|c| c != '|' && SIGNS.contains(&c)) {
            return Ok(Self::Texts(Arc::new(expression.split('|').map(str::to_owned).collect())));
        }
        let regex = whole(expression)?;
        let (mut end, mut depth) = (expression.find(SIGNS).unwrap_or_default(), 0_i32);
        // The sign may mean the letter before it: it is there any number of times.
        if expression[end..].starts_with(['?', '*', '{', '+']) {
            end = expression[..end].char_indices().next_back().map_or(0, |(at, _)| at);
        }
        // An escape or a class may hide a sign: better no beginning than a wrong one.
        let is_plain = !expression.contains(['\\', '[']);
        let is_one = expression.chars().all(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c != '|' || depth > 0
        });
        let begin = if is_plain && is_one { &expression[..end] } else { "" };
        Ok(Self::Regex(begin.into(), regex))
    }

    fn is_match(&self, value: &str) -> bool {
        match self {
            Self::Texts(texts) => texts.contains(value),
            Self::Regex(begin, regex) => value.starts_with(&**begin) && regex.is_match(value),
        }
    }
}

impl Matcher {
    /// A condition whose regular expression, if it has one, is compiled. Fails where that is none, or is too large.
    pub fn new(
        label: impl Into<String>,
        operator: Operator,
        value: impl Into<String>,
    ) -> Result<Self, regex::Error> {
        let value = value.into();
        let pattern = match operator {
            Operator::Equal | Operator::NotEqual => None,
            Operator::Matches | Operator::NotMatches => Some(Pattern::new(&value)?),
        };
        Ok(Self { label: label.into(), operator, value, pattern })
    }

    /// The only values that fulfil the condition, if it names them.
    #[must_use]
    pub fn values(&self) -> Option<Vec<&str>> {
        match (self.operator, &self.pattern) {
            (Operator::Equal, _) => Some(vec![&self.value]),
            (Operator::Matches, Some(Pattern::Texts(texts))) => {
                Some(texts.iter().map(String::as_str).collect())
            }
            _ => None,
        }
    }

    /// What each value begins with that fulfils the condition.
    #[must_use]
    pub fn beginning(&self) -> &str {
        match (self.operator, &self.pattern) {
            (Operator::Equal, _) => &self.value,
            (Operator::Matches, Some(Pattern::Regex(begin, _))) => begin,
            _ => "",
        }
    }

    /// Whether a label of this value fulfils the condition; empty: the series has no such label.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let found = || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(value));
        match self.operator {
            Operator::Equal => self.value == value,
            Operator::NotEqual => self.value != value,
            Operator::Matches => found(),
            Operator::NotMatches => !found(),
        }
    }
}

/// The expression as a condition on the whole text, where `.` is any character. To compile one takes milliseconds, and pages ask with
/// the same ones each second: the last ones are kept.
pub(crate) fn whole(expression: &str) -> Result<Regex, regex::Error> {
    static KNOWN: Memo<Regex> = Memo::new(MAX_KNOWN, MAX_KNOWN_BYTES);
    let compiled =
        |text: &str| RegexBuilder::new(text).dot_matches_new_line(true).size_limit(MAX_REGEX_BYTES).build();
    KNOWN.of(expression, || {
        // By itself first: `a)|(b` is an expression only between our parentheses.
        compiled(expression)?;
        compiled(&format!("^(?:{expression})$"))
    })
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Matches => "=~",
            Operator::NotMatches => "!~",
        };
        write!(f, "{}{operator}{:?}", self.label, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(operator: Operator, pattern: &str, value: &str) -> bool {
        Matcher::new("comm", operator, pattern).expect(pattern).matches(value)
    }

    #[test]
    fn an_expression_matches_the_whole_value() {
        assert!(matches(Operator::Matches, "a|b", "b"));
        assert!(!matches(Operator::Matches, "a|b", "ab"));
        assert!(matches(Operator::NotMatches, "a|b", "ab"));
    }

    #[test]
    fn a_dot_matches_a_newline() {
        assert!(matches(Operator::Matches, "a.b", "a\nb"));
        assert!(!matches(Operator::Matches, "a", "a\n"));
    }

    #[test]
    fn a_label_that_is_not_there_is_empty() {
        assert!(matches(Operator::Matches, ".*", ""));
        assert!(!matches(Operator::Matches, ".+", ""));
        assert!(matches(Operator::NotEqual, "a", ""));
    }

    #[test]
    fn what_is_known_of_an_expression_without_looking_at_values_is_true_of_all_that_match() {
        let begin = |expression| {
            Matcher::new("a", Operator::Matches, expression).expect(expression).beginning().to_owned()
        };
        for (expression, beginning) in [
            ("s7mpa_host_time_.*_ns", "s7mpa_host_time_"),
            ("s7mpa_(a|b)_ns", "s7mpa_"),
            ("abc?", "ab"),
            ("abé*", "ab"),
            ("abc{0,2}d", "ab"),
            ("abc+", "ab"),
            ("x?", ""),
            ("ab.*|c", ""),
            ("(a)|b.", ""),
            ("ab[|]c", ""),
            (r"ab\(c|d", ""),
            ("^ab$", ""),
            (".*", ""),
        ] {
            assert_eq!(begin(expression), beginning, "{expression}");
        }
        for (expression, yes, no) in
            [("abc?", "ab", "a"), ("abc{0,2}d", "abd", "ab"), ("ab.*|c", "c", "d"), (r"ab\(c|d", "d", "ab")]
        {
            assert!(
                matches(Operator::Matches, expression, yes) && !matches(Operator::Matches, expression, no)
            );
        }
        let values =
            |operator, text| Matcher::new("a", operator, text).expect(text).values().map(|all| all.join(","));
        assert_eq!(values(Operator::Matches, "b|a|"), Some(",a,b".to_owned()));
        assert_eq!(values(Operator::Equal, "a|b"), Some("a|b".to_owned()));
        assert_eq!(values(Operator::Matches, "a.b"), None);
        assert_eq!(values(Operator::NotMatches, "a|b"), None);
        assert_eq!(values(Operator::NotEqual, "a"), None);
        assert!(matches(Operator::Matches, "a|", "") && !matches(Operator::NotMatches, "a|b", "a"));
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused() {
        for bad in ["(", "a)|(b", "[a-z]{1000}{1000}"] {
            assert!(Matcher::new("comm", Operator::Matches, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nested_repetition_takes_linear_time() {
        assert!(!matches(Operator::Matches, "(a+)+b", &"a".repeat(100_000)));
    }
}

//! The parts of a query's text.

use super::QueryError;

/// How a name and a value are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Is,
    IsNot,
    Matches,
    MatchesNot,
    AtLeast,
    Less,
}

/// The longer first, as `!=` ends like `=`.
const OPERATORS: [(&str, Operator); 6] = [
    ("!=", Operator::IsNot),
    ("!~", Operator::MatchesNot),
    (">=", Operator::AtLeast),
    ("=", Operator::Is),
    ("~", Operator::Matches),
    ("<", Operator::Less),
];

impl Operator {
    pub(super) fn text(self) -> &'static str {
        OPERATORS.iter().find(|(_, operator)| *operator == self).map_or("", |(text, _)| text)
    }
}

/// What is no operator, keyword or parenthesis.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Term<'a> {
    /// Words.
    Text { text: String, case: bool, open: bool, at: usize },
    /// A regular expression.
    Regex { text: String, at: usize },
    /// A name and a value.
    Compare { name: &'a str, operator: Operator, value: String, quoted: bool, at: usize, value_at: usize },
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut lexer = Self { text, at: 0 };
        lexer.skip();
        lexer
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn starts(&mut self, what: char) -> bool {
        let starts = self.rest().starts_with(what);
        if starts {
            self.at += what.len_utf8();
        }
        starts
    }

    /// Byte of the next part.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_over(&self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn at_closing(&self) -> Option<usize> {
        self.rest().starts_with(')').then_some(self.at)
    }

    pub(super) fn peek_keyword(&self, word: &str) -> Option<usize> {
        let after = self.rest().strip_prefix(word)?;
        let ends = after.chars().next().is_none_or(|next| next.is_whitespace() || next == '(' || next == ')');
        ends.then_some(self.at)
    }

    /// Takes a keyword, and says where it was.
    pub(super) fn keyword(&mut self, word: &str) -> Option<usize> {
        let at = self.peek_keyword(word)?;
        self.at += word.len();
        self.skip();
        Some(at)
    }

    /// Takes a `-` that something follows.
    pub(super) fn minus(&mut self) -> bool {
        let rest = self.rest();
        let next = rest.strip_prefix('-').and_then(|rest| rest.chars().next());
        let excludes = next.is_some_and(|next| next.is_alphanumeric() || "_\"(~=".contains(next));
        self.at += usize::from(excludes);
        excludes
    }

    /// Takes a `(`, and says where it was.
    pub(super) fn open(&mut self) -> Option<usize> {
        let at = self.at;
        self.starts('(').then(|| {
            self.skip();
            at
        })
    }

    pub(super) fn close(&mut self) -> bool {
        let closed = self.starts(')');
        self.skip();
        closed
    }

    pub(super) fn term(&mut self) -> Result<Term<'a>, QueryError> {
        let start = self.at;
        let term = if self.starts('~') {
            let at = self.at + usize::from(self.rest().starts_with('"'));
            let (text, _) = self.value()?;
            if text.is_empty() {
                return Err(QueryError::new(start, "`~` needs a regular expression"));
            }
            Term::Regex { text, at }
        } else if self.rest().starts_with('"') {
            Term::Text { text: self.quoted()?, case: false, open: false, at: start }
        } else if self.rest().starts_with('=')
            && self.rest().len() > 1
            && !self.rest()[1..].starts_with(char::is_whitespace)
        {
            self.at += 1;
            if self.rest().starts_with('"') {
                Term::Text { text: self.quoted()?, case: true, open: false, at: start }
            } else {
                self.word(true)
            }
        } else if let Some(compare) = self.compare()? {
            compare
        } else {
            self.word(false)
        };
        self.skip();
        Ok(term)
    }

    fn word(&mut self, case: bool) -> Term<'a> {
        let at = self.at;
        let rest = self.rest();
        let end = rest.find(|next: char| next.is_whitespace() || "()\"".contains(next)).unwrap_or(rest.len());
        self.at += end;
        let word = &rest[..end];
        let (text, open) = match word.strip_suffix('*') {
            Some(stem) if !stem.is_empty() => (stem, true),
            _ => (word, false),
        };
        Term::Text { text: text.to_owned(), case, open, at }
    }

    fn compare(&mut self) -> Result<Option<Term<'a>>, QueryError> {
        let at = self.at;
        let rest = self.rest();
        let length =
            rest.find(|next: char| !(next.is_alphanumeric() || "_-.@".contains(next))).unwrap_or(rest.len());
        let (name, after) = rest.split_at(length);
        let Some((text, operator)) = OPERATORS.iter().find(|(text, _)| after.starts_with(text)) else {
            return Ok(None);
        };
        if name.is_empty() {
            return Ok(None);
        }
        self.at += length + text.len();
        let value_at = self.at + usize::from(self.rest().starts_with('"'));
        let (value, quoted) = self.value()?;
        Ok(Some(Term::Compare { name, operator: *operator, value, quoted, at, value_at }))
    }

    /// A value: quoted, or up to white space or a `)` that it does not open itself. And whether it is quoted.
    fn value(&mut self) -> Result<(String, bool), QueryError> {
        if self.rest().starts_with('"') {
            return Ok((self.quoted()?, true));
        }
        let rest = self.rest();
        let (mut open, mut escaped) = (0, false);
        let end = rest.find(|next: char| {
            if !std::mem::take(&mut escaped) {
                match next {
                    '\\' => escaped = true,
                    '(' => open += 1,
                    ')' if open == 0 => return true,
                    ')' => open -= 1,
                    _ => {}
                }
            }
            next.is_whitespace()
        });
        let value = &rest[..end.unwrap_or(rest.len())];
        self.at += value.len();
        Ok((value.to_owned(), false))
    }

    /// What is between quotes. `\"` and, before a quote's end, `\\` stand for themselves; other backslashes are left to regular
    /// expressions.
    fn quoted(&mut self) -> Result<String, QueryError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().peekable();
        while let Some((at, next)) = chars.next() {
            match next {
                '"' => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' if chars.next_if(|(_, next)| *next == '"').is_some() => text.push('"'),
                '\\' => {
                    text.push('\\');
                    if chars.next_if(|(_, next)| *next == '\\').is_some() {
                        text.push('\\');
                    }
                }
                _ => text.push(next),
            }
        }
        Err(QueryError::new(start, "the quote is not closed"))
    }
}

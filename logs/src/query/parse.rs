//! From text to a query.

mod lexer;

use agent_common::units::UnixNs;

use lexer::{Lexer, Operator, Term};

use super::{
    Expr, LABELS, MAX_DEPTH, MAX_PATTERNS, MAX_QUERY_BYTES, MAX_TERMS, Pattern, Phrase, Query, QueryError,
    Test, time,
};
use crate::Severity;

pub(super) fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > MAX_QUERY_BYTES {
        return Err(QueryError::new(0, format!("it has {} bytes, at most {MAX_QUERY_BYTES}", text.len())));
    }
    let mut parser = Parser {
        lexer: Lexer::new(text),
        query: Query::default(),
        nested: 0,
        depth: 0,
        terms: 0,
        patterns: 0,
    };
    let mut expr = parser.any()?;
    if let Some(at) = parser.lexer.at_closing() {
        return Err(QueryError::new(at, "`)` closes nothing"));
    }
    expr.cheap_first();
    parser.query.expr = expr;
    Ok(parser.query)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    query: Query,
    /// Within `OR` or `NOT`, where a time cannot be asked for.
    nested: usize,
    depth: usize,
    terms: usize,
    patterns: usize,
}

impl Parser<'_> {
    /// What `OR` joins.
    fn any(&mut self) -> Result<Expr, QueryError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let what = format!("groups within groups, more than {MAX_DEPTH} deep");
            return Err(QueryError::new(self.lexer.at(), what));
        }
        let before = (self.query.from, self.query.to);
        let mut any = vec![self.all()?];
        while let Some(at) = self.lexer.keyword("OR") {
            if self.lexer.is_over() {
                return Err(one_sided(at, "OR"));
            }
            if (self.query.from, self.query.to) != before {
                return Err(QueryError::new(
                    at,
                    "a time cannot be a part of `OR`; put the rest into parentheses",
                ));
            }
            self.nested += 1;
            any.push(self.all()?);
            self.nested -= 1;
        }
        self.depth -= 1;
        Ok(if any.len() == 1 { any.swap_remove(0) } else { Expr::Any(any) })
    }

    /// What stands side by side.
    fn all(&mut self) -> Result<Expr, QueryError> {
        let (mut all, mut empty) = (Vec::new(), true);
        loop {
            if let Some(at) = self.lexer.keyword("AND")
                && (empty || self.lexer.is_over() || self.lexer.peek_keyword("OR").is_some())
            {
                return Err(one_sided(at, "AND"));
            }
            if self.lexer.is_over() || self.lexer.at_closing().is_some() {
                break;
            }
            if let Some(at) = self.lexer.peek_keyword("OR") {
                if empty {
                    return Err(one_sided(at, "OR"));
                }
                break;
            }
            all.extend(self.one()?);
            empty = false;
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Expr::All(all) })
    }

    /// One term or group; nothing if it was a time.
    fn one(&mut self) -> Result<Option<Expr>, QueryError> {
        let mut not = false;
        let (start, nested) = (self.lexer.at(), self.nested);
        while self.lexer.minus() || self.lexer.keyword("NOT").is_some() {
            not = !not;
            self.nested += 1;
            self.terms += 1;
            if self.terms > MAX_TERMS {
                return Err(QueryError::new(start, format!("more than {MAX_TERMS} terms")));
            }
        }
        if self.lexer.is_over() || self.lexer.at_closing().is_some() {
            return Err(QueryError::new(start, "nothing follows that could be excluded"));
        }
        let found = if let Some(at) = self.lexer.open() {
            let inner = self.any()?;
            if !self.lexer.close() {
                return Err(QueryError::new(at, "`(` is not closed"));
            }
            Some(inner)
        } else {
            self.term()?
        };
        self.nested = nested;
        Ok(found.map(|found| if not { Expr::Not(Box::new(found)) } else { found }))
    }

    fn term(&mut self) -> Result<Option<Expr>, QueryError> {
        self.terms += 1;
        let at = self.lexer.at();
        if self.terms > MAX_TERMS {
            return Err(QueryError::new(at, format!("more than {MAX_TERMS} terms")));
        }
        match self.lexer.term()? {
            Term::Text { text, case, open, at } => {
                if text.is_empty() {
                    return Err(QueryError::new(at, "no word"));
                }
                Ok(Some(Expr::Text(Phrase::new(&text, case, open))))
            }
            Term::Regex { text, at } => Ok(Some(Expr::Matches(self.pattern(&text, at)?))),
            Term::Compare { name, operator, value, quoted, at, value_at } => {
                self.compare(name, operator, &value, quoted, at, value_at)
            }
        }
    }

    fn pattern(&mut self, text: &str, at: usize) -> Result<Pattern, QueryError> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(QueryError::new(at, format!("more than {MAX_PATTERNS} regular expressions")));
        }
        Pattern::new(text).map_err(|error| QueryError::new(at + error.at, error.what))
    }

    fn compare(
        &mut self,
        name: &str,
        operator: Operator,
        value: &str,
        quoted: bool,
        at: usize,
        value_at: usize,
    ) -> Result<Option<Expr>, QueryError> {
        let negated = matches!(operator, Operator::IsNot | Operator::MatchesNot);
        let found = match name {
            "time" => return self.time(operator, value, at, value_at).map(|()| None),
            "severity" => severity(operator, value, at, value_at)?,
            "pid" => {
                if !matches!(operator, Operator::Is | Operator::IsNot) {
                    return Err(QueryError::new(at, "a process is asked for with `pid=` or `pid!=`"));
                }
                let pid = value.parse();
                Expr::Pid(pid.map_err(|_| QueryError::new(value_at, format!("`{value}` is no process id")))?)
            }
            _ => {
                let test = match operator {
                    Operator::Is | Operator::IsNot if value == "*" && !quoted => Test::Present,
                    Operator::Is | Operator::IsNot => Test::Is(value.to_owned()),
                    Operator::Matches | Operator::MatchesNot => {
                        Test::Matches(Box::new(self.pattern(value, value_at)?))
                    }
                    Operator::AtLeast | Operator::Less => {
                        let what = format!(
                            "fields are compared with `=`, `!=`, `~` and `!~`, not with `{}`",
                            operator.text()
                        );
                        return Err(QueryError::new(at, what));
                    }
                };
                if let Some(name) = name.strip_prefix("label.") {
                    Expr::Label { name: name.to_owned(), test }
                } else if let Some(name) = name.strip_prefix("field.") {
                    Expr::Field { name: name.to_owned(), test }
                } else if LABELS.contains(&name) {
                    Expr::Label { name: name.to_owned(), test }
                } else {
                    Expr::Field { name: name.to_owned(), test }
                }
            }
        };
        Ok(Some(if negated { Expr::Not(Box::new(found)) } else { found }))
    }

    fn time(
        &mut self,
        operator: Operator,
        value: &str,
        at: usize,
        value_at: usize,
    ) -> Result<(), QueryError> {
        if self.nested > 0 {
            return Err(QueryError::new(at, "a time cannot be a part of `OR` or `NOT`"));
        }
        let when = time::parse(value).ok_or_else(|| {
            QueryError::new(
                value_at,
                format!("`{value}` is no time; write 2026-11-30T18:00:00Z or seconds since 1970"),
            )
        })?;
        match operator {
            Operator::AtLeast => self.query.from = self.query.from.max(UnixNs(when)),
            Operator::Less => self.query.to = self.query.to.min(UnixNs(when)),
            _ => return Err(QueryError::new(at, "a time is asked for with `time>=` or `time<`")),
        }
        Ok(())
    }
}

fn one_sided(at: usize, keyword: &str) -> QueryError {
    let what =
        format!("`{keyword}` needs something on both sides; put the word into quotes to search for it");
    QueryError::new(at, what)
}

fn severity(operator: Operator, value: &str, at: usize, value_at: usize) -> Result<Expr, QueryError> {
    let name = match value.to_ascii_lowercase().as_str() {
        "emerg" => "emergency",
        "crit" | "fatal" => "critical",
        "err" => "error",
        "warn" => "warning",
        "information" => "info",
        "trace" => "debug",
        other => return severity_named(operator, other, value, at, value_at),
    };
    severity_named(operator, name, value, at, value_at)
}

fn severity_named(
    operator: Operator,
    name: &str,
    value: &str,
    at: usize,
    value_at: usize,
) -> Result<Expr, QueryError> {
    let found = Severity::ALL.into_iter().find(|severity| severity.name() == name);
    let severity = found.ok_or_else(|| {
        let names: Vec<&str> = Severity::ALL.iter().map(|severity| severity.name()).collect();
        QueryError::new(value_at, format!("`{value}` is no severity; there are {}", names.join(", ")))
    })?;
    match operator {
        Operator::AtLeast => Ok(Expr::at_least(severity)),
        Operator::Is | Operator::IsNot => Ok(Expr::Severities(1 << severity as u16)),
        _ => {
            Err(QueryError::new(at, "a severity is asked for with `severity>=`, `severity=` or `severity!=`"))
        }
    }
}

#[cfg(test)]
mod tests;

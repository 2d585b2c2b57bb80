//! Texts with values in them, as Go's templates write them: what annotations of public rules need.
//!
//! `{{ $value }}`, `{{ $labels.comm }}`, pipelines of functions, `if`, `with`, `range`, variables, `query`. What is not there
//! (`define`, `template`, `block`, some functions) is an error where the text is loaded.

mod data;
mod functions;
mod parse;
mod printf;

use self::data::Data;
use self::parse::{Command, Node, Operand};
use crate::labels::Labels;
use crate::value::Element;

/// Longest text that is made of a template, bytes.
const MAX_BYTES: usize = 16 << 10;
/// Most parts that are worked through: elements of one `range` within another multiply.
const MAX_STEPS: usize = 10_000;
/// Most queries of one text.
const MAX_QUERIES: usize = 16;

/// A text with values in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    nodes: Vec<Node>,
}

/// Answers the queries of templates.
pub type Ask<'a> = &'a dyn Fn(&str) -> Result<Vec<Element>, String>;

/// What a text is about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// `$value`
    pub value: f64,
    /// `$labels`
    pub labels: &'a Labels,
    /// `$externalLabels`
    pub external_labels: &'a Labels,
    /// `$externalURL`
    pub external_url: &'a str,
    /// `query`; nothing: a query is an error.
    pub ask: Option<Ask<'a>>,
}

impl<'a> Subject<'a> {
    /// Of a series with this value.
    pub fn new(value: f64, labels: &'a Labels, nothing: &'a Labels) -> Self {
        Self { value, labels, external_labels: nothing, external_url: "", ask: None }
    }
}

impl Template {
    /// Understands a text. Fails at what is not supported, and says what.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { nodes: parse::parse(text)? })
    }

    /// The text for a series; where it cannot be made, why not, in Prometheus's words.
    pub fn fill(&self, subject: &Subject<'_>) -> String {
        self.try_fill(subject).unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }

    /// The text for a series.
    pub fn try_fill(&self, subject: &Subject<'_>) -> Result<String, String> {
        let mut work = Work { subject, steps: 0, queries: 0, out: String::new() };
        let mut names = Names::new(subject);
        work.all(&self.nodes, &Data::Subject, &mut names)?;
        Ok(work.out)
    }
}

/// Variables, the newer ones last.
struct Names(Vec<(String, Data)>);

impl Names {
    fn new(subject: &Subject<'_>) -> Self {
        let named = |name: &str, data| (name.to_owned(), data);
        Self(vec![
            named("", Data::Subject),
            named("value", Data::Number(subject.value)),
            named("labels", Data::Labels(subject.labels.clone())),
            named("externalLabels", Data::Labels(subject.external_labels.clone())),
            named("externalURL", Data::Text(subject.external_url.to_owned())),
        ])
    }

    fn get(&self, name: &str) -> Result<&Data, String> {
        let found = self.0.iter().rfind(|(own, _)| own == name);
        found.map(|(_, data)| data).ok_or_else(|| format!("undefined variable ${name}"))
    }
}

/// A text that is being made.
struct Work<'s> {
    subject: &'s Subject<'s>,
    steps: usize,
    queries: usize,
    out: String,
}

impl Work<'_> {
    fn all(&mut self, nodes: &[Node], dot: &Data, names: &mut Names) -> Result<(), String> {
        let known = names.0.len();
        for node in nodes {
            self.steps += 1;
            if self.steps > MAX_STEPS || self.out.len() > MAX_BYTES {
                return Err(format!(
                    "it is longer than {MAX_BYTES} bytes, or has more than {MAX_STEPS} steps"
                ));
            }
            self.one(node, dot, names)?;
        }
        names.0.truncate(known);
        Ok(())
    }

    fn one(&mut self, node: &Node, dot: &Data, names: &mut Names) -> Result<(), String> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Output(commands) => {
                let data = self.pipeline(commands, dot, names)?;
                self.out.push_str(&data.text(self.subject));
            }
            Node::Set(name, commands) => {
                let data = self.pipeline(commands, dot, names)?;
                names.0.push((name.clone(), data));
            }
            Node::If(branches) => {
                for (condition, body) in branches {
                    let holds = match condition {
                        Some(condition) => self.pipeline(condition, dot, names)?.is_true(),
                        None => true,
                    };
                    if holds {
                        return self.all(body, dot, names);
                    }
                }
            }
            Node::With { of, body, otherwise } => {
                let data = self.pipeline(of, dot, names)?;
                return if data.is_true() {
                    self.all(body, &data, names)
                } else {
                    self.all(otherwise, dot, names)
                };
            }
            Node::Range { names: own, of, body, otherwise } => {
                let elements = self.pipeline(of, dot, names)?.elements()?;
                if elements.is_empty() {
                    return self.all(otherwise, dot, names);
                }
                let known = names.0.len();
                for (key, data) in elements {
                    if let [.., last] = own.as_slice() {
                        names.0.push((last.clone(), data.clone()));
                    }
                    if let [first, _] = own.as_slice() {
                        names.0.push((first.clone(), key));
                    }
                    self.all(body, &data, names)?;
                    names.0.truncate(known);
                }
            }
        }
        Ok(())
    }

    fn pipeline(&mut self, commands: &[Command], dot: &Data, names: &Names) -> Result<Data, String> {
        let mut last = None;
        for command in commands {
            last = Some(self.command(command, last, dot, names)?);
        }
        last.ok_or_else(|| "an empty pipeline".to_owned())
    }

    /// The value of a command; what came before it is its last argument.
    fn command(
        &mut self,
        command: &Command,
        before: Option<Data>,
        dot: &Data,
        names: &Names,
    ) -> Result<Data, String> {
        let [first, rest @ ..] = command.0.as_slice() else { return Err("an empty command".to_owned()) };
        let mut arguments = Vec::new();
        for operand in rest {
            arguments.push(self.operand(operand, dot, names)?);
        }
        arguments.extend(before);
        match first {
            Operand::Function(name) => self.call(name, &arguments),
            other if arguments.is_empty() => self.operand(other, dot, names),
            _ => Err("a value that is no function has arguments".to_owned()),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Data, names: &Names) -> Result<Data, String> {
        match operand {
            Operand::Integer(number) => Ok(Data::Integer(*number)),
            Operand::Number(number) => Ok(Data::Number(*number)),
            Operand::Text(text) => Ok(Data::Text(text.clone())),
            Operand::Bool(bool) => Ok(Data::Bool(*bool)),
            Operand::Dot(fields) => dot.fields(fields, self.subject),
            Operand::Variable(name, fields) => names.get(name)?.fields(fields, self.subject),
            Operand::Function(name) => self.call(name, &[]),
            Operand::Group(commands, fields) => {
                self.pipeline(commands, dot, names)?.fields(fields, self.subject)
            }
        }
    }

    fn call(&mut self, name: &str, arguments: &[Data]) -> Result<Data, String> {
        if name != "query" {
            return functions::call(name, arguments, self.subject);
        }
        self.queries += 1;
        let ask = self.subject.ask.filter(|_| self.queries <= MAX_QUERIES);
        let ask = ask.ok_or_else(|| format!("no query is answered here, or more than {MAX_QUERIES}"))?;
        let [Data::Text(query)] = arguments else { return Err("query has one text".to_owned()) };
        ask(query).map(|elements| {
            let sample = |element: Element| (element.labels, element.sample.value);
            Data::List(elements.into_iter().map(sample).collect())
        })
    }
}

#[cfg(test)]
mod tests;

//! Values of templates.

use super::Subject;
use crate::labels::Labels;
use crate::number;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    Labels(Labels),
    /// A series with its value.
    Sample(Labels, f64),
    /// The answer of a query.
    List(Vec<(Labels, f64)>),
    /// What the text is about: the dot outside of everything.
    Subject,
}

impl Data {
    /// As Go prints it.
    pub(super) fn text(&self, subject: &Subject<'_>) -> String {
        match self {
            Self::Bool(bool) => bool.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Number(number) => number::short(*number),
            Self::Text(text) => text.clone(),
            Self::Labels(labels) => map(labels),
            Self::Sample(labels, value) => format!("{{{} {}}}", map(labels), number::short(*value)),
            Self::List(list) => {
                let samples =
                    list.iter().map(|(labels, value)| Self::Sample(labels.clone(), *value).text(subject));
                format!("[{}]", samples.collect::<Vec<_>>().join(" "))
            }
            Self::Subject => {
                let Subject { value, labels, external_labels, external_url, .. } = subject;
                let value = number::short(*value);
                format!("{{{} {} {external_url} {value}}}", map(labels), map(external_labels))
            }
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Bool(bool) => *bool,
            Self::Integer(number) => *number != 0,
            Self::Number(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Sample(..) | Self::Subject => true,
        }
    }

    /// `.Labels.comm`: one field after the other.
    pub(super) fn fields(&self, fields: &[String], subject: &Subject<'_>) -> Result<Self, String> {
        let mut data = self.clone();
        for field in fields {
            data = match (&data, field.as_str()) {
                (Self::Labels(labels), name) => Self::Text(labels.get(name).to_owned()),
                (Self::Sample(labels, _), "Labels") => Self::Labels(labels.clone()),
                (Self::Sample(_, value), "Value") => Self::Number(*value),
                (Self::Subject, "Labels") => Self::Labels(subject.labels.clone()),
                (Self::Subject, "Value") => Self::Number(subject.value),
                (Self::Subject, "ExternalLabels") => Self::Labels(subject.external_labels.clone()),
                (Self::Subject, "ExternalURL") => Self::Text(subject.external_url.to_owned()),
                (_, field) => return Err(format!("there is no field {field}")),
            };
        }
        Ok(data)
    }

    /// Keys and values to go through.
    pub(super) fn elements(self) -> Result<Vec<(Self, Self)>, String> {
        match self {
            Self::List(list) => {
                let numbered = list.into_iter().enumerate();
                Ok(numbered
                    .map(|(at, (labels, value))| (Self::Integer(at as i64), Self::Sample(labels, value)))
                    .collect())
            }
            Self::Labels(labels) => {
                let text = |text: &str| Self::Text(text.to_owned());
                Ok(labels.iter().map(|(name, value)| (text(name), text(value))).collect())
            }
            other => Err(format!("range cannot go through {other:?}")),
        }
    }

    /// A number, or a text that is one.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

/// `map[a:b c:d]`
fn map(labels: &Labels) -> String {
    let pairs = labels.iter();
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}:{value}")).collect();
    format!("map[{}]", pairs.join(" "))
}

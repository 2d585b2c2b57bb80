//! Functions of the language, one file a subject.

mod absent;
mod histogram;
mod label;
mod math;
mod over_time;
mod rate;
mod regression;
mod time;
mod window;

pub(crate) use label::compare_naturally;
pub(crate) use window::Window;

use crate::error::{ParseError, QueryError, Result};
use crate::eval::plan::{Call, Node, Type};
use crate::eval::{Evaluator, Sink};
use crate::rows::{ABSENT, Row, Steps, is_absent};

/// What a function computes of the samples of one span, with its scalar arguments; [`ABSENT`]: nothing.
pub(crate) type OfWindow = fn(&Window<'_>, &[f64]) -> f64;

/// How a function is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Function {
    /// One value for each span of samples.
    Window(OfWindow),
    /// One value for each value, with scalar arguments.
    Each(fn(f64, &[f64]) -> f64),
    /// A part of the date of each value, which is Unix time in seconds.
    Date(fn(i64) -> f64),
    /// In a way of its own.
    Special(Special),
}

/// Functions that are computed in a way of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Special {
    Absent,
    AbsentOverTime,
    HistogramFraction,
    HistogramQuantile,
    LabelJoin,
    LabelReplace,
    Pi,
    Scalar,
    Smoothing,
    Sort { descending: bool },
    SortByLabel { descending: bool },
    Time,
    Timestamp,
    Vector,
    WithName(OfWindow),
}

pub(crate) const EXPERIMENTAL: &str = "it is experimental in Prometheus and may still change";
const NATIVE: &str = "it reads native histograms, which this store does not have";

/// Functions of Prometheus that are not there, and why.
pub const UNSUPPORTED: [(&str, &str); 17] = [
    ("end", EXPERIMENTAL),
    ("histogram_avg", NATIVE),
    ("histogram_count", NATIVE),
    ("histogram_quantiles", EXPERIMENTAL),
    ("histogram_stddev", NATIVE),
    ("histogram_stdvar", NATIVE),
    ("histogram_sum", NATIVE),
    ("info", EXPERIMENTAL),
    ("integral", EXPERIMENTAL),
    ("max_of", EXPERIMENTAL),
    ("min_of", EXPERIMENTAL),
    ("range", EXPERIMENTAL),
    ("start", EXPERIMENTAL),
    ("start_timestamp", "the store keeps no time at which a series began"),
    ("step", EXPERIMENTAL),
    ("anchored", EXPERIMENTAL),
    ("smoothed", EXPERIMENTAL),
];

/// The function of this name. The grammar knows the names that Prometheus has.
pub(crate) fn find(name: &str) -> Result<Function, ParseError> {
    let special = match name {
        "absent" => Some(Special::Absent),
        "absent_over_time" => Some(Special::AbsentOverTime),
        "double_exponential_smoothing" => Some(Special::Smoothing),
        "first_over_time" => Some(Special::WithName(over_time::first)),
        "histogram_fraction" => Some(Special::HistogramFraction),
        "histogram_quantile" => Some(Special::HistogramQuantile),
        "label_join" => Some(Special::LabelJoin),
        "label_replace" => Some(Special::LabelReplace),
        "last_over_time" => Some(Special::WithName(over_time::last)),
        "pi" => Some(Special::Pi),
        "scalar" => Some(Special::Scalar),
        "sort" => Some(Special::Sort { descending: false }),
        "sort_by_label" => Some(Special::SortByLabel { descending: false }),
        "sort_by_label_desc" => Some(Special::SortByLabel { descending: true }),
        "sort_desc" => Some(Special::Sort { descending: true }),
        "time" => Some(Special::Time),
        "timestamp" => Some(Special::Timestamp),
        "vector" => Some(Special::Vector),
        _ => None,
    };
    let of_window = || rate::find(name).or_else(|| over_time::find(name)).map(Function::Window);
    special
        .map(Function::Special)
        .or_else(|| math::find(name).map(Function::Each))
        .or_else(|| time::find(name).map(Function::Date))
        .or_else(of_window)
        .ok_or_else(|| {
            let reason =
                UNSUPPORTED.iter().find(|(own, _)| *own == name).map_or(EXPERIMENTAL, |(_, why)| why);
            ParseError::Unsupported { what: name.to_owned(), reason }
        })
}

impl Function {
    pub(crate) fn returns(self) -> Type {
        match self {
            Self::Special(Special::Pi | Special::Scalar | Special::Time) => Type::Scalar,
            _ => Type::Vector,
        }
    }

    /// Whether its result has no metric's name.
    pub(crate) fn drops_name(self) -> bool {
        match self {
            Self::Special(special) => !matches!(
                special,
                Special::LabelJoin
                    | Special::LabelReplace
                    | Special::Sort { .. }
                    | Special::SortByLabel { .. }
                    | Special::WithName(_)
            ),
            Self::Window(_) | Self::Each(_) | Self::Date(_) => true,
        }
    }
}

/// Adds the arguments that a call may leave out.
pub(crate) fn defaults(name: &str, function: Function, arguments: &mut Vec<Node>) {
    let special =
        |name, special, arguments| Node::Call(Call { name, function: Function::Special(special), arguments });
    if name == "round" && arguments.len() == 1 {
        arguments.push(Node::Number(1.0));
    }
    if matches!(function, Function::Date(_)) && arguments.is_empty() {
        let now = special("time", Special::Time, Vec::new());
        arguments.push(special("vector", Special::Vector, vec![now]));
    }
}

impl Evaluator<'_> {
    /// Calls a function that returns a scalar.
    pub(crate) fn call_scalar(&self, call: &Call, steps: Steps) -> Result<Vec<f64>> {
        match call.function {
            Function::Special(Special::Pi) => Ok(vec![std::f64::consts::PI; steps.count]),
            Function::Special(Special::Scalar) => {
                let rows = self.rows(&call.arguments[0], steps)?;
                Ok((0..steps.count)
                    .map(|step| {
                        let mut values =
                            rows.iter().map(|row| row.points[step]).filter(|value| !is_absent(*value));
                        match (values.next(), values.next()) {
                            (Some(only), None) => only,
                            _ => f64::NAN,
                        }
                    })
                    .collect())
            }
            _ => Ok((0..steps.count).map(|step| steps.at(step) as f64 / 1e3).collect()),
        }
    }

    /// Calls a function that returns a vector.
    pub(crate) fn call(&self, call: &Call, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let first = call.arguments.first();
        match (call.function, first) {
            (Function::Window(of_window), _) => self.call_window(call, of_window, steps, sink),
            (Function::Each(each), Some(vector)) => {
                let parameters = self.parameters(call, steps)?;
                self.each_nameless(vector, steps, &mut |mut row| {
                    let mut own = [0.0; 3];
                    for (step, value) in present(&mut row.points) {
                        for (own, parameter) in own.iter_mut().zip(&parameters) {
                            *own = parameter[step];
                        }
                        *value = each(*value, &own);
                    }
                    sink(row)
                })
            }
            (Function::Date(part), Some(vector)) => self.each_nameless(vector, steps, &mut |mut row| {
                for (_, value) in present(&mut row.points) {
                    *value = if value.is_finite() { part(*value as i64) } else { f64::NAN };
                }
                sink(row)
            }),
            (Function::Special(special), _) => self.call_special(call, special, steps, sink),
            (Function::Each(_) | Function::Date(_), None) => {
                Err(QueryError::Argument(format!("{} has no argument", call.name)))
            }
        }
    }

    fn call_special(&self, call: &Call, special: Special, steps: Steps, sink: Sink<'_>) -> Result<()> {
        match special {
            Special::Absent => self.absent(&call.arguments[0], steps, sink),
            Special::AbsentOverTime => self.absent_over_time(&call.arguments[0], steps, sink),
            Special::HistogramFraction => self.histogram_fraction(call, steps, sink),
            Special::HistogramQuantile => self.histogram_quantile(call, steps, sink),
            Special::LabelJoin => self.label_join(call, steps, sink),
            Special::LabelReplace => self.label_replace(call, steps, sink),
            Special::Smoothing => {
                for factors in &self.parameters(call, steps)? {
                    regression::check_factors(factors)?;
                }
                self.call_window(call, regression::smoothed, steps, sink)
            }
            // The order is that of the answer alone; see `query`.
            Special::Sort { .. } | Special::SortByLabel { .. } => self.each(&call.arguments[0], steps, sink),
            Special::Timestamp => self.timestamp(&call.arguments[0], steps, sink),
            Special::WithName(of_window) => self.call_window(call, of_window, steps, sink),
            Special::Vector => {
                let points = self.scalar(&call.arguments[0], steps)?;
                sink(Row { labels: crate::Labels::default(), points })
            }
            Special::Pi | Special::Scalar | Special::Time => {
                Err(QueryError::Argument(format!("{} is a scalar", call.name)))
            }
        }
    }

    /// The values of a call's scalar arguments at each step.
    fn parameters(&self, call: &Call, steps: Steps) -> Result<Vec<Vec<f64>>> {
        let scalars = call.arguments.iter().filter(|argument| argument.kind() == Type::Scalar);
        scalars.map(|argument| self.scalar(argument, steps)).collect()
    }

    fn timestamp(&self, argument: &Node, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let nameless = |mut row: Row| {
            row.labels.remove(crate::labels::NAME);
            row
        };
        if let Node::Selector(selector) = argument {
            let mut merged = crate::rows::Merged::new(&self.budget)?;
            self.select(selector, steps, true, &mut |row| merged.push(nameless(row)))?;
            return merged.rows().drain(sink);
        }
        self.each_nameless(argument, steps, &mut |mut row| {
            for (step, value) in present(&mut row.points) {
                *value = steps.at(step) as f64 / 1e3;
            }
            sink(row)
        })
    }
}

/// The values that are there, with their steps.
fn present(points: &mut [f64]) -> impl Iterator<Item = (usize, &mut f64)> {
    points.iter_mut().enumerate().filter(|(_, value)| value.to_bits() != ABSENT.to_bits())
}

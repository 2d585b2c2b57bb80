//! What is evaluated: the syntax tree with names looked up, expressions compiled and times in ms.

use std::sync::Arc;

use crate::eval::functions::Function;
use crate::matcher::Matcher;

/// Type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Scalar,
    Text,
    Vector,
    Matrix,
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Text => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }
}

/// An expression.
#[derive(Debug)]
pub(crate) enum Node {
    Number(f64),
    Text(String),
    Selector(Selector),
    Range(Range),
    Negate(Box<Node>),
    Binary(Binary),
    Aggregate(Aggregate),
    Call(Call),
}

/// `name{label="value"} @ 1 offset 5m`
#[derive(Debug)]
pub(crate) struct Selector {
    /// Conditions of which a series fulfils all of at least one set.
    pub(crate) sets: Vec<Vec<Matcher>>,
    pub(crate) time: Time,
}

/// At which time an expression is read, seen from the step of the query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    pub(crate) at: Option<At>,
    pub(crate) offset_ms: i64,
}

/// The modifier `@`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At {
    Start,
    End,
    /// Unix time, ms.
    Fixed(i64),
}

/// Samples of a time span: `x[5m]`, `x[5m:1m]`.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) of: Source,
    pub(crate) range_ms: i64,
}

/// Where the samples of a range come from.
#[derive(Debug)]
pub(crate) enum Source {
    Selector(Selector),
    Subquery { inner: Box<Node>, step_ms: Option<i64>, time: Time },
}

impl Range {
    pub(crate) fn time(&self) -> Time {
        match &self.of {
            Source::Selector(selector) => selector.time,
            Source::Subquery { time, .. } => *time,
        }
    }
}

/// Operators between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
}

/// Two expressions and what is between them.
#[derive(Debug)]
pub(crate) struct Binary {
    pub(crate) operation: Operation,
    pub(crate) left: Box<Node>,
    pub(crate) right: Box<Node>,
    /// A comparison gives 0 or 1.
    pub(crate) bool: bool,
    pub(crate) matching: Matching,
}

/// Which series of two sides belong together.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    /// `on`: these labels decide; else all but these.
    pub(crate) on: bool,
    pub(crate) labels: Vec<Arc<str>>,
    pub(crate) group: Option<Group>,
}

/// Many series of one side belong to one of the other.
#[derive(Debug)]
pub(crate) struct Group {
    /// `group_right`: the many are on the right.
    pub(crate) right: bool,
    /// Labels that come from the one.
    pub(crate) copied: Vec<Arc<str>>,
}

/// Aggregations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregator {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Limitk,
    LimitRatio,
    Quantile,
    CountValues,
}

/// `sum by (comm) (x)`
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) by: Aggregator,
    pub(crate) parameter: Option<Box<Node>>,
    pub(crate) of: Box<Node>,
    /// `without`: groups have all labels but these.
    pub(crate) without: bool,
    pub(crate) labels: Vec<Arc<str>>,
}

/// A function with its arguments.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) function: Function,
    pub(crate) arguments: Vec<Node>,
}

impl Node {
    pub(crate) fn kind(&self) -> Type {
        match self {
            Self::Number(_) => Type::Scalar,
            Self::Text(_) => Type::Text,
            Self::Selector(_) | Self::Aggregate(_) => Type::Vector,
            Self::Range(_) => Type::Matrix,
            Self::Negate(node) => node.kind(),
            Self::Binary(binary) => binary.kind(),
            Self::Call(call) => call.function.returns(),
        }
    }

    /// Whether no two series of its result differ in their metric's name alone: without the name they stay distinct.
    pub(crate) fn is_distinct_without_name(&self) -> bool {
        match self {
            Self::Selector(selector) => selector.has_one_name(),
            Self::Range(range) => match &range.of {
                Source::Selector(selector) => selector.has_one_name(),
                Source::Subquery { inner, .. } => inner.is_distinct_without_name(),
            },
            Self::Negate(_) => true,
            Self::Call(call) => call.function.drops_name(),
            Self::Aggregate(aggregate) => match aggregate.by {
                Aggregator::Topk | Aggregator::Bottomk | Aggregator::Limitk | Aggregator::LimitRatio => {
                    aggregate.of.is_distinct_without_name()
                }
                // Its label may be the name.
                Aggregator::CountValues => false,
                _ => {
                    aggregate.without || !aggregate.labels.iter().any(|label| **label == *crate::labels::NAME)
                }
            },
            Self::Number(_) | Self::Text(_) | Self::Binary(_) => false,
        }
    }
}

impl Binary {
    fn kind(&self) -> Type {
        match (self.left.kind(), self.right.kind()) {
            (Type::Scalar, Type::Scalar) => Type::Scalar,
            _ => Type::Vector,
        }
    }
}

impl Selector {
    fn has_one_name(&self) -> bool {
        use crate::matcher::Operator;
        let named = |matcher: &Matcher| {
            matcher.label == crate::labels::NAME
                && matcher.operator == Operator::Equal
                && !matcher.value.is_empty()
        };
        matches!(self.sets.as_slice(), [only] if only.iter().any(named))
    }
}

impl Operation {
    pub(crate) fn is_comparison(self) -> bool {
        use Operation::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
        matches!(self, Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual)
    }

    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

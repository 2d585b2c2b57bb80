//! From the parser's syntax tree to the plan.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use promql_parser::label::{MatchOp, Matcher as ParsedMatcher};
use promql_parser::parser::token::{self as t, TokenType};
use promql_parser::parser::{
    AggregateExpr, AtModifier, BinaryExpr, Call as ParsedCall, Expr, LabelModifier, Offset, SubqueryExpr,
    VectorMatchCardinality, VectorSelector,
};

use crate::error::ParseError;
use crate::eval::functions;
use crate::eval::plan::{
    Aggregate, Aggregator, At, Binary, Call, Group, Matching, Node, Operation, Range, Selector, Source, Time,
    Type,
};
use crate::labels::NAME;
use crate::matcher::{Matcher, Operator};

type Result<T> = std::result::Result<T, ParseError>;

/// Longest range, offset and distance of `@` from now, ms: a hundred thousand years, so that sums of a few never overflow.
const MAX_MS: i64 = 1 << 51;

fn syntax(text: impl Into<String>) -> ParseError {
    ParseError::Syntax(text.into())
}

/// The plan of a parsed query.
pub(crate) fn node(expr: &Expr) -> Result<Node> {
    Ok(match expr {
        Expr::NumberLiteral(number) => Node::Number(number.val),
        Expr::StringLiteral(text) => Node::Text(text.val.clone()),
        Expr::Paren(paren) => node(&paren.expr)?,
        Expr::Unary(unary) => {
            let inner = node(&unary.expr)?;
            expect(&inner, &[Type::Scalar, Type::Vector], "unary expression")?;
            Node::Negate(Box::new(inner))
        }
        Expr::VectorSelector(parsed) => Node::Selector(selector(parsed)?),
        Expr::MatrixSelector(matrix) => Node::Range(Range {
            of: Source::Selector(selector(&matrix.vs)?),
            range_ms: millis(matrix.range)?,
        }),
        Expr::Subquery(parsed) => subquery(parsed)?,
        Expr::Binary(parsed) => Node::Binary(binary(parsed)?),
        Expr::Aggregate(parsed) => Node::Aggregate(aggregate(parsed)?),
        Expr::Call(parsed) => call(parsed)?,
        Expr::Extension(_) => return Err(syntax("invalid promql query")),
    })
}

fn expect(node: &Node, types: &[Type], place: &str) -> Result<()> {
    if types.contains(&node.kind()) {
        return Ok(());
    }
    let names: Vec<&str> = types.iter().map(|kind| kind.name()).collect();
    Err(syntax(format!("expected type {} in {place}, got {}", names.join(" or "), node.kind().name())))
}

fn millis(duration: Duration) -> Result<i64> {
    i64::try_from(duration.as_millis())
        .ok()
        .filter(|ms| *ms < MAX_MS)
        .ok_or_else(|| syntax("duration out of range"))
}

fn time(at: Option<&AtModifier>, offset: Option<&Offset>) -> Result<Time> {
    let offset_ms = match offset {
        None => 0,
        Some(Offset::Pos(duration)) => millis(*duration)?,
        Some(Offset::Neg(duration)) => -millis(*duration)?,
    };
    let at = match at {
        None => None,
        Some(AtModifier::Start) => Some(At::Start),
        Some(AtModifier::End) => Some(At::End),
        Some(AtModifier::At(at)) => Some(At::Fixed(match at.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => millis(since)?,
            Err(before) => -millis(before.duration())?,
        })),
    };
    Ok(Time { at, offset_ms })
}

fn selector(parsed: &VectorSelector) -> Result<Selector> {
    let name = parsed.name.as_ref().map(|name| condition(NAME, Operator::Equal, name)).transpose()?;
    let alternatives = &parsed.matchers.or_matchers;
    let sets =
        if alternatives.is_empty() { std::slice::from_ref(&parsed.matchers.matchers) } else { alternatives };
    let sets = sets
        .iter()
        .map(|set| name.iter().cloned().map(Ok).chain(set.iter().map(matcher)).collect())
        .collect::<Result<Vec<Vec<Matcher>>>>()?;
    Ok(Selector { sets, time: time(parsed.at.as_ref(), parsed.offset.as_ref())? })
}

fn matcher(parsed: &ParsedMatcher) -> Result<Matcher> {
    let operator = match parsed.op {
        MatchOp::Equal => Operator::Equal,
        MatchOp::NotEqual => Operator::NotEqual,
        MatchOp::Re(_) => Operator::Matches,
        MatchOp::NotRe(_) => Operator::NotMatches,
    };
    condition(&parsed.name, operator, &parsed.value)
}

fn condition(label: &str, operator: Operator, value: &str) -> Result<Matcher> {
    Matcher::new(label, operator, value)
        .map_err(|error| syntax(format!("regular expression of {label}: {error}")))
}

fn subquery(parsed: &SubqueryExpr) -> Result<Node> {
    let inner = node(&parsed.expr)?;
    expect(&inner, &[Type::Vector], "subquery")?;
    let step_ms = parsed.step.map(millis).transpose()?;
    if step_ms == Some(0) {
        return Err(syntax("the step of a subquery must be greater than 0"));
    }
    let time = time(parsed.at.as_ref(), parsed.offset.as_ref())?;
    let of = Source::Subquery { inner: Box::new(inner), step_ms, time };
    Ok(Node::Range(Range { of, range_ms: millis(parsed.range)? }))
}

fn names(labels: &[String]) -> Vec<Arc<str>> {
    labels.iter().map(|label| Arc::from(label.as_str())).collect()
}

fn operation(token: TokenType) -> Option<Operation> {
    Some(match token.id() {
        t::T_ADD => Operation::Add,
        t::T_SUB => Operation::Subtract,
        t::T_MUL => Operation::Multiply,
        t::T_DIV => Operation::Divide,
        t::T_MOD => Operation::Modulo,
        t::T_POW => Operation::Power,
        t::T_ATAN2 => Operation::Atan2,
        t::T_EQLC => Operation::Equal,
        t::T_NEQ => Operation::NotEqual,
        t::T_LSS => Operation::Less,
        t::T_LTE => Operation::LessEqual,
        t::T_GTR => Operation::Greater,
        t::T_GTE => Operation::GreaterEqual,
        t::T_LAND => Operation::And,
        t::T_LOR => Operation::Or,
        t::T_LUNLESS => Operation::Unless,
        _ => return None,
    })
}

fn binary(parsed: &BinaryExpr) -> Result<Binary> {
    let operation =
        operation(parsed.op).ok_or_else(|| syntax(format!("there is no operator {}", parsed.op)))?;
    let (left, right) = (node(&parsed.lhs)?, node(&parsed.rhs)?);
    let sides = if operation.is_set() { &[Type::Vector][..] } else { &[Type::Scalar, Type::Vector] };
    expect(&left, sides, "binary expression")?;
    expect(&right, sides, "binary expression")?;
    let mut matching = Matching::default();
    if let Some(modifier) = &parsed.modifier {
        let fill = &modifier.fill_values;
        if fill.lhs.is_some() || fill.rhs.is_some() {
            return Err(ParseError::Unsupported { what: "fill".into(), reason: functions::EXPERIMENTAL });
        }
        if let Some(labels) = &modifier.matching {
            matching.on = labels.is_include();
            matching.labels = names(&labels.labels().labels);
        }
        matching.group = match &modifier.card {
            VectorMatchCardinality::ManyToOne(copied) => {
                Some(Group { right: false, copied: names(&copied.labels) })
            }
            VectorMatchCardinality::OneToMany(copied) => {
                Some(Group { right: true, copied: names(&copied.labels) })
            }
            VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => None,
        };
    }
    Ok(Binary {
        operation,
        left: Box::new(left),
        right: Box::new(right),
        bool: parsed.return_bool(),
        matching,
    })
}

fn aggregate(parsed: &AggregateExpr) -> Result<Aggregate> {
    let by = match parsed.op.id() {
        t::T_SUM => Aggregator::Sum,
        t::T_AVG => Aggregator::Avg,
        t::T_MIN => Aggregator::Min,
        t::T_MAX => Aggregator::Max,
        t::T_COUNT => Aggregator::Count,
        t::T_GROUP => Aggregator::Group,
        t::T_STDDEV => Aggregator::Stddev,
        t::T_STDVAR => Aggregator::Stdvar,
        t::T_TOPK => Aggregator::Topk,
        t::T_BOTTOMK => Aggregator::Bottomk,
        t::T_LIMITK => Aggregator::Limitk,
        t::T_LIMIT_RATIO => Aggregator::LimitRatio,
        t::T_QUANTILE => Aggregator::Quantile,
        t::T_COUNT_VALUES => Aggregator::CountValues,
        _ => return Err(syntax(format!("there is no aggregation {}", parsed.op))),
    };
    let of = node(&parsed.expr)?;
    expect(&of, &[Type::Vector], "aggregation expression")?;
    let parameter = parsed.param.as_ref().map(|parameter| node(parameter)).transpose()?;
    if let Some(parameter) = &parameter {
        let kind = if by == Aggregator::CountValues { Type::Text } else { Type::Scalar };
        expect(parameter, &[kind], "parameter of aggregation")?;
    }
    let (without, labels) = match &parsed.modifier {
        None => (false, Vec::new()),
        Some(LabelModifier::Include(labels)) => (false, names(&labels.labels)),
        Some(LabelModifier::Exclude(labels)) => (true, names(&labels.labels)),
    };
    Ok(Aggregate { by, parameter: parameter.map(Box::new), of: Box::new(of), without, labels })
}

fn call(parsed: &ParsedCall) -> Result<Node> {
    let name = parsed.func.name;
    let function = functions::find(name)?;
    let mut arguments = parsed.args.args.iter().map(|argument| node(argument)).collect::<Result<Vec<_>>>()?;
    let types = &parsed.func.arg_types;
    for (at, argument) in arguments.iter().enumerate() {
        let kind = types.get(at).or(types.last()).map(|kind| match kind {
            promql_parser::parser::value::ValueType::Vector => Type::Vector,
            promql_parser::parser::value::ValueType::Scalar => Type::Scalar,
            promql_parser::parser::value::ValueType::Matrix => Type::Matrix,
            promql_parser::parser::value::ValueType::String => Type::Text,
        });
        expect(argument, &[kind.unwrap_or(Type::Scalar)], &format!("call to function {name}"))?;
    }
    functions::defaults(name, function, &mut arguments);
    Ok(Node::Call(Call { name, function, arguments }))
}

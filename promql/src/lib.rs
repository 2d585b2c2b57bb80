//! PromQL as Prometheus 3 means it, over any [`Reader`]. Pure: no clock, no files, no network.

mod aggregate;
mod binary;
mod choice;
mod date;
mod duration;
mod error;
mod eval;
mod labels;
mod macros;
mod matcher;
mod matching;
mod memo;
mod number;
mod options;
mod query;
mod reader;
mod rewrite;
mod rows;
pub mod rules;
mod selector;
mod sum;
mod tokens;
mod translate;
mod value;

pub use duration::milliseconds;
pub use error::{ErrorKind, MacroError, ParseError, QueryError};
pub use eval::functions::UNSUPPORTED;
pub use labels::{Labels, NAME};
pub use macros::{MAX_CALLS, Macro, Macros};
pub use matcher::{Matcher, Operator};
pub use memo::Memo;
pub use number::{general, plain};
pub use options::Options;
pub use query::{Query, Selection, expanded};
pub use reader::{ReadError, Reader, STALE, Sample, Series, SeriesIter, Span, is_stale};
pub use rules::{
    Alert, AlertState, Alerting, Alerts, Group, Recording, Rule, RuleError, Template, unit_test,
};
pub use tokens::{MAX_DEPTH, MAX_EXPRESSIONS, MAX_QUERY_BYTES};
pub use value::{Answer, Element, Value};

//! What a block's header and filter say of a query.

use super::{Expr, Query, Test};
use crate::block::Header;
use crate::block::filter::Token;
use crate::record::Stream;

/// Whether lines of a block can match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Possible {
    /// Some line may match: else the block need not be read.
    pub some: bool,
    /// Every line matches: they need not be looked at.
    pub all: bool,
}

const NONE: Possible = Possible { some: false, all: false };
const ALL: Possible = Possible { some: true, all: true };
const MAYBE: Possible = Possible { some: true, all: false };

/// What is known of a block's lines, the time included. `may_have` asks the block's filter; without one it says yes.
pub fn possible(query: &Query, header: &Header, may_have: &mut dyn FnMut(Token) -> bool) -> Possible {
    if header.t1 < query.from || header.t0 >= query.to {
        return NONE;
    }
    let mut found = of(&query.expr, header, may_have);
    found.all &= header.t0 >= query.from && header.t1 < query.to;
    found
}

/// Whether lines of a stream can match, by its labels alone.
pub(super) fn of_stream(expr: &Expr, stream: &Stream) -> Possible {
    match expr {
        Expr::Label { name, test } => {
            if test.of_label(stream.get(name)) {
                ALL
            } else {
                NONE
            }
        }
        Expr::All(parts) => every(parts.iter().map(|part| of_stream(part, stream))),
        Expr::Any(parts) => either(parts.iter().map(|part| of_stream(part, stream))),
        Expr::Not(part) => not(of_stream(part, stream)),
        _ => MAYBE,
    }
}

fn of(expr: &Expr, header: &Header, may_have: &mut dyn FnMut(Token) -> bool) -> Possible {
    let maybe = |some| if some { MAYBE } else { NONE };
    match expr {
        Expr::All(parts) => every(parts.iter().map(|part| of(part, header, may_have))),
        Expr::Any(parts) => either(parts.iter().map(|part| of(part, header, may_have))),
        Expr::Not(part) => not(of(part, header, may_have)),
        Expr::Severities(mask) => {
            Possible { some: header.severities & mask != 0, all: header.severities & !mask == 0 }
        }
        Expr::Pid(pid) => {
            let (least, greatest) = header.pids;
            Possible { some: (least..=greatest).contains(pid), all: least == *pid && greatest == *pid }
        }
        Expr::Label { name, test } => {
            if test.of_label(header.stream.get(name)) {
                ALL
            } else {
                NONE
            }
        }
        Expr::Field { name, test: Test::Is(value) } => maybe(may_have(Token::pair(name, value.as_bytes()))),
        Expr::Field { .. } => MAYBE,
        Expr::Text(phrase) => {
            let foreign = phrase.is_foreign() && !header.non_ascii;
            maybe(!foreign && phrase.tokens().iter().all(|token| may_have(*token)))
        }
        Expr::Matches(pattern) => maybe(pattern.needs(!header.non_ascii).may_be_met(may_have)),
    }
}

fn not(of: Possible) -> Possible {
    Possible { some: !of.all, all: !of.some }
}

/// Ends with the first part that no line matches: its filter is not asked in vain.
fn every(parts: impl Iterator<Item = Possible>) -> Possible {
    let mut all = true;
    for part in parts {
        if !part.some {
            return NONE;
        }
        all &= part.all;
    }
    Possible { some: true, all }
}

fn either(parts: impl Iterator<Item = Possible>) -> Possible {
    let mut some = false;
    for part in parts {
        if part.all {
            return ALL;
        }
        some |= part.some;
    }
    Possible { some, all: false }
}

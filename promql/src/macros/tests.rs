//! Definitions and calls.

use super::*;

fn macros() -> Macros {
    Macros::parse(
        "# Share of the time that a program loses,\n\
         # by its comm.\n\
         lost_share(p) = sum by (comm) (rate(lost_seconds_total{comm=p}[1m]))\n\
         twice(x) = x * 2\n\
         rate_of(x, d) =\n  rate(x[d:d])\n\
         now() = time()\n",
    )
    .expect("definitions")
}

#[test]
fn calls_are_replaced_by_bodies() {
    let macros = macros();
    for (query, expanded) in [
        ("lost_share(\"make\")", "sum by (comm) (rate(lost_seconds_total{comm=\"make\"}[1m]))"),
        ("twice(a + b)", "((a + b) * 2)"),
        ("twice(twice(a))", "((a * 2) * 2)"),
        ("rate_of(x{a=\"b, c\"}, 5m)", "rate(x{a=\"b, c\"}[5m:5m])"),
        ("now() - 1", "time() - 1"),
        ("twice", "twice"),
        ("{a=\"twice(x)\"} # twice(x)", "{a=\"twice(x)\"} # twice(x)"),
    ] {
        assert_eq!(macros.expand(query).expect(query), expanded);
    }
}

#[test]
fn comments_above_are_the_help() {
    let macros = macros();
    let help: Vec<(&str, &str)> = macros
        .list()
        .map(|own| (own.name.as_str(), own.help.as_str()))
        .filter(|(_, help)| !help.is_empty())
        .collect();
    assert_eq!(help, [("lost_share", "Share of the time that a program loses, by its comm.")]);
}

#[test]
fn wrong_numbers_of_arguments_are_named() {
    let error = macros().expand("rate_of(x)").expect_err("one argument");
    assert_eq!(error.to_string(), "rate_of(x, d) has 2 arguments; this call has 1");
    assert!(matches!(macros().expand("now(1)"), Err(MacroError::Arguments { given: 1, .. })));
    assert!(matches!(macros().expand("twice(x"), Err(MacroError::Open(_))));
}

#[test]
fn recursion_is_refused() {
    assert!(matches!(Macros::parse("a(x) = a(x)"), Err(MacroError::Recursion(_))));
    assert!(matches!(Macros::parse("a(x) = b(x)\nb(x) = c(x)\nc(x) = a(x)"), Err(MacroError::Recursion(_))));
}

#[test]
fn what_grows_too_large_is_refused() {
    let mut macros = Macros::parse("m0(x) = x + x").expect("definition");
    let mut discarding = Macros::parse("none(a, b) = 1\nm0() = 1").expect("definitions");
    for nth in 1..60 {
        macros.insert(&format!("m{nth}(x) = m{0}(m{0}(x))", nth - 1), "").expect("definition");
        discarding.insert(&format!("m{nth}() = none(m{0}(), m{0}())", nth - 1), "").expect("definition");
    }
    assert_eq!(macros.expand("m59(y)"), Err(TOO_LARGE));
    // Arguments that a body does not use are not expanded.
    assert_eq!(discarding.expand("m59()"), Ok("1".to_owned()));
}

#[test]
fn a_long_chain_of_calls_does_not_overflow_the_stack() {
    let mut macros = Macros::parse("m0() = 1").expect("definition");
    for nth in 1..MAX_CALLS {
        macros.insert(&format!("m{nth}() = m{}()", nth - 1), "").expect("definition");
    }
    assert_eq!(macros.expand(&format!("m{}()", MAX_CALLS - 1)), Ok("1".to_owned()));
}

#[test]
fn names_of_the_language_are_refused() {
    for name in ["rate", "sum", "SUM", "by", "median", "histogram_count"] {
        assert!(matches!(Macros::parse(&format!("{name}(x) = x")), Err(MacroError::Taken(_))), "{name}");
    }
    for text in ["a = 1", "a(x) == 1", "a(1) = x", "a(x) =", "a(x, x) = x"] {
        assert!(Macros::parse(text).is_err(), "{text}");
    }
}

use super::*;

fn error(text: &str) -> String {
    match Query::parse(text) {
        Ok(query) => panic!("{text} is {query:?}"),
        Err(error) => error.to_string(),
    }
}

/// The tree, short.
fn show(expr: &Expr) -> String {
    let join = |parts: &[Expr], by: &str| parts.iter().map(show).collect::<Vec<_>>().join(by);
    let test = |test: &Test| match test {
        Test::Is(value) => format!("={value}"),
        Test::Matches(pattern) => format!("~{}", pattern.text()),
        Test::Present => "=*".to_owned(),
    };
    match expr {
        Expr::All(parts) => format!("({})", join(parts, " & ")),
        Expr::Any(parts) => format!("({})", join(parts, " | ")),
        Expr::Not(part) => format!("!{}", show(part)),
        Expr::Severities(mask) => format!("severities:{mask:b}"),
        Expr::Pid(pid) => format!("pid:{pid}"),
        Expr::Label { name, test: value } => format!("label.{name}{}", test(value)),
        Expr::Field { name, test: value } => format!("{name}{}", test(value)),
        Expr::Text(phrase) => format!("{phrase}"),
        Expr::Matches(pattern) => format!("~{}", pattern.text()),
    }
}

#[test]
fn queries_are_read_as_the_table_says() {
    for (text, expected) in [
        ("", "()"),
        ("timeout", "timeout"),
        ("a b", "(a & b)"),
        ("a AND b OR c", "(c | (a & b))"),
        ("a (b OR c)", "(a & (b | c))"),
        ("-a -\"b c\" NOT d", "(!a & !b c & !d)"),
        ("NOT NOT a", "a"),
        ("10.0.0.1 time*", "(10.0.0.1 & time*)"),
        ("=Timeout =\"A b\"", "(=Timeout & =A b)"),
        ("status=500 path!=\"/a b\"", "(status=500 & !path=/a b)"),
        ("path~^/api/(a|b)$ x!~y", "(path~^/api/(a|b)$ & !x~y)"),
        ("(~fo+)", "~fo+"),
        ("~\"a | \\\"b\\\" \\d\"", "~a | \"b\" \\d"),
        ("trace=* trace=\"*\" e=", "(trace=* & trace=* & e=)"),
        ("unit=nginx.service field.unit=x label.y!=z", "(label.unit=nginx.service & !label.y=z & unit=x)"),
        ("severity>=warning", "severities:11111"),
        ("severity=err severity!=debug pid=7", "(severities:1000 & !severities:10000000 & pid:7)"),
        ("or and not", "(or & and & not)"),
        ("\"OR\" ORDER", "(or & order)"),
        ("http://x/?a=b", "http://x/?a=b"),
        ("-- -> a-b", "(-- & -> & a-b)"),
        ("main(", ""),
        ("Ärger", "ärger"),
    ] {
        if expected.is_empty() && !text.is_empty() {
            error(text);
            continue;
        }
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(show(&query.expr), expected, "{text}");
    }
}

#[test]
fn times_narrow_the_query() {
    let query = Query::parse("time>=100 a time<2026-11-30T18:00:00.5Z time>=50").unwrap();
    assert_eq!(query.from, UnixNs(100_000_000_000));
    assert_eq!(query.to, UnixNs(1_796_061_600_500_000_000));
    assert_eq!(show(&query.expr), "a");
}

#[test]
fn an_error_says_where_and_what_would_be_right() {
    for (text, at, what) in [
        ("a (b", 2, "not closed"),
        ("a ) b", 2, "closes nothing"),
        ("x \"abc", 2, "quote is not closed"),
        ("OR a", 0, "both sides"),
        ("a OR", 2, "both sides"),
        ("a AND", 2, "both sides"),
        ("a AND OR b", 2, "both sides"),
        ("NOT", 0, "nothing follows"),
        ("(NOT )", 1, "nothing follows"),
        ("a ~", 2, "needs a regular expression"),
        ("~\"a(b\"", 3, "unclosed group"),
        ("abc x~[", 6, "unclosed"),
        ("severity>=bad", 10, "is no severity; there are emergency,"),
        ("severity<error", 0, "severity>="),
        ("pid=x", 4, "no process id"),
        ("pid=99999999999", 4, "no process id"),
        ("status>=500", 0, "not with `>=`"),
        ("time=3", 0, "time>="),
        ("time>=yesterday", 6, "is no time"),
        ("a OR time<5", 5, "part of `OR`"),
        ("time<5 OR a", 7, "part of `OR`"),
        ("-time<5", 1, "part of `OR` or `NOT`"),
        ("NOT (a time<5)", 7, "part of `OR` or `NOT`"),
        ("\"\"", 0, "no word"),
    ] {
        let said = error(text);
        assert!(said.contains(&format!("at byte {at}:")) && said.contains(what), "{text}: {said}");
    }
}

#[test]
fn a_query_has_bounds() {
    assert!(error(&"x".repeat(MAX_QUERY_BYTES + 1)).contains("bytes, at most"));
    assert!(error(&"a ".repeat(MAX_TERMS + 1)).contains("terms"));
    assert!(error(&"NOT ".repeat(MAX_TERMS + 1)).contains("terms"));
    assert!(error(&"(".repeat(MAX_DEPTH + 1)).contains("deep"));
    assert!(error(&"~a ".repeat(MAX_PATTERNS + 1)).contains("regular expressions"));
    assert!(Query::parse(&format!("{}a{}", "(".repeat(MAX_DEPTH - 1), ")".repeat(MAX_DEPTH - 1))).is_ok());
}

//! Values that could end a text in one language or another find their series, and nothing else happens.

use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use promql::{Matcher, NAME, Operator, Reader as _, Span};
use server::store::Window;

use crate::data::{SECOND, windows};
use crate::servers::now_ns;
use crate::{Stores, samples};

const HOSTILE: [&str; 9] = [
    "'; DROP DATABASE \"s7 \"\"mpa\"\"\"; --",
    "' OR time > 0 OR 'a' = 'a",
    "x\" or \"a\" = \"a",
    "a\\' OR 1=1 --",
    "/) OR \"host\" =~ /.*",
    "\"} or s7mpa_host_load1{host=\"a",
    "${r.host}",
    "(a|b)+[c]$^",
    "ä\u{1F600}\u{202e}",
];

fn hostile(begin: u64) -> Window {
    let end = UnixNs((begin + 301) * SECOND);
    let points: Vec<Point> = HOSTILE
        .iter()
        .enumerate()
        .map(|(nth, comm)| {
            Point::new("s7mpa_process", end)
                .tag("host", "h")
                .tag("pid", nth.to_string())
                .tag("start", "1")
                .tag("comm", *comm)
                .field("rss_bytes", nth as u64 + 1)
        })
        .collect();
    let head = WindowHead {
        host: "h".into(),
        stream: "000000000000000c".into(),
        seq: 1,
        points: points.len() as u64,
        span_ns: SECOND,
        end,
    };
    Window::from_points(head, &points)
}

#[test]
fn hostile_values_are_values() {
    let begin = now_ns() / SECOND - 3_600;
    let mut all = windows(begin);
    all.push(hostile(begin));
    let stores = Stores::with(begin, &all);
    for (nth, comm) in HOSTILE.iter().enumerate() {
        let query = format!("s7mpa_process_rss_bytes{{comm={}}}", literal(comm));
        let found = samples(&stores.instant(&query, 301));
        assert_eq!(found.values().copied().collect::<Vec<_>>(), [nth as f64 + 1.0], "{comm}");
        // As an expression that only this value fulfils, and as what it must not be.
        let means_more = |c: char| "\\.+*?()|[]{}^$#&-~".contains(c);
        let escaped: String =
            comm.chars().flat_map(|c| means_more(c).then_some('\\').into_iter().chain([c])).collect();
        let query = format!("s7mpa_process_rss_bytes{{comm=~{}}}", literal(&escaped));
        assert_eq!(samples(&stores.instant(&query, 301)).len(), 1, "{comm}");
        let query = format!("s7mpa_process_rss_bytes{{host=\"h\",comm!={}}}", literal(comm));
        assert_eq!(samples(&stores.instant(&query, 301)).len(), HOSTILE.len() - 1, "{comm}");
    }
    // Names of labels and metrics are hostile, too; a newline and a NUL stand in no value that is there.
    let span = Span { from_ms: 0, to_ms: ((begin + 400) * 1_000) as i64 };
    for text in HOSTILE.into_iter().chain(["a\nb", "a\0b", ""]) {
        let name = Matcher::new(NAME, Operator::Equal, "s7mpa_process_rss_bytes").expect("a name");
        let label = Matcher::new(text, Operator::Equal, "x").expect("a label");
        let value = Matcher::new("comm", Operator::Equal, format!("{text}\n\0")).expect("a value");
        let metric = Matcher::new(NAME, Operator::Equal, format!("s7mpa_{text}")).expect("a name");
        for (place, store) in &stores.elsewhere {
            let view = store.view(&|| false).expect("view");
            for matchers in
                [vec![name.clone(), label.clone()], vec![name.clone(), value.clone()], vec![metric.clone()]]
            {
                let found =
                    view.select(&matchers, span).unwrap_or_else(|error| panic!("{place}: {text:?}: {error}"));
                assert_eq!(found.count(), 0, "{place}: {text:?}");
            }
        }
    }
    // All is there as before.
    assert!(!samples(&stores.instant("s7mpa_host_load1", 300)).is_empty());
}

/// A text as PromQL has it.
fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

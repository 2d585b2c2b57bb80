//! The same samples in a real Prometheus and here: the same queries must have the same answers. `cargo xtask test` fetches the
//! program and names it in `S7MPA_PROMETHEUS`.

mod answer;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod queries;
mod remote_write;
mod server;

use std::path::PathBuf;

use answer::{Asked, Outcome};
use common::Store;
use promql::{Options, Query, Span};
use server::Prometheus;

/// The directory with the program.
const VARIABLE: &str = "S7MPA_PROMETHEUS";
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

/// Moments of instant queries. Prometheus 2 counts the first moment of a range in: there is no sample at these, nor at the ends of
/// ranges before them.
fn moments() -> [i64; 2] {
    [data::BEGIN_MS + 31 * MINUTE + 500, data::BEGIN_MS + 47 * MINUTE + 13 * SECOND + 500]
}

/// Moments at which there are samples, and others a range before them.
fn borders() -> [i64; 2] {
    [data::BEGIN_MS + 30 * MINUTE + data::OFFSET_MS, data::BEGIN_MS + 50 * MINUTE + data::OFFSET_MS]
}

#[test]
fn a_real_prometheus_gives_the_same_answers() {
    let Some(program) = std::env::var_os(VARIABLE).map(|dir| PathBuf::from(dir).join("prometheus")) else {
        let why = format!("{VARIABLE} is not set: `cargo xtask test` fetches Prometheus and sets it");
        assert!(std::env::var_os("REQUIRE_BPF").is_none(), "{why}");
        eprintln!("not run: {why}");
        return;
    };
    let store = data::store();
    let prometheus = Prometheus::start(&program);
    prometheus.write(&store.series);
    let of_version_3 = prometheus.version().starts_with('3');
    let mut queries = queries::all();
    if !of_version_3 {
        queries.retain(|query| match queries::changed(query) {
            Some(why) => {
                println!("left out: {query}: {why}");
                false
            }
            None => true,
        });
    }
    let mut asked: Vec<Asked> = moments().map(Asked::Instant).to_vec();
    let step_ms = 37 * SECOND;
    let span = |from_ms: i64| Span { from_ms, to_ms: from_ms + 60 * step_ms };
    asked.push(Asked::Range(span(data::BEGIN_MS + 12 * MINUTE + 500), step_ms));
    if of_version_3 {
        asked.extend(borders().map(Asked::Instant));
        asked.push(Asked::Range(span(borders()[0]), 30 * SECOND));
    }
    let (mut same, mut values, mut refused) = (0_usize, 0_usize, 0_usize);
    let mut different = Vec::new();
    for query in &queries {
        for asked in &asked {
            let theirs = prometheus.ask(&of_prometheus(query, of_version_3), *asked);
            let ours = ours(&store, query, *asked);
            match answer::compare(&theirs, &ours) {
                Ok(compared) => {
                    same += 1;
                    values += compared;
                    refused += usize::from(theirs.is_err());
                }
                Err(why) => different.push(format!("{query} {asked:?}\n    {why}")),
            }
        }
    }
    println!(
        "Prometheus {}: {} queries, {} answers, {same} the same ({values} values, {refused} refused by both)",
        prometheus.version(),
        queries.len(),
        queries.len() * asked.len()
    );
    different.truncate(40);
    assert!(different.is_empty(), "differences:\n{}", different.join("\n"));
    assert!(queries.len() >= 500 && values > 100_000, "too few queries, or data that none of them reads");
}

/// The query with the function's name of that version.
fn of_prometheus(query: &str, of_version_3: bool) -> String {
    if of_version_3 {
        query.to_owned()
    } else {
        query.replace("double_exponential_smoothing", "holt_winters")
    }
}

fn ours(store: &Store, query: &str, asked: Asked) -> Outcome {
    let options = Options::default();
    let parsed = Query::parse(query).map_err(|error| error.to_string())?;
    let answer = match asked {
        Asked::Instant(at_ms) => parsed.instant(store, at_ms, &options),
        Asked::Range(span, step_ms) => parsed.range(store, span, step_ms, &options),
    };
    answer.map(|answer| answer.value).map_err(|error| error.to_string())
}

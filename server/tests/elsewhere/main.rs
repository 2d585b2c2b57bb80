//! The same queries on the embedded store, on InfluxDB 1 and on VictoriaMetrics: the same answers.

#[path = "../influx/servers.rs"]
mod servers;

mod data;
mod hostile;
mod http;

use std::collections::BTreeMap;

use promql::{Answer, Options, Query, Reader, Span, Value};
use server::config::QueryLanguage;
use server::node::NodeNames;
use server::store::elsewhere::Elsewhere;
use server::store::embedded::{self, EmbeddedStore, FILE};
use server::store::influx::{self, Api, InfluxStore};
use server::store::{Store, Window};
use tokio::runtime::{Builder, Runtime};

use data::{SECOND, windows};
use servers::{Database, now_ns};

/// How far two answers may be apart, of their size.
const MAX_DIFFERENCE: f64 = 1e-9;

/// What is asked. `{}` is a moment in the middle of the data, ms since 1970.
const QUERIES: [&str; 43] = [
    "s7mpa_process_user_ns",
    "s7mpa_process_user_ns_total",
    "s7mpa_process_user_ns_total{pid=\"7\"}",
    "rate(s7mpa_process_user_ns_total[30s])",
    "rate(s7mpa_process_user_ns_total{comm=\"web\"}[1m])",
    "increase(s7mpa_process_user_ns_total[47s])",
    "irate(s7mpa_process_user_ns_total[10s])",
    "sum by (comm) (rate(s7mpa_process_user_ns_total[1m]))",
    "sum by (comm) (rate(s7mpa_process_user_ns_total{host=\"b\"}[1m] offset 20s))",
    "topk(2, sum by (pid) (increase(s7mpa_process_user_ns_total[1m])))",
    "sum_over_time(s7mpa_process_user_ns[30s])",
    "sum by (host) (sum_over_time(s7mpa_process_user_ns[1m])) / 60",
    "s7mpa_process_rss_bytes",
    "s7mpa_process_rss_bytes{comm=~\"w.*\"}",
    "s7mpa_process_rss_bytes{comm!~\"w.*\"}",
    "s7mpa_process_rss_bytes{comm!=\"web\"}",
    "s7mpa_process_rss_bytes{comm=~\"[wd].*\",host=\"a\"}",
    "s7mpa_process_rss_bytes{nothing=\"\"}",
    "s7mpa_process_rss_bytes{nothing=\"x\"}",
    "s7mpa_process_rss_bytes{comm=\"a b,c=d\"}",
    "count(s7mpa_process_rss_bytes)",
    "count by (host) (s7mpa_process_rss_bytes > 50000)",
    "max_over_time(s7mpa_process_rss_bytes[40s:5s])",
    "quantile(0.9, s7mpa_process_rss_bytes)",
    "median by (host) (s7mpa_process_rss_bytes)",
    "avg_over_time(s7mpa_host_load1[30s])",
    "stddev_over_time(s7mpa_host_load1[30s])",
    "s7mpa_host_load1 - s7mpa_host_load1 offset 10s",
    "deriv(s7mpa_host_load1[30s])",
    "changes(s7mpa_host_load1[1m])",
    "resets(s7mpa_host_forks_total[2m])",
    "delta(s7mpa_host_forks_total[30s])",
    "s7mpa_host_forks_total - s7mpa_host_forks_total offset 30s",
    "max_over_time(rate(s7mpa_host_forks_total[20s])[1m:10s])",
    "absent(s7mpa_process_rss_bytes{comm=\"nobody\"})",
    "absent_over_time(s7mpa_process_rss_bytes{pid=\"9\"}[20s])",
    "timestamp(s7mpa_host_load1)",
    "{__name__=~\"s7mpa_host_.*\",host=\"a\"}",
    "count({__name__=~\"s7mpa_.+\"})",
    "s7mpa_process_state",
    "node_load1",
    "rate(node_forks_total{instance=\"a\"}[30s])",
    "sum by (comm) (rate(s7mpa_process_user_ns_total[1m])) / on (comm) sum by (comm) (s7mpa_process_rss_bytes)",
];

/// The three stores with the same data.
struct Stores {
    runtime: Runtime,
    embedded: embedded::Reader,
    _databases: [Database; 2],
    elsewhere: Vec<(&'static str, Elsewhere)>,
    /// End of the first window, s.
    begin: u64,
    _dir: tempfile::TempDir,
}

impl Stores {
    fn new() -> Self {
        let begin = now_ns() / SECOND - 3_600;
        Self::with(begin, &windows(begin))
    }

    fn with(begin: u64, windows: &[Window]) -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        let store = EmbeddedStore::open(dir.path(), embedded::Options::default()).expect("store");
        store.write(windows).expect("write");
        let embedded = embedded::Reader::open(&dir.path().join(FILE)).expect("reader");
        let victoria = Database::victoria_metrics(dir.path(), &[]);
        let influx = Database::influxdb(dir.path());
        let v1 = Api::V1 { db: "s7 \"mpa\"".into(), login: None };
        let v2 = Api::V2 { org: "o".into(), bucket: "b".into(), token: None };
        let mut elsewhere = Vec::new();
        for (name, url, api) in [("InfluxDB 1", influx.url(), v1), ("VictoriaMetrics", victoria.url(), v2)] {
            let options = influx::Options::new(url, api);
            let store = InfluxStore::open(options.clone()).expect("settings");
            let written = store.write(windows).expect("write");
            assert_eq!((written.windows, written.refused), (windows.len() as u64, 0), "{name}");
            let handle = runtime.handle().clone();
            // As it is written to behind this path, which has nothing to read.
            let url =
                if name == "VictoriaMetrics" { format!("{}/influx/", options.url) } else { options.url };
            let options = influx::Options::new(url, options.api);
            elsewhere.push((name, Elsewhere::open(options, QueryLanguage::Auto, handle).expect("settings")));
        }
        victoria.get("/internal/force_flush", &[]);
        Self { runtime, embedded, _databases: [victoria, influx], elsewhere, begin, _dir: dir }
    }

    /// Asks all stores the same, and compares. The embedded store's answer.
    fn ask(&self, query: &str, ask: &dyn Fn(&Query, &dyn Reader) -> Answer) -> Value {
        let parsed = Query::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let own = ask(&parsed, &NodeNames(self.embedded.view().expect("view"))).value;
        for (name, store) in &self.elsewhere {
            let theirs = ask(&parsed, &NodeNames(store.view(&|| false).expect("view"))).value;
            assert_same(&format!("{name}: {query}"), &own, &theirs);
        }
        own
    }

    fn instant(&self, query: &str, second: u64) -> Value {
        let at_ms = ((self.begin + second) * 1_000) as i64 + 400;
        self.ask(query, &|query, reader| {
            query.instant(reader, at_ms, &Options::default()).expect("an answer")
        })
    }

    fn range(&self, query: &str, from: u64, to: u64, step_ms: i64) -> Value {
        let ms = |second: u64| ((self.begin + second) * 1_000) as i64;
        let span = Span { from_ms: ms(from), to_ms: ms(to) };
        self.ask(query, &|query, reader| {
            query.range(reader, span, step_ms, &Options::default()).expect("an answer")
        })
    }
}

/// Samples by series and time.
fn samples(value: &Value) -> BTreeMap<(String, i64), f64> {
    match value {
        Value::Scalar(one) => BTreeMap::from([((String::new(), one.at_ms), one.value)]),
        Value::Vector(elements) => elements
            .iter()
            .map(|one| ((one.labels.to_string(), one.sample.at_ms), one.sample.value))
            .collect(),
        Value::Matrix(series) => {
            let all = series.iter().flat_map(|one| {
                one.samples.iter().map(|sample| ((one.labels.to_string(), sample.at_ms), sample.value))
            });
            all.collect()
        }
        Value::String { .. } => BTreeMap::new(),
    }
}

fn assert_same(what: &str, own: &Value, theirs: &Value) {
    let (own, theirs) = (samples(own), samples(theirs));
    for (key, value) in &own {
        let Some(other) = theirs.get(key) else { panic!("{what}: {key:?} = {value} is missing") };
        let size = value.abs().max(other.abs()).max(f64::MIN_POSITIVE);
        let same = value.to_bits() == other.to_bits()
            || (value.is_nan() && other.is_nan())
            || (value - other).abs() / size <= MAX_DIFFERENCE;
        assert!(same, "{what}: {key:?}: {value} and {other}");
    }
    let more = theirs.keys().find(|key| !own.contains_key(key));
    assert!(more.is_none(), "{what}: {more:?} is too much");
}

#[test]
fn all_stores_give_the_same_answers() {
    let stores = Stores::new();
    let mut answered = 0;
    for query in QUERIES {
        let mut found = 0;
        for second in [1, 30, 65, 100, 149, 155, 170, 240, 299] {
            found += samples(&stores.instant(query, second)).len();
        }
        for (from, to, step_ms) in [(0, 300, 7_000), (90, 160, 1_000), (250, 700, 11_500)] {
            found += samples(&stores.range(query, from, to, step_ms)).len();
        }
        answered += usize::from(found > 0);
    }
    // One asks for a label that nobody has, one for a text.
    assert_eq!(answered, QUERIES.len() - 2);
}

#[test]
fn all_stores_have_the_same_names_and_labels() {
    let stores = Stores::new();
    let span =
        Span { from_ms: ((stores.begin - 1) * 1_000) as i64, to_ms: ((stores.begin + 400) * 1_000) as i64 };
    let own = NodeNames(stores.embedded.view().expect("view"));
    let name = |value: &str| {
        vec![promql::Matcher::new(promql::NAME, promql::Operator::Equal, value).expect("a name")]
    };
    for matchers in [name("s7mpa_process_rss_bytes"), name("s7mpa_host_forks_total"), name("node_load1")] {
        let sorted = |reader: &dyn Reader| {
            let mut series = reader.series(&matchers, span).expect("series");
            series.sort();
            series
        };
        let expected = sorted(&own);
        assert!(!expected.is_empty());
        for (place, store) in &stores.elsewhere {
            let view = NodeNames(store.view(&|| false).expect("view"));
            assert_eq!(sorted(&view), expected, "{place}");
            assert_eq!(
                view.label_values("host", &matchers, span).expect("values"),
                own.label_values("host", &matchers, span).expect("values"),
                "{place}"
            );
            assert_eq!(
                view.label_names(&matchers, span).expect("names"),
                own.label_names(&matchers, span).expect("names"),
                "{place}"
            );
        }
    }
    // Without a condition: all that the embedded store has.
    let all = own.label_values(promql::NAME, &[], span).expect("names");
    for (place, store) in &stores.elsewhere {
        let view = NodeNames(store.view(&|| false).expect("view"));
        assert_eq!(view.label_values(promql::NAME, &[], span).expect("names"), all, "{place}");
    }
}

//! A process that is killed while it stores: what it has said is stored is there, once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use server::store::{Batch, PushedSample, Store as _};

use super::*;

/// The directory of the store that a process of this program fills.
const CHILD: &str = "S7MPA_TEST_PUSH_INTO";
/// Kills.
const ROUNDS: usize = 12;
/// Series of a batch.
const SERIES: i64 = 50;

fn batch(number: i64, base_ms: i64) -> Batch {
    let mut batch = Batch::default();
    for series in 0..SERIES {
        let labels = batch.labels(&mut vec![("series".into(), series.to_string().into())]);
        let metric = batch.metric("pushed_total");
        batch.push(PushedSample { labels, metric, at_ms: base_ms + number * 1000, value: number as f64 });
    }
    batch
}

/// Not a test: the process that is killed.
#[test]
fn the_process_that_pushes() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let base_ms: i64 = std::env::var("S7MPA_TEST_BASE").expect("a time").parse().expect("a number");
    let begin: i64 = std::env::var("S7MPA_TEST_BEGIN").expect("a number").parse().expect("a number");
    let store = EmbeddedStore::open(dir.as_ref(), embedded::Options::default()).expect("store");
    let mut out = std::io::stdout().lock();
    for number in begin.. {
        store.push(&[batch(number, base_ms)]).expect("stored");
        writeln!(out, "stored {number}").expect("a reader");
    }
}

#[test]
fn what_was_stored_is_there_once_after_sigkill() {
    let dir = tempfile::tempdir().expect("tempdir");
    let base_ms = now_ms() - 24 * 3_600_000;
    let mut said = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "survive::the_process_that_pushes", "--nocapture", "--test-threads=1"])
            .env(CHILD, dir.path())
            .env("S7MPA_TEST_BASE", base_ms.to_string())
            // The last may have been stored without a word: it is pushed again, as senders do.
            .env("S7MPA_TEST_BEGIN", (said + 1).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let numbers =
            lines.map_while(Result::ok).filter_map(|line| line.rsplit_once("stored ")?.1.parse().ok());
        // Through rolling: a part has sixty windows, a slot ten minutes.
        let until = said + 40 + 37 * round as i64;
        for number in numbers {
            said = number;
            if said == until {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("its end");
    }
    let store = EmbeddedStore::open(dir.path(), embedded::Options::default()).expect("store");
    let reader = store.reader().expect("a reader");
    assert_eq!(reader.check(|_, _| ()).expect("checked").damages, Vec::<String>::new());
    let query = promql::Query::parse("pushed_total[2d]").expect("a query");
    let view = reader.view().expect("a view");
    let options = promql::Options { max_points: 10_000_000, ..promql::Options::default() };
    let found = query.instant(&view, now_ms() + 3_600_000, &options).expect("an answer");
    let promql::Value::Matrix(matrix) = found.value else { panic!("no matrix") };
    assert_eq!(matrix.len() as i64, SERIES);
    for series in &matrix {
        let numbers: Vec<i64> = series.samples.iter().map(|sample| sample.value as i64).collect();
        // One more than was said may be there.
        let all: Vec<i64> = (1..=numbers.last().copied().unwrap_or(0)).collect();
        assert_eq!(numbers, all);
        assert!(numbers.len() as i64 >= said, "{} of {said}", numbers.len());
    }
}

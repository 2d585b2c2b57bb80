//! A process that is killed while it writes and rolls loses nothing that was acknowledged.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use profile::block::Block;
use server::store::profiles::{Options, ProfileStore};

use crate::common::{MINUTE, STREAM, between, epoch_before, expected, merged, message, minute};

const DIR: &str = "S7MPA_TEST_PROFILES";

fn options() -> Options {
    Options { minutes_after: Duration::from_mins(30), ..Options::default() }
}

/// Body of the child: writes on, and says each number when it is stored.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let start: u64 = std::env::var("START").expect("start").parse().expect("a time");
    let store = ProfileStore::open(&dir, options()).expect("store");
    let first = store.stored("web-1", STREAM).expect("stored").contiguous + 1;
    for seq in first.. {
        store.write(&[message("web-1", seq, minute(start + seq * MINUTE, seq))]).expect("written");
        println!("\nstored {seq}");
    }
}

#[test]
fn what_is_stored_survives_a_kill_at_any_time() {
    let dir = tempfile::tempdir().expect("tempdir");
    let start = epoch_before(Duration::from_hours(48));
    let mut last = 0;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["survive::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .env("START", start.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("child starts");
        let mut lines = BufReader::new(child.stdout.take().expect("output")).lines();
        let until = last + 5 + round * 7;
        while last < until {
            let line = lines.next().expect("more").expect("text");
            if let Some(seq) = line.strip_prefix("stored ") {
                last = seq.parse().expect("a number");
            }
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    let store = ProfileStore::open(dir.path(), options()).expect("store");
    let stored = store.stored("web-1", STREAM).expect("stored").contiguous;
    assert!(stored >= last, "{stored} of {last}");
    store.settle().expect("settled");
    let blocks: Vec<Block> = (1..=stored).map(|seq| minute(start + seq * MINUTE, seq)).collect();
    let (from, to) = (start, start + (stored + 1) * MINUTE);
    let reader = store.reader().expect("reader");
    assert_eq!(merged(&reader, &between(from, to)), expected(&blocks, |_, _| true));
}

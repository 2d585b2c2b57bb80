//! Rolling and putting together while processes are killed, the disk is full, clocks are wrong, hosts fall silent.

use promql::{Matcher, Operator, Reader as _, Span, is_stale};

use super::limits::Tmpfs;
use super::*;

/// Old after minutes.
fn options() -> Options {
    Options {
        written_age: Duration::from_mins(20),
        ten_seconds_age: Duration::from_mins(90),
        ..Options::default()
    }
}

/// A window of one process whose amount is the window's number.
fn counted(host: &str, seq: u64, end: u64) -> Window {
    let end = UnixNs(end);
    let point = Point::new("s7mpa_process", end)
        .tag("host", host)
        .tag("pid", "1")
        .tag("start", "1")
        .field("user_ns", seq)
        .field("rss_bytes", seq * 4096);
    let head = WindowHead {
        host: host.into(),
        stream: "0123456789abcdef".into(),
        seq,
        points: 1,
        span_ns: SECOND,
        end,
    };
    Window::from_points(head, &[point])
}

fn samples(reader: &Reader, name: &str, host: &str) -> Vec<f64> {
    let matcher = |label, value| Matcher::new(label, Operator::Equal, value).expect("a matcher");
    let view = reader.view().expect("view");
    let found = view
        .select(&[matcher("__name__", name), matcher("host", host)], Span { from_ms: 0, to_ms: i64::MAX })
        .expect("select");
    let values = found.flat_map(|series| series.expect("series").samples).map(|sample| sample.value);
    values.filter(|value| !is_stale(*value)).collect()
}

/// Each of the windows from 1 to `last` counts once, in amounts and running sums, and nothing is damaged.
fn assert_counted(dir: &Path, host: &str, last: u64) {
    let reader = Reader::open(&dir.join(FILE)).expect("reader");
    let sum = (last * (last + 1) / 2) as f64;
    let amounts: f64 = samples(&reader, "s7mpa_process_user_ns", host).iter().sum();
    assert_eq!(amounts.to_bits(), sum.to_bits(), "amounts up to {last}");
    let sums = samples(&reader, "s7mpa_process_user_ns_total", host);
    assert_eq!(sums.last().copied().map(f64::to_bits), Some(sum.to_bits()), "running sum up to {last}");
    assert!(sums.is_sorted());
    let checked = reader.check(|_, _| ()).expect("check");
    assert_eq!(checked.damages, Vec::<String>::new());
}

/// Lengths of the steps that there are, seconds.
fn steps(dir: &Path) -> Vec<u64> {
    let info = Reader::open(&dir.join(FILE)).expect("reader").info().expect("info");
    let mut steps: Vec<u64> =
        info.parts.iter().filter(|part| part.samples > 0).map(|part| part.step_s).collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// This test runs itself as the process that writes.
#[test]
fn fifty_kills_while_windows_are_written_rolled_put_together_and_read_lose_and_double_nothing() {
    const ME: &str =
        "upkeep::fifty_kills_while_windows_are_written_rolled_put_together_and_read_lose_and_double_nothing";
    const DIR: &str = "S7MPA_TEST_STORE";
    if let Some(dir) = std::env::var_os(DIR) {
        let store = EmbeddedStore::open(Path::new(&dir), options()).expect("open");
        let mut seq = store.stored("h", "0123456789abcdef").expect("stored").contiguous;
        loop {
            let batch: Vec<Window> =
                (seq + 1..=seq + 5).map(|seq| counted("h", seq, T0 + seq * 5 * SECOND + seq)).collect();
            seq += store.write(&batch).expect("write").windows;
            println!("\nacked {seq}");
        }
    }
    let dir = tempfile::tempdir().expect("tempdir");
    let mut begun = 0_u64;
    for round in 0..50_u64 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([ME, "--exact", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the writer");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (until, mut acked) = (begun + 40 + round * 7 % 90, 0);
        for line in lines {
            if let Some(seq) = line.expect("its output").strip_prefix("acked ").and_then(|n| n.parse().ok()) {
                acked = seq;
                if seq % 50 == 0 {
                    // In the middle of its work.
                    let reader = Reader::open(&dir.path().join(FILE)).expect("reader");
                    assert!(samples(&reader, "s7mpa_process_user_ns_total", "h").is_sorted());
                }
            }
            if acked >= until {
                break;
            }
        }
        child.kill().expect("kill");
        child.wait().expect("wait");
        let store = EmbeddedStore::open(dir.path(), options()).expect("open");
        let stored = store.stored("h", "0123456789abcdef").expect("stored");
        assert!(
            stored.contiguous >= acked && stored.ranges.len() == 1,
            "{acked} acknowledged, {stored:?} there"
        );
        assert_eq!(store.reader().expect("reader").counts().expect("counts").windows, stored.contiguous);
        assert_counted(dir.path(), "h", stored.contiguous);
        begun = stored.contiguous;
    }
    assert_eq!(steps(dir.path()), [0, 10, 60], "after {begun} windows");
}

#[test]
fn a_disk_that_is_full_while_old_time_is_put_together_loses_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let _mount = Tmpfs::mount(dir.path(), "12m");
    let filler = dir.path().join("filler");
    let store = EmbeddedStore::open(dir.path(), options()).expect("open");
    let (mut seq, mut failures, mut full) = (1, 0, false);
    while seq <= 2_500 {
        // Nothing is left, again and again.
        if seq % 500 == 250 && !full {
            let free =
                (64 << 10..).step_by(64 << 10).find(|size| std::fs::write(&filler, vec![0; *size]).is_err());
            full = free.is_some();
        }
        match store.write(&[counted("h", seq, T0 + seq * 5 * SECOND + seq), noisy("i", seq)]) {
            Ok(_) => seq += 1,
            Err(error) => {
                assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
                failures += 1;
                if failures % 5 == 0 {
                    let _ = std::fs::remove_file(&filler);
                    full = false;
                }
                assert!(failures < 1_000, "it never goes on");
            }
        }
    }
    let _ = std::fs::remove_file(&filler);
    assert!(failures > 0, "the disk was never full");
    store.settle().expect("settle");
    assert_counted(dir.path(), "h", 2_500);
    assert!(steps(dir.path()).contains(&60), "{:?}", steps(dir.path()));
}

#[test]
fn a_clock_that_jumps_an_hour_ahead_and_back_deletes_and_doubles_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = EmbeddedStore::open(dir.path(), options()).expect("open");
    for seq in 1..=3_000 {
        let jump = match seq / 600 {
            1 => 3_600 * SECOND,
            3 => 0_u64.wrapping_sub(3_600 * SECOND),
            _ => 0,
        };
        // No two windows end at one time.
        let end = (T0 + seq * 5 * SECOND + seq).wrapping_add(jump);
        store.write(&[counted("h", seq, end)]).expect("write");
    }
    store.settle().expect("settle");
    let amounts: f64 = samples(&store.reader().expect("reader"), "s7mpa_process_user_ns", "h").iter().sum();
    assert_eq!(amounts.to_bits(), f64::from(3_000 * 3_001 / 2).to_bits());
    let sums = samples(&store.reader().expect("reader"), "s7mpa_process_user_ns_total", "h");
    assert!(sums.is_sorted());
    assert_eq!(sums.last().copied(), Some(f64::from(3_000 * 3_001 / 2)));
    assert_eq!(store.reader().expect("reader").counts().expect("counts").windows, 3_000);
    assert_eq!(
        store.reader().expect("reader").check(|_, _| ()).expect("check").damages,
        Vec::<String>::new()
    );
}

#[test]
fn what_a_host_wrote_before_it_fell_silent_is_rolled_when_others_write_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("tempdir");
    let options = Options { silent: Duration::from_millis(1), ..Options::default() };
    let store = open(dir.path());
    for seq in 1..=20 {
        store.write(&[counted("gone", seq, T0 + seq * SECOND)]).expect("write");
    }
    store.close().expect("close");
    let store = EmbeddedStore::open(dir.path(), options).expect("open");
    let waiting = || {
        let info = store.reader().expect("reader").info().expect("info");
        info.parts.iter().filter(|part| part.host == "gone").map(|part| part.waiting).sum::<u64>()
    };
    // The first write finds the streams; they are silent some time after that.
    for seq in 1..=1_000 {
        store.write(&[counted("here", seq, T0 + (30 + seq) * SECOND)]).expect("write");
        if waiting() == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(waiting(), 0);
    assert_counted(dir.path(), "gone", 20);
}

#[test]
fn free_pages_go_back_to_the_file_system_beside_the_writer() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    for seq in 1..=2_000 {
        store.write(&[noisy("h", seq), counted("i", seq, T0 + seq * 10 * SECOND + seq)]).expect("write");
    }
    store.close().expect("close");
    let small = Options { max_bytes: 300 << 10, ..Options::default() };
    let store = EmbeddedStore::open(dir.path(), small).expect("open");
    store.settle().expect("settle");
    let info = || store.reader().expect("reader").info().expect("info");
    let before = info();
    let compaction = server::store::embedded::Compaction::open(&dir.path().join(FILE)).expect("open");
    let mut seq = 2_000;
    while compaction.step().expect("a step").is_some() {
        seq += 1;
        store.write(&[counted("i", seq, T0 + seq * 10 * SECOND + seq)]).expect("write beside it");
    }
    let after = info();
    assert_eq!(after.free_bytes, 0);
    assert!(after.file_bytes <= before.file_bytes, "{before:?} {after:?}");
    assert_eq!(store.reader().expect("reader").check(|_, _| ()).expect("check").damaged, 0);
}

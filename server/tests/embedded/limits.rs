//! Retention, a full store, a full disk, SIGKILL.

use super::*;

#[test]
fn retention_by_age_deletes_whole_slots_and_counts_them() {
    let dir = tempfile::tempdir().expect("tempdir");
    let options = Options { max_age: Duration::from_hours(1), ..Options::default() };
    let store = EmbeddedStore::open(dir.path(), options).expect("open");
    // A process that is gone, and one that comes back.
    let mut early = sparse("h", 1);
    early.lines = early.lines.replace("pid=4", "pid=gone");
    store.write(&[early]).expect("write");
    for seq in 2..=1_000 {
        store.write(&[sparse("h", seq)]).expect("write");
    }
    let reader = store.reader().expect("reader");
    let counts = reader.counts().expect("counts");
    // One hour is 360 windows; slots and the head make it up to three slots of 60 more.
    assert!((360..=540).contains(&counts.windows), "{counts:?}");
    assert_sparse(&reader, "h", 1_001 - counts.windows..=1_000);
    let health = store.health().expect("health");
    let deleted = |what: &str| health.dropped.iter().find(|(name, _)| name == what).map_or(0, |(_, n)| *n);
    assert_eq!(deleted("windows by retention"), 1_000 - counts.windows);
    assert_eq!(deleted("samples by retention"), (1_000 - counts.windows) * 15);
    assert_eq!(deleted("series by retention"), 1);
    assert_eq!(reader.series("s7mpa_process").expect("series").len(), 5);
    // What was deleted stays known as stored: it is not taken again.
    assert_eq!(store.write(&[sparse("h", 5)]).expect("write").duplicates, 1);
    // The series' ids were forgotten and are made again.
    let mut again = sparse("h", 1_001);
    again.lines = again.lines.replace("pid=4", "pid=gone");
    store.write(&[again]).expect("write");
    assert_eq!(reader.query(&select("cpu_ns", &[("pid", "gone")])).expect("query")[0].samples.len(), 1);
}

#[test]
fn retention_by_bytes_bounds_the_file() {
    let dir = tempfile::tempdir().expect("tempdir");
    let options = Options { max_bytes: 400 << 10, ..Options::default() };
    let store = EmbeddedStore::open(dir.path(), options).expect("open");
    let mut largest = 0;
    for seq in 1..=3_000 {
        store.write(&[noisy("h", seq)]).expect("write");
        largest = largest.max(std::fs::metadata(dir.path().join(FILE)).expect("the file").len());
    }
    // The limit and what two slots at the head take.
    assert!(largest < 700 << 10, "{largest}");
    let counts = store.reader().expect("reader").counts().expect("counts");
    assert!(counts.windows < 3_000 && counts.windows > 300, "{counts:?}");
    assert_sparse(&store.reader().expect("reader"), "h", 3_001 - counts.windows..=3_000);
}

#[test]
fn a_full_store_says_so_makes_room_and_goes_on() {
    let dir = tempfile::tempdir().expect("tempdir");
    let options = Options { max_pages: Some(100), ..Options::default() };
    let store = EmbeddedStore::open(dir.path(), options).expect("open");
    let mut full = 0;
    for seq in 1..=3_000 {
        while let Err(error) = store.write(&[noisy("h", seq)]) {
            assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
            assert!(error.to_string().contains(FILE) && error.retry_after().is_some(), "{error}");
            full += 1;
            assert!(full < 1_000, "it never makes room");
        }
    }
    assert!(full > 0);
    let counts = store.reader().expect("reader").counts().expect("counts");
    assert_sparse(&store.reader().expect("reader"), "h", 3_001 - counts.windows..=3_000);
    let dropped = store.health().expect("health").dropped;
    assert_eq!(
        dropped.iter().find(|(name, _)| name == "windows by retention").map(|(_, n)| *n),
        Some(3_000 - counts.windows)
    );
}

#[test]
fn a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().expect("tempdir");
    let _mount = Tmpfs::mount(dir.path(), "12m");
    // The WAL takes 4 MiB before it goes into the file, which then has to grow: both happen here.
    let filler = dir.path().join("filler");
    std::fs::write(&filler, vec![0; 7 << 20]).expect("filler");
    let store = open(dir.path());
    let (mut seq, mut failures) = (1, 0);
    // An attempt that failed makes room in the WAL, so a few more may succeed.
    while failures < 5 {
        match store.write(&[noisy("h", seq)]) {
            Ok(_) => (seq, failures) = (seq + 1, 0),
            Err(error) => {
                assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
                failures += 1;
            }
        }
        assert!(seq < 10_000, "the disk never fills");
    }
    // What was acknowledged is there, readable while the disk is full.
    assert_sparse(&store.reader().expect("reader"), "h", 1..seq);
    std::fs::remove_file(filler).expect("remove");
    let last = seq + 400;
    while seq <= last {
        match store.write(&[noisy("h", seq)]) {
            Ok(_) => (seq, failures) = (seq + 1, 0),
            Err(error) => {
                failures += 1;
                assert!(failures < 20, "there is room again: {error:?}");
            }
        }
    }
    assert_sparse(&store.reader().expect("reader"), "h", 1..=last);
}

/// A small file system of its own; unmounted when dropped.
pub(super) struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    pub(super) fn mount(dir: &Path, size: &str) -> Self {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir);
        let output = command.output().expect("mount starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "a small file system needs root (`cargo xtask test` is it): {said}");
        Self(dir.to_owned())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Kills a writing process again and again, at whatever it is doing: commit, roll, checkpoint. This test runs itself
/// as that process.
#[test]
fn sigkill_loses_nothing_that_was_acknowledged() {
    const ME: &str = "limits::sigkill_loses_nothing_that_was_acknowledged";
    const DIR: &str = "S7MPA_TEST_STORE";
    if let Some(dir) = std::env::var_os(DIR) {
        let store = open(Path::new(&dir));
        let mut seq = store.stored("h", "0123456789abcdef").expect("stored").contiguous;
        loop {
            let batch: Vec<Window> = (seq + 1..=seq + 4).map(|seq| sparse("h", seq)).collect();
            seq += store.write(&batch).expect("write").windows;
            println!("\nacked {seq}");
        }
    }
    let dir = tempfile::tempdir().expect("tempdir");
    let (mut acked, mut begun) = (0_u64, 0_u64);
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([ME, "--exact", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the writer");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // Somewhere in the first slots, at a different place each time.
        let until = begun + 20 + round * 37;
        for line in lines {
            if let Some(seq) = line.expect("its output").strip_prefix("acked ").and_then(|n| n.parse().ok()) {
                acked = seq;
            }
            if acked >= until {
                break;
            }
        }
        child.kill().expect("kill");
        child.wait().expect("wait");
        let store = open(dir.path());
        let stored = store.stored("h", "0123456789abcdef").expect("stored");
        assert!(stored.contiguous >= acked, "{acked} was acknowledged, {stored:?} is there");
        assert_eq!(stored.ranges.len(), 1);
        let counts = store.reader().expect("reader").counts().expect("counts");
        assert_eq!(counts.windows, stored.contiguous);
        assert_sparse(&store.reader().expect("reader"), "h", 1..=stored.contiguous);
        begun = stored.contiguous;
    }
    assert!(begun > 300, "several slots were rolled: {begun}");
}

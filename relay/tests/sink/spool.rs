//! The spool: what it keeps, what it gives up, and that it says so.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use agent_common::units::{DurNs, UnixNs};
use relay::spool::{Limits, NewWindow, Spool, SpoolError, Taken};

const WRITER: &str = "S7MPA_TEST_SPOOL_WRITER";

fn window(n: u64, bytes: usize) -> NewWindow {
    let mut lines = format!("m n={n}i {n}\n");
    lines.push_str(&"#".repeat(bytes.saturating_sub(lines.len() + 1)));
    lines.push('\n');
    NewWindow {
        end: UnixNs(n * 1_000_000_000),
        span: DurNs(1_000_000_000),
        points: 1,
        body: lines.into_bytes(),
    }
}

/// A spool that is given windows with the numbers that come next.
struct Numbered(Spool);

impl Numbered {
    fn open(dir: &Path, limits: Limits) -> Self {
        Self(Spool::open(dir, limits).expect("spool"))
    }

    /// The number that the window got.
    fn append(&mut self, window: &NewWindow) -> u64 {
        let (stream, seq) = self.0.next();
        let stream = stream.to_owned();
        assert_ne!(self.0.append(&stream, seq, window).expect("append"), Taken::Duplicate);
        seq
    }
}

impl std::ops::Deref for Numbered {
    type Target = Spool;

    fn deref(&self) -> &Spool {
        &self.0
    }
}

impl std::ops::DerefMut for Numbered {
    fn deref_mut(&mut self) -> &mut Spool {
        &mut self.0
    }
}

fn open(dir: &Path) -> Numbered {
    Numbered::open(dir, Limits::default())
}

/// (number, window) of all that is kept, in the order of sending.
fn kept(spool: &mut Spool) -> Vec<(u64, NewWindow)> {
    let mut seen = std::collections::BTreeMap::new();
    let mut all = Vec::new();
    while let Some(id) = spool.next_not_in(&seen) {
        seen.insert(id, true);
        all.extend(spool.read(id).map(|stored| (stored.seq, stored.window)));
    }
    all
}

fn numbers(spool: &mut Spool) -> Vec<u64> {
    kept(spool).into_iter().map(|(seq, _)| seq).collect()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .expect("directory")
        .map(|e| e.expect("entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    files.sort();
    files
}

#[test]
fn numbers_go_on_and_acknowledged_windows_do_not_come_back() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut spool = open(dir.path());
    let stream = spool.stats().stream;
    assert_eq!((stream.len(), stream.bytes().all(|b| b.is_ascii_hexdigit())), (16, true));
    for n in 1..=10 {
        assert_eq!(spool.append(&window(n, 500)), n);
    }
    assert_eq!(spool.ack(&stream, &[(1, 3), (5, 5), (9, u64::MAX)]).len(), 6);
    assert_eq!(spool.ack("another stream", &[(1, 100)]).len(), 0);
    assert_eq!(numbers(&mut spool), [4, 6, 7, 8]);
    spool.close().expect("close");
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(spool.stats().stream, stream);
    let expected: Vec<_> = [4, 6, 7, 8].map(|n| (n, window(n, 500))).into();
    assert_eq!(kept(&mut spool), expected);
    assert_eq!(spool.append(&window(11, 10)), 11);
    // Killed now: what was acknowledged may come again, nothing is missing, no number is given out twice.
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(spool.stats().stream, stream);
    let again = numbers(&mut spool);
    assert!([4, 6, 7, 8, 11].iter().all(|n| again.contains(n)), "{again:?}");
    assert_eq!(spool.append(&window(12, 10)), 12);
    assert_eq!(spool.stats().dropped.total(), 0);
}

#[test]
fn files_go_when_all_their_windows_are_acknowledged() {
    let dir = tempfile::tempdir().expect("tempdir");
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let mut spool = Numbered::open(dir.path(), limits);
    let stream = spool.stats().stream;
    for n in 1..=40 {
        spool.append(&window(n, 20_000));
    }
    assert!(segments(dir.path()).len() > 3);
    spool.ack(&stream, &[(1, 40)]);
    assert_eq!(segments(dir.path()).len(), 1, "the one that holds the next number stays");
    assert_eq!(spool.append(&window(41, 100)), 41);
}

#[test]
fn the_oldest_go_when_bytes_run_out() {
    let dir = tempfile::tempdir().expect("tempdir");
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let mut spool = Numbered::open(dir.path(), limits);
    for n in 1..=200 {
        spool.append(&window(n, 20_000));
        let on_disk: u64 = segments(dir.path()).iter().map(|p| p.metadata().expect("metadata").len()).sum();
        assert!(on_disk <= 1 << 20, "{on_disk} bytes on disk");
        assert_eq!(on_disk, spool.stats().bytes);
    }
    let stats = spool.stats();
    let left = numbers(&mut spool);
    assert_eq!(stats.dropped.bytes + left.len() as u64, 200);
    assert_eq!(left, (201 - left.len() as u64..=200).collect::<Vec<_>>(), "the newest are left");
    assert!(left.len() >= 40, "{} windows of 20 kB in 1 MiB", left.len());
}

#[test]
fn the_oldest_go_when_they_are_too_old() {
    let dir = tempfile::tempdir().expect("tempdir");
    let limits = Limits { max_age: Duration::from_secs(30), ..Limits::default() };
    let mut spool = Numbered::open(dir.path(), limits);
    for n in 100..200 {
        spool.append(&window(n, 100));
    }
    assert_eq!(spool.stats().dropped.age, 69);
    assert_eq!(spool.stats().oldest_end, Some(UnixNs(169_000_000_000)));
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = open(dir.path());
    assert!(matches!(Spool::open(dir.path(), Limits::default()), Err(SpoolError::Locked { .. })));
    drop(first);
    open(dir.path());
}

#[test]
fn a_record_cut_short_is_removed_and_its_number_given_out_again() {
    let dir = tempfile::tempdir().expect("tempdir");
    for cut in [1, 47, 48, 200, 547] {
        let dir = dir.path().join(cut.to_string());
        let mut spool = open(&dir);
        for n in 1..=3 {
            spool.append(&window(n, 500));
        }
        let stream = spool.stats().stream;
        drop(spool);
        // Three records of 48 + 500 bytes behind a header of 40.
        let file = OpenOptions::new().write(true).open(&segments(&dir)[0]).expect("segment");
        file.set_len(40 + 2 * 548 + cut).expect("cut");
        let mut spool = open(&dir);
        assert_eq!((spool.stats().dropped.torn, spool.stats().dropped.corrupt), (1, 0), "cut to {cut}");
        assert_eq!(spool.stats().stream, stream);
        assert_eq!(spool.append(&window(3, 500)), 3);
        assert_eq!(numbers(&mut spool), [1, 2, 3]);
    }
}

#[test]
fn rotten_bytes_cost_the_windows_they_are_in() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut spool = open(dir.path());
    for n in 1..=5 {
        spool.append(&window(n, 500));
    }
    let stream = spool.stats().stream;
    drop(spool);
    let file = OpenOptions::new().write(true).open(&segments(dir.path())[0]).expect("segment");
    // In the body of the second, in the length of the fourth.
    file.write_all_at(b"!", 40 + 548 + 100).expect("write");
    file.write_all_at(&[0xff; 4], 40 + 3 * 548 + 4).expect("write");
    let mut spool = open(dir.path());
    assert_eq!(numbers(&mut spool), [1, 3, 5]);
    assert_eq!((spool.stats().dropped.corrupt, spool.stats().stream), (2, stream));
    assert_eq!(spool.append(&window(6, 10)), 6);

    // Rot that begins while the spool is open is found when the window is read.
    file.write_all_at(b"!", 40 + 100).expect("write");
    assert_eq!(numbers(&mut spool), [3, 5, 6]);
    assert_eq!(spool.stats().dropped.corrupt, 3);
}

#[test]
fn an_unreadable_end_begins_a_new_stream() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut spool = open(dir.path());
    for n in 1..=3 {
        spool.append(&window(n, 500));
    }
    let stream = spool.stats().stream;
    drop(spool);
    let file = OpenOptions::new().write(true).open(&segments(dir.path())[0]).expect("segment");
    file.write_all_at(&[0; 100], 40 + 2 * 548).expect("write");
    let mut spool = open(dir.path());
    assert_ne!(spool.stats().stream, stream, "number 3 may have been sent: it must not be used again");
    assert_eq!(spool.append(&window(9, 10)), 1);
    assert_eq!(numbers(&mut spool), [1, 2, 1], "the old stream first");
    assert_eq!(spool.ack(&stream, &[(1, 2)]).len(), 2);
    assert_eq!(numbers(&mut spool), [1]);
}

#[test]
fn a_power_loss_begins_a_new_stream_and_a_clean_end_does_not() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut spool = open(dir.path());
    spool.append(&window(1, 10));
    let stream = spool.stats().stream;
    let another_boot = || {
        let meta = format!("{{\"stream\":\"{stream}\",\"boot_id\":\"another\"}}");
        fs::write(dir.path().join("meta"), meta).expect("meta");
    };
    spool.close().expect("close");
    drop(spool);
    another_boot();
    let spool = open(dir.path());
    assert_eq!(spool.stats().stream, stream);
    drop(spool);
    another_boot();
    let mut spool = open(dir.path());
    assert_ne!(spool.stats().stream, stream);
    assert_eq!(numbers(&mut spool), [1]);
}

#[test]
fn files_that_are_not_ours_are_put_aside() {
    let dir = tempfile::tempdir().expect("tempdir");
    drop(open(dir.path()));
    let file = &segments(dir.path())[0];
    fs::write(file, vec![0x55; 1000]).expect("write");
    fs::write(dir.path().join("clean"), "{").expect("write");
    fs::write(dir.path().join("meta"), "\0\0").expect("write");
    let mut spool = open(dir.path());
    assert_eq!(spool.stats().dropped.corrupt, 1);
    assert!(file.with_extension("damaged").exists());
    assert_eq!(spool.append(&window(1, 10)), 1);
}

/// Body of the child processes: `kill` writes until it is killed, `full` until there is no room.
#[expect(clippy::exit, reason = "a process of its own, with no test to report")]
pub(crate) fn write_if_child() {
    let Ok(what) = std::env::var(WRITER) else { return };
    let (mode, dir) = what.split_once(':').expect("mode:directory");
    let mut spool = open(Path::new(dir));
    if mode == "kill" {
        println!();
        loop {
            let n = spool.stats().next_seq;
            spool.append(&window(n, 3_000));
            println!("wrote {n}");
        }
    }
    full(&mut spool);
    process::exit(0);
}

fn child(mode: &str, dir: &Path) -> process::Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(WRITER, format!("{mode}:{}", dir.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("child")
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_appended() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut last = 0;
    for _ in 0..5 {
        let mut writer = child("kill", dir.path());
        let mut said = last;
        let mut lines = BufReader::new(writer.stdout.take().expect("output")).lines();
        while said < last + 300 {
            let line = lines.next().expect("more").expect("text");
            if let Some(n) = line.strip_prefix("wrote ") {
                said = n.parse().expect("number");
            }
        }
        writer.kill().expect("kill");
        writer.wait().expect("wait");
        let mut spool = open(dir.path());
        let all = kept(&mut spool);
        last = all.len() as u64;
        assert!(last >= said, "{last} windows kept, {said} were promised");
        for (at, (seq, read)) in all.iter().enumerate() {
            assert_eq!(*seq, at as u64 + 1, "no gap, none twice");
            assert_eq!(*read, window(*seq, 3_000));
        }
        assert_eq!(spool.stats().next_seq, last + 1);
    }
}

#[test]
fn a_full_disk_is_borne_in_memory_and_counted() {
    let dir = tempfile::tempdir().expect("tempdir");
    let output = child("full", dir.path()).wait_with_output().expect("child");
    drop(std::io::stderr().write_all(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let mut spool = open(dir.path());
    assert_eq!(spool.stats().dropped.torn, 0, "what did not fit left no trace");
    // The ten that fitted, and what came when there was room again; what was in memory alone went with the process.
    assert_eq!(numbers(&mut spool), (1..=10).chain([201]).collect::<Vec<_>>());
    assert_eq!(spool.stats().next_seq, 202, "its numbers are certain again");
}

/// A limit on file size stands for the full disk: no other process may suffer from this test.
fn full(spool: &mut Numbered) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::signal::{SigHandler, Signal, signal};
    const ROOM: u64 = 1 << 20;
    const WINDOW: usize = 100_000;
    // SAFETY: no handler runs, the signal is ignored; without it a write beyond the limit ends the process.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.expect("ignore SIGXFSZ");
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).expect("limit");
    setrlimit(Resource::RLIMIT_FSIZE, ROOM, hard).expect("limit");
    for n in 1..=200 {
        spool.append(&window(n, WINDOW));
    }
    let stats = spool.stats();
    assert_eq!((stats.next_seq, stats.bytes <= ROOM), (201, true), "{stats:?}");
    assert!(spool.is_in_memory() && stats.in_memory > 70, "8 MiB of memory: {stats:?}");
    assert_eq!(stats.windows - stats.in_memory, 10, "ten windows of 100 kB fit: {stats:?}");
    assert_eq!(stats.windows + stats.dropped.disk_full, 200, "{stats:?}");
    assert_eq!(stats.dropped.total(), stats.dropped.disk_full, "{stats:?}");
    let released = spool.take_released();
    assert_eq!(released.len() as u64, stats.dropped.disk_full, "the collector keeps no window that fell out");

    // The windows in memory can be read and acknowledged.
    let all = kept(spool);
    assert_eq!(all.len() as u64, stats.windows);
    assert_eq!(all.last().map(|(_, w)| w.clone()), Some(window(200, WINDOW)));
    assert_eq!(spool.ack(&stats.stream, &[(200, 200)]).len(), 1);
    assert_eq!(spool.take_released(), [200]);

    // Killed now, the next start must not give their numbers to other windows: some may have been sent.
    assert!(!spool.directory().join("meta").exists());

    // There is room again: windows go to the disk.
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).expect("limit");
    assert_eq!(spool.append(&window(201, 100)), 201);
    assert!(!spool.is_in_memory());
}

#[test]
fn a_window_that_comes_again_is_left_out_and_one_of_another_stream_is_not() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut spool = open(dir.path());
    let stream = spool.next().0.to_owned();
    for n in 1..=3 {
        spool.append(&window(n, 100));
    }
    // Gaps are what the collector had no room for.
    assert_eq!(spool.0.append(&stream, 7, &window(7, 100)).expect("append"), Taken::Disk);
    // Killed: the collector sends again what was not acknowledged to it.
    drop(spool);
    let mut spool = open(dir.path());
    for n in [2, 3, 7] {
        assert_eq!(spool.0.append(&stream, n, &window(n, 100)).expect("append"), Taken::Duplicate);
    }
    assert_eq!(spool.0.append(&stream, 8, &window(8, 100)).expect("append"), Taken::Disk);
    assert_eq!((numbers(&mut spool), spool.stats().duplicates), (vec![1, 2, 3, 7, 8], 3));
    // The spool's directory is lost: the collector's stream goes on in a new one.
    let other = tempfile::tempdir().expect("tempdir");
    let mut spool = open(other.path());
    assert_ne!(spool.next().0, stream);
    for n in [8, 9] {
        assert_eq!(spool.0.append(&stream, n, &window(n, 100)).expect("append"), Taken::Disk);
    }
    drop(spool);
    let mut spool = open(other.path());
    assert_eq!(spool.next(), (stream.as_str(), 10));
    assert_eq!(numbers(&mut spool), [8, 9]);
}

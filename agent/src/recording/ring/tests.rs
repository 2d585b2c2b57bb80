use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use agent_common::units::{DurNs, Tgid};
use diagnosis::testing::full;

use super::*;

const SECOND: u64 = 1_000_000_000;
/// 2026-11-29 14:03:00 UTC.
const T0: u64 = 1_795_960_980 * SECOND;
const LIMITS: Limits = Limits { max_bytes: 64 << 20, max_age: Duration::from_hours(48) };

/// The second `at` after [`T0`], with the monotonic clock an hour after boot.
fn window(at: u64) -> Window {
    let (start, end) = (MonoNs((3600 + at) * SECOND), MonoNs((3601 + at) * SECOND));
    Window { start, end, end_unix: UnixNs(T0 + (at + 1) * SECOND), own: Tgid(7), ..full(at) }
}

fn open(dir: &Path, limits: Limits) -> Ring {
    Ring::open(dir, limits, Head { host: "here".to_owned(), rate_hz: 97, samples: true, ..Head::default() })
        .unwrap()
}

fn write(ring: &mut Ring, windows: impl IntoIterator<Item = Window>) {
    for window in windows {
        ring.window(&window, &Names::default()).unwrap();
    }
}

fn span(from: u64, to: u64) -> Span {
    Span { from: UnixNs(T0 + from * SECOND), to: UnixNs(T0 + to * SECOND) }
}

/// Seconds of the windows.
fn seconds(windows: &[Arc<Window>]) -> Vec<u64> {
    windows.iter().map(|window| (window.end_unix.0 - T0) / SECOND - 1).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.collect();
    files.sort();
    files
}

#[test]
fn a_past_minute_has_its_windows_and_those_before_them_across_files() {
    let dir = tempfile::tempdir().unwrap();
    let ring_dir = dir.path().join("recordings");
    let mut ring = open(&ring_dir, LIMITS);
    write(&mut ring, (0..700).map(window));
    assert_eq!(names(&ring_dir).len(), 3, "five minutes each");
    // The daemon still writes.
    let found = past(&ring_dir, span(280, 340), Duration::from_secs(20)).unwrap();
    assert_eq!(seconds(&found.windows), (280..340).collect::<Vec<_>>());
    assert_eq!(seconds(&found.before), (260..280).collect::<Vec<_>>());
    assert_eq!((found.left_out, found.damaged.len(), &*found.head.host), (0, 0, "here"));
    assert_eq!(found.missing(DurNs(60 * SECOND)), DurNs(0));
    assert_eq!(**found.windows.first().unwrap(), window(280));
    let kept = found.kept.unwrap();
    assert_eq!(kept.from, UnixNs(T0));
    let later = past(&ring_dir, span(690, 750), Duration::ZERO).unwrap();
    assert_eq!(seconds(&later.windows), (690..700).collect::<Vec<_>>());
    assert_eq!(later.missing(DurNs(60 * SECOND)), DurNs(50 * SECOND));
    ring.finish().unwrap();
    for name in names(&ring_dir) {
        assert!(super::super::read(&ring_dir.join(name)).is_ok(), "each is a whole recording");
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&ring_dir), mode(&ring_dir.join(&names(&ring_dir)[0]))), (0o700, 0o600));
}

#[test]
fn a_file_that_was_cut_off_costs_its_last_window() {
    let dir = tempfile::tempdir().unwrap();
    let mut ring = open(dir.path(), LIMITS);
    write(&mut ring, (0..20).map(window));
    // As SIGKILL leaves it.
    std::mem::forget(ring);
    let path = dir.path().join(&names(dir.path())[0]);
    let whole = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(whole - 3).unwrap();
    let mut ring = open(dir.path(), LIMITS);
    write(&mut ring, (20..40).map(|at| Window { own: Tgid(8), ..window(at) }));
    assert_eq!(names(dir.path()).len(), 2, "the next start begins a file of its own");
    let found = past(dir.path(), span(0, 40), Duration::ZERO).unwrap();
    assert_eq!(found.damaged.len(), 1);
    // Of the two runs in this time it is the longer one.
    assert_eq!(seconds(&found.windows), (20..40).collect::<Vec<_>>());
    assert_eq!(found.left_out, 19);
    let found = past(dir.path(), span(0, 19), Duration::ZERO).unwrap();
    assert_eq!(seconds(&found.windows), (0..19).collect::<Vec<_>>());
}

#[test]
fn the_oldest_files_go_within_the_quota() {
    let dir = tempfile::tempdir().unwrap();
    let max_bytes = 256 << 10;
    let mut ring = open(dir.path(), Limits { max_bytes, ..LIMITS });
    let on_disk = || {
        let sizes =
            names(dir.path()).into_iter().map(|name| fs::metadata(dir.path().join(name)).unwrap().len());
        sizes.sum::<u64>()
    };
    let mut most = 0;
    for at in 0..3_000 {
        write(&mut ring, [window(at)]);
        most = most.max(on_disk());
        assert!(ring.size().0 <= max_bytes, "at {at}");
    }
    assert!(most <= max_bytes && most > max_bytes / 2, "{most} bytes at most");
    assert_eq!(ring.size().0, on_disk());
    let found = past(dir.path(), span(0, 3_000), Duration::ZERO).unwrap();
    assert_eq!(seconds(&found.windows).last(), Some(&2_999));
    assert!(found.windows.len() < 3_000 && found.windows.len() > 60, "{} windows", found.windows.len());
    // Smaller limits are in force with the next window, and none empties it.
    ring.set_limits(Limits { max_bytes: max_bytes / 4, ..LIMITS });
    write(&mut ring, [window(3_000)]);
    assert!(on_disk() <= max_bytes / 4);
    ring.clear();
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn old_files_go_and_a_clock_that_is_ahead_for_a_moment_does_not_empty_the_ring() {
    let dir = tempfile::tempdir().unwrap();
    let mut ring = open(dir.path(), Limits { max_age: Duration::from_mins(20), ..LIMITS });
    let sparse = |at: u64| window(at * 100);
    write(&mut ring, (0..60).map(sparse));
    let files = names(dir.path()).len();
    assert!((4..8).contains(&files), "{files} files of five minutes");
    let ahead = |at: u64| {
        let right = sparse(at);
        Window { end_unix: UnixNs(right.end_unix.0 + 86_400 * SECOND), ..right }
    };
    write(&mut ring, [ahead(60), sparse(61)]);
    // Two for the new file of the wrong time; that of the right time deletes none.
    assert!(names(dir.path()).len() >= files, "{:?}", names(dir.path()));
    let found = past(dir.path(), span(0, 6_200), Duration::ZERO).unwrap();
    assert!(seconds(&found.windows).ends_with(&[5_900, 6_100]), "{:?}", seconds(&found.windows));
}

#[test]
fn other_files_are_left_alone_and_damaged_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine.s7rec"), "mine").unwrap();
    fs::write(dir.path().join(files::name(1, UnixNs(T0))), "").unwrap();
    fs::write(dir.path().join(files::name(2, UnixNs(T0))), "something else").unwrap();
    let mut ring = open(dir.path(), LIMITS);
    write(&mut ring, (0..3).map(window));
    let found = past(dir.path(), span(0, 60), Duration::ZERO).unwrap();
    assert_eq!((found.windows.len(), found.damaged.len()), (3, 2), "{:?}", found.damaged);
    ring.clear();
    assert_eq!(names(dir.path()), ["mine.s7rec"]);
}

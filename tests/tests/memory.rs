//! Reclaim, compaction, write-back throttling and kills for memory are charged to the process.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use agent_common::units::Tgid;
use diagnosis::window::{MemoryRow, Window};
use tests::disk::Mounted;
use tests::windows::{own, window_of};
use tests::workload::Workload;

/// A memory cgroup (v1 or v2) with a limit; gone with the value.
struct Limited(PathBuf);

impl Limited {
    fn new(name: &str, bytes: u64) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let v1 = root.join("memory");
        let (parent, limit) =
            if v1.is_dir() { (v1.as_path(), "memory.limit_in_bytes") } else { (root, "memory.max") };
        let dir = parent.join(format!("s7mpa-test-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a memory cgroup");
        std::fs::write(dir.join(limit), bytes.to_string()).expect("a limit");
        Self(dir)
    }

    fn add(&self, pid: u32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a process");
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn memory(window: &Window, tgid: Tgid) -> MemoryRow {
    window
        .memory
        .iter()
        .find(|row| row.tgid == tgid)
        .cloned()
        .unwrap_or_else(|| panic!("{:?}", window.memory))
}

#[test]
fn a_writer_at_the_limit_of_its_cgroup_reclaims_for_itself() {
    if !tests::can_observe() {
        return;
    }
    let group = Limited::new("reclaim", 32 << 20);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    let mut workload = Workload::spawn(
        Command::new(tests::programs().join("fill")).args(["256", file.to_str().expect("a path in UTF-8")]),
    );
    group.add(workload.pid());
    let (window, _) = window_of(|| workload.work());
    let row = memory(&window, Tgid(workload.pid()));
    // 256 MiB through 32: at least 200 must be reclaimed, and by this process alone (kswapd does not act on the limit).
    assert!(row.reclaims > 0 && row.reclaim.0 > 0, "{row:?}");
    assert!(row.reclaimed_pages >= 200 << 8, "{row:?}");
    assert!(row.reclaim.0 < window.span().0, "{row:?}");
    assert_eq!(&*row.comm, "fill");
    workload.finish();
}

#[test]
fn a_kill_for_lack_of_memory_is_recorded_once_with_its_victim() {
    if !tests::can_observe() {
        return;
    }
    let group = Limited::new("oom", 32 << 20);
    let mut workload = Workload::start("fill", &[128]);
    let pid = Tgid(workload.pid());
    group.add(workload.pid());
    let (window, _) = window_of(|| {
        workload.begin();
        workload.wait()
    });
    let kills: Vec<_> = window.oom_kills.iter().filter(|kill| kill.tgid == pid).collect();
    assert_eq!(kills.len(), 1, "{:?}", window.oom_kills);
    assert_eq!(&*kills[0].comm, "fill");
    assert!((20 << 20..=40 << 20).contains(&kills[0].rss_bytes), "{kills:?}");
    let killed: Vec<_> = window.signals.iter().filter(|row| row.tgid == pid).collect();
    assert_eq!(killed.len(), 1, "{killed:?}");
    assert_eq!((killed[0].signal, killed[0].sender, killed[0].count), (9, Tgid(0), 1));
}

#[test]
fn compaction_is_charged_to_the_process_that_needs_it() {
    if !tests::can_observe() {
        return;
    }
    let (window, ()) = window_of(|| {
        let mut file =
            std::fs::OpenOptions::new().write(true).open("/proc/sys/vm/compact_memory").expect("root");
        file.write_all(b"1").expect("compaction");
    });
    let row = memory(&window, own());
    assert!(row.compactions >= 1 && row.compaction.0 > 0 && row.compaction.0 < window.span().0, "{row:?}");
}

#[test]
fn a_writer_faster_than_its_disk_is_held_back() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file_system = Mounted::new(dir.path(), 256 << 20);
    // A limit of its own for this disk, since 6.2: without it only the whole host's dirty pages would count.
    let bdi = PathBuf::from(format!("/sys/block/{}/bdi", file_system.disk.name()));
    if std::fs::write(bdi.join("strict_limit"), "1").is_err() {
        eprintln!("NOT RUN: this kernel has no strict_limit for a disk (since 6.2)");
        assert!(std::env::var_os("REQUIRE_BPF").is_none());
        return;
    }
    std::fs::write(bdi.join("max_bytes"), (8 << 20).to_string()).expect("a limit");
    let file = file_system.dir.join("file");
    let (window, pid) = window_of(|| {
        let mut dd = Command::new("dd")
            .args(["if=/dev/zero", "bs=1M", "count=128", &format!("of={}", file.display())])
            .stderr(Stdio::null())
            .spawn()
            .expect("dd starts");
        assert!(dd.wait().expect("a child of ours").success());
        Tgid(dd.id())
    });
    let row = memory(&window, pid);
    assert!(row.throttles > 0 && row.throttled.0 > 0, "{row:?}");
    assert!(row.throttled.0 <= window.span().0 + 200_000_000, "{row:?} in {:?}", window.span());
}

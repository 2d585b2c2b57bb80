//! Block requests are counted exactly, by process, disk and direction, and a disk that hangs is seen.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use diagnosis::window::{BlockIoRow, BlockOp, Window};
use tests::disk::{Block, Loop, Mounted};
use tests::windows::{close, own, resources, run, window_of};

const BLOCK: u64 = size_of::<Block>() as u64;

fn row<'a>(window: &'a Window, disk: &str, op: BlockOp) -> Option<&'a BlockIoRow> {
    window.blockio.iter().find(|row| row.tgid == own() && &*row.device == disk && row.op == op)
}

#[test]
fn direct_writes_reads_and_flushes_are_counted_to_the_last() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Loop::new(dir.path(), 64 << 20);
    let file = disk.open();
    let mut block = Block::default();
    let (window, ()) = window_of(|| {
        for index in 0..200 {
            file.write_all_at(&block.0, index * BLOCK).expect("a write");
        }
        file.sync_data().expect("a flush");
        // Every other block: none begins where the one before ended.
        for index in 0..50 {
            file.read_exact_at(&mut block.0, index * 2 * BLOCK).expect("a read");
        }
    });
    let all = &window.blockio;
    let writes = row(&window, disk.name(), BlockOp::Write).unwrap_or_else(|| panic!("no writes in {all:?}"));
    assert_eq!((writes.count, writes.bytes, writes.errors), (200, 200 * BLOCK, 0), "{all:?}");
    assert_eq!(writes.sequential, 199, "{all:?}");
    assert!(writes.served.0 > 0 && writes.max.0 >= writes.served.0 / 200, "{all:?}");
    let reads = row(&window, disk.name(), BlockOp::Read).unwrap_or_else(|| panic!("no reads in {all:?}"));
    assert_eq!((reads.count, reads.bytes, reads.sequential), (50, 50 * BLOCK, 0), "{all:?}");
    let flushes = row(&window, disk.name(), BlockOp::Flush).unwrap_or_else(|| panic!("no flush in {all:?}"));
    assert_eq!((flushes.count, flushes.bytes), (1, 0), "{all:?}");
    assert!(window.coverage.lost.is_empty(), "{:?}", window.coverage.lost);
}

#[test]
fn requests_of_several_threads_add_up_and_the_next_window_begins_at_nothing() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Loop::new(dir.path(), 64 << 20);
    let mut collector = resources();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let file = disk.open();
            scope.spawn(move || {
                for index in 0..100 {
                    file.write_all_at(&Block::default().0, (index * 17 + thread) % 8000 * BLOCK)
                        .expect("a write");
                }
            });
        }
    });
    let window = close(&mut collector);
    let writes = row(&window, disk.name(), BlockOp::Write).expect("writes");
    assert_eq!((writes.count, writes.bytes), (800, 800 * BLOCK), "{:?}", window.blockio);
    let window = close(&mut collector);
    assert_eq!(row(&window, disk.name(), BlockOp::Write), None, "{:?}", window.blockio);
}

#[test]
fn a_disk_that_hangs_is_seen_with_the_age_of_its_request() {
    if !tests::can_observe() {
        return;
    }
    let below = tempfile::tempdir().expect("a directory");
    let file_system = Mounted::new(below.path(), 64 << 20);
    let disk = Loop::new(&file_system.dir, 16 << 20);
    let path = file_system.dir.to_str().expect("a path in UTF-8").to_owned();
    // What is below must not have to allocate blocks when it thaws.
    File::open(file_system.dir.join("disk")).and_then(|file| file.sync_all()).expect("a file");
    let file = disk.open();
    let mut collector = resources();
    run("fsfreeze", &["--freeze", &path]);
    let begin = Instant::now();
    let writer = std::thread::spawn(move || file.write_all_at(&Block::default().0, 0));
    std::thread::sleep(Duration::from_millis(700));
    let hanging = close(&mut collector);
    std::thread::sleep(Duration::from_millis(300));
    let still = close(&mut collector);
    run("fsfreeze", &["--unfreeze", &path]);
    writer.join().expect("a thread").expect("a write");
    let took = begin.elapsed().as_nanos() as u64;
    let done = close(&mut collector);
    let time = |row: &BlockIoRow| row.queued.0 + row.served.0;
    let first = row(&hanging, disk.name(), BlockOp::Write).unwrap_or_else(|| panic!("{:?}", hanging.blockio));
    assert_eq!(first.count, 0);
    assert!(first.max.0 >= 500_000_000 && time(first) >= 500_000_000, "{first:?}");
    let second = row(&still, disk.name(), BlockOp::Write).unwrap_or_else(|| panic!("{:?}", still.blockio));
    assert!(second.max.0 >= 800_000_000 && time(second) >= 290_000_000, "{second:?}");
    assert!(time(second) <= still.span().0 + 1_000_000, "no more than the window: {second:?}");
    let last = row(&done, disk.name(), BlockOp::Write).unwrap_or_else(|| panic!("{:?}", done.blockio));
    assert_eq!((last.count, last.bytes), (1, BLOCK));
    let sum = time(first) + time(second) + time(last);
    assert!(sum <= took && last.max.0 <= took && last.max.0 + 1_000_000 >= sum, "{sum} of {took}, {last:?}");
}

//! What reads and writes files and disks.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::sync::Arc;
use std::thread;

use tests::disk::Block;
use tests::meter::Meter;

use crate::locks::Pthread;
use crate::{Args, compute, sleep_us};

const MIB: u64 = 1 << 20;

/// `chunks FILE`: adds up a file of 1 MiB in pieces of 64 KiB. Faulty: byte for byte.
pub(crate) fn chunks(args: &Args, meter: Meter) {
    std::fs::write(args.text(0), vec![3; MIB as usize]).expect("a file");
    let mut file = File::open(args.text(0)).expect("just written");
    let mut buffer = vec![0; 65_536];
    let mut sum = 0_u64;
    loop {
        let size = if meter.faulty() { 1 } else { buffer.len() };
        let count = file.read(&mut buffer[..size]).expect("a file");
        sum = buffer[..count].iter().fold(sum, |sum, byte| std::hint::black_box(sum + u64::from(*byte)));
        meter.add(count as u64);
        if count == 0 {
            file.seek(SeekFrom::Start(0)).expect("a file");
            // Where the next one comes from.
            sleep_us(200);
        }
    }
}

/// `append FILE GAP`: records of 4 KiB, one each `GAP` µs and more. Faulty: each is made durable at once.
pub(crate) fn append(args: &Args, meter: Meter) {
    let file = File::create(args.text(0)).expect("a file");
    let gap = args.number(1);
    for at in (0..1_000).cycle() {
        file.write_all_at(&[5; 4096], at * 4096).expect("room");
        if meter.faulty() {
            file.sync_data().expect("a disk");
        }
        compute(100);
        sleep_us(gap);
        meter.add(1);
    }
}

/// `replace FILE GAP`: writes 64 KiB beside a file and puts it in its place. When there is no room it tries again after 20 ms.
pub(crate) fn replace(args: &Args, meter: Meter) {
    let (path, gap) = (args.text(0), args.number(1));
    let beside = format!("{path}.new");
    loop {
        if std::fs::write(&beside, vec![5; 65_536]).is_err() {
            sleep_us(20_000);
            continue;
        }
        std::fs::rename(&beside, path).expect("both are there");
        compute(100);
        sleep_us(gap);
        meter.add(1);
    }
}

/// `fill FILE`: writes until there is no room, and takes what becomes free.
pub(crate) fn fill(args: &Args, meter: Meter) {
    let mut file = File::create(args.text(0)).expect("a file");
    let block = vec![6; 65_536];
    loop {
        match file.write(&block) {
            Ok(count) => meter.add(count as u64),
            Err(_) => sleep_us(600_000),
        }
    }
}

/// Opened past the page cache.
fn direct(path: &str) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_DIRECT).open(path).expect("a disk")
}

/// Places all over the first `size` bytes, the same each time.
fn scattered(size: u64) -> impl Iterator<Item = u64> {
    (0_u64..).map(move |n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (size / 8192) * 8192)
}

/// `read-direct DISK MIB`: records of 8 KiB from all over a disk.
pub(crate) fn read_direct(args: &Args, meter: Meter) {
    let disk = direct(args.text(0));
    let mut block = Block::default();
    for at in scattered(args.number(1) * MIB) {
        disk.read_exact_at(&mut block.0, at).expect("a disk");
        compute(250);
        meter.add(1);
    }
}

/// `read-paced FILE MIB GAP`: the same, with `GAP` µs of other things to wait for.
pub(crate) fn read_paced(args: &Args, meter: Meter) {
    let disk = direct(args.text(0));
    let mut block = Block::default();
    for at in scattered(args.number(1) * MIB) {
        disk.read_exact_at(&mut block.0, at).expect("a disk");
        compute(20);
        sleep_us(args.number(2));
        meter.add(1);
    }
}

/// `write-direct FILE MIB THREADS`: blocks of 256 KiB, as many as go.
pub(crate) fn write_direct(args: &Args, meter: Meter) {
    let (path, size) = (args.text(0), args.number(1) * MIB);
    let made = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    made.and_then(|file| file.set_len(size)).expect("a file");
    let blocks = vec![Block::default(); 32];
    // SAFETY: these bytes are the blocks', which are nothing but bytes and stay as long as the slice.
    let bytes = unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast::<u8>(), size_of_val(&*blocks)) };
    thread::scope(|scope| {
        for _ in 0..args.number(2) {
            scope.spawn(|| {
                let disk = direct(path);
                for at in scattered(size - bytes.len() as u64) {
                    disk.write_all_at(bytes, at).expect("a disk");
                    meter.add(1);
                }
            });
        }
    });
}

/// `pour-file FILE MIB GAP`: writes and never asks for it to be durable; 256 KiB each `GAP` µs.
pub(crate) fn pour_file(args: &Args, meter: Meter) {
    let file = File::create(args.text(0)).expect("a file");
    let (blocks, gap) = (args.number(1) * 4, args.number(2));
    let block = vec![9; 262_144];
    for at in (0..blocks).cycle() {
        file.write_all_at(&block, at * 262_144).expect("room");
        sleep_us(gap);
        meter.add(1);
    }
}

/// `mapped FILE MIB`: reads bytes all over a mapped file.
pub(crate) fn mapped(args: &Args, meter: Meter) {
    let size = (args.number(1) * MIB) as usize;
    let file = File::open(args.text(0)).expect("a file");
    let (access, private) = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: a new mapping of a file of that size.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), size, access, private, file.as_raw_fd(), 0) };
    assert_ne!(map, libc::MAP_FAILED, "a mapping");
    // Read ahead, it is in memory at once.
    drop(std::fs::read(args.text(0)).expect("a file"));
    // SAFETY: the mapping above, which stays; advice changes nothing but read-ahead.
    unsafe { libc::madvise(map, size, libc::MADV_RANDOM) };
    for at in (0..size).step_by(4096) {
        // SAFETY: as below.
        std::hint::black_box(unsafe { map.cast::<u8>().add(at).read_volatile() });
    }
    for (n, at) in scattered(size as u64).enumerate() {
        if n % 2_000 == 0 {
            // What is not mapped can be evicted.
            // SAFETY: the mapping above; its pages come back from the file.
            unsafe { libc::madvise(map, size, libc::MADV_DONTNEED) };
        }
        // SAFETY: inside of the mapping, which is readable and as long as the file.
        std::hint::black_box(unsafe { map.cast::<u8>().add(at as usize).read_volatile() });
        compute(30);
        meter.add(1);
    }
}

/// `evict FILE`: has the kernel forget a file's pages, over and over.
pub(crate) fn evict(args: &Args, meter: Meter) {
    let file = File::open(args.text(0)).expect("a file");
    loop {
        // SAFETY: advice on a descriptor of ours.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        meter.add(1);
        sleep_us(20_000);
    }
}

/// `journal FILE THREADS`: requests of several threads; a thread of its own writes a journal, and holds the lock that
/// all need while it makes it durable.
pub(crate) fn journal(args: &Args, meter: Meter) {
    let file = File::create(args.text(0)).expect("a file");
    let (lock, records) = (Arc::new(Pthread::new()), vec![1; MIB as usize]);
    for _ in 0..args.number(1) {
        let lock = Arc::clone(&lock);
        thread::spawn(move || {
            loop {
                lock.with(|| compute(100));
                meter.add(1);
                sleep_us(4_000);
            }
        });
    }
    loop {
        lock.with(|| {
            file.write_all_at(&records, 0).expect("room");
            file.sync_data().expect("a disk");
        });
        sleep_us(20_000);
    }
}

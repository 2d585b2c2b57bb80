//! What takes memory.

use std::process::{Command, Stdio};

use tests::meter::Meter;

use crate::{Args, compute, sleep_us};

const MIB: u64 = 1 << 20;
const PAGE: usize = 4096;

/// New memory, zeroed by the kernel when it is first touched.
fn fresh(size: usize) -> *mut u8 {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping without a file.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0) };
    assert_ne!(map, libc::MAP_FAILED, "memory");
    // SAFETY: the mapping above; with pages of 4 KiB each touch is one fault.
    unsafe { libc::madvise(map, size, libc::MADV_NOHUGEPAGE) };
    map.cast()
}

/// Writes a byte of each page.
fn touch_all(map: *mut u8, size: usize) {
    for at in (0..size).step_by(PAGE) {
        // SAFETY: inside of a mapping of `size` bytes.
        unsafe { map.add(at).write_volatile(1) };
    }
}

/// `map KIB`: uses a buffer for each request. Faulty: a new one each time.
pub(crate) fn map(args: &Args, meter: Meter) {
    let size = (args.number(0) << 10) as usize;
    let kept = fresh(size);
    loop {
        if meter.faulty() {
            let map = fresh(size);
            touch_all(map, size);
            // SAFETY: mapped above, and not used elsewhere.
            unsafe { libc::munmap(map.cast(), size) };
        } else {
            touch_all(kept, size);
        }
        compute(100);
        sleep_us(20);
        meter.add(1);
    }
}

/// `remap THREADS KIB`: maps and uses a page for each request. Faulty: so many threads map and give back `KIB` all the time.
pub(crate) fn remap(args: &Args, meter: Meter) {
    let size = (args.number(1) << 10) as usize;
    for _ in 0..args.number(0) {
        std::thread::spawn(move || {
            loop {
                if meter.faulty() {
                    remapped(size);
                } else {
                    sleep_us(10_000);
                }
            }
        });
    }
    loop {
        remapped(PAGE);
        compute(50);
        sleep_us(100);
        meter.add(1);
    }
}

fn remapped(size: usize) {
    let map = fresh(size);
    touch_all(map, size);
    // SAFETY: mapped above, and not used elsewhere.
    unsafe { libc::munmap(map.cast(), size) };
}

/// `touch FEW MANY`: uses all pages of so many MiB, over and over. Faulty: of `MANY`.
pub(crate) fn touch(args: &Args, meter: Meter) {
    let (few, many) = ((args.number(0) * MIB) as usize, (args.number(1) * MIB) as usize);
    let map = fresh(many);
    for n in 0_usize.. {
        let size = if meter.faulty() { many } else { few };
        // SAFETY: inside of the mapping of `many` bytes.
        unsafe { map.add(n * PAGE % size).write_volatile(n as u8) };
        compute(5);
        if n % 64 == 0 {
            sleep_us(100);
        }
        meter.add(1);
    }
}

/// `supervise FEW MANY`: hands jobs to workers that need so many MiB each, and waits for each. Faulty: `MANY`.
pub(crate) fn supervise(args: &Args, meter: Meter) {
    let own = std::env::current_exe().expect("a path");
    loop {
        let size = args.text(usize::from(meter.faulty()));
        let worker = Command::new(&own).args(["hoard", size]).stdin(Stdio::null()).output();
        if worker.expect("it starts").status.success() {
            meter.add(1);
        }
    }
}

/// `hoard MIB`: takes so much memory, and is done.
pub(crate) fn hoard(args: &Args, _: Meter) {
    let size = (args.number(0) * MIB) as usize;
    touch_all(fresh(size), size);
    sleep_us(50_000);
}

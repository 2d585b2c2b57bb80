//! A file system of one file that this process serves (FUSE), and who reads it.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use tests::meter::Meter;

use crate::{Args, compute, sleep_us};

/// Operations of the protocol (include/uapi/linux/fuse.h).
mod op {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const OPENDIR: u32 = 27;
    pub(super) const RELEASEDIR: u32 = 29;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// `struct fuse_in_header`, `struct fuse_out_header`.
const IN_HEADER: usize = 40;
const OUT_HEADER: u32 = 16;
const ROOT: u64 = 1;
const FILE: u64 = 2;
const SIZE: u64 = 4 << 20;

/// `serve-files DIRECTORY SLOW`: serves one file there. Faulty: each read takes `SLOW` µs of sleep; 0: a signal stops it.
pub(crate) fn serve_files(args: &Args, meter: Meter) {
    let slow = args.number(1);
    let mut device = File::options().read(true).write(true).open("/dev/fuse").expect("FUSE");
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    let text = |text: &str| CString::new(text).expect("no NUL");
    let (point, options) = (text(args.text(0)), text(&options));
    // SAFETY: four strings that end in NUL.
    let mounted = unsafe {
        libc::mount(
            c"actor".as_ptr(),
            point.as_ptr(),
            c"fuse".as_ptr(),
            libc::MS_NOSUID,
            options.as_ptr().cast(),
        )
    };
    assert_eq!(mounted, 0, "{}", std::io::Error::last_os_error());
    let mut request = vec![0; 1 << 18];
    while let Ok(length) = device.read(&mut request) {
        let request = &request[..length];
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().expect("8 bytes"));
        let (operation, node) = (word(4), long(16));
        let answer = match operation {
            op::INIT => Ok(init()),
            op::LOOKUP if request[IN_HEADER..].starts_with(b"file\0") => Ok(entry()),
            op::LOOKUP => Err(libc::ENOENT),
            op::GETATTR => Ok(attributes(node)),
            op::OPEN | op::OPENDIR => Ok(vec![0; 16]),
            op::READ => {
                match (meter.faulty(), slow) {
                    // SAFETY: stops this process until it is killed.
                    (true, 0) => drop(unsafe { libc::raise(libc::SIGSTOP) }),
                    (true, slow) => sleep_us(slow),
                    (false, _) => {}
                }
                meter.add(1);
                let (offset, size) = (long(IN_HEADER + 8), u64::from(word(IN_HEADER + 16)));
                Ok(vec![7; size.min(SIZE.saturating_sub(offset)) as usize])
            }
            op::RELEASE | op::RELEASEDIR | op::FLUSH => Ok(Vec::new()),
            op::FORGET | op::BATCH_FORGET => continue,
            _ => Err(libc::ENOSYS),
        };
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(error) => (-error, Vec::new()),
        };
        let mut reply = (OUT_HEADER + body.len() as u32).to_ne_bytes().to_vec();
        reply.extend(error.to_ne_bytes());
        reply.extend(&request[8..16]);
        reply.extend(body);
        // The process that asked may have been killed before the answer.
        let _ = device.write_all(&reply);
    }
}

/// `struct fuse_init_out`: version 7.31, no read-ahead, requests of up to 128 KiB.
fn init() -> Vec<u8> {
    let mut words = [0_u32; 16];
    (words[0], words[1]) = (7, 31);
    // Background requests, and congestion, two 16-bit numbers.
    words[4] = 0x0009_000c;
    (words[5], words[6]) = (128 << 10, 1);
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// `struct fuse_attr`.
fn attr(node: u64) -> Vec<u8> {
    let (mode, links, size) = if node == ROOT { (0o040_755, 2, 0) } else { (0o100_644, 1, SIZE) };
    let mut bytes = Vec::new();
    let (longs, words) =
        ([node, size, size.div_ceil(512), 0, 0, 0], [0, 0, 0, mode, links, 0, 0, 0, 4096_u32, 0]);
    bytes.extend(longs.iter().flat_map(|long| long.to_ne_bytes()));
    bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    bytes
}

/// `struct fuse_attr_out`: valid for a minute.
fn attributes(node: u64) -> Vec<u8> {
    let mut bytes = 60_u64.to_ne_bytes().to_vec();
    bytes.extend([0; 8]);
    bytes.extend(attr(node));
    bytes
}

/// `struct fuse_entry_out`: node, generation, how long the name and its attributes are valid.
fn entry() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend([FILE, 0, 60, 60].iter().flat_map(|long| long.to_ne_bytes()));
    bytes.extend([0; 8]);
    bytes.extend(attr(FILE));
    bytes
}

/// `read-file PATH GAP`: reads pages here and there, none of them twice from memory.
pub(crate) fn read_file(args: &Args, meter: Meter) {
    let file = loop {
        match File::open(args.text(0)) {
            Ok(file) => break file,
            Err(_) => sleep_us(20_000),
        }
    };
    for round in 0_u64.. {
        // SAFETY: an open descriptor; what is in memory of it is dropped.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        let page = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (SIZE / 4096);
        file.read_exact_at(&mut [0; 4096], page * 4096).expect("a page");
        compute(50);
        sleep_us(args.number(1));
        meter.add(1);
    }
}

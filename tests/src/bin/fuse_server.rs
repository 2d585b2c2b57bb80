//! `fuse_server SOURCE MOUNT`: serves the files of one directory over FUSE, until it is stopped or killed, by the raw protocol
//! (include/uapi/linux/fuse.h, 7.31). A test stops it (`SIGSTOP`) to have a file system that does not answer.
//!
//! Prints `ready` when it is mounted. Killing it makes the kernel end all that waits for it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use anyhow::{Context as _, bail};
use nix::mount::{MsFlags, mount};

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const RELEASEDIR: u32 = 29;
const ACCESS: u32 = 34;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

const IN_HEADER: usize = 40;
/// The kernel reads ahead by so much at most.
const MAX_READ: usize = 128 << 10;
const ROOT: u64 = 1;

struct Server {
    files: Vec<(String, fs::Metadata, Vec<u8>)>,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source, target] = &args[..] else { bail!("usage: fuse_server SOURCE MOUNT") };
    let mut files = Vec::new();
    for entry in fs::read_dir(source).with_context(|| format!("cannot read {source}"))? {
        let entry = entry?;
        files.push((
            entry.file_name().to_string_lossy().into_owned(),
            entry.metadata()?,
            fs::read(entry.path())?,
        ));
    }
    let mut device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open("/dev/fuse")
        .context("cannot open /dev/fuse; is there a FUSE module (modprobe fuse)?")?;
    let options = format!("fd={},rootmode=40755,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    mount(Some("test"), target.as_str(), Some("fuse.test"), MsFlags::empty(), Some(options.as_str()))
        .with_context(|| format!("cannot mount at {target}"))?;
    println!("ready");
    Server { files }.serve(&mut device)
}

impl Server {
    fn serve(&self, device: &mut File) -> anyhow::Result<()> {
        let mut buffer = vec![0; MAX_READ + 4096];
        loop {
            let length = match device.read(&mut buffer) {
                Ok(length) => length,
                // Unmounted.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
                Err(error) => return Err(error).context("cannot read requests"),
            };
            let request = &buffer[..length];
            let (opcode, node) = (word(request, 4), long(request, 16));
            if matches!(opcode, FORGET | BATCH_FORGET | INTERRUPT) {
                continue;
            }
            let answer = self.answer(opcode, node, &request[IN_HEADER..]);
            let (error, body) = match answer {
                Ok(body) => (0, body),
                Err(errno) => (-errno, Vec::new()),
            };
            let mut reply = Vec::with_capacity(16 + body.len());
            reply.extend((16 + body.len() as u32).to_ne_bytes());
            reply.extend(error.to_ne_bytes());
            reply.extend(&request[8..16]);
            reply.extend(body);
            // A request that was interrupted takes no answer.
            let _ = device.write_all(&reply);
        }
    }

    fn answer(&self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
        match opcode {
            INIT => {
                let mut init = Vec::new();
                // Version, read-ahead, flags, requests in the background, bytes written at once.
                for value in [7, 31, MAX_READ as u32, 0, 0, MAX_READ as u32] {
                    init.extend(value.to_ne_bytes());
                }
                init.resize(64, 0);
                Ok(init)
            }
            LOOKUP => {
                let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
                let place = self.files.iter().position(|(known, ..)| known.as_bytes() == name);
                let node = place.ok_or(libc::ENOENT)? as u64 + ROOT + 1;
                let mut entry = Vec::new();
                // Node, generation, valid for a second both, no nanoseconds.
                for value in [node, 0, 1, 1, 0] {
                    entry.extend(value.to_ne_bytes());
                }
                entry.extend(self.attributes(node)?);
                Ok(entry)
            }
            GETATTR => {
                let mut answer = Vec::new();
                for value in [1_u64, 0] {
                    answer.extend(value.to_ne_bytes());
                }
                answer.extend(self.attributes(node)?);
                Ok(answer)
            }
            OPEN | OPENDIR => Ok(vec![0; 16]),
            READ => {
                let (_, _, text) = self.file(node)?;
                let (offset, size) = (long(body, 8) as usize, word(body, 16) as usize);
                let rest = text.get(offset..).unwrap_or_default();
                Ok(rest[..rest.len().min(size)].to_vec())
            }
            STATFS => Ok(vec![0; 80]),
            RELEASE | RELEASEDIR | FLUSH | ACCESS => Ok(Vec::new()),
            _ => Err(libc::ENOSYS),
        }
    }

    fn file(&self, node: u64) -> Result<&(String, fs::Metadata, Vec<u8>), i32> {
        let place = node.checked_sub(ROOT + 1).ok_or(libc::EISDIR)?;
        self.files.get(place as usize).ok_or(libc::ENOENT)
    }

    fn attributes(&self, node: u64) -> Result<Vec<u8>, i32> {
        let (size, mode) = match node {
            ROOT => (0, libc::S_IFDIR | 0o755),
            _ => self.file(node).map(|(_, meta, text)| (text.len() as u64, meta.mode()))?,
        };
        let mut attributes = Vec::new();
        // Inode, size, blocks, times.
        for value in [node, size, size.div_ceil(512), 0, 0, 0] {
            attributes.extend(value.to_ne_bytes());
        }
        // Nanoseconds of the times, mode, links, user, group, device, block size, flags.
        for value in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0_u32] {
            attributes.extend(value.to_ne_bytes());
        }
        Ok(attributes)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

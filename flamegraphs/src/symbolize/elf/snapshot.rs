//! Copies of what names are read from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::Image;

/// Symbol tables larger than this are not read: the largest programs (browsers with all symbols) have 100 MiB,
/// and this is memory that whoever runs a program makes us take.
const MAX_TABLES: u64 = 128 << 20;

/// How much of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Symbol tables.
    Symbols,
    /// Symbol tables and debug info.
    Debug,
}

impl Image {
    /// Memory that a [`Self::snapshot`] takes, what is compressed in it unpacked as well.
    pub(crate) fn bytes(&self, content: Content) -> u64 {
        let sum = |parts: &[(u64, u64)]| parts.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
        let symbols = sum(&self.sections.symbols);
        match content {
            Content::Symbols => symbols,
            Content::Debug => {
                let debug = sum(&self.sections.debug);
                // The copy, and what blazesym makes of it where that is larger.
                let unpacked = self.sections.debug_bytes.saturating_sub(debug);
                symbols.saturating_add(debug).saturating_add(unpacked)
            }
        }
    }

    /// Copies headers, symbol tables and, if wanted, debug info of `file` into memory, at the offsets where they are in
    /// the file.
    ///
    /// blazesym maps what it reads, and a mapped file that is truncated by its owner kills whoever looks at
    /// the mapping (SIGBUS). Nobody can truncate the copy, and its size is its memory: the holes are free.
    pub(crate) fn snapshot(&self, file: &File, content: Content) -> io::Result<File> {
        if self.bytes(content) > MAX_TABLES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "symbol tables larger than 128 MiB"));
        }
        let copy = File::from(memfd_create(c"symbols", MFdFlags::MFD_CLOEXEC)?);
        let debug: &[_] = if content == Content::Debug { &self.sections.debug } else { &[] };
        let mut buffer = vec![0; 64 * 1024];
        for &(start, size) in self.sections.symbols.iter().chain(debug) {
            copy_part(file, &copy, (start, size), &mut buffer)?;
        }
        let unread: &[_] = if content == Content::Debug { &[] } else { &self.sections.debug_headers };
        for &header in self.sections.hidden.iter().chain(unread) {
            // Its name becomes the empty one.
            copy.write_all_at(&[0; 4], header)?;
        }
        Ok(copy)
    }
}

fn copy_part(file: &File, copy: &File, (start, size): (u64, u64), buffer: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < size {
        let want = (size - done).min(buffer.len() as u64) as usize;
        let Some(at) = start.checked_add(done) else { break };
        // Short where the file ends early.
        let got = file.read_at(&mut buffer[..want], at)?;
        if got == 0 {
            break;
        }
        copy.write_all_at(&buffer[..got], at)?;
        done += got as u64;
    }
    Ok(())
}

//! Copies of what names are read from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::Image;

/// Symbol tables larger than this are not read: the largest programs (browsers with all symbols) have 100 MiB,
/// and this is memory that whoever runs a program makes us take.
const MAX_TABLES: u64 = 128 << 20;

impl Image {
    /// Memory that a [`Self::snapshot`] takes.
    pub(crate) fn symbol_bytes(&self) -> u64 {
        self.sections.symbols.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size))
    }

    /// Copies headers and symbol tables of `file` into memory, at the offsets where they are in the file.
    ///
    /// blazesym maps the file that it reads. If the file's owner truncates it, a read of the mapping kills the process
    /// (SIGBUS). No other process can truncate the copy. Its holes take no memory.
    ///
    /// blazesym gives up on a name that is not UTF-8. Its bytes are replaced by [`NOT_TEXT`] in the copy.
    pub(crate) fn snapshot(&self, file: &File) -> io::Result<File> {
        if self.symbol_bytes() > MAX_TABLES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "symbol tables larger than 128 MiB"));
        }
        let copy = File::from(memfd_create(c"symbols", MFdFlags::MFD_CLOEXEC)?);
        let mut buffer = vec![0; 64 * 1024];
        for &(start, size) in &self.sections.symbols {
            let change = if self.sections.texts.contains(&(start, size)) { readable_text } else { as_it_is };
            copy_part(file, &copy, (start, size), (&mut buffer, change))?;
        }
        for &header in &self.sections.hidden {
            // Its name becomes the empty one.
            copy.write_all_at(&[0; 4], header)?;
        }
        Ok(copy)
    }
}

/// Stands for a byte of a name that is not UTF-8, and of the same length: ASCII's own substitute. Shown as U+FFFD.
pub(crate) const NOT_TEXT: char = '\u{1a}';

/// Changes bytes in place; says how many of them are done, the others come again with what follows.
type Change = fn(&mut [u8], bool) -> usize;

fn as_it_is(bytes: &mut [u8], _end: bool) -> usize {
    bytes.len()
}

/// Replaces what is not UTF-8 by [`NOT_TEXT`]. A character that is cut at the end of `bytes` is not done, unless nothing
/// follows.
fn readable_text(bytes: &mut [u8], end: bool) -> usize {
    let mut done = 0;
    while let Err(error) = std::str::from_utf8(&bytes[done..]) {
        done += error.valid_up_to();
        let wrong = match error.error_len() {
            Some(wrong) => wrong,
            None if end => bytes.len() - done,
            None => return done,
        };
        bytes[done..done + wrong].fill(NOT_TEXT as u8);
        done += wrong;
    }
    bytes.len()
}

fn copy_part(
    file: &File,
    copy: &File,
    (start, size): (u64, u64),
    (buffer, change): (&mut [u8], Change),
) -> io::Result<()> {
    let mut done = 0;
    while done < size {
        let want = (size - done).min(buffer.len() as u64) as usize;
        let Some(at) = start.checked_add(done) else { break };
        // Short where the file ends early.
        let got = file.read_at(&mut buffer[..want], at)?;
        if got == 0 {
            break;
        }
        let end = done + got as u64 >= size || got < want;
        let got = change(&mut buffer[..got], end);
        copy.write_all_at(&buffer[..got], at)?;
        done += got as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Names copied in pieces of `size` bytes.
    fn copied(text: &[u8], size: usize) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let copy = tempfile::tempfile().unwrap();
        copy_part(&file, &copy, (0, text.len() as u64), (&mut vec![0; size], readable_text)).unwrap();
        let mut bytes = vec![0; text.len()];
        copy.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn names_that_are_not_text_keep_their_length_and_the_others_are_as_they_were() {
        let text = "main\0größe_日本\0".as_bytes();
        let bad = [text, b"\xff\xfe bad\0\xe6\x97\0", text, b"\xe6"].concat();
        let want = [text, b"\x1a\x1a bad\0\x1a\x1a\0", text, b"\x1a"].concat();
        for size in 4..=bad.len() {
            assert_eq!(copied(&bad, size), want, "in pieces of {size} bytes");
        }
    }
}

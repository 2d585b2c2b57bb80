//! A section of debug info, of which no more is in memory than was looked at last.
//!
//! A program's debug info is often ten times its code, and what is asked of it are some hundred functions. It is read by the
//! page, with `read`: a mapping of a file that its owner cuts short would kill us.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gimli::{Error, LittleEndian, ReaderOffsetId, Result};

/// Bytes read at once.
const PAGE: u64 = 4096;
/// Pages of a file that are kept: 1 MiB.
const MAX_PAGES: usize = 256;
/// No section is that long.
const HIDDEN: [u8; 4] = [0xff; 4];
/// The longest number in LEB128.
const MAX_LEB128: usize = 10;

/// A file, and the pages of it that were looked at last.
pub(super) struct Pages {
    source: Source,
    state: Mutex<State>,
}

enum Source {
    File(File),
    /// What was compressed, a section alone.
    Memory(Vec<u8>),
}

impl Source {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(bytes, offset),
            Self::Memory(memory) => Ok(copy_at(memory, offset, bytes)),
        }
    }
}

/// Copies what `memory` has at `offset`; returns how many bytes that are.
fn copy_at(memory: &[u8], offset: u64, bytes: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|at| memory.get(at..)).unwrap_or_default();
    let count = rest.len().min(bytes.len());
    bytes[..count].copy_from_slice(&rest[..count]);
    count
}

#[derive(Default)]
struct State {
    /// Each page has one place: its number modulo [`MAX_PAGES`].
    kept: Vec<Page>,
    /// See [`Pages::hide`].
    hidden: Vec<u64>,
}

#[derive(Clone, Default)]
struct Page {
    number: u64,
    /// Short at the end of the file; empty: none.
    bytes: Vec<u8>,
}

impl Pages {
    pub(super) fn of_file(file: File) -> Self {
        Self { source: Source::File(file), state: Mutex::default() }
    }

    /// What was compressed.
    pub(super) fn of_memory(bytes: Vec<u8>) -> Self {
        Self { source: Source::Memory(bytes), state: Mutex::default() }
    }

    /// Has an impossible offset, [`HIDDEN`], at each of these places, sorted, from now on: where the headers of units say where their
    /// abbreviations are. Who parses units leaves these out.
    pub(super) fn hide(&self, places: Vec<u64>) {
        *self.state() = State { kept: Vec::new(), hidden: places };
    }

    /// Forgets all pages.
    pub(super) fn forget(&self) {
        self.state().kept = Vec::new();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `bytes` with what lies at `offset`; returns how many there were before the file's end.
    fn copy(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<usize> {
        let State { kept, hidden } = &mut *self.state();
        if kept.is_empty() {
            kept.resize(MAX_PAGES, Page::default());
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let number = at / PAGE;
            let page = &mut kept[number as usize % MAX_PAGES];
            if page.number != number || page.bytes.is_empty() {
                page.bytes.clear();
                page.number = number;
                self.fill(page)?;
                hide(page, hidden);
            }
            let rest = page.bytes.get((at % PAGE) as usize..).unwrap_or_default();
            let count = rest.len().min(bytes.len() - done);
            if count == 0 {
                break;
            }
            bytes[done..done + count].copy_from_slice(&rest[..count]);
            done += count;
        }
        Ok(done)
    }

    fn fill(&self, page: &mut Page) -> std::io::Result<()> {
        page.bytes.resize(PAGE as usize, 0);
        let mut filled = 0;
        while filled < page.bytes.len() {
            match self.source.read_at(&mut page.bytes[filled..], page.number * PAGE + filled as u64) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(error) => {
                    page.bytes.clear();
                    return Err(error);
                }
            }
        }
        page.bytes.truncate(filled);
        Ok(())
    }
}

/// Puts [`HIDDEN`] where a page has one of these places.
fn hide(page: &mut Page, places: &[u64]) {
    let (begin, length) = (page.number * PAGE, HIDDEN.len() as u64);
    let first = places.partition_point(|place| place.saturating_add(length) <= begin);
    for place in &places[first..] {
        for (at, byte) in (0..).zip(HIDDEN) {
            let at = place.saturating_add(at);
            if let Some(of_page) = at.checked_sub(begin).and_then(|at| page.bytes.get_mut(at as usize)) {
                *of_page = byte;
            }
        }
        if *place >= begin + PAGE {
            break;
        }
    }
}

#[derive(Clone)]
enum Content {
    Pages(Arc<Pages>),
    /// What was compressed, or of a file that is not kept open.
    Memory(Arc<[u8]>),
}

/// A part of a section, for gimli: what is not read yet.
#[derive(Clone)]
pub(super) struct Section {
    content: Content,
    at: u64,
    end: u64,
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("at", &self.at).field("end", &self.end).finish_non_exhaustive()
    }
}

impl Section {
    /// `size` bytes from `offset` on.
    pub(super) fn of_pages(pages: &Arc<Pages>, offset: u64, size: u64) -> Self {
        Self { content: Content::Pages(Arc::clone(pages)), at: offset, end: offset.saturating_add(size) }
    }

    pub(super) fn of_memory(bytes: Vec<u8>) -> Self {
        let end = bytes.len() as u64;
        Self { content: Content::Memory(bytes.into()), at: 0, end }
    }

    const fn id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.at)
    }

    /// Copies what comes next; returns how many bytes there were.
    fn peek(&self, bytes: &mut [u8]) -> Result<usize> {
        let want = usize::try_from(self.end - self.at).map_or(bytes.len(), |left| left.min(bytes.len()));
        let bytes = &mut bytes[..want];
        match &self.content {
            Content::Pages(pages) => pages.copy(self.at, bytes).map_err(|_| Error::Io),
            Content::Memory(memory) => Ok(copy_at(memory, self.at, bytes)),
        }
    }

    /// All that is left, in memory.
    fn all(&self) -> Result<Vec<u8>> {
        // A length that the file made up is no reason to ask for the memory.
        let (mut all, mut at) = (Vec::new(), self.clone());
        let mut chunk = [0; 512];
        while at.at < at.end {
            let count = at.peek(&mut chunk)?;
            if count == 0 {
                return Err(Error::UnexpectedEof(at.id()));
            }
            all.extend_from_slice(&chunk[..count]);
            at.at += count as u64;
        }
        Ok(all)
    }

    /// The bytes of a number in LEB128, which is skipped. The last has its highest bit clear.
    fn leb128(&mut self) -> Result<([u8; MAX_LEB128], usize)> {
        let mut bytes = [0; MAX_LEB128];
        let count = self.peek(&mut bytes)?;
        match bytes[..count].iter().position(|byte| byte & 0x80 == 0) {
            Some(last) => {
                self.at += last as u64 + 1;
                Ok((bytes, last + 1))
            }
            None if count < MAX_LEB128 => Err(Error::UnexpectedEof(self.id())),
            None => Err(Error::BadUnsignedLeb128),
        }
    }
}

impl gimli::Reader for Section {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        (self.end - self.at) as usize
    }

    fn empty(&mut self) {
        self.end = self.at;
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        if len > self.len() {
            return Err(Error::UnexpectedEof(self.id()));
        }
        self.end = self.at + len as u64;
        Ok(())
    }

    fn offset_from(&self, base: &Self) -> usize {
        self.at.saturating_sub(base.at) as usize
    }

    fn offset_id(&self) -> ReaderOffsetId {
        self.id()
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        (self.at..=self.end).contains(&id.0).then(|| (id.0 - self.at) as usize)
    }

    fn find(&self, byte: u8) -> Result<usize> {
        let mut rest = self.clone();
        let mut chunk = [0; 128];
        loop {
            let count = rest.peek(&mut chunk)?;
            if let Some(found) = memchr::memchr(byte, &chunk[..count]) {
                return Ok((rest.at - self.at) as usize + found);
            }
            if count == 0 {
                return Err(Error::UnexpectedEof(self.id()));
            }
            rest.at += count as u64;
        }
    }

    fn skip(&mut self, len: usize) -> Result<()> {
        if len > self.len() {
            return Err(Error::UnexpectedEof(self.id()));
        }
        self.at += len as u64;
        Ok(())
    }

    fn split(&mut self, len: usize) -> Result<Self> {
        let mut first = self.clone();
        first.truncate(len)?;
        self.at += len as u64;
        Ok(first)
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>> {
        self.all().map(Cow::Owned)
    }

    fn to_string(&self) -> Result<Cow<'_, str>> {
        String::from_utf8(self.all()?).map(Cow::Owned).map_err(|_| Error::BadUtf8)
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>> {
        let text = String::from_utf8(self.all()?);
        Ok(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()).into())
    }

    fn read_slice(&mut self, bytes: &mut [u8]) -> Result<()> {
        if self.peek(bytes)? < bytes.len() {
            return Err(Error::UnexpectedEof(self.id()));
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn skip_leb128(&mut self) -> Result<()> {
        self.leb128().map(|_| ())
    }

    fn read_uleb128(&mut self) -> Result<u64> {
        let (bytes, count) = self.leb128()?;
        gimli::leb128::read::unsigned(&mut gimli::EndianSlice::new(&bytes[..count], LittleEndian))
    }

    fn read_sleb128(&mut self) -> Result<i64> {
        let (bytes, count) = self.leb128()?;
        gimli::leb128::read::signed(&mut gimli::EndianSlice::new(&bytes[..count], LittleEndian))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use gimli::Reader as _;

    use super::*;

    fn each(bytes: &[u8]) -> [Section; 3] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        file.write_all(bytes).unwrap();
        let pages = Arc::new(Pages::of_file(file));
        let unpacked = Arc::new(Pages::of_memory(bytes.to_vec()));
        let all = bytes.len() as u64;
        [
            Section::of_pages(&pages, 6, all),
            Section::of_pages(&unpacked, 0, all),
            Section::of_memory(bytes.to_vec()),
        ]
    }

    /// What each way of reading gives, and how much is left then.
    fn readings<R: gimli::Reader<Offset = usize>>(from: &R) -> Vec<Option<(u64, usize)>> {
        let with = |read: fn(&mut R) -> Result<u64>| {
            let mut reader = from.clone();
            read(&mut reader).ok().map(|value| (value, reader.len()))
        };
        vec![
            with(|reader| reader.read_u8().map(u64::from)),
            with(|reader| reader.read_u16().map(u64::from)),
            with(R::read_u64),
            with(R::read_uleb128),
            with(|reader| reader.read_sleb128().map(|value| value as u64)),
            with(|reader| reader.find(7).map(|value| value as u64)),
            with(|reader| reader.read_null_terminated_slice().map(|text| text.len() as u64)),
            with(|reader| Ok(reader.split(300)?.to_slice()?.iter().map(|byte| u64::from(*byte)).sum())),
        ]
    }

    #[test]
    fn a_section_reads_the_same_from_a_file_and_from_memory_as_gimlis_own_reader() {
        let mut bytes: Vec<u8> = (0..2 * PAGE + 400).map(|at| (at % 251) as u8).collect();
        bytes[PAGE as usize - 8..PAGE as usize + 8].fill(0xff);
        let theirs = gimli::EndianSlice::new(&bytes, LittleEndian);
        for at in (0..bytes.len()).step_by(3).chain(PAGE as usize - 12..PAGE as usize + 12) {
            let mut theirs = theirs;
            theirs.skip(at).unwrap();
            let wanted = readings(&theirs);
            for section in each(&bytes) {
                let mut ours = section.clone();
                ours.skip(at).unwrap();
                assert_eq!(readings(&ours), wanted, "at {at}");
                assert_eq!(ours.offset_from(&section), at);
                assert_eq!(section.lookup_offset_id(ours.offset_id()), Some(at));
            }
        }
    }

    #[test]
    fn hidden_places_read_as_impossible_offsets_also_across_pages_and_as_they_are_afterwards() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 3 * PAGE as usize]).unwrap();
        let pages = Arc::new(Pages::of_file(file));
        let section = Section::of_pages(&pages, 0, 3 * PAGE);
        let hidden = [10, PAGE - 4, PAGE + 100, 2 * PAGE - 2];
        for places in [hidden.to_vec(), Vec::new()] {
            pages.hide(places.clone());
            let bytes = section.to_slice().unwrap();
            for (at, byte) in (0..).zip(&*bytes) {
                let is_hidden = places.iter().any(|place| (*place..place + 4).contains(&at));
                assert_eq!(*byte, if is_hidden { 0xff } else { 1 }, "at {at}");
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_file_cut_short_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        let size = PAGE * (MAX_PAGES as u64 + 10);
        file.set_len(size).unwrap();
        let pages = Arc::new(Pages::of_file(file.try_clone().unwrap()));
        let mut section = Section::of_pages(&pages, 0, size);
        while section.len() > 8 {
            section.skip(PAGE as usize - 8).unwrap_or_else(|_| section.empty());
            let _ = section.read_u64();
        }
        assert!(
            pages.state().kept.iter().map(|page| page.bytes.capacity() as u64).sum::<u64>()
                <= PAGE * MAX_PAGES as u64
        );
        file.set_len(100).unwrap();
        pages.forget();
        let mut section = Section::of_pages(&pages, 0, size);
        section.skip(96).unwrap();
        assert_eq!(section.read_u64(), Err(Error::UnexpectedEof(ReaderOffsetId(96))));
        assert!(section.find(1).is_err() && section.to_slice().is_err());
        assert!(Section::of_pages(&pages, u64::MAX - 3, 8).read_u32().is_err());
    }
}

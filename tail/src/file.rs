//! One file, from the offset up to which it was read.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use opener::{Held, Owner, Place, Stamp, Workers};
use serde::{Deserialize, Serialize};

use crate::hash::hash;
use crate::packing::Packing;

/// Bytes before an offset whose hash says that they are still the same.
pub(crate) const MARK_BYTES: u64 = 512;
/// Bytes read at once.
pub(crate) const READ_BYTES: usize = 256 << 10;

/// A file between two cuts: what an offset counts in. A hash of the file's identity and of when it was begun: it never comes again.
pub type SourceId = u64;

/// Some bytes of a file.
#[derive(Debug)]
pub struct Chunk<'c> {
    /// What the offset counts in.
    pub source: SourceId,
    /// The name by which the file is followed.
    pub path: &'c Path,
    /// Of the first byte.
    pub offset: u64,
    /// They; none at the end.
    pub bytes: &'c [u8],
    /// Nothing of this source follows: it was rotated away and read to its end, or cut.
    pub end: bool,
}

/// Where the reading of a file goes on after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The name by which it is followed.
    pub path: PathBuf,
    /// Its lasting identity.
    pub file: String,
    /// When its source was begun, Unix time in ns.
    pub begun: u64,
    /// All before it is safe.
    pub offset: u64,
    /// Hash of the bytes before it.
    pub mark: u64,
    /// Up to where it was read at first, and the hash of the bytes before that: what it is known by while nothing of it is safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<(u64, u64)>,
    /// Nothing is in it from here on: it was cut, or rotated away and read to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// The file was cut since: a copy of it has its rest, if anything has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

impl Saved {
    /// What tells that bytes are those of this source: a place, and the hash of the bytes before it. `None`: nothing of it was read.
    pub(crate) fn known_by(&self) -> Option<(u64, u64)> {
        if self.offset > 0 { Some((self.offset, self.mark)) } else { self.first }
    }
}

/// The source of a file that was begun then.
pub(crate) fn source(file: &str, begun: u64) -> SourceId {
    hash(format!("{file}#{begun}").as_bytes())
}

/// Where the bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// In this file.
    Plain(Arc<Held>),
    /// In this file, compressed: the rest of one that was compressed before it was read to its end.
    Packed(Arc<Held>, Packing),
    /// Nowhere any more.
    Gone,
}

/// A followed file.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) path: PathBuf,
    /// Lasting identity of the file that was written: not that of a copy which has its rest.
    pub(crate) file: String,
    pub(crate) begun: u64,
    /// What its offsets count in: identity and begin.
    pub(crate) source: SourceId,
    pub(crate) body: Body,
    /// Read up to here.
    pub(crate) offset: u64,
    /// The last bytes before it, and their hash.
    pub(crate) before: Vec<u8>,
    pub(crate) mark: u64,
    /// Safe up to here, and the hash of the bytes before that.
    pub(crate) safe: (u64, u64),
    /// Read up to here at first, and the hash of the bytes before that.
    pub(crate) first: Option<(u64, u64)>,
    /// Nothing follows from here on.
    pub(crate) end: Option<u64>,
    /// Its last chunk, which says so, was given.
    pub(crate) end_told: bool,
    /// It has lost its name, or is a copy: it ends then unless more comes.
    pub(crate) ends_at: Option<Instant>,
    /// Its body is the file with this identity, not a copy.
    pub(crate) is_original: bool,
    /// Reading failed: said once.
    pub(crate) failing: bool,
    /// As it was at the last look.
    pub(crate) stamp: Option<Stamp>,
}

/// What a look at a file gave.
#[derive(Debug)]
pub(crate) enum Look {
    /// Nothing new.
    Same,
    /// New bytes from the offset on.
    More(Vec<u8>),
    /// It was cut, or what was read of it is not there any more.
    Cut,
    /// It cannot be read now.
    Failed,
}

/// What was read at once.
pub(crate) struct Read {
    /// The bytes before.
    pub(crate) before: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

impl Followed {
    /// A source that begins now.
    pub(crate) fn new(path: PathBuf, file: String, body: Body, offset: u64) -> Self {
        let mark = hash(&[]);
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let begun = u64::try_from(begun.as_nanos()).unwrap_or(u64::MAX);
        Self {
            path,
            source: source(&file, begun),
            file,
            begun,
            body,
            offset,
            before: Vec::new(),
            mark,
            safe: (offset, mark),
            first: None,
            end: None,
            end_told: false,
            ends_at: None,
            is_original: true,
            failing: false,
            stamp: None,
        }
    }

    /// One that goes on where it was saved, if the bytes that it is known by are those that it was known by then.
    pub(crate) fn resumed(saved: &Saved, body: Body, workers: &Workers) -> Option<Self> {
        let mut before = Vec::new();
        if let Some((offset, mark)) = saved.known_by() {
            let found = body.before(workers, offset).filter(|before| hash(before) == mark)?;
            // Known by what was read at first, it goes on at its start.
            if offset == saved.offset {
                before = found;
            }
        }
        let mark = hash(&before);
        let new = Self::new(saved.path.clone(), saved.file.clone(), body, saved.offset);
        let (begun, source) = (saved.begun, source(&saved.file, saved.begun));
        let safe = (saved.offset, mark);
        Some(Self { begun, source, before, mark, safe, first: saved.first, end: saved.end, ..new })
    }

    /// One that is followed from this offset on.
    pub(crate) fn begun(path: PathBuf, file: String, body: Body, from: u64, workers: &Workers) -> Self {
        let before = body.read(workers, from, 0).map(|read| read.before).unwrap_or_default();
        let mark = hash(&before);
        Self { before, mark, safe: (from, mark), ..Self::new(path, file, body, from) }
    }

    /// It is the file that its identity names, not a copy of what it was.
    pub(crate) fn is_itself(&self) -> bool {
        self.end.is_none() && self.is_original
    }

    pub(crate) fn saved(&self) -> Saved {
        let (offset, mark) = self.safe;
        Saved {
            path: self.path.clone(),
            file: self.file.clone(),
            begun: self.begun,
            offset,
            mark,
            first: self.first,
            end: self.end,
            is_cut: !self.is_original,
        }
    }

    fn until(&self, size: u64) -> u64 {
        self.end.map_or(size, |end| end.min(size))
    }

    /// Reads at most `most` bytes after the offset. Does not move it.
    pub(crate) fn look(&mut self, workers: &Workers, most: usize) -> Look {
        // Whatever becomes of it from there on is not of this source: a copy may be overwritten in place.
        let most = self.until(u64::MAX).saturating_sub(self.offset).min(most as u64);
        let mut most = most as usize;
        if most == 0 {
            return Look::Same;
        }
        if let Body::Plain(held) = &self.body {
            let Some(stamp) = held.stamp() else { return Look::Failed };
            let size = stamp.size();
            if size < self.offset {
                return Look::Cut;
            }
            // Of one that was cut and has grown to the same size again, its time alone tells.
            if self.stamp == Some(stamp) && self.until(size) == self.offset {
                return Look::Same;
            }
            self.stamp = Some(stamp);
            most = most.min(usize::try_from(self.until(size) - self.offset).unwrap_or(usize::MAX));
        }
        // After a restart from its start on: nothing is before that by which a cut would show.
        if let Some((offset, mark)) = self.first.filter(|_| self.offset == 0) {
            match self.body.read(workers, offset, 0) {
                None => return Look::Failed,
                Some(read) if hash(&read.before) != mark => return Look::Cut,
                Some(_) => {}
            }
        }
        match self.body.read(workers, self.offset, most) {
            None => Look::Failed,
            Some(read) if read.before != self.before => Look::Cut,
            Some(read) if read.bytes.is_empty() => Look::Same,
            Some(read) => Look::More(read.bytes),
        }
    }

    /// Moves on over what was read. Says whether that is the first of its source.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> bool {
        self.offset += bytes.len() as u64;
        let most = MARK_BYTES as usize;
        let over = (self.before.len() + bytes.len()).saturating_sub(most);
        if over >= self.before.len() {
            self.before.clear();
            self.before.extend_from_slice(&bytes[bytes.len().saturating_sub(most)..]);
        } else {
            self.before.drain(..over);
            self.before.extend_from_slice(bytes);
        }
        self.mark = hash(&self.before);
        let is_first = self.first.is_none();
        // A program may begin with the same short line each time it starts.
        if self.first.is_none_or(|(offset, _)| offset < MARK_BYTES) {
            self.first = Some((self.offset, self.mark));
        }
        is_first
    }

    /// All before this offset is safe.
    pub(crate) fn commit(&mut self, offset: u64, workers: &Workers) {
        if offset <= self.safe.0 || offset > self.offset {
            return;
        }
        if offset == self.offset {
            self.safe = (offset, self.mark);
        } else if let Some(before) = self.body.before(workers, offset) {
            // Where it is gone, the older place stays the one to go on from.
            self.safe = (offset, hash(&before));
        }
    }

    /// All of it is read, and safe.
    pub(crate) fn is_done(&self) -> bool {
        self.end_told && self.end.is_some_and(|end| self.safe.0 >= end)
    }

    /// Nothing follows what was read. `false`: that was told before.
    pub(crate) fn end_here(&mut self) -> bool {
        self.end = Some(self.offset);
        !std::mem::replace(&mut self.end_told, true)
    }

    /// The place up to which it was read, which a copy of it is known by.
    pub(crate) fn here(&self) -> Saved {
        Saved { offset: self.offset, mark: self.mark, ..self.saved() }
    }

    /// It was cut: the file from its start on. What is left in its place is what was read of it before.
    pub(crate) fn split_at_cut(&mut self) -> Self {
        let body = std::mem::replace(&mut self.body, Body::Gone);
        self.is_original = false;
        let new = Self::new(self.path.clone(), self.file.clone(), body, 0);
        Self { ends_at: self.ends_at, ..new }
    }
}

impl Body {
    fn held(&self) -> Option<&Arc<Held>> {
        match self {
            Self::Plain(held) | Self::Packed(held, _) => Some(held),
            Self::Gone => None,
        }
    }

    /// Bytes in it; of one that is compressed 0.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Plain(held) => held.size().unwrap_or(0),
            Self::Packed(..) | Self::Gone => 0,
        }
    }

    /// At most `most` bytes after `offset`, and the [`MARK_BYTES`] before it; fewer where the file is shorter.
    pub(crate) fn read(&self, workers: &Workers, offset: u64, most: usize) -> Option<Read> {
        let (held, body) = (self.held()?, self.clone());
        workers.run(owner(held), move || body.read_now(offset, most)).ok()?.ok()
    }

    /// The [`MARK_BYTES`] before an offset, or all; `None`: it cannot be read, or is shorter.
    fn before(&self, workers: &Workers, offset: u64) -> Option<Vec<u8>> {
        let before = self.read(workers, offset, 0)?.before;
        (before.len() as u64 == offset.min(MARK_BYTES)).then_some(before)
    }

    fn read_now(&self, offset: u64, most: usize) -> io::Result<Read> {
        let before = offset.min(MARK_BYTES);
        let Some(held) = self.held() else { return Err(io::ErrorKind::NotFound.into()) };
        let file = held.reader()?;
        let mut bytes = match self {
            Self::Plain(_) | Self::Gone => {
                let mut bytes = vec![0; before as usize + most.min(READ_BYTES)];
                let length = read_full(&file, &mut bytes, offset - before)?;
                bytes.truncate(length);
                bytes
            }
            Self::Packed(_, packing) => packing.read(file, offset - before, before as usize + most)?,
        };
        let rest = bytes.split_off(bytes.len().min(before as usize));
        Ok(Read { before: bytes, bytes: rest })
    }
}

/// Who pays for touching it.
pub(crate) fn owner(held: &Held) -> Owner {
    let device = held.identity().map_or(0, |(device, _)| device);
    Owner { uid: held.uid(), place: Place::Device(device) }
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_full(file: &std::fs::File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match file.read_at(&mut into[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(some) => length += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

//! Reads the entries of a journal file one after the other, from wherever asked.

use super::chain::Chain;
use super::entry::{Entry, MAX_ENTRY_BYTES, MAX_FIELD_BYTES, MAX_FIELDS, Span};
use super::file::{File, Kind, OBJECT_HEADER_BYTES};
use super::header::{Header, State, id_at, u32_at, u64_at};
use super::unpack::Unpacker;
use super::{Fault, JournalError, ReadAt};

/// An entry's object header, numbers, times, ids.
const ENTRY_HEADER_BYTES: u64 = 64;
/// What a compressed field may take of a file: one that does not compress is a little longer than it was.
const MAX_PACKED_BYTES: usize = MAX_FIELD_BYTES + (64 << 10);
/// What of an entry's fields is read and unpacked in all: thrice what is kept, as what is damaged, or unpacks to little, costs as
/// much. Else an entry of 4 KiB, whose 1,024 fields are one damaged object, took a GiB.
const MAX_WORK_BYTES: usize = 3 * MAX_ENTRY_BYTES;
/// Entries tried beside a damaged one in a binary search.
const NEIGHBOURS: u64 = 16;

/// Where a reader stands: the entries up to this one are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// The file.
    pub file_id: [u8; 16],
    /// The sequence.
    pub seqnum_id: [u8; 16],
    /// The last entry that was read; 0: none.
    pub seqnum: u64,
}

/// What a call found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An entry; the next call gives the next.
    Entry,
    /// An entry that cannot be read, or more of them. It is counted; the next call goes on behind it.
    Damaged,
    /// No more for now. The next call looks again.
    End,
    /// No more for ever: the file was rotated. What follows is in another one.
    Archived,
}

/// Whether a cursor could be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// The next entry is the one after it.
    Exact,
    /// The next entry is the first of this file, and so many of the sequence are missing before it (journald removed them).
    Missing(u64),
    /// The file belongs to another sequence. The reader has not moved.
    Foreign,
}

/// What happened so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Entries given.
    pub entries: u64,
    /// Entries that could not be read.
    pub damaged_entries: u64,
    /// Fields that could not be read, in entries that were given.
    pub damaged_fields: u64,
    /// Fields not read because they are compressed with XZ.
    pub xz_fields: u64,
    /// Fields of which only the begin was given.
    pub cut_fields: u64,
    /// Fields left out of entries that are too large, or damaged in too many places.
    pub omitted_fields: u64,
}

/// A journal file that is being read.
pub struct Journal<R> {
    file: File<R>,
    chain: Chain,
    unpacker: Unpacker,
    /// Of the next entry.
    index: u64,
    /// Of the last entry given, or passed over by a seek; 0: none.
    seqnum: u64,
    counts: Counts,
    scratch: Vec<u8>,
}

impl<R: ReadAt> Journal<R> {
    /// Opens at the first entry.
    pub fn open(source: R) -> Result<Self, JournalError> {
        Ok(Self {
            file: File::open(source)?,
            chain: Chain::default(),
            unpacker: Unpacker::default(),
            index: 0,
            seqnum: 0,
            counts: Counts::default(),
            scratch: Vec::new(),
        })
    }

    /// The header, as it was read last: at opening, a seek, or an end.
    pub fn header(&self) -> &Header {
        &self.file.header
    }

    /// What happened since opening.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Where the reader stands. Before the first entry its number is 0.
    pub fn cursor(&self) -> Cursor {
        let Header { file_id, seqnum_id, .. } = self.file.header;
        Cursor { file_id, seqnum_id, seqnum: self.seqnum }
    }

    /// The next entry is the first.
    pub fn seek_head(&mut self) {
        self.seek_index(0);
    }

    /// The next entry is the one that journald will write next.
    pub fn seek_tail(&mut self) -> Result<(), JournalError> {
        self.seek_last(0)
    }

    /// The next entries are the last `count` there are now.
    pub fn seek_last(&mut self, count: u64) -> Result<(), JournalError> {
        self.file.refresh()?;
        self.seek_index(self.file.header.entries.saturating_sub(count));
        Ok(())
    }

    /// The next entry is the first one with a greater number.
    pub fn seek_after(&mut self, seqnum: u64) -> Result<(), JournalError> {
        self.seek_first(|entry| entry.seqnum > seqnum)
    }

    /// The next entry is the first one written at this time or later, Unix time in µs. Where the clock was set back within the
    /// file, it is one of those that fit.
    pub fn seek_realtime(&mut self, realtime_us: u64) -> Result<(), JournalError> {
        self.seek_first(|entry| entry.realtime_us >= realtime_us)
    }

    /// The next entry is the one after the cursor's, also when that was in an earlier file of the same sequence.
    pub fn seek_cursor(&mut self, cursor: &Cursor) -> Result<Sought, JournalError> {
        self.file.refresh()?;
        if cursor.seqnum_id != self.file.header.seqnum_id {
            return Ok(Sought::Foreign);
        }
        self.seek_after(cursor.seqnum)?;
        if self.index == 0 {
            // The cursor's entry is in a file before this one: the place in the sequence is the same.
            self.seqnum = cursor.seqnum;
        }
        let missing = self.file.header.first_seqnum().saturating_sub(cursor.seqnum.saturating_add(1));
        Ok(if missing > 0 { Sought::Missing(missing) } else { Sought::Exact })
    }

    fn seek_index(&mut self, index: u64) {
        self.index = index;
        self.seqnum = 0;
        if index > 0 {
            self.seqnum = self.head_near(index - 1, index).map_or(0, |(_, head)| head.seqnum);
        }
    }

    /// Seeks the first entry that fits, where all after it fit too.
    fn seek_first(&mut self, fits: impl Fn(&Head) -> bool) -> Result<(), JournalError> {
        self.file.refresh()?;
        let (mut low, mut high) = (0, self.file.header.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.head_near(middle, high) {
                Some((index, head)) if !fits(&head) => low = index + 1,
                // Where none can be read, what is sought lies before: behind are only those that cannot be reached, or are damaged.
                _ => high = middle,
            }
        }
        self.seek_index(low);
        Ok(())
    }

    /// The head of the first entry from `index` on that can be read.
    fn head_near(&mut self, index: u64, end: u64) -> Option<(u64, Head)> {
        (index..end.min(index.saturating_add(NEIGHBOURS))).find_map(|index| {
            let offset = self.chain.offset_of(&mut self.file, index).ok()?;
            Some((index, self.head(offset).ok()?))
        })
    }

    /// Reads the next entry into `entry`. At the end it reads the header again, to see whether the file has grown. After an error of
    /// reading within an entry the next call goes on behind that entry.
    pub fn next(&mut self, entry: &mut Entry) -> Result<Step, JournalError> {
        if self.index >= self.file.header.entries {
            self.file.refresh()?;
            if self.index >= self.file.header.entries {
                let archived = self.file.header.state == State::Archived;
                return Ok(if archived { Step::Archived } else { Step::End });
            }
        }
        let offset = match self.chain.offset_of(&mut self.file, self.index) {
            Ok(offset) => offset,
            // Nothing is passed over: where the arrays cannot be read now, they may be later.
            Err(Fault::Read(error)) => return Err(error),
            Err(fault) => {
                // A damaged header may count more than there can be.
                let lost = self.file.header.entries - self.index;
                self.counts.damaged_entries = self.counts.damaged_entries.saturating_add(lost);
                self.index = self.file.header.entries;
                return damaged(fault);
            }
        };
        self.index += 1;
        match self.entry(offset, entry) {
            Ok(()) => {
                self.counts.entries += 1;
                self.seqnum = entry.seqnum;
                Ok(Step::Entry)
            }
            Err(fault) => {
                self.counts.damaged_entries = self.counts.damaged_entries.saturating_add(1);
                damaged(fault)
            }
        }
    }

    fn head(&mut self, offset: u64) -> Result<Head, Fault> {
        let object = self.file.object(offset, Kind::Entry, ENTRY_HEADER_BYTES)?;
        let mut bytes = [0; ENTRY_HEADER_BYTES as usize];
        self.file.copy(offset, &mut bytes)?;
        let head = Head {
            seqnum: u64_at(&bytes, 16),
            realtime_us: u64_at(&bytes, 24),
            monotonic_us: u64_at(&bytes, 32),
            boot_id: id_at(&bytes, 40),
            items_bytes: object.size - ENTRY_HEADER_BYTES,
        };
        if head.seqnum == 0 { Err(Fault::Damaged) } else { Ok(head) }
    }

    fn entry(&mut self, offset: u64, entry: &mut Entry) -> Result<(), Fault> {
        let head = self.head(offset)?;
        // Numbers rise within a file: a record is known by its number, so one that does not rise is not given.
        if head.seqnum <= self.seqnum {
            return Err(Fault::Damaged);
        }
        entry.clear();
        entry.seqnum = head.seqnum;
        entry.realtime_us = head.realtime_us;
        entry.monotonic_us = head.monotonic_us;
        entry.boot_id = head.boot_id;
        // An item is an offset; of files that are not compact also a hash.
        let item = if self.file.header.is_compact() { 4 } else { 16 };
        let items = head.items_bytes / item;
        let read = items.min(MAX_FIELDS as u64);
        self.counts.omitted_fields = self.counts.omitted_fields.saturating_add(items - read);
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.resize((read * item) as usize, 0);
        let copied = self.file.copy(offset + ENTRY_HEADER_BYTES, &mut bytes);
        if copied.is_ok() {
            let mut work = 0;
            for one in bytes.chunks_exact(item as usize) {
                let data = if item == 4 { u64::from(u32_at(one, 0)) } else { u64_at(one, 0) };
                let (start, fields) = (entry.bytes.len(), entry.fields.len());
                let found = self.field(data, entry, &mut work);
                work += entry.bytes.len() - start;
                match found {
                    Ok(()) => continue,
                    Err(Fault::Damaged) => self.counts.damaged_fields += 1,
                    Err(Fault::Xz) => self.counts.xz_fields += 1,
                    Err(fault) => {
                        self.scratch = bytes;
                        return Err(fault);
                    }
                }
                entry.bytes.truncate(start);
                entry.fields.truncate(fields);
            }
        }
        self.scratch = bytes;
        copied
    }

    /// Appends the field of a data object. To `work` it adds what it unpacks from.
    fn field(&mut self, offset: u64, entry: &mut Entry, work: &mut usize) -> Result<(), Fault> {
        let before = if self.file.header.is_compact() { 72 } else { 64 };
        let object = self.file.object(offset, Kind::Data, before)?;
        let start = entry.bytes.len();
        let room = MAX_ENTRY_BYTES.saturating_sub(start).min(MAX_FIELD_BYTES);
        if room < MAX_FIELD_BYTES.min((object.size - before) as usize) || *work > MAX_WORK_BYTES {
            self.counts.omitted_fields += 1;
            return Ok(());
        }
        let payload = object.size - before;
        let whole = if object.flags == 0 {
            entry.bytes.resize(start + payload.min(room as u64) as usize, 0);
            self.file.copy(offset + before, &mut entry.bytes[start..])?;
            payload
        } else {
            let mut packed = vec![0; payload.min(MAX_PACKED_BYTES as u64) as usize];
            *work += packed.len();
            self.file.copy(offset + before, &mut packed)?;
            self.unpacker.unpack(object.flags, &packed, room, &mut entry.bytes)?
        };
        let end = entry.bytes.len();
        let name = memchr::memchr(b'=', &entry.bytes[start..]).ok_or(Fault::Damaged)?;
        let whole = whole - name as u64 - 1;
        entry.fields.push(Span { start, equals: start + name, end, whole });
        self.counts.cut_fields += u64::from(whole > (end - start - name - 1) as u64);
        Ok(())
    }
}

struct Head {
    seqnum: u64,
    realtime_us: u64,
    monotonic_us: u64,
    boot_id: [u8; 16],
    /// All after the head; an item each field.
    items_bytes: u64,
}

const _: () = assert!(OBJECT_HEADER_BYTES < ENTRY_HEADER_BYTES);

fn damaged(fault: Fault) -> Result<Step, JournalError> {
    match fault {
        Fault::Damaged | Fault::Xz => Ok(Step::Damaged),
        Fault::Read(error) => Err(error),
    }
}

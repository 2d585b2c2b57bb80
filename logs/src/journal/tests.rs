//! A small file of a real journald, as it is and with bytes changed. The comparison with journalctl is in `tests/journal.rs`.

use super::fuzz;
use super::*;

/// 512 KiB unpacked: compact, keyed hash, ZSTD; a few dozen entries of `logger` and of the native protocol.
fn fixture() -> Vec<u8> {
    zstd::decode_all(&include_bytes!("fixture.journal.zst")[..]).unwrap()
}

fn all(bytes: &[u8]) -> (Vec<Entry>, Counts) {
    let mut journal = Journal::open(bytes).unwrap();
    let mut entries = Vec::new();
    let mut entry = Entry::default();
    loop {
        match journal.next(&mut entry).unwrap() {
            Step::Entry => entries.push(entry.clone()),
            Step::Damaged => {}
            Step::End | Step::Archived => return (entries, journal.counts()),
        }
    }
}

/// A generator of numbers that is the same in each run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn the_fixture_has_its_entries() {
    let (entries, counts) = all(&fixture());
    assert!(entries.len() > 40, "{}", entries.len());
    assert_eq!((counts.damaged_entries, counts.damaged_fields), (0, 0));
    assert!(entries.iter().any(|entry| entry.get("BINARY").is_some_and(|value| value.contains(&0))));
    assert!(entries.iter().any(|entry| entry.get("LONG").is_some_and(|value| value.len() == 20_000)));
    assert!(entries.iter().zip(&entries[1..]).all(|(one, next)| one.seqnum < next.seqnum));
}

#[test]
fn no_changed_byte_panics_or_hangs() {
    let mut bytes = fixture();
    let used = Journal::open(&bytes[..]).unwrap().header().tail_object_offset + 500;
    let mut numbers = Numbers(7);
    for run in 0..6000 {
        let mut undo = Vec::new();
        for _ in 0..=numbers.next() % 4 {
            // The header, and where objects are; half of the changes hit fields of 8 bytes whole.
            let below = if run % 3 == 0 { 272 } else { used };
            let at = (numbers.next() % below) as usize;
            let value = numbers.next();
            let (at, count) = if value & 1 == 0 { (at, 1) } else { (at / 8 * 8, 8) };
            let wide =
                [value, value % used, u64::MAX, value % 64, 1 << (value % 64)][(value >> 8) as usize % 5];
            undo.push((at, bytes[at..at + count].to_vec()));
            bytes[at..at + count].copy_from_slice(&wide.to_le_bytes()[..count]);
        }
        fuzz::journal(&bytes);
        for (at, old) in undo.into_iter().rev() {
            bytes[at..at + old.len()].copy_from_slice(&old);
        }
    }
    assert_eq!(bytes, fixture());
}

#[test]
fn a_file_may_end_anywhere() {
    let bytes = fixture();
    let whole = all(&bytes).0.len() as u64;
    for cut in (0..bytes.len()).step_by(97) {
        if let Ok(mut journal) = Journal::open(&bytes[..cut]) {
            let mut entry = Entry::default();
            while matches!(journal.next(&mut entry).unwrap(), Step::Entry | Step::Damaged) {}
            assert_eq!(journal.counts().entries + journal.counts().damaged_entries, whole);
        }
        fuzz::journal(&bytes[..cut]);
    }
}

#[test]
fn a_chain_of_arrays_that_goes_back_ends_the_file_and_is_counted() {
    let mut bytes = fixture();
    let first = Journal::open(&bytes[..]).unwrap().header().entry_array_offset as usize;
    bytes[first + 16..first + 24].copy_from_slice(&(first as u64).to_le_bytes());
    let (entries, counts) = all(&bytes);
    assert_eq!(entries.len() as u64 + counts.damaged_entries, all(&fixture()).0.len() as u64);
    assert!(!entries.is_empty() && counts.damaged_entries > 0);
}

/// A compact file of one entry, all whose fields are the data object with this payload.
fn of_one_object(fields: usize, packed: &[u8]) -> Vec<u8> {
    const DATA: usize = 208;
    let object = |kind: u8, flags: u8, payload: &[u8]| {
        let mut bytes = vec![kind, flags, 0, 0, 0, 0, 0, 0];
        bytes.extend((16 + payload.len() as u64).to_le_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let mut bytes = fixture()[..DATA].to_vec();
    bytes[88..96].copy_from_slice(&(DATA as u64).to_le_bytes());
    bytes[152..160].copy_from_slice(&1_u64.to_le_bytes());
    bytes.extend(object(1, 4, &[&[0; 56], packed].concat()));
    let entry = bytes.len() as u32;
    let numbers = [1_u64, 1000, 50, 0, 0, 0].map(u64::to_le_bytes).concat();
    bytes.extend(object(3, 0, &[numbers, (DATA as u32).to_le_bytes().repeat(fields)].concat()));
    let array = (bytes.len() as u64).to_le_bytes();
    bytes.extend(object(6, 0, &[&[0; 8][..], &entry.to_le_bytes(), &[0; 4]].concat()));
    bytes[136..144].copy_from_slice(&array);
    bytes[176..184].copy_from_slice(&array);
    bytes
}

#[test]
fn an_entry_of_fields_that_are_one_damaged_object_is_not_unpacked_for_each() {
    // A MiB without the `=` that ends a name.
    let damaged = zstd::bulk::compress(&vec![b'x'; 1 << 20], 3).unwrap();
    let (entries, counts) = all(&of_one_object(1000, &damaged));
    assert_eq!((entries.len(), counts.damaged_fields + counts.omitted_fields), (1, 1000));
    assert!((4..=16).contains(&counts.damaged_fields), "{counts:?}");
    let (entries, counts) = all(&of_one_object(1000, &zstd::bulk::compress(b"A=b", 3).unwrap()));
    assert_eq!((entries[0].fields().count(), counts.damaged_fields, counts.omitted_fields), (1000, 0, 0));
}

#[test]
fn what_is_no_journal_or_of_tomorrow_is_named() {
    let bytes = fixture();
    assert!(matches!(Journal::open(&b""[..]), Err(JournalError::NotAJournal)));
    assert!(matches!(Journal::open(&b"LPKSHHRH"[..]), Err(JournalError::NotAJournal)));
    let changed = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        bytes
    };
    assert!(matches!(Journal::open(&changed(0, b'x')[..]), Err(JournalError::NotAJournal)));
    assert!(matches!(Journal::open(&changed(12, 0x80)[..]), Err(JournalError::Unsupported { flags: 0x80 })));
    assert!(matches!(Journal::open(&changed(16, 9)[..]), Err(JournalError::Header { .. })));
    assert!(Journal::open(&changed(8, 0xff)[..]).is_ok(), "compatible flags may be any");
}

//! The entry for fuzzing: a file that anybody may have written.

use super::{Entry, Journal, MAX_ENTRY_BYTES, Step, line};

/// Steps in one run. A file of a megabyte can count many entries that lie on each other.
const MAX_STEPS: usize = 20_000;

/// Reads a file from its head and after each seek.
///
/// # Panics
/// If a promise of the reader does not hold.
pub fn journal(bytes: &[u8]) {
    let Ok(mut journal) = Journal::open(bytes) else { return };
    let mut entry = Entry::default();
    let mut before = 0;
    let mut times = Vec::new();
    for _ in 0..MAX_STEPS {
        match journal.next(&mut entry) {
            Ok(Step::Entry) => {
                assert!(entry.seqnum > before, "numbers rise");
                before = entry.seqnum;
                times.push((entry.seqnum, entry.realtime_us));
                let kept: usize = entry.fields().map(|(name, value)| name.len() + value.len()).sum();
                assert!(kept <= MAX_ENTRY_BYTES);
                assert_eq!(line(&entry).record.position, before);
            }
            Ok(Step::Damaged) => {}
            Ok(Step::End | Step::Archived) | Err(_) => break,
        }
    }
    let Some(&(seqnum, realtime_us)) = times.get(times.len() / 2) else { return };
    let _ = journal.seek_after(seqnum);
    let _ = journal.next(&mut entry);
    let _ = journal.seek_realtime(realtime_us);
    let _ = journal.next(&mut entry);
    let _ = journal.seek_last(3);
    let _ = journal.next(&mut entry);
    let _ = journal.seek_cursor(&journal.cursor());
    let _ = journal.next(&mut entry);
}

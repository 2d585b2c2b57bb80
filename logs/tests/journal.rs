//! The journal reader against systemd's own: files of a real systemd-journald, read by both, equal entry by entry.

mod journald;
#[path = "journald/lz4.rs"]
mod lz4;
#[path = "journald/oracle.rs"]
mod oracle;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use journald::Journald;
use logs::Severity;
use logs::journal::{Cursor, Entry, Header, Journal, Sought, State, Step, line};
use oracle::{One, assert_equal, journalctl, ours};

const COMPACT: u32 = 16;
const KEYED_HASH: u32 = 4;
const LZ4: u32 = 2;
const ZSTD: u32 = 8;

/// Entries of every kind that there is.
fn talk(journald: &Journald, entries: usize) {
    let long = "a long value that compresses well ".repeat(3000);
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut stdout = journald.stdout("talker");
    writeln!(stdout, "<3>an error\n<7>for debugging\nplain").expect("lines");
    // Journald cuts lines at LineMax.
    writeln!(stdout, "{}", "x".repeat(200_000)).expect("a line");
    writeln!(stdout, "after").expect("a line");
    journald.syslog(b"<11>Nov 30 12:00:00 tagged[77]: by syslog");
    journald.syslog(b"<12>no tag \xff\xfe");
    for n in 0..entries {
        let message = format!("entry {n} of {entries}");
        let number = n.to_string();
        let mut fields: Vec<(&str, &[u8])> =
            vec![("MESSAGE", message.as_bytes()), ("PRIORITY", b"6"), ("NUMBER", number.as_bytes())];
        match n % 50 {
            1 => fields.push(("LONG", long.as_bytes())),
            2 => fields.push(("BINARY", &every_byte)),
            3 => fields.push(("LINES", b"one\ntwo\n\n\tfour \x1b[31mred")),
            4 => fields.extend([("TWICE", &b"a"[..]), ("TWICE", b"b"), ("TWICE", b"a")]),
            5 => fields.push(("EMPTY", b"")),
            6 => fields[0] = ("OTHER", b"an entry without a message"),
            _ => {}
        }
        journald.send(&fields);
    }
    journald.sync();
}

/// Both read the same from a file that is as wanted.
fn same(path: &Path, wanted: impl Fn(&Header) -> bool) -> Vec<One> {
    let (entries, journal) = ours(path);
    assert!(wanted(journal.header()), "another kind of file: {:?}", journal.header());
    assert_equal(&entries, &journalctl(path));
    let counts = journal.counts();
    assert_eq!(
        (counts.damaged_entries, counts.damaged_fields, counts.cut_fields, counts.omitted_fields),
        (0, 0, 0, 0)
    );
    entries
}

fn bit(header: &Header, bit: u32) -> bool {
    header.incompatible & bit != 0
}

#[test]
fn a_file_as_journald_writes_it_by_default_is_read_as_journalctl_reads_it() {
    let journald = Journald::start("", &[]);
    talk(&journald, 500);
    let entries = same(&journald.file(), |header| header.state == State::Online);
    assert!(entries.len() >= 500);
}

#[test]
fn a_file_that_is_not_compact_is_read_as_journalctl_reads_it() {
    let journald = Journald::start("", &[("SYSTEMD_JOURNAL_COMPACT", "0")]);
    talk(&journald, 300);
    same(&journald.file(), |header| !bit(header, COMPACT));
}

#[test]
fn a_compact_compressed_file_is_read_as_journalctl_reads_it() {
    let variables = [("SYSTEMD_JOURNAL_COMPACT", "1"), ("SYSTEMD_JOURNAL_COMPRESS", "ZSTD")];
    let journald = Journald::start("Compress=100", &variables);
    talk(&journald, 300);
    same(&journald.file(), |header| bit(header, COMPACT) && bit(header, ZSTD) && bit(header, KEYED_HASH));
}

#[test]
fn a_file_without_compression_or_keyed_hash_is_read_as_journalctl_reads_it() {
    let journald = Journald::start("Compress=no", &[("SYSTEMD_JOURNAL_KEYED_HASH", "0")]);
    talk(&journald, 300);
    same(&journald.file(), |header| !bit(header, ZSTD) && !bit(header, KEYED_HASH));
}

/// journald before 253 cannot be told to write LZ4, so its ZSTD objects are written anew, behind all others.
#[test]
fn a_file_compressed_with_lz4_is_read_as_journalctl_reads_it() {
    let journald =
        Journald::start("", &[("SYSTEMD_JOURNAL_COMPACT", "0"), ("SYSTEMD_JOURNAL_COMPRESS", "ZSTD")]);
    talk(&journald, 300);
    let expected = journalctl(&journald.file());
    let mut bytes = std::fs::read(journald.file()).expect("a file");
    let rewritten = lz4::rewrite(&mut bytes);
    assert!(rewritten > 0, "nothing was compressed");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lz4.journal");
    std::fs::write(&path, bytes).expect("a copy");
    assert_equal(&same(&path, |header| bit(header, LZ4)), &expected);
}

#[test]
fn an_archived_file_ends_as_archived_and_the_next_goes_on() {
    let journald = Journald::start("", &[]);
    talk(&journald, 120);
    let mut live = Journal::open(File::open(journald.file()).expect("a file")).expect("a journal");
    let mut entry = Entry::default();
    while live.next(&mut entry).expect("an entry") == Step::Entry {}
    assert_eq!(live.next(&mut entry).expect("a step"), Step::End);
    let archived = journald.rotate();
    talk(&journald, 60);
    // The one that was open sees it too, through the descriptor it has.
    let start = Instant::now();
    while live.next(&mut entry).expect("a step") != Step::Archived {
        assert!(start.elapsed() < Duration::from_secs(20), "never archived");
    }
    let entries = same(&archived, |header| header.state == State::Archived);
    let cursor = live.cursor();
    assert_eq!(cursor.seqnum, entries.last().expect("entries").seqnum);
    let mut next = Journal::open(File::open(journald.file()).expect("a file")).expect("a journal");
    assert_eq!(next.seek_cursor(&cursor).expect("a seek"), Sought::Exact);
    assert_eq!(next.next(&mut entry).expect("a step"), Step::Entry);
    assert_eq!(entry.seqnum, cursor.seqnum + 1);
    same(&journald.file(), |header| header.state == State::Online);
}

#[test]
fn a_file_is_followed_while_it_is_written() {
    let journald = Journald::start("", &[]);
    journald.send(&[("MESSAGE", b"first")]);
    journald.sync();
    let mut journal = Journal::open(File::open(journald.file()).expect("a file")).expect("a journal");
    let mut read = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..5000 {
                let message = format!("live {n}");
                let text = "some more text ".repeat(n % 90);
                journald.send(&[("MESSAGE", message.as_bytes()), ("MORE", text.as_bytes())]);
            }
            journald.send(&[("MESSAGE", b"last")]);
        });
        let mut entry = Entry::default();
        let start = Instant::now();
        while entry.get("MESSAGE") != Some(b"last") {
            assert!(start.elapsed() < Duration::from_mins(2), "the last entry never comes");
            match journal.next(&mut entry).expect("a step") {
                Step::Entry => read.push(One::of(&entry)),
                Step::End => std::thread::yield_now(),
                step => panic!("{step:?}"),
            }
        }
    });
    journald.sync();
    assert_eq!((journal.counts().damaged_fields, journal.counts().damaged_entries), (0, 0));
    assert_equal(&read, &journalctl(&journald.file()));
}

/// The next file of a sequence: of those that begin behind the cursor, the first. One that was made just now has no entries; it tells
/// by its tail number where it begins.
fn next_file(journald: &Journald, cursor: &Cursor) -> Option<Journal<File>> {
    let open = |path| Journal::open(File::open(path).ok()?).ok();
    let mut files: Vec<_> = journald.files().into_iter().filter_map(open).collect();
    files.retain(|file| {
        file.header().file_id != cursor.file_id && file.header().first_seqnum() > cursor.seqnum
    });
    files.sort_by_key(|file| file.header().first_seqnum());
    let mut next = files.into_iter().next()?;
    (next.seek_cursor(cursor).expect("a seek") == Sought::Exact).then_some(next)
}

#[test]
fn each_entry_is_read_once_while_files_are_rotated_under_load() {
    const ENTRIES: u64 = 6000;
    let journald = Journald::start("", &[]);
    journald.send(&[("MESSAGE", b"first")]);
    journald.sync();
    let mut journal = Journal::open(File::open(journald.file()).expect("a file")).expect("a journal");
    let mut numbers = Vec::new();
    let mut files = 1;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..ENTRIES {
                journald.send(&[("MESSAGE", b"m"), ("NUMBER", n.to_string().as_bytes())]);
                if n % 1500 == 700 {
                    journald.rotate();
                }
            }
        });
        let mut entry = Entry::default();
        let start = Instant::now();
        while (numbers.len() as u64) < ENTRIES {
            assert!(
                start.elapsed() < Duration::from_mins(2),
                "{} of {ENTRIES} after {files} files",
                numbers.len()
            );
            match journal.next(&mut entry).expect("a step") {
                Step::Entry => {
                    let number =
                        entry.get("NUMBER").map(|number| String::from_utf8_lossy(number).parse::<u64>());
                    numbers.extend(number.map(|number| number.expect("a number")));
                }
                Step::End => std::thread::yield_now(),
                Step::Archived => match next_file(&journald, &journal.cursor()) {
                    Some(next) => {
                        journal = next;
                        files += 1;
                    }
                    None => std::thread::yield_now(),
                },
                Step::Damaged => panic!("damaged: {:?}", journal.counts()),
            }
        }
    });
    assert!(numbers.iter().copied().eq(0..ENTRIES), "not each once and in order");
    assert_eq!(files, 5);
}

#[test]
fn seeks_go_where_they_say() {
    let journald = Journald::start("", &[]);
    talk(&journald, 700);
    let (all, mut journal) = ours(&journald.file());
    let mut entry = Entry::default();
    let mut after = |journal: &mut Journal<File>| match journal.next(&mut entry).expect("a step") {
        Step::Entry => Some(entry.seqnum),
        _ => None,
    };
    let first_after = |seqnum: u64| all.iter().map(|one| one.seqnum).find(|known| *known > seqnum);
    for one in &all {
        journal.seek_after(one.seqnum).expect("a seek");
        assert_eq!(journal.cursor().seqnum, one.seqnum);
        assert_eq!(after(&mut journal), first_after(one.seqnum));
        journal.seek_realtime(one.realtime_us).expect("a seek");
        let expected =
            all.iter().find(|known| known.realtime_us >= one.realtime_us).map(|known| known.seqnum);
        assert_eq!(after(&mut journal), expected);
    }
    for count in [0, 1, 10, all.len() as u64, u64::MAX] {
        journal.seek_last(count).expect("a seek");
        let at = all.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        assert_eq!(after(&mut journal), all.get(at).map(|one| one.seqnum));
    }
    journal.seek_head();
    assert_eq!(after(&mut journal), Some(1));
    journal.seek_tail().expect("a seek");
    assert_eq!(after(&mut journal), None);
    let foreign = Cursor { seqnum_id: [0; 16], ..journal.cursor() };
    assert_eq!(journal.seek_cursor(&foreign).expect("a seek"), Sought::Foreign);
}

/// A copy that ends early, or has holes: what can be read of it is what journalctl reads of the whole, in its order; the rest is
/// counted.
#[test]
fn of_a_cut_or_damaged_copy_the_rest_is_read_and_the_loss_counted() {
    let journald = Journald::start("Compress=no", &[]);
    talk(&journald, 600);
    let whole = journalctl(&journald.file());
    let bytes = std::fs::read(journald.file()).expect("a file");
    let used = ours(&journald.file()).1.header().tail_object_offset as usize;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("damaged.journal");
    let mut read_in_all = 0;
    for part in 1..20 {
        let at = used * part / 20;
        let hole = at..(at + 500).min(bytes.len());
        let mut holed = bytes.clone();
        holed[hole].fill(0xa5);
        for copy in [&bytes[..at], &holed] {
            std::fs::write(&path, copy).expect("a copy");
            let Ok(file) = Journal::open(File::open(&path).expect("a file")) else {
                assert!(copy.len() < 208 || at < 300, "not opened: {at}");
                continue;
            };
            drop(file);
            let (read, journal) = ours(&path);
            let counts = journal.counts();
            assert_eq!(read.len() as u64 + counts.damaged_entries, whole.len() as u64, "cut at {at}");
            for one in &read {
                let known =
                    whole.iter().find(|known| known.seqnum == one.seqnum).expect("an entry of the file");
                let foreign = one.fields.iter().filter(|field| !known.fields.contains(field)).count();
                assert!(
                    foreign == 0 || copy.len() == bytes.len(),
                    "a field that was never sent, cut at {at}"
                );
            }
            read_in_all += read.len();
        }
    }
    assert!(read_in_all > whole.len() * 8, "only {read_in_all} of 38 times {}", whole.len());
}

#[test]
fn entries_are_records_and_what_journald_leaves_out_is_counted() {
    let journald = Journald::start("RateLimitIntervalSec=2s\nRateLimitBurst=50", &[]);
    let mut stdout = journald.stdout("noisy");
    writeln!(stdout, "<4>a warning").expect("a line");
    // The first message of a process says what its unit is.
    journald.sync();
    journald.send(&[
        ("MESSAGE", "caf\u{e9}".as_bytes()),
        ("PRIORITY", b"2"),
        ("CONTAINER_NAME", b"web"),
        ("K", b"v"),
    ]);
    journald.sync();
    let mut journal = Journal::open(File::open(journald.file()).expect("a file")).expect("a journal");
    let mut lines = Vec::new();
    let mut entry = Entry::default();
    while journal.next(&mut entry).expect("a step") == Step::Entry {
        lines.push(line(&entry));
    }
    let warning = lines.iter().find(|line| line.record.message == "a warning").expect("the line");
    assert_eq!((warning.record.severity, warning.stream.get("comm")), (Severity::Warning, Some("noisy")));
    // The one of the stream's head, or of the service that runs the test.
    assert!(warning.stream.get("unit").is_some(), "{:?}", warning.stream);
    let critical = lines.iter().find(|line| line.record.message == "caf\u{e9}").expect("the entry");
    assert_eq!(
        (critical.record.severity, critical.stream.get("container")),
        (Severity::Critical, Some("web"))
    );
    assert_eq!(critical.record.pid, std::process::id());
    assert!(critical.record.fields.contains(&("K".into(), "v".into())));

    for n in 0..1000 {
        writeln!(stdout, "burst {n}").expect("a line");
    }
    let start = Instant::now();
    let (mut kept, mut suppressed) = (0, 0);
    while kept + suppressed < 1000 {
        assert!(start.elapsed() < Duration::from_secs(30), "{kept} kept, {suppressed} suppressed");
        if journal.next(&mut entry).expect("a step") == Step::Entry {
            let line = line(&entry);
            suppressed += line.suppressed;
            kept += u64::from(line.record.message.starts_with("burst "));
        } else {
            // It says how many it left out when a line comes after the interval.
            std::thread::sleep(Duration::from_millis(200));
            writeln!(stdout, "another").expect("a line");
        }
    }
    assert!(suppressed > 0, "nothing was suppressed");
}

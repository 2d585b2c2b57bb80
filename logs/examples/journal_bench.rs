//! CPU time for an entry of a journal file: `journal_bench FILE`. Each of five runs reads the file from its head with a new reader; the
//! file is in the page cache from the second on.

use std::fs::File;

use logs::journal::{Entry, Journal, Step, line};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: journal_bench FILE")?;
    for _ in 0..5 {
        for records in [false, true] {
            let start = cpu_ns();
            let mut journal = Journal::open(File::open(&path)?)?;
            let mut entry = Entry::default();
            let (mut entries, mut bytes) = (0u64, 0);
            loop {
                match journal.next(&mut entry)? {
                    Step::Entry if records => bytes += line(&entry).record.message.len(),
                    Step::Entry => {
                        bytes +=
                            entry.fields().map(|(name, value)| name.len() + 1 + value.len()).sum::<usize>();
                    }
                    Step::Damaged => {}
                    Step::End | Step::Archived => break,
                }
                entries += 1;
            }
            let each = (cpu_ns() - start) as f64 / entries.max(1) as f64;
            let what = if records { "with records" } else { "fields alone" };
            println!(
                "{entries} entries, {bytes} bytes, {what}: {each:.0} ns an entry; {:?}",
                journal.counts()
            );
        }
    }
    Ok(())
}

/// What this thread has run so far: wall time would have that of others in it.
fn cpu_ns() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a kernel with schedstat");
    schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

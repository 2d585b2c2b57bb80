//! Files are written, renamed, copied and cut while they are read.

use super::*;

#[test]
fn what_is_written_is_read_once_and_again_what_was_not_safe() {
    let mut host = Host::new();
    host.write(100);
    host.poll();
    host.commit();
    host.write(100);
    host.poll();
    // Not committed: read again, and known by its offset.
    host.restart();
    host.write(10);
    host.all_is_there_once();
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_ends() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    host.rotate();
    // The program writes to the old file for a while.
    let mut old = append(&host.dir.path().join("app.log.1"));
    writeln!(old, "line 00000010 of the program, which says something").expect("written");
    host.written.push("line 00000010 of the program, which says something".to_owned());
    host.write(10);
    host.all_is_there_once();
    assert_eq!(host.files.as_ref().expect("files").figures().files, 2);
    host.now += Duration::from_mins(1);
    host.poll();
    host.commit();
    host.poll();
    assert_eq!(host.files.as_ref().expect("files").figures().files, 1, "the old one is forgotten");
}

#[test]
fn a_copy_that_is_overwritten_is_not_the_file_that_it_was_made_of() {
    for read in [false, true] {
        let mut host = Host::new();
        host.write(10);
        host.poll();
        host.write(10);
        host.copy_and_truncate();
        host.write(1);
        if read {
            host.poll();
        } else {
            // The cut is seen, and nothing of the copy was read.
            let (files, reader) = (host.files.as_mut().expect("files"), &mut host.reader);
            files.poll(host.now, 10_000, &mut |chunk| reader.take(chunk));
        }
        let sources = host.reader.marks.len();
        fs::write(host.dir.path().join("app.log.1"), "short\n").expect("written");
        host.poll();
        host.poll();
        host.write(10);
        host.poll();
        assert!(!host.reader.lines.contains(&"short".to_owned()));
        assert!(host.reader.marks.len() <= sources + usize::from(!read), "no other source");
        assert_eq!(host.reader.ends, 1);
        let lost = if read { 0 } else { 10 };
        assert_eq!(host.reader.lines.len() + lost, host.written.len());
    }
}

#[test]
fn the_rest_of_a_copied_file_is_read_from_the_copy() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    host.write(10);
    host.copy_and_truncate();
    host.write(30);
    host.all_is_there_once();
    // Cut and grown beyond what was read before: the bytes tell.
    host.write(5);
    host.copy_and_truncate();
    host.write(500);
    host.all_is_there_once();
    assert_eq!(host.files.as_ref().expect("files").figures().rests_lost, 0);
}

#[test]
fn of_a_file_that_was_there_before_the_first_start_the_last_lines_are_read() {
    let mut host = Host::new();
    host.write(10_000);
    host.poll();
    let read = host.reader.lines.len();
    assert!((500..2_000).contains(&read), "{read}");
    assert_eq!(host.reader.lines.last(), host.written.last());
    // One that appears later is read from its start.
    let mut new = append(&host.dir.path().join("new.log"));
    for nth in 0..5_000 {
        writeln!(new, "new {nth}").expect("written");
    }
    host.poll();
    assert_eq!(host.reader.lines.len(), read + 5_000);
}

#[test]
fn what_is_no_regular_file_is_left_alone() {
    let host = Host::new();
    nix::unistd::mkfifo(&host.dir.path().join("pipe.log"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    std::os::unix::fs::symlink("/dev/zero", host.dir.path().join("zero.log")).expect("a link");
    fs::create_dir(host.dir.path().join("dir.log")).expect("a directory");
    let mut files = Files::new(host.options(), None);
    files.poll(Instant::now(), 1 << 20, &mut |_| panic!("nothing is in the one file"));
    assert_eq!(files.figures().files, 1);
}

#[test]
fn lines_survive_any_order_of_writing_rotating_reading_and_restarts() {
    for seed in 1..40_u64 {
        let mut host = Host::new();
        host.poll();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..60 {
            match next(9) {
                0..=2 => host.write(1 + next(200) as u32),
                3 | 4 => host.poll(),
                5 => host.commit(),
                6 => {
                    // A file that nobody has read any of cannot be told from its copy.
                    host.write(1);
                    host.poll();
                    host.write(next(50) as u32);
                    if next(2) == 0 {
                        host.rotate();
                    } else {
                        host.copy_and_truncate();
                    }
                    if next(3) == 0 {
                        host.write(1);
                        host.poll();
                        host.compress();
                    }
                }
                7 => host.restart(),
                _ => {
                    let saved = host.away();
                    host.write(next(100) as u32);
                    host.back(saved);
                }
            }
        }
        host.poll();
        host.compare(&format!("seed {seed}"));
    }
}

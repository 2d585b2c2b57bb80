//! What was not safe is read again after a restart, wherever it is by then.

use super::*;

#[test]
fn what_was_not_safe_of_a_renamed_file_that_had_ended_is_read_after_a_restart() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    host.commit();
    host.write(10);
    host.rotate();
    host.write(1);
    host.poll();
    host.now += Duration::from_mins(1);
    host.poll();
    let saved = host.away();
    let ended = saved.iter().find(|one| one.end.is_some()).expect("the renamed one has ended").clone();
    // Its last ten lines reached nobody.
    host.reader.marks.insert(file::source(&ended.file, ended.begun), ended.offset);
    let unsafe_lines = host.written[10..20].to_vec();
    host.reader.lines.retain(|line| !unsafe_lines.contains(line));
    host.reader.ends = 0;
    host.back(saved);
    host.all_is_there_once();
    host.poll();
    assert_eq!(host.reader.ends, 1, "who takes the chunks is told that it ends");
    host.commit();
    let saved = host.away();
    // It was said before that all of it is safe.
    host.back([saved, vec![Saved { offset: ended.end.expect("an end"), ..ended }]].concat());
    host.poll();
    let figures = host.files.as_ref().expect("files").figures();
    assert_eq!((figures.files, figures.rests_lost), (1, 0));
}

#[test]
fn files_that_were_rotated_while_nobody_looked_are_found() {
    for compressed in [false, true] {
        for by_copy in [false, true] {
            let mut host = Host::new();
            host.write(20);
            host.poll();
            host.commit();
            let saved = host.away();
            host.write(20);
            if by_copy {
                host.copy_and_truncate();
            } else {
                host.rotate();
            }
            if compressed {
                host.compress();
            }
            host.write(7);
            host.back(saved);
            host.all_is_there_once();
            let figures = host.files.as_ref().expect("files").figures();
            assert_eq!(figures.rests_lost, 0, "compressed: {compressed}, by copy: {by_copy}");
        }
    }
}

#[test]
fn a_cut_before_all_was_safe_is_made_good_from_the_copy_after_a_restart() {
    let mut host = Host::new();
    host.write(20);
    host.poll();
    host.commit();
    host.write(20);
    host.poll();
    host.copy_and_truncate();
    host.write(3);
    host.poll();
    // Nothing after the first twenty lines is safe: a new reader, which knows only those, gets the rest.
    let saved = host.away();
    let safe: HashMap<SourceId, u64> =
        saved.iter().map(|one| (file::source(&one.file, one.begun), one.offset)).collect();
    host.reader.lines.truncate(20);
    host.reader.marks = safe;
    host.reader.open.clear();
    host.back(saved);
    host.all_is_there_once();
}

#[test]
fn a_file_that_is_new_after_a_restart_is_read_from_its_start() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    host.commit();
    let saved = host.away();
    let mut new = append(&host.dir.path().join("new.log"));
    for _ in 0..5_000 {
        let line = format!("line {:08} of the program, which says something", host.written.len());
        writeln!(new, "{line}").expect("written");
        host.written.push(line);
    }
    host.back(saved);
    host.all_is_there_once();
}

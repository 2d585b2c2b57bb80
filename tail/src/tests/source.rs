//! What tells that a file is the one that was read before.

use super::*;

#[test]
fn what_a_source_is_known_by_is_to_be_saved_before_its_first_bytes_go() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    let files = host.files.as_mut().expect("files");
    assert!(files.must_be_saved() && !files.must_be_saved());
    let first = files.saved();
    assert!(first.len() == 1 && first[0].first.is_some());
    host.write(10);
    host.poll();
    assert!(!host.files.as_mut().expect("files").must_be_saved(), "it is known");
    host.copy_and_truncate();
    host.write(3);
    host.poll();
    let files = host.files.as_mut().expect("files");
    assert!(files.must_be_saved() && !files.must_be_saved());
    let saved = files.saved();
    assert!(saved.iter().any(|new| new.begun != first[0].begun && new.first.is_some()), "{saved:?}");
}

#[test]
fn a_young_file_that_was_cut_while_nobody_looked_is_another_source() {
    for reads_between in [false, true] {
        let mut host = Host::new();
        host.write(10);
        host.poll();
        // Nothing is committed: the spool is written to the disk each ten seconds.
        let mut saved = host.away();
        if reads_between {
            host.back(saved);
            saved = host.away();
        }
        host.copy_and_truncate();
        host.write(20);
        host.back(saved);
        host.all_is_there_once();
        assert_eq!(host.files.as_ref().expect("files").figures().rests_lost, 0);
    }
}

#[test]
fn what_was_read_of_a_young_file_and_reached_nobody_is_read_from_the_copy() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    let saved = host.away();
    host.reader = Reader::default();
    host.copy_and_truncate();
    host.write(20);
    host.back(saved);
    host.all_is_there_once();
}

#[test]
fn a_program_that_begins_with_the_same_line_is_known_by_more_than_that() {
    let mut host = Host::new();
    writeln!(host.open, "program starts").expect("written");
    host.poll();
    host.write(10);
    host.poll();
    let saved = host.away();
    host.open.set_len(0).expect("cut");
    writeln!(host.open, "program starts").expect("written");
    host.write(20);
    host.back(saved);
    host.poll();
    assert_eq!(host.reader.lines.iter().filter(|line| *line == "program starts").count(), 2);
    host.reader.lines.retain(|line| line != "program starts");
    host.all_is_there_once();
}

#[test]
fn a_cut_between_a_restart_and_the_first_read_shows() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    host.restart();
    // Found again, and not read yet.
    assert!(host.files.as_mut().expect("files").poll(host.now, 0, &mut |_| panic!("there is no budget")));
    host.copy_and_truncate();
    host.write(20);
    host.all_is_there_once();
}

#[test]
fn a_file_whose_place_is_not_known_any_more_is_never_taken_for_what_was_read_before() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    // Saved before this file was there, or lost since.
    drop(host.away());
    host.copy_and_truncate();
    host.write(20);
    host.back(Vec::new());
    host.all_is_there_once();
}

#[test]
fn an_inode_that_is_used_again_is_another_file() {
    let mut host = Host::new();
    host.write(30);
    host.poll();
    host.commit();
    let saved = host.away();
    fs::remove_file(host.log()).expect("removed");
    host.open = append(&host.log());
    // The same first lines as before, in a file that may have the same inode.
    let lines = host.written.clone();
    for line in &lines {
        writeln!(host.open, "{line}").expect("written");
    }
    host.back(saved);
    host.poll();
    assert_eq!(host.reader.lines.len(), 60);
}

//! What is kept in memory and on disk.

use std::fs;

use agent_common::wire::postmortem::{Blamed, Cause, CauseClass, End, EndKind, EndedProcess};

use super::*;

fn kept(pid: u32, padding: usize) -> Kept {
    let process = EndedProcess { pid, cmdline: "x".repeat(padding), ..EndedProcess::default() };
    Kept {
        id: format!("crash/process/{pid}/1"),
        postmortem: PostMortem {
            process,
            ended: End { at_ns: 1, kind: EndKind::Exit, code: Some(1), signal: None, core: false, by: None },
            cause: Cause {
                class: CauseClass::Unknown,
                subject: Blamed::default(),
                text: String::new(),
                confidence: 0.1,
            },
            evidence: Vec::new(),
            ruled_out: Vec::new(),
            repeats: None,
        },
        facts: Arc::default(),
    }
}

#[test]
fn they_outlive_the_daemon_and_a_cut_line_costs_only_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = Store::path_in(dir.path());
    let mut store = Store::open(path.clone());
    for pid in 1..=3 {
        store.add(kept(pid, 10));
    }
    let mut file = OpenOptions::new().append(true).open(&path).expect("the file");
    file.write_all(b"\n{\"id\":\"cut").expect("written");
    let pids = |store: &Store| store.kept.iter().map(|kept| kept.postmortem.process.pid).collect::<Vec<_>>();
    let mut again = Store::open(path.clone());
    assert_eq!(pids(&again), [1, 2, 3]);
    assert_eq!(again.last(|_| true).map(|kept| kept.id.clone()), Some("crash/process/3/1".into()));
    again.add(kept(4, 10));
    assert_eq!(pids(&Store::open(path)), [1, 2, 3, 4]);
}

#[test]
fn a_file_whose_lines_end_with_their_line_end_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = Store::path_in(dir.path());
    let lines = [1, 2].map(|pid| serde_json::to_string(&kept(pid, 10)).expect("JSON") + "\n");
    fs::write(&path, lines.concat()).expect("written");
    let mut store = Store::open(path.clone());
    store.add(kept(3, 10));
    assert_eq!(Store::open(path).kept.len(), 3);
}

#[test]
fn facts_of_a_post_mortem_are_there_however_many_ends_came_after() {
    let dir = tempfile::tempdir().expect("a directory");
    let ends = PostMortems::of(dir.path());
    let facts = |pid| {
        let mut facts = Facts::default();
        facts.process.pid = pid;
        Arc::new(facts)
    };
    ends.saw(facts(1));
    ends.add(Kept { facts: facts(1), ..kept(1, 10) });
    for pid in 2..100 {
        ends.saw(facts(pid));
    }
    assert_eq!(ends.facts(&Which::Last), Some(facts(99)), "without a post-mortem, too");
    for which in [Which::Pid(1), Which::Event("crash/process/1/1".into())] {
        assert_eq!(ends.facts(&which), Some(facts(1)), "{which:?}");
    }
    assert_eq!(ends.facts(&Which::Pid(2)), None);
}

#[test]
fn memory_and_disk_have_a_bound() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = Store::path_in(dir.path());
    let mut store = Store::open(path.clone());
    for pid in 0..700 {
        store.add(kept(pid, if pid % 10 == 5 { 70_000 } else { 50_000 }));
        assert!(fs::metadata(&path).expect("the file").len() <= MAX_FILE_BYTES);
    }
    assert_eq!(store.kept.len(), MAX_KEPT);
    let lines = fs::read_to_string(&path).expect("text");
    assert!(lines.lines().all(|line| line.len() <= MAX_LINE_BYTES), "long ones are in memory alone");
    let again = Store::open(path);
    assert_eq!(again.last(|_| true).map(|kept| kept.postmortem.process.pid), Some(699));
}

#[test]
fn earlier_ends_are_those_of_the_same_program_and_arguments() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = Store::open(Store::path_in(dir.path()));
    let facts = |cmdline: &str, at_ns| {
        let mut facts = Facts::default();
        facts.process.cmdline = cmdline.to_owned();
        facts.ended.at_ns = at_ns;
        facts
    };
    assert!(store.note(&facts("a", 1)).is_empty());
    assert!(store.note(&facts("b", 2)).is_empty());
    assert_eq!(store.note(&facts("a", 3)).iter().map(|end| end.at_ns).collect::<Vec<_>>(), [1]);
    for nth in 0..3000 {
        store.note(&facts(&nth.to_string(), 10 + nth));
        store.note(&facts("a", 10 + nth));
        store.saw(Arc::default());
    }
    assert!(store.earlier.len() <= MAX_KEYS && store.facts.len() <= MAX_FACTS);
    assert_eq!(store.note(&facts("a", 9999)).len(), MAX_EARLIER);
}

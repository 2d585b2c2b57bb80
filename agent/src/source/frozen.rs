//! Processes that a cgroup keeps frozen: none of their threads runs, so they answer no request.
//!
//! The scheduler shows no state "frozen". Up to 6.0 the freezer of cgroup v1 puts a thread into an uninterruptible wait.
//! Since then it changes the state of a sleeping thread without a context switch. In v2 a thread waits on its way back to
//! user mode, as if for a signal. So the collector reads the files of a process' cgroup, if no thread of the process has
//! changed its state in a window.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use agent_common::units::{MonoNs, Tgid};
use diagnosis::window::{FrozenRow, ProcessTimes, Wait};

use super::task::groups_above;

/// Most processes whose cgroups are read in a window, 15 µs each. Those that stopped last come first.
const MAX_PROCESSES: usize = 64;
/// Most cgroups whose state is read in a window, 10 µs each.
const MAX_CGROUPS: usize = 64;
/// Windows after which a process that still does not run is read again: it may have moved to another cgroup.
const RECHECK_WINDOWS: u64 = 10;
/// Windows between two looks at where cgroups are mounted.
const MOUNTS_EVERY: u64 = 30;
/// Most bytes that are read of a cgroup's file.
const MAX_FILE_BYTES: u64 = 4096;
/// Most bytes that are read of the list of mounts.
const MAX_MOUNTS_BYTES: u64 = 1 << 20;

/// A hierarchy with a freezer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    /// Where it is mounted, and which of its directories is seen there.
    point: String,
    root: String,
    unified: bool,
}

/// A cgroup: its hierarchy's place in the list, and its path there.
type Group = (usize, Arc<str>);

/// The frozen cgroup, and its freezer file.
type Freezer = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct Known {
    /// Start of the first window of those in which nothing of it moved.
    since: MonoNs,
    /// It was seen to move before that.
    ran: bool,
    /// Window of the last look, and its cgroups then: in each hierarchy that has a freezer.
    looked: Option<(u64, Vec<Group>)>,
    /// Number of the last window with it.
    turn: u64,
}

/// Remembers who stands still, and in which cgroups.
#[derive(Debug, Default)]
pub struct FrozenSource {
    known: HashMap<Tgid, Known>,
    hierarchies: Vec<Hierarchy>,
    turn: u64,
}

impl FrozenSource {
    /// Who is frozen at the end of this window.
    ///
    /// Who owes an answer to one of these waits is looked at in any case: it may have been frozen within the window.
    pub fn close(
        &mut self,
        times: &[ProcessTimes],
        waits: &[Wait],
        (start, end): (MonoNs, MonoNs),
    ) -> Vec<FrozenRow> {
        if self.turn.is_multiple_of(MOUNTS_EVERY) {
            self.hierarchies = hierarchies(&beginning("/proc/self/mountinfo", MAX_MOUNTS_BYTES));
        }
        self.turn += 1;
        if self.hierarchies.is_empty() {
            return Vec::new();
        }
        let owing: HashSet<Tgid> =
            waits.iter().filter(|wait| wait.open).filter_map(|wait| wait.peer).collect();
        let still = self.still(times, &owing, start);
        self.look(&still);
        let mut states: HashMap<Group, Option<Freezer>> = HashMap::new();
        let mut rows = Vec::new();
        for tgid in still {
            let Some(Known { since, looked: Some((_, groups)), .. }) = self.known.get(&tgid) else {
                continue;
            };
            for key in groups {
                if !states.contains_key(key) {
                    if states.len() == MAX_CGROUPS {
                        continue;
                    }
                    states.insert(key.clone(), frozen_by(&self.hierarchies[key.0], &key.1));
                }
                if let Some(Some((cgroup, file))) = states.get(key) {
                    let (cgroup, file) = (Arc::clone(cgroup), Arc::clone(file));
                    rows.push(FrozenRow { tgid, cgroup, file, age: end.since(*since) });
                    break;
                }
            }
        }
        rows.sort_unstable_by_key(|row| row.tgid);
        rows
    }

    /// Processes of which nothing has moved, or which owe an answer, those that have just stopped first.
    fn still(&mut self, times: &[ProcessTimes], owing: &HashSet<Tgid>, start: MonoNs) -> Vec<Tgid> {
        let turn = self.turn;
        let mut still = Vec::new();
        for row in times {
            let known = self.known.entry(row.tgid).or_default();
            known.turn = turn;
            if row.threads.is_empty() && !row.resting.is_empty() {
                if known.since == MonoNs(0) {
                    known.since = start;
                }
                still.push((!known.ran, row.tgid));
            } else {
                *known = Known { ran: true, turn, ..Known::default() };
                if owing.contains(&row.tgid) {
                    known.since = start;
                    still.push((false, row.tgid));
                }
            }
        }
        self.known.retain(|_, known| known.turn == turn);
        still.sort_unstable();
        still.into_iter().map(|(_, tgid)| tgid).collect()
    }

    /// Reads the cgroups of those that have not been looked at, or not for long.
    fn look(&mut self, still: &[Tgid]) {
        let mut looks = MAX_PROCESSES;
        for tgid in still {
            let Some(known) = self.known.get_mut(tgid) else { continue };
            let is_new = known.looked.as_ref().is_none_or(|(at, _)| self.turn >= at + RECHECK_WINDOWS);
            if looks == 0 || !is_new {
                continue;
            }
            looks -= 1;
            let text = beginning(&format!("/proc/{tgid}/cgroup"), MAX_FILE_BYTES);
            known.looked = Some((self.turn, groups(&text, &self.hierarchies)));
        }
    }
}

/// Where hierarchies with a freezer are mounted (`mountinfo`).
fn hierarchies(text: &str) -> Vec<Hierarchy> {
    let one = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?.to_owned(), place.next()?.to_owned());
        let mut kind = kind.split(' ');
        let unified = match kind.next()? {
            "cgroup2" => true,
            "cgroup" if kind.nth(1)?.split(',').any(|option| option == "freezer") => false,
            _ => return None,
        };
        Some(Hierarchy { point, root, unified })
    };
    text.lines().filter_map(one).collect()
}

/// Cgroups of a process in these hierarchies, without the roots, which cannot be frozen.
fn groups(text: &str, hierarchies: &[Hierarchy]) -> Vec<Group> {
    let of = |unified: bool| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        let fits = |controllers: &str| {
            if unified {
                controllers.is_empty()
            } else {
                controllers.split(',').any(|name| name == "freezer")
            }
        };
        let (_, path) = lines.find(|(controllers, _)| fits(controllers))?;
        // One outside of the agent's own cgroup namespace begins with `/..`.
        (path != "/" && !path.split('/').any(|part| part == "..")).then_some(path)
    };
    let in_each = hierarchies.iter().enumerate().filter_map(|(at, hierarchy)| {
        let path = of(hierarchy.unified)?;
        let path = if hierarchy.root == "/" { path } else { path.strip_prefix(hierarchy.root.as_str())? };
        (!path.is_empty()).then(|| (at, path.into()))
    });
    in_each.collect()
}

/// The cgroup whose freezer was switched on, and its control file: the cgroup at `path` or one above it. `None`: the cgroup is
/// not frozen.
fn frozen_by(hierarchy: &Hierarchy, path: &str) -> Option<Freezer> {
    let Hierarchy { point, unified, .. } = hierarchy;
    let read = |group: &str, file: &str| beginning(&format!("{point}{group}/{file}"), MAX_FILE_BYTES);
    let is_frozen = if *unified {
        read(path, "cgroup.events").lines().any(|line| line == "frozen 1")
    } else {
        matches!(read(path, "freezer.state").trim(), "FROZEN" | "FREEZING")
    };
    if !is_frozen {
        return None;
    }
    let (freezer, file) = if *unified {
        ("cgroup.freeze", "cgroup.freeze")
    } else {
        ("freezer.self_freezing", "freezer.state")
    };
    let by = groups_above(path).find(|group| read(group, freezer).trim() == "1");
    let by = by.unwrap_or(path);
    Some((by.into(), format!("{point}{by}/{file}").into()))
}

/// The first bytes of a file; nothing where it cannot be read.
fn beginning(path: &str, most: u64) -> String {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut text));
    read.map(|_| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use agent_common::abi::sched::State;

    use super::*;

    const MOUNTINFO: &str = "30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                             31 25 0:27 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
                             32 25 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    /// A file system with these files, in place of `/sys/fs/cgroup`.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn hierarchy(dir: &tempfile::TempDir, unified: bool) -> Hierarchy {
        Hierarchy { point: dir.path().to_str().unwrap().to_owned(), root: "/".to_owned(), unified }
    }

    #[test]
    fn both_versions_are_found_where_they_are_mounted() {
        let found = hierarchies(MOUNTINFO);
        let points: Vec<_> =
            found.iter().map(|one| (one.point.rsplit('/').next().unwrap(), one.unified)).collect();
        assert_eq!(points, [("unified", true), ("freezer", false)]);
        let text = "6:freezer:/docker/a\n1:cpu:/x\n0::/\n";
        assert_eq!(groups(text, &found), [(1, "/docker/a".into())], "a root is never frozen");
        assert_eq!(groups("0::/../outside\n", &found), []);
        let within = [Hierarchy { root: "/docker".to_owned(), ..found[0].clone() }];
        assert_eq!(groups("0::/docker/a\n", &within), [(0, "/a".into())]);
    }

    #[test]
    fn the_frozen_cgroup_is_named_in_v2() {
        let dir = tree(&[
            ("a/cgroup.events", "populated 1\nfrozen 1\n"),
            ("a/cgroup.freeze", "1\n"),
            ("a/b/cgroup.events", "populated 1\nfrozen 1\n"),
            ("a/b/cgroup.freeze", "0\n"),
            ("c/cgroup.events", "populated 1\nfrozen 0\n"),
            ("c/cgroup.freeze", "0\n"),
        ]);
        let v2 = hierarchy(&dir, true);
        let (cgroup, file) = frozen_by(&v2, "/a/b").expect("frozen");
        assert_eq!((&*cgroup, file.rsplit('/').next()), ("/a", Some("cgroup.freeze")));
        assert_eq!(frozen_by(&v2, "/c"), None);
        assert_eq!(frozen_by(&v2, "/gone"), None);
    }

    #[test]
    fn the_frozen_cgroup_is_named_in_v1() {
        let dir = tree(&[
            ("a/freezer.state", "FROZEN\n"),
            ("a/freezer.self_freezing", "1\n"),
            ("a/b/freezer.state", "FROZEN\n"),
            ("a/b/freezer.self_freezing", "0\n"),
            ("c/freezer.state", "THAWED\n"),
        ]);
        let v1 = hierarchy(&dir, false);
        let (cgroup, file) = frozen_by(&v1, "/a/b").expect("frozen");
        assert_eq!((&*cgroup, file.rsplit('/').next()), ("/a", Some("freezer.state")));
        assert_eq!(frozen_by(&v1, "/c"), None);
    }

    #[test]
    fn only_processes_of_which_nothing_moved_are_looked_at_and_those_that_stopped_first() {
        let still = |tgid| ProcessTimes {
            tgid: Tgid(tgid),
            resting: vec![(State::Poll, 1)],
            ..ProcessTimes::default()
        };
        let thread = diagnosis::window::ThreadTimes {
            tid: agent_common::units::Tid(8),
            comm: "t".into(),
            states: Vec::new(),
            voluntary: 1,
            preempted: 0,
            now: None,
        };
        let moves = ProcessTimes { tgid: Tgid(8), threads: vec![thread], ..ProcessTimes::default() };
        let mut source = FrozenSource { turn: 1, ..FrozenSource::default() };
        let owing = HashSet::from([Tgid(8)]);
        assert_eq!(
            source.still(&[still(7), moves.clone()], &owing, MonoNs(1)),
            [Tgid(8), Tgid(7)],
            "it owes an answer"
        );
        let owing = HashSet::new();
        assert_eq!(source.still(&[still(7), moves], &owing, MonoNs(1)), [Tgid(7)]);
        assert_eq!(source.still(&[still(7), still(8)], &owing, MonoNs(2)), [Tgid(8), Tgid(7)]);
        assert_eq!((source.known[&Tgid(7)].since, source.known[&Tgid(8)].since), (MonoNs(1), MonoNs(2)));
    }
}

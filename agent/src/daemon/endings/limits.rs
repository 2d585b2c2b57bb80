//! The limits of a process and its control groups, and how much of each it used.

use std::fs;

use agent_common::abi::endings::Ending;
use postmortem::facts::Limit;

use super::facts;
use crate::source::endings::Ended;
use crate::source::task::groups_above;

/// Names of `RLIMIT_*` in their order, those that a program runs into.
const LIMIT_NAMES: [(usize, &str); 8] = [
    (0, "cpu"),
    (1, "fsize"),
    (2, "data"),
    (3, "stack"),
    (6, "nproc"),
    (7, "nofile"),
    (8, "memlock"),
    (9, "as"),
];
/// Where the hierarchy that counts tasks is mounted: v1, v2, v2 beside v1.
const PIDS_ROOTS: [&str; 3] = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

pub(super) fn of(ended: &Ended, ending: Option<&Ending>) -> Vec<Limit> {
    let mut limits = Vec::new();
    let page = procfs::page_size() as f64;
    if let Some(ending) = ending {
        for (index, name) in LIMIT_NAMES {
            let [soft, _] = ending.limits[index];
            let used = match name {
                "cpu" => Some(ended.cpu.as_secs_f64()),
                "as" => Some(ending.total_pages as f64 * page),
                "data" => Some(ending.data_pages as f64 * page),
                "nofile" => ended.known.as_ref().and_then(|task| task.fds).map(f64::from),
                _ => None,
            };
            if soft != u64::MAX && soft != 0 {
                limits.push(Limit {
                    name: name.to_owned(),
                    used,
                    limit: Some(soft as f64),
                    group: String::new(),
                });
            }
        }
    }
    if let Some(oom) = ended.oom.as_ref().filter(|oom| oom.limit_pages > 0) {
        limits.push(Limit {
            name: "memory.max".to_owned(),
            used: Some(oom.used_pages as f64 * page),
            limit: Some(oom.limit_pages as f64 * page),
            group: facts::group(oom, oom.level),
        });
    }
    let place = ended.known.as_ref().or(ended.known_parent.as_ref());
    let own = ended.known.as_ref().map_or(1, |task| task.threads.max(1));
    limits.extend(place.and_then(|task| tasks(&PIDS_ROOTS, &task.cgroup, own)));
    limits
}

/// `pids.max` of the group, of it and those above it, that is the fullest. `own`: threads of the process, which are gone.
fn tasks(roots: &[&str], group: &str, own: u32) -> Option<Limit> {
    let root = roots.iter().find(|root| fs::exists(format!("{root}{group}/pids.max")).unwrap_or(false))?;
    let limit = |path: &str| {
        let number =
            |file| fs::read_to_string(format!("{root}{path}/{file}")).ok()?.trim().parse::<u32>().ok();
        // `max`: none.
        let most = f64::from(number("pids.max")?);
        let used = (f64::from(number("pids.current")?) + f64::from(own)).min(most);
        Some(Limit {
            name: "pids.max".to_owned(),
            used: Some(used),
            limit: Some(most),
            group: path.to_owned(),
        })
    };
    let free = |limit: &Limit| limit.limit.unwrap_or(0.0) - limit.used.unwrap_or(0.0);
    groups_above(group).filter_map(limit).min_by(|a, b| free(a).total_cmp(&free(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_groups_above_a_process_the_fullest_is_named_in_either_hierarchy() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("pids");
        for (group, max, current) in [
            ("a.slice", "100", "100"),
            ("a.slice/b.service", "64", "10"),
            ("a.slice/b.service/c", "max", "10"),
        ] {
            let group = root.join(group);
            fs::create_dir_all(&group).expect("a directory");
            fs::write(group.join("pids.max"), format!("{max}\n")).expect("written");
            fs::write(group.join("pids.current"), format!("{current}\n")).expect("written");
        }
        let root = root.to_str().expect("text");
        let roots = ["/no/such", root];
        let found = tasks(&roots, "/a.slice/b.service/c", 1).expect("there is a limit");
        assert_eq!((&*found.group, found.used, found.limit), ("/a.slice", Some(100.0), Some(100.0)));
        fs::write(format!("{root}/a.slice/pids.max"), "max").expect("written");
        let found = tasks(&roots, "/a.slice/b.service", 1).expect("there is a limit");
        assert_eq!((&*found.group, found.used, found.limit), ("/a.slice/b.service", Some(11.0), Some(64.0)));
        let many = tasks(&roots, "/a.slice/b.service", 54).expect("there is a limit");
        assert_eq!(many.used, Some(64.0), "it was full while its threads lived");
        assert_eq!(tasks(&roots, "/a.slice", 1), None, "no limit");
        assert_eq!(tasks(&roots, "/gone", 1), None);
    }
}

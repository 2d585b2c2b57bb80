//! cgroup path and container id from `/proc/PID/cgroup`.

/// Hierarchies of cgroup v1 whose path is shown when the v2 one is not in use, best first.
const V1_ORDER: [&str; 4] = ["memory", "name=systemd", "pids", "cpu"];

/// Path in the hierarchy that says most: v2 unless the process is in its root there while a v1 hierarchy (hybrid
/// host) knows better. `/` when there is nothing.
pub(super) fn path(text: &str) -> &str {
    let lines = || {
        text.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            parts.next()?;
            Some((parts.next()?, parts.next()?))
        })
    };
    let v2 = lines().find(|(controllers, _)| controllers.is_empty()).map(|(_, path)| path);
    if let Some(path) = v2.filter(|path| *path != "/") {
        return path;
    }
    let v1 = |wanted: &&str| {
        let has = |(controllers, _): &(&str, &str)| controllers.split(',').any(|name| name == *wanted);
        lines().find(has).map(|(_, path)| path).filter(|path| *path != "/")
    };
    V1_ORDER.iter().find_map(v1).unwrap_or("/")
}

/// Where hierarchies with CPU quotas are mounted: v2, v1 alone, v1 with its accounting, v2 beside v1.
const CPU_V2: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const CPU_V1: [&str; 2] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"];

/// Path of the cgroup whose CPU quota holds the process: the nearest one that has any, in the hierarchy that has the CPU
/// controller. The path in a v1 hierarchy itself where none has: it is what is judged together.
pub(super) fn with_quota(text: &str) -> Option<&str> {
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        parts.next()?;
        Some((parts.next()?, parts.next()?))
    });
    let lines: Vec<_> = lines.collect();
    let v1 = lines.iter().find(|(controllers, _)| controllers.split(',').any(|name| name == "cpu"));
    let (path, roots, file, none) = match v1 {
        Some((_, path)) => (*path, CPU_V1, "cpu.cfs_quota_us", "-1"),
        None => (lines.iter().find(|(controllers, _)| controllers.is_empty())?.1, CPU_V2, "cpu.max", "max"),
    };
    let has_quota = |group: &&str| {
        let read = |root: &&str| std::fs::read_to_string(format!("{root}{group}/{file}")).ok();
        roots.iter().find_map(read).is_some_and(|quota| !quota.starts_with(none))
    };
    let held = groups_above(path).find(has_quota);
    held.or(v1.map(|(_, path)| *path).filter(|path| *path != "/"))
}

/// A group and those above it, without the root.
pub(crate) fn groups_above(path: &str) -> impl Iterator<Item = &str> {
    let above = std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above));
    above.filter(|path| !path.is_empty() && *path != "/")
}

/// Prefixes that runtimes put before the id in a systemd scope's name.
const PREFIXES: [&str; 5] = ["docker-", "cri-containerd-", "crio-", "libpod-", "containerd-"];

/// Id of the container that a cgroup path belongs to: docker, containerd (CRI), CRI-O, podman, kubernetes.
///
/// The id is the deepest path segment of 64 hexadecimal digits, bare (cgroupfs driver: `/docker/<id>`,
/// `/kubepods/burstable/pod…/<id>`, `/libpod_parent/libpod-<id>`) or in a scope's name (systemd driver:
/// `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>.scope`, `libpod-<id>.scope`). A monitor process
/// (`crio-conmon-<id>`, `libpod-conmon-<id>`) is on the host. Containers may have cgroups of their own below.
pub(super) fn container(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|segment| {
        let name = segment.strip_suffix(".scope").unwrap_or(segment);
        // containerd's cgroupfs names may be `kubepods-….slice:cri-containerd:<id>`.
        let name = name.rsplit(':').next().unwrap_or(name);
        let id = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
    })
}

/// True for a line of `/proc/PID/cgroup` below a user's own slice: the user chooses the names there.
pub(super) fn is_of_user(line: &str) -> bool {
    line.contains(":/user.slice/")
}

/// systemd's unit: the deepest service or scope of the path in the v2 hierarchy or, where that is not systemd's (v1, hybrid), in
/// systemd's own.
pub(super) fn unit(text: &str) -> Option<&str> {
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let in_hierarchy = |wanted: &str| {
        let path = lines().find(|(controllers, _)| *controllers == wanted)?.1;
        let is_unit =
            |part: &&str| part.rsplit_once('.').is_some_and(|(_, kind)| matches!(kind, "service" | "scope"));
        path.rsplit('/').find(is_unit).filter(|unit| *unit != "init.scope" || path == "/init.scope")
    };
    in_hierarchy("").or_else(|| in_hierarchy("name=systemd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_hierarchy_that_says_most_is_shown() {
        assert_eq!(path("0::/system.slice/cron.service\n"), "/system.slice/cron.service");
        assert_eq!(path("9:name=systemd:/x\n4:memory:/m\n1:cpu,cpuacct:/c\n0::/\n"), "/m", "hybrid host");
        assert_eq!(path("1:cpu,cpuacct:/c\n"), "/c");
        assert_eq!(path("9:name=systemd:/\n0::/\n"), "/");
        assert_eq!(path("0::/a:b/c\n"), "/a:b/c", "a path may hold a colon");
        assert_eq!(path(""), "/");
    }

    #[test]
    fn every_runtime_is_known() {
        for path in [
            format!("/docker/{ID}"),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/kubepods/besteffort/pod1234/{ID}"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope"),
            format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
            format!("/libpod_parent/libpod-{ID}"),
            format!("/docker/{ID}/init.scope"),
        ] {
            assert_eq!(container(&path), Some(ID), "{path}");
        }
    }

    #[test]
    fn the_inner_container_wins_when_they_nest() {
        let inner = ID.replace('0', "f");
        assert_eq!(container(&format!("/docker/{ID}/docker/{inner}")), Some(&*inner));
    }

    #[test]
    fn the_unit_is_systemds_in_each_kind_of_hierarchy() {
        for (text, expected) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            ("0::/system.slice/nginx.service/workers\n", Some("nginx.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service\n",
                Some("editor.service"),
            ),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", Some("session-3.scope")),
            // systemd inside of a service's own cgroup, and PID 1.
            ("0::/system.slice/box.service/init.scope\n", None),
            ("0::/init.scope\n", Some("init.scope")),
            ("9:memory:/system.slice/a.service\n1:name=systemd:/system.slice/a.service\n", Some("a.service")),
            ("4:memory:/m\n1:name=systemd:/system.slice/a.service/x\n0::/\n", Some("a.service")),
            ("4:memory:/m\n0::/\n", None),
            ("0::/a:b/c.service\n", Some("c.service")),
            ("", None),
        ] {
            assert_eq!(unit(text), expected, "{text}");
        }
    }

    #[test]
    fn what_a_user_names_is_told_from_what_root_does() {
        assert!(is_of_user(&format!(
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"
        )));
        assert!(is_of_user(&format!("4:memory:/user.slice/docker-{ID}.scope")));
        assert!(!is_of_user(&format!("0::/system.slice/docker-{ID}.scope")));
    }

    #[test]
    fn what_is_on_the_host_has_no_container() {
        for path in [
            "/".to_owned(),
            "/system.slice/ssh.service".to_owned(),
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/system.slice/crio-conmon-{ID}.scope"),
            format!("/x/{}", &ID[1..]),
        ] {
            assert_eq!(container(&path), None, "{path}");
        }
    }
}

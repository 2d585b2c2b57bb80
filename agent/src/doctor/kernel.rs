//! The kernel: version, BTF, sysctls, lockdown, mounts.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::{Check, Health, read, sysctl};
use crate::bpf::StartError;

/// Oldest kernel that is tested.
const OLDEST_TESTED: (u32, u32) = (5, 10);

pub(super) fn checks(root: &Path) -> Vec<Check> {
    let mut checks = vec![architecture(), version(root), btf(root), capabilities(root), lockdown(root)];
    checks.extend([
        kptr_restrict(root),
        paranoid(root),
        unprivileged(root),
        bpf_stats(root),
        stack_depth(root),
    ]);
    checks.extend([tracefs(root), cgroup(root), pressure(root), delay_accounting(root), modules(root)]);
    checks
}

fn version(root: &Path) -> Check {
    let Some(release) = read(root, "proc/sys/kernel/osrelease") else {
        return Check::new("kernel", Health::Warn, "unknown: /proc is not mounted")
            .lost("everything that comes from /proc")
            .cure("mount -t proc proc /proc");
    };
    if crate::bpf::version(&release) >= OLDEST_TESTED {
        Check::ok("kernel", release)
    } else {
        let (major, minor) = OLDEST_TESTED;
        Check::new("kernel", Health::Warn, release)
            .lost(format!("nothing is promised below {major}.{minor}, the oldest kernel this is tested on"))
            .cure("use a newer kernel")
    }
}

fn architecture() -> Check {
    match crate::bpf::supported() {
        Ok(()) => Check::ok("architecture", std::env::consts::ARCH),
        Err(StartError::Unsupported { what, cure }) => {
            Check::new("architecture", Health::Fail, what).lost("every probe").cure(cure)
        }
        Err(error) => Check::new("architecture", Health::Fail, error.to_string()),
    }
}

fn btf(root: &Path) -> Check {
    match std::fs::metadata(root.join("sys/kernel/btf/vmlinux")) {
        Ok(data) => Check::ok("BTF", format!("/sys/kernel/btf/vmlinux, {} KiB", data.len() / 1024)),
        Err(_) => Check::new("BTF", Health::Fail, "/sys/kernel/btf/vmlinux is not there")
            .lost("every probe: the offsets into kernel structures come from it")
            .cure("use a kernel built with CONFIG_DEBUG_INFO_BTF=y (all distribution kernels since 2021 are), and mount /sys"),
    }
}

fn capabilities(root: &Path) -> Check {
    if root != Path::new("/") {
        return Check::new("capabilities", Health::Note, "not looked at");
    }
    let missing = crate::bpf::missing_capabilities();
    if missing.is_empty() {
        Check::ok("capabilities", "all that are needed")
    } else {
        Check::new("capabilities", Health::Fail, format!("missing: {}", missing.join(", ")))
            .lost("every probe")
            .cure("run with sudo, or give the capabilities (deploy/ has a systemd unit that does)")
    }
}

fn lockdown(root: &Path) -> Check {
    let Some(text) = read(root, "sys/kernel/security/lockdown") else {
        return Check::ok("lockdown", "off (not in this kernel, or securityfs is not mounted)");
    };
    let mode = text.split(['[', ']']).nth(1).unwrap_or("none").to_owned();
    if mode == "confidentiality" {
        Check::new("lockdown", Health::Fail, mode)
            .lost("every probe: BPF may not read kernel memory")
            .cure("boot with lockdown=integrity or without lockdown=")
    } else {
        Check::ok("lockdown", mode)
    }
}

fn kptr_restrict(root: &Path) -> Check {
    const NAME: &str = "kernel.kptr_restrict";
    match sysctl(root, "kernel/kptr_restrict") {
        Some(value @ 2..) => Check::new(NAME, Health::Warn, value.to_string())
            .lost("names of kernel functions in flame graphs")
            .cure("sysctl -w kernel.kptr_restrict=1"),
        Some(value) => Check::ok(NAME, value.to_string()),
        None => Check::new(NAME, Health::Note, "not there"),
    }
}

fn paranoid(root: &Path) -> Check {
    const NAME: &str = "kernel.perf_event_paranoid";
    match sysctl(root, "kernel/perf_event_paranoid") {
        Some(value) => Check::ok(NAME, format!("{value} (does not bind holders of CAP_PERFMON)")),
        None => Check::new(NAME, Health::Fail, "not there: this kernel has no perf events")
            .lost("on-CPU samples and flame graphs")
            .cure("use a kernel built with CONFIG_PERF_EVENTS=y"),
    }
}

fn unprivileged(root: &Path) -> Check {
    const NAME: &str = "kernel.unprivileged_bpf_disabled";
    match sysctl(root, "kernel/unprivileged_bpf_disabled") {
        Some(0) => Check::new(NAME, Health::Note, "0: every user may load some BPF programs")
            .cure("not needed here; the kernel's advice is sysctl -w kernel.unprivileged_bpf_disabled=2"),
        Some(value) => Check::ok(NAME, value.to_string()),
        None => Check::new(NAME, Health::Note, "not there"),
    }
}

fn bpf_stats(root: &Path) -> Check {
    const NAME: &str = "kernel.bpf_stats_enabled";
    match sysctl(root, "kernel/bpf_stats_enabled") {
        Some(0) => Check::ok(NAME, "0"),
        Some(value) => {
            Check::new(NAME, Health::Note, format!("{value}: each run of each BPF program is timed"))
                .cure("sysctl -w kernel.bpf_stats_enabled=0 when you have finished measuring")
        }
        None => Check::new(NAME, Health::Note, "not there"),
    }
}

fn stack_depth(root: &Path) -> Check {
    const NAME: &str = "kernel.perf_event_max_stack";
    match sysctl(root, "kernel/perf_event_max_stack") {
        Some(value) if value < 127 => Check::new(NAME, Health::Warn, value.to_string())
            .lost("the outer frames of deeper stacks")
            .cure("sysctl -w kernel.perf_event_max_stack=127"),
        Some(value) => Check::ok(NAME, value.to_string()),
        None => Check::new(NAME, Health::Note, "not there"),
    }
}

/// Mount points of a file system type.
fn mounts(root: &Path, kind: &str) -> Vec<String> {
    let text = read(root, "proc/self/mounts").unwrap_or_default();
    let fields = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.filter(|f| f.len() > 2 && f[2] == kind).map(|f| f[1].to_owned()).collect()
}

fn tracefs(root: &Path) -> Check {
    let (tracefs, debugfs) = (mounts(root, "tracefs"), mounts(root, "debugfs"));
    match (tracefs.first(), debugfs.first()) {
        (Some(at), _) | (None, Some(at)) => Check::ok("tracefs", at.clone()),
        (None, None) => Check::new(
            "tracefs",
            Health::Note,
            "neither tracefs nor debugfs is mounted; the probes do without",
        )
        .cure("for other tools: mount -t tracefs tracefs /sys/kernel/tracing"),
    }
}

fn cgroup(root: &Path) -> Check {
    match (mounts(root, "cgroup2").first(), mounts(root, "cgroup").is_empty()) {
        (Some(at), true) => Check::ok("cgroup", format!("v2 at {at}")),
        (Some(at), false) => Check::new("cgroup", Health::Warn, format!("v1 with v2 at {at} (hybrid)"))
            .lost("limits and pressure per cgroup: the controllers are in v1")
            .cure("boot with systemd.unified_cgroup_hierarchy=1"),
        (None, false) => Check::new("cgroup", Health::Warn, "v1")
            .lost("cgroup of samples, pressure per cgroup")
            .cure("boot with systemd.unified_cgroup_hierarchy=1"),
        (None, true) => Check::new("cgroup", Health::Note, "not mounted"),
    }
}

fn pressure(root: &Path) -> Check {
    // The file is there but cannot be read (EOPNOTSUPP) where PSI is built in and off.
    if read(root, "proc/pressure/cpu").is_some() {
        Check::ok("pressure (PSI)", "on")
    } else {
        Check::new("pressure (PSI)", Health::Warn, "off")
            .lost("pressure metrics: time that work stalls for CPU, memory or I/O")
            .cure("boot with psi=1 (the kernel needs CONFIG_PSI=y)")
    }
}

fn delay_accounting(root: &Path) -> Check {
    match sysctl(root, "kernel/task_delayacct") {
        Some(1) => Check::ok("delay accounting", "on"),
        Some(_) => Check::new("delay accounting", Health::Note, "off")
            .lost("time blocked on disk and swap in /proc, which nothing here depends on")
            .cure("sysctl -w kernel.task_delayacct=1"),
        None => Check::new("delay accounting", Health::Note, "not in this kernel"),
    }
}

/// Whether the kernel shows its addresses: zeros are what it shows to those it does not trust.
fn shows_addresses(root: &Path) -> bool {
    let mut first = [0; 4096];
    let read = File::open(root.join("proc/kallsyms")).and_then(|mut file| file.read(&mut first));
    let text = &first[..read.unwrap_or(0)];
    text.split(|byte| *byte == b'\n').any(|line| {
        let address = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        address.len() == 16 && address.iter().any(|digit| *digit != b'0')
    })
}

fn modules(root: &Path) -> Check {
    if root.join("proc/kallsyms").exists() && !shows_addresses(root) {
        return Check::new("kernel symbols", Health::Warn, "/proc/kallsyms hides the addresses")
            .lost("names of kernel functions in flame graphs, and what they tell of waits")
            .cure("run with sudo or CAP_SYSLOG, and kernel.kptr_restrict=1 at most");
    }
    match (root.join("proc/kallsyms").exists(), root.join("proc/modules").exists()) {
        (true, true) => Check::ok("kernel symbols", "/proc/kallsyms, /proc/modules"),
        (true, false) => Check::ok("kernel symbols", "/proc/kallsyms; a kernel without modules"),
        (false, _) => Check::new("kernel symbols", Health::Warn, "/proc/kallsyms is not there")
            .lost("names of kernel functions in flame graphs")
            .cure("use a kernel built with CONFIG_KALLSYMS=y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn health(files: &[(&str, &str)], name: &str) -> Check {
        let dir = tree(files);
        checks(dir.path()).into_iter().find(|check| check.name == name).unwrap()
    }

    #[test]
    fn everything_that_is_not_right_has_a_cure() {
        let dir = tree(&[
            ("proc/sys/kernel/kptr_restrict", "2"),
            ("sys/kernel/security/lockdown", "none [confidentiality]"),
        ]);
        for check in checks(dir.path()) {
            if matches!(check.health, Health::Warn | Health::Fail) {
                assert!(check.cure.is_some() && check.lost.is_some(), "{check:?}");
            }
        }
    }

    #[test]
    fn addresses_that_are_all_zero_are_hidden() {
        let symbols =
            |text| health(&[("proc/kallsyms", text), ("proc/modules", "")], "kernel symbols").health;
        assert_eq!(symbols("0000000000000000 A fixed\n0000000000000000 T startup_64\n"), Health::Warn);
        assert_eq!(symbols("0000000000000000 A fixed\nffffffff81000000 T startup_64\n"), Health::Ok);
    }

    #[test]
    fn what_blocks_the_main_job_is_distinguished_from_what_costs_something() {
        assert_eq!(health(&[], "BTF").health, Health::Fail);
        assert_eq!(health(&[("sys/kernel/btf/vmlinux", "x")], "BTF").health, Health::Ok);
        assert_eq!(
            health(&[("sys/kernel/security/lockdown", "none [integrity] x")], "lockdown").found,
            "integrity"
        );
        assert_eq!(
            health(&[("sys/kernel/security/lockdown", "none integrity [confidentiality]")], "lockdown")
                .health,
            Health::Fail
        );
        assert_eq!(
            health(&[("proc/sys/kernel/kptr_restrict", "2")], "kernel.kptr_restrict").health,
            Health::Warn
        );
        assert_eq!(
            health(&[("proc/sys/kernel/osrelease", "5.4.0-42-generic")], "kernel").health,
            Health::Warn
        );
        assert_eq!(health(&[("proc/sys/kernel/osrelease", "6.1.0")], "kernel").health, Health::Ok);
        let hybrid = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0";
        assert_eq!(health(&[("proc/self/mounts", hybrid)], "cgroup").health, Health::Warn);
        let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0";
        assert_eq!(health(&[("proc/self/mounts", unified)], "cgroup").found, "v2 at /sys/fs/cgroup");
    }
}

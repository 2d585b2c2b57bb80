use std::collections::{BTreeMap, BTreeSet};

use agent_common::abi::python::PythonVerdict;
use agent_common::abi::sched::State;
use agent_common::abi::unwind::Verdict;
use agent_common::units::{DurNs, Tgid, Tid};
use agent_common::wire::line::{self, FieldValue};
use agent_common::wire::registry::{self, Origin};
use diagnosis::testing::{MS, calls, exit, task, window};
use diagnosis::window::{
    ContainerLabels, CpuId, CpuTimes, Disk, Filesystem, HostSample, InFlight, Interface, NetStats, Pressure,
    Pressures, ProcessTimes, SyscallAbi, Tables, TaskIo,
};

use super::*;

/// A window in which everything that can be there is there.
fn full() -> Window {
    let pressure = Some(Pressure { some: DurNs(1), full: Some(DurNs(2)) });
    let mut window = window(0);
    window.host = HostSample {
        cpu: CpuTimes { user: DurNs(5), ..CpuTimes::default() },
        cpus: vec![(CpuId(0), CpuTimes::default()), (CpuId(2), CpuTimes::default())],
        disks: vec![Disk {
            name: "vda".into(),
            flushes: Some(1),
            flush_time: Some(DurNs(1)),
            ..Disk::default()
        }],
        interfaces: vec![Interface {
            name: "eth0".into(),
            rx_bytes: 7,
            speed_bytes: Some(125_000_000),
            ..Interface::default()
        }],
        pressure: Pressures { cpu: pressure, memory: pressure, io: pressure },
        network: Some(NetStats::default()),
        filesystems: vec![Filesystem {
            device: "/dev/vda1".to_owned(),
            fstype: "ext4".to_owned(),
            mountpoint: "/".to_owned(),
            size_bytes: Some(9),
            free_bytes: Some(5),
            available_bytes: Some(4),
            files: Some(3),
            files_free: Some(2),
            ..Filesystem::default()
        }]
        .into(),
        tables: Tables {
            threads: Some((1, 2)),
            pids: Some((1, 2)),
            files: Some((1, 2)),
            conntrack: Some((1, 2)),
        },
        ..HostSample::default()
    };
    window.host.memory.oom_kills = Some(0);
    window.coverage.symbolized_pct = Some(99.0);
    window.coverage.lost = [("sample_ring_full".to_owned(), 3), ("read_failed".to_owned(), 0)].into();
    for tgid in 1..=60 {
        let mut one = task(tgid, "t", u64::from(tgid), 60 - u64::from(tgid));
        one.rss_bytes = u64::from(tgid) * 4096;
        one.runq = Some(DurNs(u64::from(tgid) * MS));
        one.io = Some(TaskIo { read_bytes: u64::from(tgid), write_bytes: 3 });
        (one.min_flt, one.maj_flt, one.threads) = (u64::from(tgid), 1, tgid);
        (one.swap_bytes, one.fds, one.fd_limit) = (Some(1), Some(tgid), Some(1024));
        if tgid == 60 {
            let name = || Some("name".into());
            one.container = Some("c0ffee".into());
            one.labels =
                Some(ContainerLabels { name: name(), pod: name(), namespace: name(), image: name() }.into());
        }
        one.unit = (tgid == 59).then(|| "web.service".into());
        window.tasks.push(one.into());
        for nr in 0..8 {
            window.syscalls.push(calls(
                tgid,
                "t",
                nr,
                u64::from(tgid) + u64::from(nr),
                1,
                100 + u64::from(nr),
            ));
        }
    }
    let rich = diagnosis::testing::full(0);
    (window.waits, window.blame, window.blockio, window.memory) =
        (rich.waits, rich.blame, rich.blockio, rich.memory);
    (window.net, window.irqs, window.signals, window.locks) = (rich.net, rich.irqs, rich.signals, rich.locks);
    window.times = (1..=60)
        .map(|tgid| ProcessTimes {
            tgid: Tgid(tgid),
            comm: "t".into(),
            states: State::ALL.map(|state| (state, DurNs(u64::from(tgid) * (state as u64 + 1)))).into(),
            ..ProcessTimes::default()
        })
        .collect();
    window.unwound = [(Tgid(60), [1; Verdict::ALL.len()])].into();
    window.pythons = [(Tgid(60), [1; PythonVerdict::ALL.len()])].into();
    window.exits = vec![exit(100, 60, "short", 8), exit(101, 99, "stray", 4)];
    window.syscalls.push(calls(100, "short", 0, 1000, 0, 100));
    window.in_flight = vec![InFlight {
        tgid: Tgid(60),
        tid: Tid(60),
        comm: "t".into(),
        abi: SyscallAbi::Native,
        nr: 0,
        age: DurNs(9),
        at_least: true,
    }];
    window
}

fn options() -> PointsOptions {
    PointsOptions { top_n: 10, ..PointsOptions::new("h") }
}

fn sum(points: &[Point], measurement: &str, field: &str) -> i64 {
    let values = points.iter().filter(|point| point.measurement == measurement);
    values
        .filter_map(|point| match point.field_value(field) {
            Some(FieldValue::Int(value)) => Some(*value),
            _ => None,
        })
        .sum()
}

#[test]
fn every_point_is_registered_and_everything_registered_is_published() {
    let points = points(&full(), &options());
    let mut published: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for point in &points {
        let (tags, fields) = published.entry(point.measurement.to_string()).or_default();
        tags.extend(point.tags.iter().map(|(key, _)| key.to_string()));
        fields.extend(point.fields.iter().map(|(key, _)| key.to_string()));
    }
    let known = registry::measurements().filter(|measurement| measurement.origin == Origin::Window);
    let registered: BTreeMap<_, _> = known
        .map(|measurement| {
            let tags = measurement.tags.iter().map(|tag| tag.name.to_owned()).collect();
            let fields = measurement.fields.iter().map(|field| field.name.to_owned()).collect();
            (measurement.name.to_owned(), (tags, fields))
        })
        .collect();
    assert_eq!(published, registered);
}

#[test]
fn what_this_kernel_lacks_is_absent() {
    let mut window = window(0);
    let mut one = task(7, "a", 1, 0);
    (one.runq, one.context_switches, one.io) = (None, None, None);
    window.tasks = vec![one.into()];
    window.coverage.syscall_tier = "counts".into();
    let points = points(&window, &options());
    let process = points.iter().find(|point| point.measurement == "s7mpa_process").unwrap();
    for field in ["runq_ns", "context_switches", "read_bytes", "syscall_ns", "in_flight_age_ns", "fds"] {
        assert_eq!(process.field_value(field), None, "{field}");
    }
    assert!(
        points.iter().all(|point| point.measurement != "s7mpa_pressure" && point.measurement != "s7mpa_lost")
    );
}

#[test]
fn totals_over_all_rows_are_exact() {
    let window = full();
    let points = points(&window, &options());
    let rows = points.iter().filter(|point| point.measurement == "s7mpa_process").count();
    assert_eq!(rows, 11, "ten and `other`");
    let tasks = |of: fn(&diagnosis::window::TaskSample) -> u64| -> i64 {
        window.tasks.iter().map(|task| of(task) as i64).sum()
    };
    let total = |field| sum(&points, "s7mpa_process", field);
    let cpu = total("user_ns") + total("system_ns");
    assert_eq!(cpu, tasks(|task| task.user.0 + task.system.0) + 12 * MS as i64, "and what the exits add");
    assert_eq!(total("runq_ns"), tasks(|task| task.runq.unwrap().0));
    assert_eq!(total("rss_bytes"), tasks(|task| task.rss_bytes));
    assert_eq!(total("threads"), tasks(|task| u64::from(task.threads)));
    assert_eq!(total("read_bytes"), tasks(|task| task.io.unwrap().read_bytes));
    assert_eq!((total("processes"), total("short_lived")), (60, 2));
    let calls: i64 = window.syscalls.iter().map(|row| row.count as i64).sum();
    let time: i64 = window.syscalls.iter().map(|row| row.total.0 as i64).sum();
    let errors: i64 = window.syscalls.iter().map(|row| row.errors as i64).sum();
    assert_eq!((total("syscalls"), sum(&points, "s7mpa_syscall", "count")), (calls, calls));
    assert_eq!((total("syscall_ns"), sum(&points, "s7mpa_syscall", "total_ns")), (time, time));
    assert_eq!((total("syscall_errors"), sum(&points, "s7mpa_syscall", "errors")), (errors, errors));
}

#[test]
fn thread_time_over_all_rows_is_the_hosts() {
    let points = points(&full(), &options());
    for state in State::ALL {
        let field = format!("{}_ns", state.name());
        let rows = sum(&points, "s7mpa_thread_time", &field);
        assert_eq!(rows, 1830 * (state as i64 + 1));
        assert_eq!(rows, sum(&points, "s7mpa_host_time", &field), "{field}");
    }
    let lost = sum(&points, "s7mpa_thread_time", "lost_ns");
    assert!(lost > 0 && lost == sum(&points, "s7mpa_host_time", "lost_ns"));
}

#[test]
fn a_process_has_its_first_calls_and_the_rest_as_other() {
    let points = points(&full(), &options());
    let of_60: Vec<_> = points
        .iter()
        .filter(|point| point.measurement == "s7mpa_syscall" && point.tag_value("pid") == Some("60"))
        .map(|point| point.tag_value("syscall").unwrap())
        .collect();
    assert_eq!(
        of_60,
        ["read", "poll", "lstat", "fstat", "stat", "other"],
        "by time; read has the short-lived child's"
    );
    let read = points.iter().find(|point| point.tag_value("syscall") == Some("read")).unwrap();
    assert_eq!(read.field_value("count"), Some(&FieldValue::Int(1060)));
    assert_eq!(read.tag_value("start"), Some("600"), "ms since boot");
}

#[test]
fn the_points_survive_the_wire() {
    let points = points(&full(), &options());
    let text = line::encode(&points);
    let back: Vec<Point> = line::parse(&text).collect::<Result<_, _>>().unwrap();
    assert_eq!(back.len(), points.len());
    assert_eq!(sum(&back, "s7mpa_process", "user_ns"), sum(&points, "s7mpa_process", "user_ns"));
    let bytes: usize = text.lines().filter(|line| line.starts_with("s7mpa_process,")).map(str::len).sum();
    assert!(bytes / 11 < 500, "{} bytes a process", bytes / 11);
}

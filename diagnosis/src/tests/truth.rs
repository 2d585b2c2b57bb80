//! Verdicts that were wrong once: each with the numbers that it was wrong by.

use agent_common::abi::sched::State::{
    self, DiskRead, Dns, Fsync, FutexLock, Ipc, KernelLock, NetRecv, Oncpu, Poll, RunqPreempted, RunqWoken,
    Sleep, Stopped, Uninterruptible,
};
use agent_common::units::{DurNs, Tgid, Tid};

use super::scene::*;
use crate::testing::{MS, SECOND, calls, exit, shared};
use crate::window::host::{CpuId, CpuTimes};
use crate::window::{FrozenRow, OomKill, ThreadPriority, WaitTarget, Window};

const MMAP: u16 = 9;

/// A wait that lasts, of a thread that did not wake; who is at the other end.
fn lasts(window: &mut Window, of: &W, peer: Option<u32>) {
    wait(window, of);
    let wait = window.waits.last_mut().expect("just put there");
    (wait.open, wait.peer) = (true, peer.map(Tgid));
}

fn frozen(window: &mut Window, tgid: u32, file: &str) {
    let (cgroup, file) = ("/box".into(), format!("/sys/fs/cgroup/box/{file}").into());
    window.frozen.push(FrozenRow { tgid: Tgid(tgid), cgroup, file, age: DurNs(5 * SECOND) });
}

#[test]
fn a_server_that_waits_behind_its_client_has_not_too_many_threads() {
    // redis-server beside redis-benchmark on two CPUs: 0.92 threads ready, and each waits for its turn after each wake-up.
    let windows = scene(|window| {
        let half = CpuTimes { user: DurNs(630 * MS), idle: DurNs(370 * MS), ..CpuTimes::default() };
        window.host.cpus = vec![(CpuId(0), half), (CpuId(1), half)];
        process(window, 10, "redis-server", &[&[(Oncpu, 620), (RunqWoken, 300), (Poll, 80)]]);
        process(window, 20, "redis-benchmark", &[&[(Oncpu, 640), (RunqWoken, 200), (Poll, 160)]]);
        wait(window, &simple(10, 10, Poll, READ, 80, Some((20, 20))));
        wait(window, &simple(20, 20, Poll, READ, 160, Some((10, 10))));
        blame(window, 10, 20, 300);
        blame(window, 20, 10, 200);
    });
    let all = found(&windows);
    assert!(all.iter().all(|finding| finding.class != "runq-self"), "{all:#?}");
}

/// One CPU: `urgent` (11) waits for a lock that `owner` (12) has, which is ready behind `hog` (13).
fn inversion(priorities: [i32; 3]) -> Vec<std::sync::Arc<Window>> {
    scene(move |window| {
        process(
            window,
            10,
            "app",
            &[
                &[(Sleep, 1000)],
                &[(FutexLock, 950), (Oncpu, 20), (Sleep, 30)],
                &[(RunqPreempted, 900), (Oncpu, 60), (Sleep, 40)],
                &[(Oncpu, 900), (RunqPreempted, 100)],
            ],
        );
        let target = WaitTarget::Futex { addr: 0x1000, owner: Some(Tid(12)) };
        wait(window, &W { target, ..simple(10, 11, FutexLock, FUTEX, 950, Some((10, 12))) });
        blame(window, 10, 10, 1000);
        let rows = [11, 12, 13].into_iter().zip(priorities);
        window.priorities =
            rows.map(|(tid, priority)| ThreadPriority { tgid: Tgid(10), tid: Tid(tid), priority }).collect();
    })
}

#[test]
fn an_owner_that_its_own_process_keeps_from_running_is_an_inversion() {
    let finding = alarm(&inversion([-11, 39, 20]));
    assert_eq!(finding.class, "priority-inversion");
    assert_eq!(culprit(&finding), ("thread".into(), Some(12), "app".into()));
    for classes in [alarms(&inversion([20, 20, 20])), alarms(&inversion([39, 20, 20]))] {
        assert!(!classes.contains(&"priority-inversion".to_owned()), "of one priority, or less: {classes:?}");
    }
}

#[test]
fn what_the_holder_of_a_lock_does_besides_computing_is_named_first() {
    let finding = alarm(&scene(|window| {
        process(
            window,
            10,
            "db",
            &[&[(FutexLock, 900), (Oncpu, 100)], &[(Oncpu, 470), (Fsync, 450), (Sleep, 80)]],
        );
        let target = WaitTarget::Futex { addr: 0x1000, owner: Some(Tid(11)) };
        wait(window, &W { target, ..simple(10, 10, FutexLock, FUTEX, 900, Some((10, 11))) });
    }));
    assert_eq!(finding.class, "futex");
    let of =
        |what: &str| finding.evidence.iter().find(|line| line.what.contains(what)).map(|line| line.value);
    assert_eq!((of("is on a CPU,"), of("is in fsync,")), (Some(47.0), Some(45.0)), "{finding:#?}");
    assert_eq!(
        finding.headline.as_deref(),
        Some("the holder, db (10), is itself in fsync for 45 % of its time")
    );
}

fn resolver(
    address: std::net::IpAddr,
    server: Option<u32>,
    by: Option<(u32, u32)>,
) -> Vec<std::sync::Arc<Window>> {
    scene(move |window| {
        process(window, 10, "app", &[&[(Dns, 950), (Oncpu, 50)]]);
        process(window, 20, "named", &[&[(Sleep, 990), (Oncpu, 10)]]);
        let target = WaitTarget::Socket { protocol: 17, local_port: 45_000, peer: Some((address, 53)) };
        wait(window, &W { target, ..simple(10, 10, Dns, RECVFROM, 950, by) });
        window.waits.last_mut().expect("just put there").peer = server.map(Tgid);
    })
}

#[test]
fn a_name_server_of_this_host_is_named_with_what_it_does() {
    let here = std::net::Ipv4Addr::LOCALHOST.into();
    let elsewhere = std::net::Ipv4Addr::new(10, 0, 0, 2).into();
    for windows in [
        resolver(here, Some(20), None),
        resolver(here, None, Some((20, 20))),
        resolver(elsewhere, Some(20), None),
    ] {
        let finding = alarm(&windows);
        assert_eq!(
            (&*finding.class, culprit(&finding)),
            ("dns", ("process".into(), Some(20), "named".into()))
        );
        assert!(finding.advice.contains("sleeps on a timer"), "{finding:#?}");
    }
    let finding = alarm(&resolver(elsewhere, None, Some((20, 20))));
    assert_eq!(culprit(&finding), ("peer".into(), None, "10.0.0.2:53".into()), "whom an interrupt woke");
}

/// Kills of a service that a supervisor (10, in `/small`) starts again and again, with so much of the host's memory left.
fn oom_loop(available: u64, kills: &'static [(u32, &'static str)]) -> Vec<std::sync::Arc<Window>> {
    let mut windows: Vec<Window> = (0..5).map(host).collect();
    for window in &mut windows {
        process(window, 10, "supervisor", &[&[(State::Child, 900), (Oncpu, 100)]]);
        in_cgroup(window, 10, "/small");
        window.host.memory.available_bytes = window.host.memory.total_bytes / 100 * available;
    }
    for (tgid, cgroup) in kills {
        let (tgid, cgroup) = (Tgid(*tgid), (*cgroup).into());
        windows[2].oom_kills.push(OomKill { tgid, comm: "service".into(), cgroup, rss_bytes: 1 << 25 });
    }
    windows[3].exits = vec![exit(30, 10, "service", 20)];
    shared(windows)
}

#[test]
fn with_memory_left_on_the_host_a_limit_is_to_blame() {
    // The first came and went between two readings: its parent's end was not seen either.
    for kills in [&[(30, ""), (31, "/small")][..], &[(77, ""), (31, "/small")], &[(30, "")]] {
        let finding = alarm(&oom_loop(97, kills));
        assert_eq!(culprit(&finding), ("cgroup".into(), None, "/small".into()), "{kills:?}");
    }
    let finding = alarm(&oom_loop(97, &[(77, "")]));
    assert_eq!(finding.culprit, None, "it is unknown whose limit");
    assert!(finding.advice.contains("oom_memcg"), "{finding:#?}");
    assert_eq!(culprit(&alarm(&oom_loop(2, &[(77, "")]))).0, "host");
}

/// A client of a server that is frozen, or of one that only does not answer.
fn client_of(server: impl Fn(&mut Window)) -> Vec<std::sync::Arc<Window>> {
    scene(move |window| {
        process(window, 10, "client", &[&[(Ipc, 1000)]]);
        let target = WaitTarget::Unix { peer: Some(Tgid(20)), serves: Some(false) };
        lasts(window, &W { target, ..simple(10, 10, Ipc, READ, 1000, None) }, Some(20));
        process(window, 20, "server", &[&[(Poll, 1000)]]);
        server(window);
    })
}

#[test]
fn a_frozen_process_with_waiters_is_an_alert_with_its_cgroup() {
    for (file, word) in [("cgroup.freeze", "echo 0 >"), ("freezer.state", "echo THAWED >")] {
        let windows = client_of(|window| frozen(window, 20, file));
        let finding = alarm(&windows);
        assert_eq!((&*finding.class, finding.subject.pid), ("frozen", Some(20)));
        assert_eq!(culprit(&finding), ("cgroup".into(), None, "/box".into()));
        assert_eq!(finding.caused, ["ipc-peer"], "{finding:#?}");
        assert_eq!(finding.headline.as_deref(), Some("frozen by cgroup /box: thaw it"));
        assert!(finding.advice.contains(word), "{finding:#?}");
        assert!(
            finding.evidence.iter().any(|line| line.what == "time that others wait for it (client (10))"),
            "{finding:#?}"
        );
    }
}

#[test]
fn a_frozen_process_without_waiters_is_in_reports_only_and_is_no_hang() {
    let windows = scene(|window| {
        process(window, 20, "paused", &[&[(Uninterruptible, 1000)]]);
        open(window, 20, Uninterruptible, 60, READ);
        frozen(window, 20, "freezer.state");
        process(window, 30, "beside", &[&[(Poll, 1000)]]);
        frozen(window, 30, "freezer.state");
    });
    let all = found(&windows);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!((&*all[0].class, all[0].confidence < 0.5), ("frozen", true));
    assert!(
        all[0].evidence.iter().any(|line| line.what == "frozen processes in the cgroup" && line.value > 1.9)
    );
}

#[test]
fn a_lock_whose_owner_has_ended_is_found() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "waiter", &[&[(FutexLock, 1000)]]);
        let target = WaitTarget::Orphaned { addr: 0x7f00, owner: Tid(4242) };
        lasts(window, &W { target, ..simple(10, 10, FutexLock, FUTEX, 1000, None) }, None);
    }));
    assert_eq!((&*finding.class, finding.culprit.clone().unwrap().pid), ("futex", Some(4242)));
    assert!(finding.evidence.iter().any(|line| line.what.contains("lock at 0x7f00") && line.value > 99.0));
    let headline = finding.headline.as_deref();
    assert_eq!(
        headline,
        Some("the lock's owner (thread 4242) has ended: no thread will unlock it"),
        "{finding:#?}"
    );
}

/// A reader of a file system that process 20 serves, and the states of that process.
fn served(server: &'static [(State, u64)], open: bool) -> Vec<std::sync::Arc<Window>> {
    scene(move |window| {
        process(window, 10, "reader", &[&[(DiskRead, 950), (Oncpu, if open { 0 } else { 50 })]]);
        process(window, 20, "sshfs", &[server]);
        disk(window, if open { 900 } else { 0 });
        let target = WaitTarget::FileServer { connection: 39 };
        let waits =
            W { target, state: Ipc, ..simple(10, 10, DiskRead, READ, 950, (!open).then_some((20, 20))) };
        // Between two requests it reads `/dev/fuse`, a device as a terminal is one.
        super::scene::open(window, 20, State::Device, 1, READ);
        if open {
            lasts(window, &waits, Some(20));
            super::scene::open(window, 10, DiskRead, 60, READ);
        } else {
            wait(window, &waits);
        }
    })
}

#[test]
fn a_reader_of_a_fuse_file_system_waits_for_its_server_and_for_no_disk() {
    let finding = alarm(&served(&[(Sleep, 950), (Oncpu, 50)], false));
    assert_eq!((&*finding.class, culprit(&finding).1), ("ipc-peer", Some(20)));
    assert!(finding.advice.contains("sleeps on a timer"), "{finding:#?}");
    assert_eq!(finding.headline.as_deref(), Some("it waits for the file system that sshfs (20) serves"));
}

#[test]
fn a_server_of_files_that_is_stopped_makes_its_readers_hang_however_busy_disks_are() {
    let finding = alarm(&served(&[(Stopped, 1000)], true));
    assert_eq!((&*finding.class, culprit(&finding).1), ("hang", Some(20)));
    assert!(finding.advice.contains("kill -CONT 20"), "{finding:#?}");
}

#[test]
fn threads_that_wait_for_a_lock_of_the_kernel_beside_a_build_do_not_wait_for_cpus() {
    let windows = scene(|window| {
        busy(window);
        // What a thread waits between asking for the lock and having it, the tracepoints see whole: asleep, and then ready.
        let thread: &[_] = &[(Oncpu, 150), (KernelLock, 350), (RunqWoken, 400), (RunqPreempted, 100)];
        process(window, 10, "app", &[thread; 8]);
        process(window, 30, "cc1", &[&[(Oncpu, 700), (RunqPreempted, 300)]]);
        window.syscalls.push(calls(30, "cc1", READ, 2_000, 0, 900));
        blame(window, 10, 10, 3_600);
        blame(window, 10, 30, 400);
        for tid in 10..18 {
            wait(window, &simple(10, tid, KernelLock, MMAP, 350, Some((10, 10 + (tid - 9) % 8))));
        }
        window.locks.push(crate::window::LockRow {
            tgid: Tgid(10),
            comm: "app".into(),
            lock: 0xffff_0000,
            kind: "rwsem_write",
            count: 10_000,
            waited: DurNs(5_500 * MS),
            holder: None,
        });
    });
    assert_eq!(alarms(&windows), ["kernel-lock"], "{:#?}", found(&windows));
}

#[test]
fn the_ephemeral_port_range_tells_client_from_server() {
    let at = |ports: Option<(u16, u16)>| {
        let mut windows: Vec<Window> = (0..5).map(host).collect();
        for window in &mut windows {
            window.host.local_ports = ports;
            process(window, 10, "app", &[&[(NetRecv, 900), (Oncpu, 100)]]);
            let target = WaitTarget::Socket { protocol: 6, local_port: 20_000, peer: Some(peer(5_432)) };
            wait(window, &W { target, ..simple(10, 10, NetRecv, RECVFROM, 900, None) });
        }
        alarms(&shared(windows))
    };
    assert_eq!(at(None), [""; 0], "20000 is a server's by default");
    assert_eq!(at(Some((10_000, 60_999))), ["net-peer"]);
}

//! What cases of known cause taught (`tests/src/diagnosis`): each once on windows of its own.

use agent_common::abi::sched::State::{
    Child, DiskRead, FaultFile, FileLock, Fsync, FutexLock, Ipc, NetConnect, NetRecv, Oncpu, RunqPreempted,
    RunqWoken, Sleep,
};
use agent_common::units::{BootNs, DurNs, MonoNs, Tgid};

use super::scene::*;
use crate::testing::{MS, calls};
use crate::window::{BlockOp, NetRow, ProcessExit, WaitTarget, Window};

const SLEEP: u16 = 230;
const WAIT4: u16 = 61;

#[test]
fn threads_that_wake_together_are_not_pinned() {
    // Four threads of one burst wait for each other on two CPUs that are idle between the bursts.
    let bursts = scene(|window| {
        let thread: &[_] = &[(Oncpu, 200), (RunqWoken, 80), (Sleep, 720)];
        process(window, 10, "app", &[thread, thread, thread, thread]);
        window.syscalls.push(calls(10, "app", SLEEP, 400, 0, 100));
        blame(window, 10, 10, 320);
        for (_, cpu) in &mut window.host.cpus {
            cpu.idle = DurNs(600 * MS);
        }
    });
    assert!(alarms(&bursts).is_empty(), "{:#?}", found(&bursts));
    // Two that spin on one CPU while the other stands idle.
    let pinned = scene(|window| {
        let thread: &[_] = &[(Oncpu, 500), (RunqPreempted, 500)];
        process(window, 10, "app", &[thread, thread]);
        blame(window, 10, 10, 1_000);
        window.syscalls.push(calls(10, "app", 0, 1_000, 0, 100));
    });
    assert_eq!(alarm(&pinned).class, "runq-self");
}

#[test]
fn paced_work_is_no_timer_storm() {
    let sleeps = |cpu_ms: u64| {
        scene(move |window| {
            process(window, 10, "app", &[&[(Oncpu, cpu_ms), (Sleep, 1000 - cpu_ms)]]);
            window.syscalls.push(calls(10, "app", SLEEP, 4_000, 0, 100));
        })
    };
    assert_eq!(alarms(&sleeps(100)), ["timer-storm"], "25 µs a turn: it finds nothing");
    assert!(alarms(&sleeps(600)).is_empty(), "150 µs a turn: work");
}

/// A shell that waits for child after child; what the children, and one that they start, do with their time.
fn shell(window: &mut Window, child: &[(agent_common::abi::sched::State, u64)], grandchild: u64) {
    process(window, 10, "sh", &[&[(Child, 950), (Oncpu, 50)]]);
    wait(window, &simple(10, 10, Child, WAIT4, 900, Some((1_000, 1_000))));
    for n in 0..4 {
        let tgid = 1_000 + n;
        process(window, tgid, "step", &[child]);
        change(window, tgid, |sample| sample.parent = Tgid(10));
        window.exits.push(ProcessExit {
            tgid: Tgid(tgid),
            parent: Tgid(10),
            comm: "step".into(),
            start_boot_ns: BootNs(0),
            at: MonoNs(1),
            code: 0,
            signal: 0,
            cpu: DurNs(MS),
            utime: DurNs(MS),
            stime: DurNs(0),
            min_flt: 0,
            maj_flt: 0,
            before: crate::window::TaskTotals::default(),
        });
    }
    if grandchild > 0 {
        process(window, 2_000, "cc1", &[&[(Oncpu, grandchild)]]);
        change(window, 2_000, |sample| sample.parent = Tgid(1_000));
    }
}

#[test]
fn a_script_that_sleeps_is_idle_and_a_driver_waits_for_its_compiler() {
    let silent = |windows: &[std::sync::Arc<Window>]| !alarms(windows).contains(&"child".to_owned());
    assert!(silent(&scene(|window| shell(window, &[(Sleep, 240), (Oncpu, 1)], 0))));
    assert!(silent(&scene(|window| shell(window, &[(Child, 240), (Oncpu, 1)], 900))));
    assert!(!silent(&scene(|window| shell(window, &[(DiskRead, 240), (Oncpu, 1)], 0))));
    // `flock FILE sleep 1` in a loop: the child waits for a child that rests.
    let polling = scene(|window| {
        shell(window, &[(Child, 240), (Oncpu, 1)], 1);
        process(window, 2_001, "sleep", &[&[(Sleep, 900)]]);
        change(window, 2_001, |sample| sample.parent = Tgid(1_000));
    });
    assert!(silent(&polling), "{:#?}", found(&polling));
}

/// A server on this host that sleeps over each request, and gets the CPU a little late.
#[test]
fn what_the_holder_does_in_passing_explains_nothing() {
    let finding = alarm(&scene(|window| {
        busy(window);
        process(window, 10, "client", &[&[(FileLock, 900), (Oncpu, 100)]]);
        process(window, 20, "keeper", &[&[(Sleep, 940), (RunqWoken, 40), (Oncpu, 20)]]);
        process(window, 30, "other", &[&[(Oncpu, 900), (Sleep, 100)]]);
        window.syscalls.push(calls(30, "other", 0, 1_000, 0, 100));
        blame(window, 20, 30, 40);
        wait(window, &simple(10, 10, FileLock, 73, 900, Some((20, 20))));
    }));
    assert_eq!((&*finding.class, culprit(&finding).1), ("file-lock", Some(20)));
}

/// `flock FILE gzip …`: the holder waits for the program that it has started.
#[test]
fn a_lock_holder_that_waits_for_its_child_names_it() {
    let windows = scene(|window| {
        busy(window);
        process(window, 10, "flock", &[&[(FileLock, 1000)]]);
        process(window, 20, "flock", &[&[(Child, 1000)]]);
        process(window, 30, "gzip", &[&[(Oncpu, 1000)]]);
        change(window, 30, |sample| sample.parent = Tgid(20));
        wait(window, &simple(10, 10, FileLock, 73, 900, Some((20, 20))));
    });
    let all = found(&windows);
    let finding = all.iter().find(|finding| &*finding.class == "file-lock").expect("a lock is waited for");
    assert_eq!(culprit(finding).1, Some(20));
    assert!(finding.advice.contains("waits for gzip (30), which it has started"), "{finding:#?}");
}

#[test]
fn a_lock_holder_with_a_high_nice_value_inverts_priorities() {
    let finding = alarm(&scene(|window| {
        busy(window);
        process(window, 10, "app", &[&[(FutexLock, 800), (Oncpu, 200)]]);
        process(window, 20, "batch", &[&[(RunqPreempted, 900), (Oncpu, 100)]]);
        change(window, 20, |sample| sample.nice = 19);
        process(window, 30, "burn", &[&[(Oncpu, 900), (Sleep, 100)]]);
        window.syscalls.push(calls(30, "burn", 0, 1_000, 0, 100));
        blame(window, 20, 30, 900);
        let target = WaitTarget::Futex { addr: 0x1000, owner: Some(agent_common::units::Tid(20)) };
        wait(window, &W { target, ..simple(10, 10, FutexLock, FUTEX, 800, Some((20, 20))) });
    }));
    assert_eq!((&*finding.class, culprit(&finding).1), ("priority-inversion", Some(30)));
}

#[test]
fn a_process_that_saturates_a_disk_is_not_its_victim() {
    let windows = scene(|window| {
        process(window, 10, "db", &[&[(DiskRead, 800), (Oncpu, 200)]]);
        process(window, 20, "copy", &[&[(Fsync, 950), (Oncpu, 50)]]);
        disk(window, 980);
        requests(window, 10, BlockOp::Read, 100, 300, 100);
        requests(window, 20, BlockOp::Write, 900, 300, 900);
    });
    let finding = alarm(&windows);
    assert_eq!((&*finding.class, culprit(&finding).1), ("disk-read", Some(20)));
    assert_eq!(finding.caused, ["fsync"]);
}

#[test]
fn a_journal_that_others_write_says_nothing_of_a_limit() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "db", &[&[(Fsync, 900), (Oncpu, 100)]]);
        in_cgroup(window, 10, "/system.slice/db.service");
        disk(window, 500);
        requests(window, 10, BlockOp::Write, 10, 1, 5);
    }));
    assert_eq!((&*finding.class, &*culprit(&finding).0), ("fsync", "device"));
}

#[test]
fn few_lost_segments_are_enough_where_one_connection_waits_for_them() {
    let lossy = |again: u64| {
        scene(move |window| {
            process(window, 10, "client", &[&[(NetRecv, 900), (Oncpu, 100)]]);
            process(window, 20, "server", &[&[(NetRecv, 990), (Oncpu, 10)]]);
            let target = WaitTarget::Socket { protocol: 6, local_port: 40_000, peer: Some(peer(7_000)) };
            wait(window, &W { target, ..simple(10, 10, NetRecv, RECVFROM, 900, None) });
            window.syscalls.push(calls(10, "client", RECVFROM, 20, 0, 45 * MS));
            window.syscalls.push(calls(10, "client", 44, 20, 0, 1_000));
            // The server's end sends again.
            window.net.push(NetRow {
                tgid: Tgid(20),
                comm: "server".into(),
                local_port: 7_000,
                peer: Some(peer(40_000)),
                retransmits: again,
                resets: 0,
                accept_overflows: 0,
                accept_queue: None,
                receive_drops: 0,
            });
        })
    };
    let finding = alarm(&lossy(3));
    assert_eq!((&*finding.class, finding.subject.pid), ("net-retransmit", Some(10)));
    assert_eq!(culprit(&finding).0, "peer");
    assert_eq!(alarm(&lossy(0)).class, "net-peer");
}

#[test]
fn a_leak_that_begins_late_is_seen_soon() {
    let mut trend = crate::Trend::default();
    let mut reported = None;
    let mut all = Vec::new();
    for second in 0..60_u64 {
        let mut window = host(second);
        process(&mut window, 10, "app", &[&[(Oncpu, 10), (Sleep, 990)]]);
        let leaked = second.saturating_sub(20) * 100;
        change(&mut window, 10, |sample| {
            (sample.fds, sample.fd_limit) = (Some(20 + leaked as u32), Some(20_000));
        });
        let window = std::sync::Arc::new(window);
        trend.push(&window);
        all.push(window);
        let found = crate::suspicions(crate::recent(&all), &trend);
        if reported.is_none() && found.iter().any(|of| of.finding.class == "fd-leak") {
            reported = Some(second);
        }
    }
    let reported = reported.expect("a leak");
    assert!((26..=30).contains(&reported), "{reported}: after 20 s of calm");
}

#[test]
fn a_runner_known_for_a_small_part_of_the_waiting_is_no_neighbour() {
    let known = |ms: u64| {
        scene(move |window| {
            busy(window);
            process(window, 10, "app", &[&[(Oncpu, 500), (RunqWoken, 500)]]);
            process(window, 20, "other", &[&[(Oncpu, 900), (Sleep, 100)]]);
            window.syscalls.push(calls(10, "app", 0, 1_000, 0, 100));
            window.syscalls.push(calls(20, "other", 0, 1_000, 0, 100));
            blame(window, 10, 20, ms);
        })
    };
    assert_eq!(alarms(&known(400)), ["runq-neighbour"]);
    assert!(alarms(&known(20)).is_empty(), "{:#?}", found(&known(20)));
}

#[test]
fn threads_that_share_a_lock_wait_for_it_and_not_for_each_others_cpu() {
    let finding = alarm(&scene(|window| {
        busy(window);
        let thread: &[_] = &[(FutexLock, 500), (RunqWoken, 200), (Oncpu, 150), (Sleep, 150)];
        process(window, 10, "app", &[thread; 4]);
        blame(window, 10, 10, 800);
        for tid in 10..14 {
            let target = WaitTarget::Futex { addr: 0x1000, owner: None };
            let by = Some((10, 10 + (tid - 9) % 4));
            wait(window, &W { target, ..simple(10, tid, FutexLock, FUTEX, 500, by) });
        }
        window.syscalls.push(calls(10, "app", FUTEX, 5_000, 0, 900));
    }));
    assert_eq!((&*finding.class, culprit(&finding).1), ("futex", Some(10)));
}

/// Children that come and go, each waiting a little for who keeps a lock and sleeps on it.
#[test]
fn what_a_holder_does_in_passing_explains_no_number_of_short_waits() {
    let finding = alarm(&scene(|window| {
        busy(window);
        for n in 0..16 {
            process(window, 1_000 + n, "job", &[&[(FileLock, 55), (Oncpu, 5)]]);
            wait(window, &simple(1_000 + n, 1_000 + n, FileLock, 73, 55, Some((20, 20))));
        }
        process(window, 20, "keeper", &[&[(Sleep, 940), (RunqWoken, 50), (Oncpu, 10)]]);
        blame(window, 20, 1_000, 50);
    }));
    assert_eq!((&*finding.class, culprit(&finding).1), ("file-lock", Some(20)));
}

/// A client of this host, and what of its connections was refused or sent again.
fn connecting(refused: u64, windows: std::ops::Range<u64>) -> Vec<std::sync::Arc<Window>> {
    let make = |index| {
        let mut window = host(index);
        process(&mut window, 10, "client", &[&[(NetConnect, 1000)]]);
        process(&mut window, 20, "server", &[&[(Oncpu, 500), (Sleep, 500)]]);
        window.syscalls.push(calls(20, "server", 0, 1_000, 0, 100));
        let net = NetRow {
            tgid: Tgid(10),
            comm: "client".into(),
            local_port: 0,
            peer: Some(peer(7_001)),
            retransmits: 1,
            resets: 0,
            accept_overflows: 0,
            accept_queue: None,
            receive_drops: 0,
        };
        // It has not got through since: no wait has ended.
        wait(&mut window, &W { accounted: Sleep, ..simple(10, 10, Sleep, SLEEP, 1, None) });
        if windows.contains(&index) {
            let (tgid, local_port, accept_queue) = (Tgid(20), 7_001, Some((9, 8)));
            window.net.push(NetRow {
                tgid,
                local_port,
                accept_overflows: refused,
                accept_queue,
                peer: None,
                retransmits: 0,
                ..net.clone()
            });
        }
        window.net.push(net);
        window
    };
    crate::testing::shared((0..5).map(make).collect())
}

#[test]
fn a_connection_that_never_stands_names_where_to() {
    let finding = alarm(&connecting(0, 0..0));
    assert_eq!((&*finding.class, culprit(&finding).2), ("net-connect", "10.0.0.2:7001".into()));
}

#[test]
fn few_refused_connections_are_enough_where_a_client_waits_for_them() {
    let finding = alarm(&connecting(2, 3..4));
    assert_eq!((&*finding.class, culprit(&finding).1), ("net-accept-queue", Some(20)));
    assert_eq!(finding.caused, ["net-connect"]);
    // Who was refused often waits for long before it tries again, and the queue is as full as it was.
    let finding = alarm(&connecting(0, 0..5));
    assert_eq!((&*finding.class, culprit(&finding).1), ("net-accept-queue", Some(20)));
}

#[test]
fn a_child_killed_for_memory_was_in_its_parents_cgroup() {
    let mut windows: Vec<Window> = (0..5).map(host).collect();
    for window in &mut windows {
        process(window, 10, "master", &[&[(Sleep, 1000)]]);
        in_cgroup(window, 10, "/small");
    }
    windows[2].oom_kills.push(crate::window::OomKill {
        tgid: Tgid(11),
        comm: "worker".into(),
        cgroup: "".into(),
        rss_bytes: 1 << 30,
    });
    windows[2].exits.push(crate::testing::exit(11, 10, "worker", 1));
    windows[2].host.memory.oom_kills = Some(1);
    let finding = alarm(&crate::testing::shared(windows));
    assert_eq!((&*finding.class, culprit(&finding).2), ("oom", "/small".into()));
}

#[test]
fn a_peer_that_answers_at_once_is_not_slow() {
    let waits = |length: u64| {
        scene(move |window| {
            process(window, 10, "client", &[&[(NetRecv, 600), (Oncpu, 400)]]);
            let target = WaitTarget::Socket { protocol: 6, local_port: 40_000, peer: Some(peer(7_000)) };
            wait(window, &W { target, ..simple(10, 10, NetRecv, RECVFROM, 600, None) });
            window.waits.last_mut().expect("just put there").waited = DurNs(length);
            window.syscalls.push(calls(10, "client", RECVFROM, 3_000, 0, 200_000));
            window.syscalls.push(calls(10, "client", 44, 3_000, 0, 1_000));
        })
    };
    assert_eq!(alarms(&waits(4 * MS)), ["net-peer"]);
    assert!(alarms(&waits(MS / 5)).is_empty());
    assert_eq!(found(&waits(MS / 5))[0].class, "net-peer", "it is in reports");
}

#[test]
fn a_process_that_feeds_another_is_not_its_neighbour() {
    let windows = scene(|window| {
        busy(window);
        process(window, 10, "writer", &[&[(RunqWoken, 300), (Oncpu, 300), (Sleep, 100), (Ipc, 300)]]);
        process(window, 20, "reader", &[&[(Oncpu, 500), (Sleep, 500)]]);
        wait(window, &simple(10, 10, Ipc, WRITE, 300, Some((20, 20))));
        blame(window, 10, 20, 300);
        window.syscalls.push(calls(10, "writer", WRITE, 500, 0, 900));
        window.syscalls.push(calls(20, "reader", READ, 500, 0, 900));
    });
    assert_eq!(alarms(&windows), ["ipc-peer"]);
}

#[test]
fn an_idle_end_of_a_pipe_is_not_waited_for() {
    // A relay of what a shell prints: the shell once had to wait for it, and now does nothing.
    let windows = scene(|window| {
        process(window, 10, "relay", &[&[(Ipc, 990), (Oncpu, 10)]]);
        process(window, 20, "sh", &[&[(Ipc, 10), (Child, 980), (Oncpu, 10)]]);
        wait(window, &simple(10, 10, Ipc, READ, 990, Some((20, 20))));
        wait(window, &simple(20, 20, Ipc, READ, 10, Some((10, 10))));
        window.syscalls.push(calls(10, "relay", WRITE, 500, 0, 900));
        window.syscalls.push(calls(10, "relay", READ, 500, 0, 900));
    });
    assert!(alarms(&windows).is_empty(), "{:#?}", found(&windows));
}

#[test]
fn what_a_file_fault_takes_on_the_cpu_is_lost_to_it() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "db", &[&[(FaultFile, 200), (Oncpu, 800)]]);
        change(window, 10, |sample| {
            (sample.user, sample.system, sample.maj_flt) = (DurNs(400 * MS), DurNs(400 * MS), 4_000);
        });
        disk(window, 300);
        requests(window, 10, BlockOp::Read, 4_000, 10, 190);
        window.syscalls.push(calls(10, "db", READ, 100, 0, 900));
    }));
    assert_eq!((&*finding.class, finding.lost_ns_per_s / 1_000_000), ("fault-major-file", 600));
}

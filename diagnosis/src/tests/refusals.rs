//! Calls that are refused again and again.

use std::sync::Arc;

use agent_common::abi::sched::State::{NetConnect, Oncpu, Sleep};
use agent_common::units::{DurNs, Tgid};

use super::scene::{WRITE, alarm, change, culprit, found, process, scene};
use crate::testing::{SECOND, calls};
use crate::window::{FileLockRow, NetRow, Window};

const CLOCK_NANOSLEEP: u16 = 230;
const CONNECT: u16 = 42;
const FCNTL: u16 = 72;
const CLONE3: u16 = 435;
const ENOSPC: u16 = 28;
const EAGAIN: u16 = 11;
const ECONNREFUSED: u16 = 111;

/// A call, and how often it fails with an errno.
fn refused(window: &mut Window, nr: u16, count: u64, errno: u16, errors: u64) {
    let mut row = calls(10, "app", nr, count, errors, 2_000);
    row.errnos = vec![(errno, errors)];
    window.syscalls.push(row);
}

/// A process with one thread that sleeps so often.
fn sleeper(window: &mut Window, times: u64) {
    process(window, 10, "app", &[&[(Sleep, 980), (Oncpu, 20)]]);
    window.times[0].threads[0].voluntary = times;
}

/// Tries so often a second, asleep between.
fn tries(nr: u16, errno: u16, a_second: u64) -> Vec<Arc<Window>> {
    scene(|window| {
        sleeper(window, a_second);
        refused(window, nr, a_second, errno, a_second);
        window.syscalls.push(calls(10, "app", CLOCK_NANOSLEEP, a_second, 0, 900_000));
    })
}

#[test]
fn repeated_writes_to_a_full_disk_are_found() {
    let finding = alarm(&tries(WRITE, ENOSPC, 10));
    assert_eq!((&*finding.class, culprit(&finding).1), ("refused", Some(10)));
    assert!(finding.evidence[0].what.contains("write is refused: ENOSPC"), "{finding:?}");
    assert!(finding.advice.contains("df -h"), "{finding:?}");
    assert_eq!(finding.lost_ns_per_s / 1_000_000, 980, "it sleeps because it was refused");
}

#[test]
fn more_threads_than_the_limit_allows_are_found() {
    let finding = alarm(&tries(CLONE3, EAGAIN, 50));
    assert!(finding.advice.contains("pids.max"), "{finding:?}");
}

#[test]
fn once_a_second_and_now_and_then_is_an_answer() {
    assert_eq!(found(&tries(WRITE, ENOSPC, 1)), [], "below the rate");
    let once = scene(|_| ());
    let mut once: Vec<Window> = once.iter().map(|window| Window::clone(window)).collect();
    for window in &mut once {
        process(window, 10, "app", &[&[(Sleep, 980), (Oncpu, 20)]]);
    }
    refused(&mut once[2], WRITE, 100, ENOSPC, 100);
    assert_eq!(found(&crate::testing::shared(once)), [], "does not last");
}

#[test]
fn what_a_server_sleeps_for_is_not_because_of_a_refusal() {
    let finding = alarm(&scene(|window| {
        sleeper(window, 1_000);
        refused(window, WRITE, 10, ENOSPC, 10);
        window.syscalls.push(calls(10, "app", CLOCK_NANOSLEEP, 1_000, 0, 900_000));
    }));
    assert_eq!((&*finding.class, finding.lost_ns_per_s / 1_000_000), ("refused", 0));
}

#[test]
fn a_lock_that_a_process_tries_for_names_its_holder() {
    let windows = scene(|window| {
        sleeper(window, 20);
        process(window, 20, "holder", &[&[(Sleep, 1000)]]);
        refused(window, FCNTL, 40, EAGAIN, 20);
        window.syscalls.push(calls(10, "app", CLOCK_NANOSLEEP, 20, 0, 900_000));
        let (waiter, holder) = (Tgid(10), Tgid(20));
        window.file_locks.push(FileLockRow { waiter, tried: true, holder, dev: 1, inode: 2 });
    });
    let finding = alarm(&windows);
    assert_eq!((&*finding.class, culprit(&finding).1), ("file-lock", Some(20)));
    assert!(finding.advice.contains("holder (20) sleeps on a timer"), "{finding:?}");
}

#[test]
fn a_refused_connection_names_the_peer() {
    let peer = "127.0.0.1:5432".parse::<std::net::SocketAddr>().unwrap();
    let windows = scene(|window| {
        sleeper(window, 5);
        refused(window, CONNECT, 5, ECONNREFUSED, 5);
        window.syscalls.push(calls(10, "app", CLOCK_NANOSLEEP, 5, 0, 900_000));
        window.net.push(NetRow {
            tgid: Tgid(10),
            comm: "app".into(),
            local_port: 0,
            peer: Some((peer.ip(), peer.port())),
            retransmits: 0,
            resets: 5,
            receive_drops: 0,
            accept_overflows: 0,
            accept_queue: None,
        });
    });
    let finding = alarm(&windows);
    assert_eq!((&*finding.class, culprit(&finding).2), ("net-connect", "127.0.0.1:5432".into()));
    // Now it also waits, and sends segments again to a port whose connection has just been closed.
    let again = windows.iter().map(|window| {
        let mut window = Window::clone(window);
        window.net[0].retransmits = 70;
        window.times[0].states.push((NetConnect, DurNs(800_000_000)));
        window
    });
    let finding = alarm(&crate::testing::shared(again.collect()));
    assert_eq!((&*finding.class, culprit(&finding).2), ("net-connect", "127.0.0.1:5432".into()));
}

#[test]
fn resets_show_that_non_blocking_connections_are_refused() {
    const EINPROGRESS: u16 = 115;
    let windows = |resets: u64| {
        scene(move |window| {
            process(window, 10, "app", &[&[(Oncpu, 20), (Sleep, 980)]]);
            refused(window, CONNECT, 10, EINPROGRESS, 10);
            window.net.push(NetRow {
                tgid: Tgid(10),
                comm: "app".into(),
                local_port: 0,
                peer: Some((std::net::Ipv4Addr::LOCALHOST.into(), 80)),
                retransmits: 0,
                resets,
                receive_drops: 0,
                accept_overflows: 0,
                accept_queue: None,
            });
        })
    };
    let finding = alarm(&windows(10));
    assert_eq!((&*finding.class, culprit(&finding).2), ("net-connect", "127.0.0.1:80".into()));
    assert_eq!(found(&windows(4)), [], "others stand");
}

#[test]
fn of_two_refusals_the_lasting_one_is_found() {
    const ENOMEM: u16 = 12;
    const MMAP: u16 = 9;
    let finding = alarm(&scene(|window| {
        sleeper(window, 10);
        refused(window, MMAP, 3_000, ENOMEM, 100);
        refused(window, WRITE, 10, ENOSPC, 10);
    }));
    assert!(finding.evidence[0].what.contains("write"), "{finding:?}");
}

#[test]
fn a_refusal_now_and_then_hides_no_busy_process() {
    let windows = scene(|window| {
        process(window, 10, "app", &[&[(Oncpu, 1000)], &[(Sleep, 1000)]]);
        change(window, 10, |sample| sample.user = DurNs(SECOND));
        refused(window, WRITE, 10, ENOSPC, 2);
    });
    let classes: Vec<_> = found(&windows).into_iter().map(|finding| finding.class).collect();
    assert!(classes.len() > 1 && classes.contains(&"refused".into()), "{classes:?}");
}

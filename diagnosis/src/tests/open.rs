//! Waits that have not ended, who serves whom, and the agent itself.

use std::sync::Arc;

use agent_common::abi::sched::State::{
    FutexLock, FutexWait, Ipc, NetAccept, NetRecv, Oncpu, Poll, RunqPreempted, Sleep, Stopped,
};
use agent_common::units::{BootNs, DurNs, Tgid, Tid};

use super::scene::*;
use crate::ALERT_CONFIDENCE;
use crate::testing::{SECOND, calls};
use crate::window::{ThreadTimes, WaitTarget, Window};

/// A wait that lasts, of a thread that did not wake; who is at the other end.
fn lasts(window: &mut Window, of: &W, peer: Option<u32>) {
    wait(window, of);
    let wait = window.waits.last_mut().expect("just put there");
    (wait.open, wait.peer) = (true, peer.map(Tgid));
}

/// The threads of a process rest in a state for whole windows.
fn rests(window: &mut Window, tgid: u32, comm: &str, state: agent_common::abi::sched::State, threads: u32) {
    let whole = [(state, 1000)];
    let states: Vec<&[_]> = vec![&whole; threads as usize];
    process(window, tgid, comm, &states);
    let times = window.times.last_mut().expect("just put there");
    times.threads.clear();
    times.resting = vec![(state, threads)];
}

#[test]
fn threads_that_wait_for_each_other_are_a_deadlock() {
    let finding = alarm(&scene(|window| {
        rests(window, 10, "db", FutexLock, 2);
        for (tid, owner) in [(10, 11), (11, 10)] {
            let target = WaitTarget::Futex { addr: u64::from(tid) * 64, owner: Some(Tid(owner)) };
            lasts(window, &W { target, ..simple(10, tid, FutexLock, FUTEX, 1000, None) }, None);
        }
    }));
    assert_eq!((&*finding.class, finding.lost_ns_per_s), ("futex", 2_000_000_000));
    assert!(finding.advice.starts_with("a deadlock: "), "{finding:#?}");
}

/// `redis-server --io-threads 4` without clients: its main thread holds the locks at which the others stay until there is work.
#[test]
fn threads_parked_at_a_lock_whose_holder_has_no_work_are_idle() {
    let parked = |main: &'static [(agent_common::abi::sched::State, u64)], wakes: bool| {
        scene(move |window| {
            rests(window, 10, "redis", FutexLock, 3);
            for tid in 11..14 {
                let target = WaitTarget::Futex { addr: u64::from(tid) * 64, owner: Some(Tid(10)) };
                let ms = if wakes { 700 } else { 1000 };
                lasts(window, &W { target, ..simple(10, tid, FutexLock, FUTEX, ms, None) }, None);
            }
            let times = window.times.last_mut().expect("just put there");
            let main: Vec<_> = main.iter().map(|(state, ms)| (*state, DurNs(ms * 1_000_000))).collect();
            times.states.extend(main.iter().copied());
            let comm = "redis".into();
            times.threads.push(ThreadTimes {
                tid: Tid(10),
                comm,
                states: main,
                voluntary: 10,
                preempted: 0,
                now: None,
            });
        })
    };
    let idle = parked(&[(Poll, 998), (Oncpu, 2)], false);
    assert!(alarms(&idle).is_empty(), "{:#?}", found(&idle));
    // One that works, or sleeps on a timer, under the lock keeps them from their work.
    let works = parked(&[(Poll, 300), (Oncpu, 700)], false);
    assert_eq!(alarms(&works), ["futex"], "{:#?}", found(&works));
}

#[test]
fn a_wait_for_a_stopped_process_names_it_and_a_wait_for_work_is_idle() {
    let client = WaitTarget::Socket { protocol: 6, local_port: 40_000, peer: Some(peer(80)) };
    let windows = scene(|window| {
        rests(window, 10, "app", NetRecv, 1);
        lasts(window, &W { target: client, ..simple(10, 10, NetRecv, READ, 1000, None) }, Some(20));
        rests(window, 20, "server", Stopped, 1);
    });
    let finding = &found(&windows)[0];
    assert_eq!((&*finding.class, finding.lost_ns_per_s), ("net-peer", 1_000_000_000));
    let windows = scene(|window| {
        rests(window, 10, "app", Ipc, 1);
        lasts(window, &simple(10, 10, Ipc, READ, 1000, None), Some(20));
        rests(window, 20, "server", Stopped, 1);
    });
    let finding = alarm(&windows);
    assert_eq!((&*finding.class, culprit(&finding).1), ("ipc-peer", Some(20)));
    assert!(finding.advice.contains("kill -CONT 20"), "{finding:#?}");
    let windows = scene(|window| {
        for (tgid, state) in [(10, Ipc), (11, NetRecv), (12, FutexLock), (13, NetAccept)] {
            rests(window, tgid, "idle", state, 4);
        }
        let server = WaitTarget::Socket { protocol: 6, local_port: 80, peer: Some(peer(40_000)) };
        lasts(window, &W { target: server, ..simple(11, 11, NetRecv, READ, 1000, None) }, Some(20));
    });
    assert!(found(&windows).is_empty(), "{:#?}", found(&windows));
}

#[test]
fn a_moments_wait_that_ended_makes_a_long_one_no_surer() {
    let ended = |ms: u64| {
        scene(move |window| {
            process(window, 10, "client", &[&[(NetRecv, 990), (Oncpu, 10)]]);
            let target = WaitTarget::Socket { protocol: 6, local_port: 40_000, peer: Some(peer(80)) };
            let by = |ms, by| W { target, ..simple(10, 10, NetRecv, READ, ms, by) };
            lasts(window, &by(990 - ms, None), Some(20));
            wait(window, &by(ms, Some((20, 20))));
            rests(window, 20, "server", Poll, 1);
        })
    };
    assert!(alarms(&ended(10)).is_empty(), "it sends keep-alive messages");
    assert_eq!(alarm(&ended(500)).class, "net-peer");
}

#[test]
fn a_local_server_that_never_waits_is_slow_and_its_own_wait_for_work_is_none() {
    let local = |tgid: u32, serves, ms, by| W {
        target: WaitTarget::Unix { peer: None, serves: Some(serves) },
        ..simple(tgid, tgid, Ipc, READ, ms, Some((by, by)))
    };
    let windows = scene(|window| {
        for client in 10..13 {
            process(window, client, "app", &[&[(Ipc, 950), (Oncpu, 50)]]);
            wait(window, &local(client, false, 950, 20));
            window
                .syscalls
                .extend([calls(client, "app", READ, 80, 0, 900), calls(client, "app", WRITE, 80, 0, 900)]);
        }
        process(window, 20, "authd", &[&[(Oncpu, 1000)]]);
    });
    let finding = found(&windows).into_iter().find(|of| of.class == "ipc-peer").expect("they wait");
    assert_eq!(culprit(&finding).1, Some(20));
    // The client thinks for long: who serves waits for work.
    let windows = scene(|window| {
        process(window, 20, "authd", &[&[(Ipc, 900), (Oncpu, 100)]]);
        wait(window, &local(20, true, 900, 10));
        window.syscalls.extend([calls(20, "authd", READ, 80, 0, 900), calls(20, "authd", WRITE, 80, 0, 900)]);
        process(window, 10, "app", &[&[(Oncpu, 900), (Ipc, 100)]]);
        wait(window, &local(10, false, 50, 20));
    });
    assert!(found(&windows).iter().all(|of| of.class != "ipc-peer"), "{:#?}", found(&windows));
}

#[test]
fn services_of_one_name_in_two_cgroups_are_two_programs() {
    let windows = scene(|window| {
        busy(window);
        process(window, 10, "python3", &[&[(RunqPreempted, 600), (Oncpu, 300), (Sleep, 100)]]);
        process(window, 20, "python3", &[&[(Oncpu, 1000)]]);
        in_cgroup(window, 10, "/a.service");
        in_cgroup(window, 20, "/b.service");
        blame(window, 10, 20, 600);
    });
    let finding = found(&windows).into_iter().find(|of| of.class == "runq-neighbour").expect("a neighbour");
    assert_eq!((finding.subject.pid, culprit(&finding).1), (Some(10), Some(20)));
}

#[test]
fn the_agent_is_no_subject_and_its_start_no_alarm() {
    let at_work = |own| {
        scene(move |window| {
            busy(window);
            process(window, 10, "agent", &[&[(RunqPreempted, 600), (Oncpu, 400)]]);
            process(window, 20, "app", &[&[(RunqPreempted, 600), (Oncpu, 300), (Poll, 100)]]);
            blame(window, 10, 20, 600);
            blame(window, 20, 10, 600);
            window.own = Tgid(own);
        })
    };
    let subjects =
        |own| -> Vec<_> { found(&at_work(own)).into_iter().filter_map(|of| of.subject.pid).collect() };
    assert!(subjects(0).contains(&10) && !subjects(10).contains(&10));
    let of_app: Vec<_> = found(&at_work(10)).into_iter().filter(|of| of.subject.pid == Some(20)).collect();
    assert!(of_app.iter().all(|of| of.confidence < ALERT_CONFIDENCE), "it has just begun: {of_app:#?}");
}

#[test]
fn a_suspended_host_does_not_make_the_agent_count_as_just_started() {
    const HOUR: u64 = 3_600 * SECOND;
    // The host slept an hour before the agent began: its start, on the clock that counts sleep, is later than all times of
    // windows on the one that does not.
    let windows = |age: u64| {
        scene(move |window| {
            busy(window);
            process(window, 10, "agent", &[&[(Oncpu, 1000)]]);
            process(window, 20, "app", &[&[(RunqPreempted, 600), (Oncpu, 300), (Poll, 100)]]);
            blame(window, 20, 10, 600);
            window.own = Tgid(10);
            window.host.uptime.0 += HOUR + age;
            change(window, 10, |task| task.start_boot_ns = BootNs(HOUR));
        })
    };
    let app =
        |windows: &[Arc<Window>]| found(windows).into_iter().find(|of| of.subject.pid == Some(20)).unwrap();
    assert!(app(&windows(60 * SECOND)).confidence >= ALERT_CONFIDENCE, "at work for a minute");
    assert!(app(&windows(5 * SECOND)).confidence < ALERT_CONFIDENCE, "it has just begun");
}

#[test]
fn a_lock_that_is_looked_at_again_and_again_is_a_lock_and_a_pool_is_none() {
    let pool = |patience_ms| {
        scene(move |window| {
            let waiting: &[_] = &[(FutexWait, 800), (Oncpu, 200)];
            process(window, 10, "py", &[waiting; 2]);
            for (tid, other) in [(10, 11), (11, 10)] {
                let target = WaitTarget::Futex { addr: 0x40, owner: None };
                for by in [None, None, None, Some((10, other))] {
                    wait(window, &W { target, ..simple(10, tid, FutexWait, FUTEX, patience_ms, by) });
                }
            }
        })
    };
    assert!(alarms(&pool(5)).contains(&"futex".to_owned()));
    assert!(alarms(&pool(100)).is_empty());
}

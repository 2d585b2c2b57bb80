//! Locks, peers, children, hangs, and what they lead to.

use agent_common::abi::sched::State::{
    self, Child, DiskRead, Fsync, FutexLock, FutexWait, Ipc, KernelLock, Oncpu, Poll, RunqPreempted, Sleep,
    Uninterruptible,
};
use agent_common::units::{DurNs, MonoNs, Tgid, Tid};

use super::scene::*;
use crate::testing::{MS, SECOND, calls, exit};
use crate::window::{FileLockRow, LockRow, Standstill, WaitTarget, Window};

const FLOCK: u16 = 73;
const WAIT4: u16 = 61;
const VFORK: u16 = 58;

fn lock(tid: u32, addr: u64, ms: u64, by: u32, owner: Option<u32>) -> W {
    W {
        target: WaitTarget::Futex { addr, owner: owner.map(Tid) },
        ..simple(10, tid, FutexLock, FUTEX, ms, Some((10, by)))
    }
}

/// Four threads take turns at one lock.
fn contention(window: &mut Window, holds: &[(State, u64)]) {
    let mut thread = vec![(FutexLock, 750)];
    thread.extend_from_slice(holds);
    process(window, 10, "db", &[&thread[..]; 4]);
    for tid in 10..14 {
        let next = 10 + (tid - 9) % 4;
        wait(window, &lock(tid, 0x1000, 750, next, None));
    }
    window.syscalls.push(calls(10, "db", FUTEX, 5_000, 0, 900));
}

#[test]
fn threads_that_take_turns_wait_for_a_lock() {
    let finding = alarm(&scene(|window| contention(window, &[(Oncpu, 250)])));
    assert_eq!(finding.class, "futex");
    assert_eq!(culprit(&finding), ("lock".into(), Some(10), "db".into()));
    assert_eq!(finding.lost_ns_per_s, 3_000_000_000);
    assert!(
        finding.evidence.iter().any(|line| line.what.contains("0x1000") && line.value > 99.0),
        "{finding:#?}"
    );
}

#[test]
fn parked_workers_are_idle_whatever_the_call_says() {
    let windows = scene(|window| {
        let parked: &[_] = &[(FutexLock, 950), (Oncpu, 50)];
        process(window, 10, "go", &[parked; 4]);
        for tid in 10..14 {
            // Each waits for a word of its own.
            wait(window, &lock(tid, u64::from(tid) * 64, 950, 10 + (tid - 9) % 4, None));
        }
    });
    assert!(found(&windows).is_empty(), "{:#?}", found(&windows));
}

#[test]
fn the_chain_ends_at_the_process_that_uses_the_disk() {
    let windows = scene(|window| {
        contention(window, &[(Fsync, 240), (Oncpu, 10)]);
        disk(window, 950);
        requests(window, 10, crate::window::BlockOp::Write, 500, 10, 200);
        process(window, 30, "backup", &[&[(Sleep, 900), (Oncpu, 100)]]);
        requests(window, 30, crate::window::BlockOp::Write, 5_000, 10, 700);
    });
    let finding = alarm(&windows);
    assert_eq!((&*finding.class, finding.subject.pid), ("fsync", Some(10)));
    assert_eq!(culprit(&finding), ("process".into(), Some(30), "backup".into()));
    assert_eq!(finding.caused, ["futex"]);
    assert_eq!(finding.lost_ns_per_s, 3_000_000_000, "what waits for the lock waits for the disk");
}

#[test]
fn a_holder_kept_from_running_is_an_inversion() {
    let finding = alarm(&scene(|window| {
        busy(window);
        process(
            window,
            10,
            "app",
            &[&[(FutexLock, 900), (Oncpu, 100)], &[(RunqPreempted, 850), (Oncpu, 100), (Poll, 50)]],
        );
        wait(window, &lock(10, 0x1000, 900, 11, Some(11)));
        process(window, 30, "burn", &[&[(Oncpu, 1000)]]);
        blame(window, 10, 30, 850);
        window.syscalls.push(calls(30, "burn", READ, 500, 0, 900));
    }));
    assert_eq!(finding.class, "priority-inversion");
    assert_eq!(culprit(&finding).1, Some(30));
}

#[test]
fn a_kernel_lock_names_its_holder() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "app", &[&[(KernelLock, 700), (Oncpu, 300)]]);
        process(window, 20, "mapper", &[&[(Oncpu, 400), (Poll, 600)]]);
        window.locks.push(LockRow {
            tgid: Tgid(10),
            comm: "app".into(),
            lock: 0xffff_0000,
            kind: "rwsem_write",
            count: 100,
            waited: DurNs(700 * MS),
            holder: Some(Tid(20)),
        });
    }));
    assert_eq!(finding.class, "kernel-lock");
    assert_eq!(culprit(&finding), ("process".into(), Some(20), "mapper".into()));
}

#[test]
fn a_lock_that_is_never_released_names_its_holder() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "app", &[&[(FutexLock, 1000)], &[(FutexLock, 1000)], &[(Sleep, 1000)]]);
        for tid in [10, 11] {
            wait(window, &W { by: None, ..lock(tid, 0xa0, 1000, 12, Some(12)) });
            window.waits.last_mut().expect("just put there").open = true;
        }
    }));
    assert_eq!((&*finding.class, culprit(&finding)), ("futex", ("lock".into(), Some(10), "app".into())));
    assert!(finding.evidence.iter().any(|one| one.what.contains("thread 12")), "{finding:?}");
}

#[test]
fn threads_that_all_wait_for_each_other_are_a_deadlock_if_the_process_ran_before() {
    let still = |stopped, seconds| {
        scene(|window| {
            process(window, 10, "app", &[&[(FutexWait, 1000)], &[(FutexWait, 1000)]]);
            let age = DurNs(seconds * SECOND);
            window.standstills.push(Standstill { tgid: Tgid(10), threads: 2, age, stopped });
        })
    };
    let finding = alarm(&still(true, 5));
    assert_eq!((&*finding.class, culprit(&finding)), ("futex", ("lock".into(), Some(10), "app".into())));
    assert_eq!(found(&still(true, 3)), [], "it may yet go on");
    let doubtful = crate::diagnose(&still(false, 60), None).findings;
    assert!(doubtful[0].confidence < crate::ALERT_CONFIDENCE, "{doubtful:?}");
}

#[test]
fn a_long_holder_that_seldom_waits_for_its_lock_still_counts_as_its_holder() {
    let kept = |takes_turns: bool| {
        scene(move |window| {
            process(window, 10, "app", &[&[(FutexWait, 900), (Oncpu, 100)], &[(Sleep, 980), (Oncpu, 20)]]);
            let target = WaitTarget::Futex { addr: 0xa0, owner: None };
            wait(window, &W { target, ..simple(10, 10, FutexWait, FUTEX, 900, Some((10, 11))) });
            window
                .waits
                .last_mut()
                .and_then(|wait| wait.waker.as_mut())
                .expect("just put there")
                .takes_turns = takes_turns;
        })
    };
    let finding = alarm(&kept(true));
    assert_eq!((&*finding.class, culprit(&finding)), ("futex", ("lock".into(), Some(10), "app".into())));
    assert_eq!(found(&kept(false)), [], "a worker that is given work");
    let pool = scene(|window| {
        process(window, 10, "app", &[&[(FutexWait, 900), (Oncpu, 100)][..]; 2]);
        for (tid, by) in [(10, 11), (11, 10)] {
            let target = WaitTarget::Futex { addr: 0xa0, owner: None };
            wait(window, &W { target, ..simple(10, tid, FutexWait, FUTEX, 900, Some((10, by))) });
            window
                .waits
                .last_mut()
                .and_then(|wait| wait.waker.as_mut())
                .expect("just put there")
                .takes_turns = true;
        }
    });
    assert_eq!(found(&pool), [], "workers that give each other work: no thread owns what both wait for");
}

#[test]
fn a_file_lock_names_the_process_that_unlocks() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "apt", &[&[(State::FileLock, 900), (Oncpu, 100)]]);
        process(window, 20, "dpkg", &[&[(Oncpu, 300), (Sleep, 700)]]);
        wait(window, &simple(10, 10, State::FileLock, FLOCK, 900, Some((20, 20))));
    }));
    assert_eq!((&*finding.class, culprit(&finding).1), ("file-lock", Some(20)));
}

#[test]
fn a_file_lock_that_is_never_released_names_its_holder() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "apt", &[&[(State::FileLock, 1000)]]);
        process(window, 20, "stuck", &[&[(Sleep, 1000)]]);
        let (waiter, holder) = (Tgid(10), Tgid(20));
        window.file_locks.push(FileLockRow { waiter, tried: false, holder, dev: 1, inode: 2 });
    }));
    assert_eq!((&*finding.class, culprit(&finding).1), ("file-lock", Some(20)));
}

#[test]
fn a_full_pipe_is_its_readers_matter_and_an_empty_one_is_idle() {
    let windows = scene(|window| {
        process(window, 10, "gen", &[&[(Ipc, 900), (Oncpu, 100)]]);
        process(window, 20, "slow", &[&[(Sleep, 950), (Oncpu, 50)]]);
        wait(window, &simple(10, 10, Ipc, WRITE, 900, Some((20, 20))));
        process(window, 30, "logger", &[&[(Ipc, 990), (Oncpu, 10)]]);
        wait(window, &simple(30, 30, Ipc, READ, 990, Some((20, 20))));
        window.syscalls.push(calls(10, "gen", WRITE, 500, 0, 900));
        window.syscalls.push(calls(30, "logger", READ, 500, 0, 900));
    });
    let finding = alarm(&windows);
    assert_eq!((&*finding.class, finding.subject.pid), ("ipc-peer", Some(10)));
    assert_eq!(culprit(&finding), ("process".into(), Some(20), "slow".into()));
    assert_eq!(found(&windows).len(), 1);
}

#[test]
fn a_terminal_that_does_not_read_holds_up_the_writer() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "app", &[&[(State::Device, 900), (Oncpu, 100)]]);
        process(window, 20, "term", &[&[(Sleep, 950), (Oncpu, 50)]]);
        wait(window, &simple(10, 10, State::Device, WRITE, 900, Some((20, 20))));
    }));
    assert_eq!((&*finding.class, culprit(&finding).1), ("ipc-peer", Some(20)));
}

#[test]
fn a_process_stopped_again_and_again_waits_for_its_tracer_and_one_stopped_for_long_does_not() {
    let stopped = |ms: u64| {
        scene(|window| {
            process(window, 10, "app", &[&[(State::Stopped, 800), (Oncpu, 200)]]);
            process(window, 20, "strace", &[&[(Oncpu, 700), (Child, 300)]]);
            for _ in 0..800 / ms {
                wait(window, &simple(10, 10, State::Stopped, READ, ms, Some((20, 20))));
                window.waits.last_mut().expect("just put there").at = window.end;
            }
        })
    };
    let finding = alarm(&stopped(1));
    assert_eq!((&*finding.class, culprit(&finding).1), ("ipc-peer", Some(20)));
    assert_eq!(found(&stopped(800)), [], "job control");
}

#[test]
fn an_io_uring_is_storage_for_a_process_with_block_requests() {
    const IO_URING_ENTER: u16 = 426;
    let ring = |served: u64| {
        scene(|window| {
            process(window, 10, "db", &[&[(Poll, 800), (Oncpu, 200)]]);
            wait(window, &simple(10, 10, Poll, IO_URING_ENTER, 800, None));
            disk(window, 900);
            requests(window, 10, crate::window::BlockOp::Read, 100, 100, served);
        })
    };
    assert_eq!(alarm(&ring(700)).class, "disk-read");
    let idle = scene(|window| {
        process(window, 10, "proxy", &[&[(Poll, 800), (Oncpu, 200)]]);
        wait(window, &simple(10, 10, Poll, IO_URING_ENTER, 800, None));
    });
    assert_eq!(found(&idle), []);
}

#[test]
fn a_storm_of_signals_is_their_senders() {
    const KILL: u16 = 62;
    const RT_SIGRETURN: u16 = 15;
    let windows = scene(|window| {
        process(window, 10, "app", &[&[(Oncpu, 1000)]]);
        process(window, 20, "notifier", &[&[(Oncpu, 1000)]]);
        for tgid in [10, 20] {
            change(window, tgid, |sample| (sample.user, sample.system) = (DurNs(0), DurNs(900 * MS)));
        }
        window.syscalls.push(calls(10, "app", RT_SIGRETURN, 200_000, 0, 500));
        window.syscalls.push(calls(20, "notifier", KILL, 300_000, 0, 2_000));
    });
    let finding = alarm(&windows);
    assert_eq!((finding.subject.pid, culprit(&finding).1), (Some(10), Some(20)), "{finding:?}");
}

#[test]
fn a_peer_with_its_own_trouble_is_the_root() {
    let windows = scene(|window| {
        process(window, 10, "client", &[&[(Ipc, 900), (Oncpu, 100)]]);
        process(window, 20, "server", &[&[(DiskRead, 800), (Oncpu, 100), (Ipc, 100)]]);
        wait(window, &simple(10, 10, Ipc, READ, 900, Some((20, 20))));
        wait(window, &simple(20, 20, Ipc, READ, 100, Some((10, 10))));
        window.syscalls.push(calls(10, "client", READ, 100, 0, 900));
        window.syscalls.push(calls(10, "client", WRITE, 100, 0, 900));
        disk(window, 900);
        requests(window, 20, crate::window::BlockOp::Read, 100, 100, 700);
    });
    let finding = alarm(&windows);
    assert_eq!((&*finding.class, finding.subject.pid), ("disk-read", Some(20)));
    assert_eq!(finding.caused, ["ipc-peer"]);
}

#[test]
fn refined_states_share_what_was_accounted_by_weight() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "app", &[&[(Uninterruptible, 800), (Oncpu, 200)]]);
        let refined = |state, ms| W { state, ..simple(10, 10, Uninterruptible, READ, ms, None) };
        wait(window, &refined(State::Reclaim, 30));
        wait(window, &refined(Uninterruptible, 10));
    }));
    assert_eq!((&*finding.class, finding.lost_ns_per_s), ("reclaim", 600_000_000));
}

#[test]
fn a_vfork_parent_hangs_by_its_child() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "sh", &[&[(Child, 1000)]]);
        open(window, 10, Child, 6, VFORK);
        process(window, 11, "sh", &[&[(Sleep, 1000)]]);
        change(window, 11, |sample| sample.parent = Tgid(10));
    }));
    assert_eq!((&*finding.class, finding.subject.pid), ("hang", Some(10)));
    assert_eq!(culprit(&finding).1, Some(11));
}

#[test]
fn uninterruptible_with_an_idle_disk_is_a_hang_and_with_a_busy_one_is_not() {
    let at = |busy_ms: u64| {
        scene(move |window| {
            process(window, 10, "cp", &[&[(DiskRead, 1000)]]);
            open(window, 10, DiskRead, 6, READ);
            disk(window, busy_ms);
        })
    };
    assert_eq!(alarm(&at(0)).class, "hang");
    assert_eq!(alarm(&at(900)).class, "disk-read");
}

#[test]
fn a_supervisor_waits_for_its_child_in_peace_and_a_script_of_sleepers_does_not() {
    let script = |children: u32, cpu_ms: u64| {
        scene(move |window| {
            process(window, 10, "sh", &[&[(Child, 950), (Oncpu, 50)]]);
            for child in 0..children {
                let mut exit = exit(1_000 + child, 10, "slow", cpu_ms);
                exit.at = MonoNs(1);
                window.exits.push(exit);
                wait(
                    window,
                    &simple(
                        10,
                        10,
                        Child,
                        WAIT4,
                        950 / u64::from(children),
                        Some((1_000 + child, 1_000 + child)),
                    ),
                );
            }
        })
    };
    let finding = alarm(&script(4, 1));
    assert_eq!((&*finding.class, culprit(&finding).2), ("child", "slow".into()));
    assert!(alarms(&script(4, 200)).is_empty(), "the children compute");
    assert!(found(&script(0, 0)).is_empty(), "one that lasts");
}

#[test]
fn an_idle_server_is_silent() {
    let windows = scene(|window| {
        process(window, 10, "nginx", &[&[(Poll, 999), (Oncpu, 1)], &[(FutexWait, 1000)]]);
        process(window, 20, "sshd", &[&[(State::NetAccept, 1000)]]);
        process(window, 30, "sh", &[&[(State::Device, 1000)]]);
        process(window, 40, "cat", &[&[(Ipc, 1000)]]);
    });
    assert!(found(&windows).is_empty(), "{:#?}", found(&windows));
}

//! Ready and running: neighbours, quotas, crowds, hogs.

use agent_common::abi::sched::State::{
    FutexWait, Oncpu, Poll, RunqPreempted, RunqThrottled, RunqWoken, Sleep,
};
use agent_common::units::DurNs;

use super::scene::*;
use crate::Level;
use crate::testing::{MS, SECOND, calls};
use crate::window::{IrqRow, Window};

/// 10 `db` waits 60 % of its time while 20 `burn` runs.
fn neighbour(window: &mut Window) {
    busy(window);
    process(window, 10, "db", &[&[(Oncpu, 400), (RunqPreempted, 500), (RunqWoken, 100)]]);
    process(window, 20, "burn", &[&[(Oncpu, 1000)]]);
    in_cgroup(window, 20, "/batch");
    blame(window, 10, 20, 580);
    blame(window, 10, 10, 20);
}

#[test]
fn the_process_that_runs_while_another_waits_is_the_neighbour() {
    let finding = alarm(&scene(neighbour));
    assert_eq!((&*finding.class, finding.subject.pid), ("runq-neighbour", Some(10)));
    assert_eq!(culprit(&finding), ("process".into(), Some(20), "burn".into()));
    assert_eq!(finding.lost_ns_per_s, 600_000_000);
    assert!((finding.share_pct - 60.0).abs() < 1e-6);
    assert!(
        finding.evidence.iter().any(|line| line.what == "share of its waiting while burn (20) in /batch ran"),
        "{finding:#?}"
    );
    assert_eq!(finding.caused, ["cpu-user"], "that the neighbour is busy is no second finding");
}

#[test]
fn throttling_is_the_quota_and_not_the_neighbour() {
    let finding = alarm(&scene(|window| {
        busy(window);
        process(window, 10, "db", &[&[(Oncpu, 200), (RunqThrottled, 750), (RunqWoken, 50)]]);
        process(window, 20, "burn", &[&[(Oncpu, 900), (Poll, 100)]]);
        in_cgroup(window, 10, "/capped");
        blame(window, 10, 20, 50);
        // The other process uses the CPU and delays no process.
        window.syscalls.push(calls(20, "burn", READ, 500, 0, 100));
    }));
    assert_eq!(finding.class, "cpu-quota");
    assert_eq!(culprit(&finding), ("cgroup".into(), None, "/capped".into()));
}

#[test]
fn own_threads_in_the_way_are_a_crowd() {
    let finding = alarm(&scene(|window| {
        busy(window);
        let thread: &[(agent_common::abi::sched::State, u64)] = &[(Oncpu, 125), (RunqPreempted, 875)];
        process(window, 10, "spin", &[thread; 16]);
        blame(window, 10, 10, 14_000);
    }));
    assert_eq!(finding.class, "runq-self");
    assert_eq!(culprit(&finding).1, Some(10));
}

#[test]
fn two_workers_that_fill_two_cpus_are_no_alarm() {
    let windows = scene(|window| {
        busy(window);
        process(window, 10, "cc1", &[&[(Oncpu, 700), (RunqPreempted, 300)]]);
        process(window, 11, "cc1", &[&[(Oncpu, 700), (RunqPreempted, 300)]]);
        process(window, 5, "make", &[&[(Oncpu, 10), (Sleep, 990)]]);
        blame(window, 10, 11, 300);
        blame(window, 11, 10, 300);
        window.syscalls.push(calls(10, "cc1", READ, 2_000, 0, 900));
        window.syscalls.push(calls(11, "cc1", READ, 2_000, 0, 900));
    });
    assert!(alarms(&windows).is_empty(), "{:#?}", found(&windows));
}

#[test]
fn client_and_server_on_one_cpu_are_not_neighbours() {
    let windows = scene(|window| {
        busy(window);
        process(window, 10, "nginx", &[&[(Oncpu, 500), (RunqWoken, 450), (Poll, 50)]]);
        process(window, 20, "wrk", &[&[(Oncpu, 500), (RunqWoken, 450), (Poll, 50)]]);
        blame(window, 10, 20, 450);
        blame(window, 20, 10, 450);
        wait(window, &simple(10, 10, Poll, 232, 50, Some((20, 20))));
        wait(window, &simple(20, 20, Poll, 232, 50, Some((10, 10))));
        window.syscalls.push(calls(10, "nginx", READ, 9_000, 0, 900));
        window.syscalls.push(calls(20, "wrk", READ, 9_000, 0, 900));
    });
    assert!(alarms(&windows).is_empty(), "{:#?}", found(&windows));
}

#[test]
fn a_niced_process_is_no_victim_and_no_culprit_of_one_that_does_not_wait() {
    let windows = scene(|window| {
        busy(window);
        process(window, 10, "app", &[&[(Oncpu, 300), (RunqWoken, 10), (Poll, 690)]]);
        process(window, 20, "hog", &[&[(Oncpu, 700), (RunqPreempted, 300)]]);
        change(window, 20, |sample| sample.nice = 19);
        blame(window, 10, 20, 10);
        blame(window, 20, 10, 300);
        window.syscalls.push(calls(20, "hog", READ, 500, 0, 900));
    });
    assert!(alarms(&windows).is_empty(), "{:#?}", found(&windows));
}

#[test]
fn of_two_that_wait_for_each_other_the_one_that_wants_more_is_the_culprit() {
    let finding = alarm(&scene(|window| {
        busy(window);
        process(window, 10, "db", &[&[(Oncpu, 300), (RunqPreempted, 300), (Poll, 400)]]);
        process(window, 20, "burn", &[&[(Oncpu, 700), (RunqPreempted, 300)]]);
        blame(window, 10, 20, 300);
        blame(window, 20, 10, 300);
        window.syscalls.push(calls(20, "burn", READ, 500, 0, 900));
    }));
    assert_eq!((finding.subject.pid, culprit(&finding).1), (Some(10), Some(20)));
}

#[test]
fn between_the_thresholds_a_neighbour_holds_and_does_not_enter() {
    let at = |runq: u64| {
        scene(move |window| {
            busy(window);
            process(window, 10, "db", &[&[(Oncpu, 1000 - runq), (RunqPreempted, runq)]]);
            process(window, 20, "burn", &[&[(Oncpu, 1000)]]);
            blame(window, 10, 20, runq);
        })
    };
    let level = |runq| {
        levels(&at(runq)).into_iter().find(|(class, _)| class == "runq-neighbour").map(|(_, level)| level)
    };
    assert_eq!(level(250), Some(Level::Enter));
    assert_eq!(level(150), Some(Level::Hold));
    assert_eq!(level(100), None);
}

#[test]
fn what_lasts_two_seconds_of_five_is_not_reported() {
    let mut windows: Vec<Window> = (0..5).map(host).collect();
    for window in windows.iter_mut().skip(3) {
        neighbour(window);
        neighbour(window);
    }
    assert!(alarms(&crate::testing::shared(windows)).is_empty());
}

#[test]
fn idle_pool_threads_do_not_dilute_what_a_worker_loses() {
    let finding = alarm(&scene(|window| {
        busy(window);
        let mut threads: Vec<&[_]> = vec![&[(Oncpu, 400), (RunqPreempted, 600)]];
        threads.resize(200, &[(FutexWait, 1000)]);
        process(window, 1000, "java", &threads);
        process(window, 20, "burn", &[&[(Oncpu, 1000)]]);
        blame(window, 1000, 20, 600);
    }));
    assert_eq!((&*finding.class, finding.share_pct.round()), ("runq-neighbour", 60.0));
}

#[test]
fn stolen_time_is_the_hypervisor() {
    let finding = alarm(&scene(|window| {
        busy(window);
        window.host.cpu.steal = DurNs(800 * MS);
    }));
    assert_eq!(finding.class, "cpu-steal");
    assert_eq!(culprit(&finding).0, "host");
}

#[test]
fn a_loop_that_touches_nothing_alarms_and_a_compiler_does_not() {
    let hog = |calls_a_second: u64, faults: u64| {
        scene(move |window| {
            process(window, 10, "x", &[&[(Oncpu, 1000)]]);
            change(window, 10, |sample| sample.min_flt = faults);
            window.syscalls.push(calls(10, "x", READ, calls_a_second, 0, 100));
        })
    };
    assert_eq!(alarms(&hog(2, 0)), ["cpu-user"]);
    assert!(alarms(&hog(800, 3_000)).is_empty());
    assert_eq!(found(&hog(800, 3_000))[0].class, "cpu-user", "it is in reports");
}

#[test]
fn one_dispatcher_with_idle_workers_is_a_single_thread() {
    let windows = scene(|window| {
        let idle: &[_] = &[(Oncpu, 20), (FutexWait, 980)];
        process(window, 10, "app", &[&[(Oncpu, 980), (RunqWoken, 20)], idle, idle, idle]);
        for tid in 11..14 {
            wait(window, &simple(10, tid, FutexWait, FUTEX, 900, Some((10, 10))));
        }
        window.syscalls.push(calls(10, "app", FUTEX, 5_000, 0, 900));
    });
    let finding = alarm(&windows);
    assert_eq!(finding.class, "single-thread");
    assert!(finding.caused.contains(&"cpu-user".into()));
}

#[test]
fn threads_that_all_compute_are_not_a_single_thread() {
    let windows = scene(|window| {
        process(window, 10, "app", &[&[(Oncpu, 980)], &[(Oncpu, 900)], &[(FutexWait, 1000)]]);
        window.syscalls.push(calls(10, "app", FUTEX, 5_000, 0, 900));
    });
    assert!(!found(&windows).iter().any(|finding| finding.class == "single-thread"));
}

#[test]
fn a_cpu_full_of_softirqs_is_named_with_their_kind() {
    let finding = alarm(&scene(|window| {
        let softirq = vec![("net_rx", 10_000, DurNs(700 * MS)), ("timer", 100, DurNs(MS))];
        window.irqs = vec![IrqRow { cpu: 1, softirq, hardirq: DurNs(20 * MS) }];
    }));
    assert_eq!(finding.class, "softirq");
    assert_eq!(culprit(&finding).2, "net_rx on CPU 1");
}

#[test]
fn minor_faults_need_kernel_time_that_no_call_explains() {
    let faults = |system_ms: u64, in_calls: u64| {
        scene(move |window| {
            process(window, 10, "x", &[&[(Oncpu, 1000)]]);
            change(window, 10, |sample| {
                sample.user = DurNs((1000 - system_ms) * MS);
                sample.system = DurNs(system_ms * MS);
                sample.min_flt = 200_000;
            });
            window.syscalls.push(calls(10, "x", 9, 1_000, 0, in_calls * MS / 1_000));
        })
    };
    let finding = alarm(&faults(600, 50));
    assert_eq!((&*finding.class, finding.lost_ns_per_s / 1_000_000), ("fault-minor", 550 + 50));
    assert!(alarms(&faults(600, 580)).is_empty(), "it is in its calls");
}

#[test]
fn a_full_host_alone_is_in_reports_only() {
    let windows = scene(|window| {
        busy(window);
        window.host.pressure.cpu = Some(crate::window::Pressure { some: DurNs(SECOND), full: None });
    });
    assert!(alarms(&windows).is_empty());
    assert_eq!(found(&windows)[0].class, "host-cpu");
}

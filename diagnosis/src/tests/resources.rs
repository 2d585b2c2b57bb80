//! Disks, memory, network, processes, tables, leaks.

use agent_common::abi::sched::State::{
    self, DiskRead, DiskWrite, FaultFile, Fsync, NetConnect, Oncpu, Poll, Reclaim, Swap, Writeback,
};
use agent_common::units::{DurNs, Tgid};

use super::scene::*;
use crate::testing::{MS, calls, exit, shared};
use crate::window::Tables;
use crate::window::TaskState;
use crate::window::{BlockOp, MemoryRow, NetRow, OomKill, WaitTarget, Window};
use crate::{Level, Trend, suspicions};

fn reader(window: &mut Window, busy: u64, own_ms: u64) {
    process(window, 10, "db", &[&[(DiskRead, 800), (Oncpu, 200)]]);
    disk(window, busy);
    requests(window, 10, BlockOp::Read, 800, own_ms / 10, own_ms);
}

#[test]
fn a_disk_that_another_process_saturates_is_that_process_fault() {
    let finding = alarm(&scene(|window| {
        reader(window, 990, 200);
        process(window, 20, "dd", &[&[(Poll, 500), (Oncpu, 500)]]);
        requests(window, 20, BlockOp::Write, 4_000, 3_000, 780);
    }));
    assert_eq!((&*finding.class, finding.subject.pid), ("disk-read", Some(10)));
    assert_eq!(culprit(&finding), ("process".into(), Some(20), "dd".into()));
}

#[test]
fn a_disk_of_its_own_is_the_device_and_says_whether_it_is_full() {
    let full = alarm(&scene(|window| reader(window, 990, 780)));
    assert_eq!(culprit(&full), ("device".into(), None, "vda".into()));
    assert!(full.advice.contains("saturated"), "{}", full.advice);
    let latency = alarm(&scene(|window| reader(window, 700, 690)));
    assert!(latency.advice.contains("one request after another"), "{}", latency.advice);
}

#[test]
fn requests_held_back_before_an_idle_disk_are_the_cgroups_limit() {
    let finding = alarm(&scene(|window| {
        reader(window, 20, 15);
        in_cgroup(window, 10, "/slow");
    }));
    assert_eq!((&*finding.class, culprit(&finding)), ("disk-read", ("cgroup".into(), None, "/slow".into())));
}

#[test]
fn small_requests_of_a_fast_disk_are_not_held_back() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "db", &[&[(FaultFile, 800), (Oncpu, 200)]]);
        disk(window, 300);
        requests(window, 10, BlockOp::Read, 8_000, 20, 150);
        in_cgroup(window, 10, "/app");
    }));
    assert_eq!(
        (&*finding.class, culprit(&finding)),
        ("fault-major-file", ("device".into(), None, "vda".into()))
    );
}

#[test]
fn each_kind_of_storage_wait_has_its_class() {
    for (state, class) in [
        (DiskWrite, "disk-write"),
        (Fsync, "fsync"),
        (Writeback, "writeback"),
        (FaultFile, "fault-major-file"),
    ] {
        let finding = alarm(&scene(|window| {
            process(window, 10, "db", &[&[(state, 800), (Oncpu, 200)]]);
            disk(window, 900);
            requests(window, 10, BlockOp::Write, 800, 80, 700);
        }));
        assert_eq!(finding.class, class);
    }
}

#[test]
fn swap_explains_reclaim_and_the_limit_is_the_cgroups() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "app", &[&[(Swap, 500), (Reclaim, 300), (Oncpu, 200)]]);
        in_cgroup(window, 10, "/small");
    }));
    assert_eq!((&*finding.class, &*finding.caused), ("swap", &["reclaim".into()][..]));
    assert_eq!(culprit(&finding), ("cgroup".into(), None, "/small".into()));
}

#[test]
fn a_swap_that_answers_at_once_shows_in_the_kernels_time() {
    let windows = scene(|window| {
        process(window, 10, "app", &[&[(Oncpu, 1000)]]);
        change(window, 10, |sample| {
            (sample.user, sample.system, sample.maj_flt) = (DurNs(200 * MS), DurNs(800 * MS), 50_000);
        });
        window.host.memory.swap_in_bytes = 50_000 * 4096;
        window.syscalls.push(calls(10, "app", READ, 1_000, 0, 100));
    });
    let finding = alarm(&windows);
    assert_eq!((&*finding.class, finding.lost_ns_per_s / 1_000_000), ("swap", 800));
}

#[test]
fn reclaim_on_the_cpu_counts() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "app", &[&[(Oncpu, 900), (Reclaim, 100)]]);
        in_cgroup(window, 10, "/small");
        let reclaim = DurNs(600 * MS);
        window.memory.push(MemoryRow { tgid: Tgid(10), reclaims: 900, reclaim, ..MemoryRow::default() });
        window.syscalls.push(calls(10, "app", READ, 1_000, 0, 100));
    }));
    assert_eq!((&*finding.class, finding.lost_ns_per_s / 1_000_000), ("reclaim", 600));
    assert_eq!(culprit(&finding).0, "cgroup");
}

#[test]
fn one_kill_for_memory_is_an_alarm() {
    let mut windows: Vec<Window> = (0..5).map(host).collect();
    windows[2].oom_kills.push(OomKill {
        tgid: Tgid(10),
        comm: "app".into(),
        cgroup: "/small".into(),
        rss_bytes: 1 << 30,
    });
    windows[2].host.memory.oom_kills = Some(1);
    let finding = alarm(&shared(windows));
    assert_eq!((&*finding.class, finding.subject.pid), ("oom", Some(10)));
    assert_eq!(culprit(&finding), ("cgroup".into(), None, "/small".into()));
}

fn net(retransmits: u64, accept_overflows: u64) -> NetRow {
    NetRow {
        tgid: Tgid(10),
        comm: "app".into(),
        local_port: 8080,
        peer: (retransmits > 0).then(|| peer(9000)),
        retransmits,
        resets: 0,
        accept_overflows,
        accept_queue: None,
        receive_drops: 0,
    }
}

#[test]
fn lost_segments_explain_a_slow_peer() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "app", &[&[(State::NetSend, 900), (Oncpu, 100)]]);
        let target = WaitTarget::Socket { protocol: 6, local_port: 45_000, peer: Some(peer(9000)) };
        wait(window, &W { target, ..simple(10, 10, State::NetSend, WRITE, 900, None) });
        window.net.push(net(50, 0));
    }));
    assert_eq!((&*finding.class, &*finding.caused), ("net-retransmit", &["net-peer".into()][..]));
    assert_eq!(culprit(&finding), ("peer".into(), None, "10.0.0.2:9000".into()));
}

#[test]
fn a_few_lost_segments_among_many_packets_are_the_internet() {
    let windows = scene(|window| {
        process(window, 10, "app", &[&[(Poll, 900), (Oncpu, 100)]]);
        window.net.push(net(10, 0));
        let mut interface = crate::window::Interface { name: "eth0".into(), ..Default::default() };
        interface.tx_packets = 100_000;
        window.host.interfaces.push(interface);
    });
    assert!(found(&windows).is_empty(), "{:#?}", found(&windows));
}

#[test]
fn a_full_accept_queue_is_its_listeners() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "app", &[&[(State::Sleep, 900), (Oncpu, 100)]]);
        window.net.push(net(0, 20));
        // Its clients see their first segments lost.
        let mut client = net(30, 0);
        (client.tgid, client.local_port, client.peer) = (Tgid(20), 45_000, Some(peer(8080)));
        window.net.push(client);
    }));
    assert_eq!(finding.caused, ["net-retransmit"]);
    assert_eq!((&*finding.class, culprit(&finding).1), ("net-accept-queue", Some(10)));
}

#[test]
fn connecting_names_the_address() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "app", &[&[(NetConnect, 900), (Oncpu, 100)]]);
        let target = WaitTarget::Socket { protocol: 6, local_port: 45_000, peer: Some(peer(81)) };
        wait(window, &W { target, ..simple(10, 10, NetConnect, 42, 900, None) });
    }));
    assert_eq!((&*finding.class, culprit(&finding).2), ("net-connect", "10.0.0.2:81".into()));
}

#[test]
fn churn_is_short_children_of_one_parent_and_a_build_is_not() {
    let children = |count: u32, cpu_ms: u64| {
        scene(move |window| {
            process(window, 10, "sh", &[&[(Oncpu, 300), (State::Child, 700)]]);
            window.exits = (0..count).map(|n| exit(1_000 + n, 10, "true", cpu_ms)).collect();
            window.syscalls.push(calls(10, "sh", 56, u64::from(count), 0, 100_000));
        })
    };
    let finding = alarm(&children(200, 1));
    assert_eq!((&*finding.class, culprit(&finding).1), ("process-churn", Some(10)));
    assert!(!found(&children(60, 40)).iter().any(|finding| finding.class == "process-churn"));
    assert!(!found(&children(20, 1)).iter().any(|finding| finding.class == "process-churn"));
}

#[test]
fn sleeping_for_no_time_is_a_timer_storm() {
    let finding = alarm(&scene(|window| {
        process(window, 10, "poll", &[&[(State::Sleep, 800), (Oncpu, 200)]]);
        window.syscalls.push(calls(10, "poll", 230, 8_000, 0, 60_000));
    }));
    assert_eq!(finding.class, "timer-storm");
}

/// Ten windows in which a process has what `of` says.
fn growing(of: impl Fn(u64, &mut Window)) -> Vec<std::sync::Arc<Window>> {
    let make = |index| {
        let mut window = host(index);
        process(&mut window, 10, "app", &[&[(Poll, 990), (Oncpu, 10)]]);
        of(index, &mut window);
        window
    };
    shared((0..10).map(make).collect())
}

#[test]
fn descriptors_that_only_grow_leak() {
    let leak = growing(|n, window| {
        change(window, 10, |sample| (sample.fds, sample.fd_limit) = (Some(10 + 20 * n as u32), Some(1024)));
    });
    let finding = alarm(&leak);
    assert_eq!((&*finding.class, culprit(&finding).1), ("fd-leak", Some(10)));
    let agents_own = growing(|n, window| {
        change(window, 10, |sample| (sample.fds, sample.fd_limit) = (Some(10 + 20 * n as u32), Some(1024)));
        window.own = Tgid(10);
    });
    assert!(found(&agents_own).is_empty(), "a bounded number, which grows with the processes of the host");
    let step = growing(|n, window| {
        let fds = if n < 3 { 10 } else { 500 };
        change(window, 10, |sample| (sample.fds, sample.fd_limit) = (Some(fds), Some(1024)));
    });
    assert!(found(&step).is_empty(), "connections that came at once");
}

#[test]
fn threads_and_zombies_that_only_grow_leak() {
    let threads = growing(|n, window| {
        window.host.tables =
            Tables { threads: Some((500, 30_000)), pids: Some((500, 32_768)), ..Tables::default() };
        change(window, 10, |sample| sample.threads = 5 + 10 * n as u32);
    });
    assert_eq!(alarm(&threads).class, "thread-leak");
    let zombies = growing(|n, window| {
        for child in 0..3 * n as u32 {
            process(window, 100 + child, "child", &[&[]]);
            change(window, 100 + child, |sample| {
                (sample.parent, sample.state) = (Tgid(10), TaskState::Zombie);
            });
        }
    });
    let finding = alarm(&zombies);
    assert_eq!((&*finding.class, finding.subject.pid), ("zombie-leak", Some(10)));
}

#[test]
fn memory_must_grow_for_a_minute() {
    let grow = |seconds: u64, plateau: u64| {
        let mut trend = Trend::default();
        let windows: Vec<_> = (0..seconds)
            .map(|n| {
                let mut window = host(n);
                process(&mut window, 10, "app", &[&[(Poll, 990), (Oncpu, 10)]]);
                change(&mut window, 10, |sample| sample.rss_bytes = (100 + 5 * n.min(plateau)) << 20);
                trend.push(&window);
                std::sync::Arc::new(window)
            })
            .collect();
        let all = suspicions(crate::recent(&windows), &trend);
        all.into_iter().filter(|of| of.level == Level::Enter).map(|of| of.finding.class).collect::<Vec<_>>()
    };
    assert_eq!(grow(90, 90), ["memory-leak"]);
    assert!(grow(30, 90).is_empty(), "a start-up");
    assert!(grow(90, 40).is_empty(), "a plateau");
}

#[test]
fn a_table_that_runs_out_is_named() {
    let finding = alarm(&scene(|window| {
        window.host.tables =
            Tables { conntrack: Some((63_000, 65_536)), files: Some((10, 100)), ..Tables::default() };
    }));
    assert_eq!(culprit(&finding).2, "net.netfilter.nf_conntrack_max");
}

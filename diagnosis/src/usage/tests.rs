use agent_common::units::Tid;

use super::*;
use crate::testing::{MS, SECOND, calls, exit, shared, task, window};
use crate::window::{InFlight, SyscallAbi, SyscallRow};
use crate::window::{TaskIo, TaskTotals};

fn find(rows: &[Usage], tgid: u32) -> &Usage {
    rows.iter().find(|row| row.tgid == Tgid(tgid)).unwrap()
}

#[test]
fn windows_add_up_and_levels_are_the_last() {
    let mut windows = vec![window(0), window(1)];
    let mut first = task(7, "a", 300, 100);
    (first.rss_bytes, first.threads, first.runq) = (10, 2, Some(DurNs(50 * MS)));
    first.io = Some(TaskIo { read_bytes: 5, write_bytes: 6 });
    let mut second = task(7, "b", 200, 0);
    (second.rss_bytes, second.threads, second.runq) = (20, 3, Some(DurNs(MS)));
    second.io = Some(TaskIo { read_bytes: 1, write_bytes: 0 });
    windows[0].tasks = vec![first.into()];
    windows[1].tasks = vec![second.into()];
    let rows = usage(&shared(windows));
    let row = find(&rows, 7);
    assert_eq!((&*row.comm, row.threads, row.rss_bytes, row.processes), ("b", 3, 20, 1));
    assert_eq!((row.user, row.system, row.runq), (DurNs(500 * MS), DurNs(100 * MS), Some(DurNs(51 * MS))));
    assert_eq!((row.read_bytes, row.write_bytes, row.io_bytes()), (Some(6), Some(6), 12));
    assert_eq!(row.thread_time, DurNs(5 * SECOND));
    assert_eq!(row.offcpu().0 + row.cpu().0 + row.runq.unwrap().0, 5 * SECOND, "states add up to the wall");
}

#[test]
fn a_process_born_in_the_window_was_there_since_then_only() {
    let mut windows = vec![window(0)];
    let mut born = task(7, "a", 0, 0);
    born.born = Some(DurNs(200 * MS));
    windows[0].tasks = vec![born.into()];
    assert_eq!(find(&usage(&shared(windows)), 7).thread_time, DurNs(200 * MS));
}

#[test]
fn an_exit_adds_what_no_sample_holds() {
    let mut windows = vec![window(0), window(1)];
    windows[0].tasks = vec![task(7, "a", 300, 100).into()];
    let mut end = exit(7, 1, "a", 600);
    end.start_boot_ns.0 += 3 * MS;
    end.before = TaskTotals { cpu: DurNs(400 * MS), min_flt: 4, maj_flt: 1 };
    windows[1].exits = vec![end];
    let rows = usage(&shared(windows));
    assert_eq!(rows.len(), 1, "/proc cuts the start to ticks: still the same process");
    let row = find(&rows, 7);
    assert_eq!(
        (row.user, row.system),
        (DurNs(450 * MS), DurNs(150 * MS)),
        "200 ms more, a quarter in the kernel"
    );
    assert_eq!((row.min_flt, row.maj_flt), (6, 0));
    assert_eq!((row.processes, row.short_lived, row.rss_bytes), (0, 0, 0));
}

#[test]
fn short_lived_processes_are_folded_under_the_nearest_forebear_that_lives() {
    let mut windows = vec![window(0)];
    windows[0].tasks = vec![task(7, "make", 10, 0).into()];
    // make → sh → cc; sh and cc ended before `/proc` was read. And an orphan with an unknown parent.
    windows[0].exits = vec![exit(9, 8, "cc", 400), exit(8, 7, "sh", 40), exit(20, 19, "stray", 4)];
    windows[0].syscalls = vec![
        calls(7, "make", 0, 5, 0, 100),
        calls(8, "sh", 0, 30, 1, 100),
        calls(9, "cc", 0, 200, 10, 100),
        calls(20, "stray", 0, 1, 0, 100),
    ];
    let rows = usage(&shared(windows));
    assert_eq!(rows.len(), 2);
    let make = find(&rows, 7);
    assert_eq!(make.cpu(), DurNs(450 * MS));
    assert_eq!((make.short_lived, make.processes), (2, 1));
    assert_eq!((make.syscalls, make.syscall_errors, make.syscall_time), (235, 11, DurNs(23_500)));
    assert_eq!(make.min_flt, 20);
    let stray = find(&rows, 20);
    assert_eq!((stray.short_lived, stray.syscalls, stray.cpu()), (1, 1, DurNs(4 * MS)));
}

#[test]
fn a_number_used_twice_is_two_rows() {
    let mut windows = vec![window(0), window(1)];
    windows[0].tasks = vec![task(7, "old", 100, 0).into()];
    let mut new = task(7, "new", 50, 0);
    new.start_boot_ns.0 += 5 * SECOND;
    windows[1].tasks = vec![new.into()];
    windows[1].syscalls = vec![calls(7, "new", 0, 3, 0, 1)];
    let mut rows = usage(&shared(windows));
    rows.sort_by_key(|row| row.start_boot_ns);
    let shown: Vec<_> = rows.iter().map(|row| (&*row.comm, row.user.0 / MS, row.syscalls)).collect();
    assert_eq!(shown, [("old", 100, 0), ("new", 50, 3)]);
}

#[test]
fn calls_under_a_number_used_twice_stay_with_their_process() {
    let mut windows = vec![window(0)];
    let (first, mut second) = (exit(7, 1, "first", 400), exit(7, 1, "second", 40));
    second.start_boot_ns.0 += SECOND;
    let of = |exit: &ProcessExit, count| SyscallRow {
        generation: generation(exit.start_boot_ns.0),
        ..calls(7, &exit.comm, 0, count, 0, 1)
    };
    windows[0].syscalls = vec![of(&second, 20), of(&first, 10)];
    windows[0].exits = vec![first, second];
    let mut rows = usage(&shared(windows));
    rows.sort_by_key(|row| row.start_boot_ns);
    let shown: Vec<_> = rows.iter().map(|row| (&*row.comm, row.cpu().0 / MS, row.syscalls)).collect();
    assert_eq!(shown, [("first", 400, 10), ("second", 40, 20)]);
}

#[test]
fn parents_that_point_at_each_other_do_not_hang() {
    let mut windows = vec![window(0)];
    windows[0].exits = vec![exit(8, 9, "a", 4), exit(9, 8, "b", 8)];
    let total: u64 = usage(&shared(windows)).iter().map(|row| row.cpu().0).sum();
    assert_eq!(total, 12 * MS);
}

#[test]
fn calls_of_a_process_that_nothing_else_knows_are_not_lost() {
    let mut windows = vec![window(0)];
    windows[0].syscalls = vec![calls(5, "ghost", 0, 9, 2, 1)];
    windows[0].in_flight = vec![InFlight {
        tgid: Tgid(5),
        tid: Tid(5),
        comm: "ghost".into(),
        abi: SyscallAbi::Native,
        nr: 0,
        age: DurNs(77),
        at_least: true,
    }];
    let rows = usage(&shared(windows));
    let row = find(&rows, 5);
    assert_eq!((&*row.comm, row.syscalls, row.in_flight_age), ("ghost", 9, Some(DurNs(77))));
}

#[test]
fn the_greatest_by_each_criterion_is_chosen_and_the_rest_adds_up() {
    let idle = |tgid: u32| Usage { tgid: Tgid(tgid), processes: 1, rss_bytes: 1, ..Usage::default() };
    let mut rows: Vec<Usage> = (1..=100).map(idle).collect();
    rows[10].user = DurNs(9);
    rows[20].runq = Some(DurNs(9));
    rows[30].syscalls = 9;
    rows[40].read_bytes = Some(9);
    rows[50].rss_bytes = 9;
    rows[60].syscall_errors = 9;
    rows[70].maj_flt = 9;
    rows[80].min_flt = 9;
    let memory: u64 = rows.iter().map(|row| row.rss_bytes).sum();
    let (top, other) = rank(rows, 8);
    let other = other.unwrap();
    let mut chosen: Vec<_> = top.iter().map(|row| row.tgid.0).collect();
    assert_eq!(chosen[..2], [11, 21], "by CPU and run queue first");
    chosen.sort_unstable();
    assert_eq!(chosen, [11, 21, 31, 41, 51, 61, 71, 81]);
    assert_eq!((&*other.comm, other.tgid, other.processes), ("other", Tgid(0), 92));
    assert_eq!(top.iter().map(|row| row.rss_bytes).sum::<u64>() + other.rss_bytes, memory);
}

#[test]
fn with_room_for_all_there_is_no_other() {
    let rows: Vec<Usage> =
        (1..=3).map(|tgid| Usage { tgid: Tgid(tgid), rss_bytes: 1, ..Usage::default() }).collect();
    assert_eq!(rank(rows.clone(), 3), (rows.clone(), None));
    let (top, other) = rank(rows, 0);
    assert!(top.is_empty() && other.unwrap().rss_bytes == 3);
    let nothing: Vec<Usage> = (1..=3).map(|tgid| Usage { tgid: Tgid(tgid), ..Usage::default() }).collect();
    let (top, other) = rank(nothing, 3);
    assert!(top.is_empty() && other.is_some(), "nothing to say about them: they are in `other`");
}

#[test]
fn all_that_did_something_is_shown_and_of_the_idle_the_largest() {
    let mut all = window(0);
    // Three hundred that work, and three hundred that sleep with ever more memory.
    for tgid in 1..=600 {
        let mut one = task(tgid, "t", u64::from(tgid <= 300), 0);
        one.rss_bytes = u64::from(tgid) << 20;
        all.tasks.push(one.into());
    }
    let rows = usage(&shared(vec![all]));
    let (top, other) = rank_active(rows.clone(), 100, 2_000);
    let other = other.unwrap();
    assert_eq!(top.iter().filter(|row| !row.is_idle()).count(), 300);
    let mut idle: Vec<u32> = top.iter().filter(|row| row.is_idle()).map(|row| row.tgid.0).collect();
    idle.sort_unstable();
    assert_eq!(idle, (551..=600).collect::<Vec<_>>());
    assert_eq!((other.processes, other.cpu()), (250, DurNs(0)), "nothing is lost, and the rest did nothing");
    let memory = |rows: &[Usage]| rows.iter().map(|row| row.rss_bytes).sum::<u64>();
    assert_eq!(memory(&top) + other.rss_bytes, memory(&rows));
    // More than there is room for: as before, by what is most interesting.
    assert_eq!(rank_active(rows.clone(), 100, 200), rank(rows.clone(), 200));
    // Few processes are all shown.
    let few: Vec<Usage> = rows.into_iter().rev().take(90).collect();
    assert_eq!(rank_active(few, 100, 2_000).1, None);
}

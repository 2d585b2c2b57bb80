//! Distractors for a recording: other load that could have run on that host. It is written into the windows, so that it is the
//! same on every machine.
//!
//! The load is a program that computes all the time, and a build: a long-running compiler and short-lived ones. It holds no
//! process up, so each finding about it is false.

use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{BootNs, DurNs, Tgid, Tid};
use diagnosis::window::{
    BlockIoRow, BlockOp, ProcessExit, ProcessTimes, RunqBlame, TaskIo, TaskSample, TaskTotals, ThreadTimes,
    Window,
};

/// Above the numbers of all processes (`pid_max` is at most 2^22).
const FIRST: u32 = 10_000_000;
const BUSY: u32 = FIRST;
const MAKE: u32 = FIRST + 1;
const COMPILER: u32 = FIRST + 2;
/// Compilers that begin and end in each window.
const SHORT: u32 = 6;
const SHORT_NS: u64 = 60_000_000;

/// The windows with a busy program and a build in them. Their CPU time is taken from idle time, as far as there is any.
#[must_use]
pub fn beside(windows: &[Arc<Window>]) -> Vec<Arc<Window>> {
    windows.iter().zip(0..).map(|(window, at)| Arc::new(distracted(window, at))).collect()
}

fn distracted(window: &Window, at: u32) -> Window {
    let mut window = window.clone();
    let second = window.span().0;
    let part = |percent: u64| DurNs(second / 100 * percent);
    let busy = [(State::Oncpu, part(95)), (State::RunqPreempted, part(5))];
    process(&mut window, (BUSY, 1), "crunch", &busy);
    process(&mut window, (MAKE, 1), "make", &[(State::Oncpu, part(2)), (State::Child, part(98))]);
    let compiler = [
        (State::Oncpu, part(85)),
        (State::RunqWoken, part(2)),
        (State::RunqPreempted, part(5)),
        (State::DiskRead, part(8)),
    ];
    process(&mut window, (COMPILER, MAKE), "cc1", &compiler);
    for (victim, culprit, percent) in [(BUSY, COMPILER, 5), (COMPILER, BUSY, 7)] {
        window.blame.push(RunqBlame { victim: Tgid(victim), culprit: Tgid(culprit), waited: part(percent) });
    }
    window.blockio.push(BlockIoRow {
        tgid: Tgid(COMPILER),
        comm: "cc1".into(),
        device: "vdz".into(),
        op: BlockOp::Read,
        count: 200,
        sequential: 150,
        bytes: 200 << 14,
        queued: part(1),
        served: part(7),
        max: DurNs(2_000_000),
        errors: 0,
    });
    for number in 0..SHORT {
        let tgid = Tgid(FIRST + 100 + at * SHORT + number);
        let (cpu, quarter) = (DurNs(SHORT_NS), DurNs(SHORT_NS / 4));
        window.exits.push(ProcessExit {
            tgid,
            parent: Tgid(MAKE),
            comm: "as".into(),
            start_boot_ns: BootNs(u64::from(tgid.0)),
            at: window.end,
            code: 0,
            signal: 0,
            cpu,
            utime: DurNs(cpu.0 - quarter.0),
            stime: quarter,
            min_flt: 900,
            maj_flt: 0,
            before: TaskTotals::default(),
        });
    }
    let used = part(182).0 + u64::from(SHORT) * SHORT_NS;
    let take = |idle: &mut DurNs, user: &mut DurNs, most: u64| {
        let taken = idle.0.min(most);
        idle.0 -= taken;
        user.0 += taken;
    };
    take(&mut window.host.cpu.idle, &mut window.host.cpu.user, used);
    let each = used / window.host.cpus.len().max(1) as u64;
    for (_, times) in &mut window.host.cpus {
        take(&mut times.idle, &mut times.user, each);
    }
    window.tasks.sort_by_key(|task| task.tgid);
    window.times.sort_by_key(|times| times.tgid);
    window
}

/// A process of one thread that does this in a window. Half a thousand calls and faults a second, as who works on something makes.
fn process(window: &mut Window, (tgid, parent): (u32, u32), comm: &str, states: &[(State, DurNs)]) {
    let of =
        |wanted: State| states.iter().filter(|(state, _)| *state == wanted).map(|(_, ns)| ns.0).sum::<u64>();
    let cpu = of(State::Oncpu);
    window.tasks.push(Arc::new(TaskSample {
        tgid: Tgid(tgid),
        start_boot_ns: BootNs(u64::from(tgid)),
        parent: Tgid(parent),
        comm: comm.into(),
        threads: 1,
        user: DurNs(cpu / 10 * 9),
        system: DurNs(cpu / 10),
        runq: Some(DurNs(of(State::RunqWoken) + of(State::RunqPreempted))),
        min_flt: 500,
        rss_bytes: 64 << 20,
        io: Some(TaskIo { read_bytes: 1 << 20, write_bytes: 0 }),
        cgroup: "/".into(),
        ..TaskSample::default()
    }));
    let mut states = states.to_vec();
    states.sort_unstable_by_key(|(state, _)| *state);
    let thread = ThreadTimes {
        tid: Tid(tgid),
        comm: comm.into(),
        states: states.clone(),
        voluntary: 50,
        preempted: 50,
        now: None,
    };
    window.times.push(ProcessTimes {
        tgid: Tgid(tgid),
        comm: comm.into(),
        states,
        threads: vec![thread],
        ..ProcessTimes::default()
    });
}

//! More about one process: its threads, their waits, and the processes that ran while it waited for a CPU.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{DurNs, Tgid, Tid};
use agent_common::wire::report::{ProcessDetail, RanRow, ThreadRow, WaitRow};
use diagnosis::Refined;
use diagnosis::groups::is_lost_when_refined;
use diagnosis::syscall_names;
use diagnosis::window::{WaitTarget, Window};

/// Most rows of each table; further rows are in the sums only.
const MAX_ROWS: usize = 20;

pub(super) fn detail(windows: &[Arc<Window>], pid: Tgid, refined: Option<&Refined>) -> ProcessDetail {
    ProcessDetail {
        threads: threads(windows, pid, refined),
        waits: waits(windows, pid),
        ran_meanwhile: ran(windows, pid),
    }
}

/// The threads that ran or are held up, and in one row for each state those that did not wake.
fn threads(windows: &[Arc<Window>], pid: Tgid, refined: Option<&Refined>) -> Vec<ThreadRow> {
    let named = |times: &[(State, u64)]| -> BTreeMap<String, u64> {
        times.iter().map(|(state, ns)| (format!("{}_ns", state.name()), *ns)).collect()
    };
    let mut rows: Vec<ThreadRow> = Vec::new();
    for (tid, comm, times) in refined.iter().flat_map(|refined| &refined.threads) {
        let states: Vec<(State, u64)> =
            State::ALL.into_iter().zip(*times).filter(|(_, ns)| *ns > 0).collect();
        rows.push(ThreadRow {
            tid: tid.0,
            comm: comm.to_string(),
            lost_ns: states.iter().filter(|(state, _)| is_lost_when_refined(*state)).map(|(_, ns)| ns).sum(),
            states: named(&states),
        });
    }
    rows.extend(asleep(windows, pid).into_iter().map(|(state, threads, ns)| ThreadRow {
        tid: 0,
        comm: format!("{threads} that never woke"),
        lost_ns: 0,
        states: named(&[(state, ns)]),
    }));
    let ran = |row: &ThreadRow| row.states.get("oncpu_ns").copied().unwrap_or(0);
    rows.sort_by_key(|row| (Reverse((row.lost_ns, ran(row))), row.tid));
    rows.truncate(MAX_ROWS);
    rows
}

/// Threads that stayed in a state throughout and are not known to be held up: how many at the end, and their time.
fn asleep(windows: &[Arc<Window>], pid: Tgid) -> Vec<(State, u32, u64)> {
    let mut sums: BTreeMap<State, (u32, u64)> = BTreeMap::new();
    for window in windows {
        let Some(times) = window.times.iter().find(|times| times.tgid == pid) else { continue };
        for (state, threads) in &times.resting {
            let is_held_up = |wait: &&diagnosis::window::Wait| {
                wait.open
                    && wait.tgid == pid
                    && wait.accounted == *state
                    && !times.threads.iter().any(|thread| thread.tid == wait.tid)
            };
            let held_up = window.waits.iter().filter(is_held_up).count() as u32;
            let threads = threads.saturating_sub(held_up);
            let sum = sums.entry(*state).or_default();
            sum.0 = threads;
            sum.1 += u64::from(threads) * window.span().0;
        }
    }
    sums.into_iter().filter(|(_, (threads, _))| *threads > 0).map(|(state, (n, ns))| (state, n, ns)).collect()
}

#[derive(Default)]
struct Sum {
    seen: HashSet<(Tid, u64)>,
    waited: u64,
    max: DurNs,
    wakers: HashMap<String, u64>,
}

fn waits(windows: &[Arc<Window>], pid: Tgid) -> Vec<WaitRow> {
    let mut sums: HashMap<(State, Option<String>, Option<String>, bool), Sum> = HashMap::new();
    for wait in windows.iter().flat_map(|window| &window.waits).filter(|wait| wait.tgid == pid) {
        let syscall = wait.syscall.map(|(abi, nr)| syscall_names::display(abi, nr).to_string());
        let sum = sums.entry((wait.state, syscall, target(&wait.target), wait.open)).or_default();
        // A wait that lasts is in each window.
        sum.seen.insert((wait.tid, wait.at.0.saturating_sub(wait.waited.0)));
        sum.waited += wait.weight.0;
        sum.max = sum.max.max(wait.waited);
        let by = wait.waker.as_ref().map(|waker| (waker.comm.to_string(), waker.tgid));
        if let Some((comm, tgid)) = by.or_else(|| Some((comm_of(windows, wait.peer?), wait.peer?))) {
            *sum.wakers.entry(format!("{comm} ({tgid})")).or_default() += wait.weight.0;
        }
    }
    let mut rows: Vec<WaitRow> = sums
        .into_iter()
        .map(|((state, syscall, target, open), sum)| WaitRow {
            open,
            state: state.name().to_owned(),
            syscall,
            target,
            waker: sum
                .wakers
                .into_iter()
                .max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)))
                .map(|(waker, _)| waker),
            waits: sum.seen.len() as u64,
            waited_ns: sum.waited,
            max_ns: sum.max.0,
        })
        .collect();
    rows.sort_by(|a, b| {
        (b.waited_ns, &a.state, &a.syscall, &a.target).cmp(&(a.waited_ns, &b.state, &b.syscall, &b.target))
    });
    rows.truncate(MAX_ROWS);
    rows
}

fn target(target: &WaitTarget) -> Option<String> {
    let end =
        |peer: &Option<(std::net::IpAddr, u16)>| peer.map(|(ip, port)| std::net::SocketAddr::new(ip, port));
    Some(match target {
        WaitTarget::None => return None,
        WaitTarget::Futex { addr, owner: Some(owner) } => format!("futex {addr:#x}, owned by thread {owner}"),
        WaitTarget::Futex { addr, owner: None } => format!("futex {addr:#x}"),
        WaitTarget::Orphaned { addr, owner } => {
            format!("futex {addr:#x}, owned by thread {owner}, which is gone")
        }
        WaitTarget::FileServer { .. } => "the server of a file system".to_owned(),
        WaitTarget::File { dev, inode } => {
            format!("inode {inode} of device {}:{}", dev >> 20, dev & 0xf_ffff)
        }
        WaitTarget::Pipe { inode } => format!("pipe {inode}"),
        WaitTarget::Unix { peer: Some(peer), .. } => format!("local socket of process {peer}"),
        WaitTarget::Unix { peer: None, .. } => "local socket".to_owned(),
        WaitTarget::Socket { protocol, local_port, peer } => {
            let name = match protocol {
                6 => "TCP".to_owned(),
                17 => "UDP".to_owned(),
                other => format!("protocol {other}"),
            };
            match end(peer) {
                Some(peer) => format!("{name} {peer}"),
                None => format!("{name} port {local_port}"),
            }
        }
    })
}

fn ran(windows: &[Arc<Window>], pid: Tgid) -> Vec<RanRow> {
    let mut sums: HashMap<Tgid, u64> = HashMap::new();
    for blame in windows.iter().flat_map(|window| &window.blame).filter(|blame| blame.victim == pid) {
        *sums.entry(blame.culprit).or_default() += blame.waited.0;
    }
    let mut rows: Vec<RanRow> = sums
        .into_iter()
        .map(|(tgid, waited_ns)| RanRow { pid: tgid.0, comm: comm_of(windows, tgid), waited_ns })
        .collect();
    rows.sort_by_key(|row| (Reverse(row.waited_ns), row.pid));
    rows.truncate(MAX_ROWS);
    rows
}

fn comm_of(windows: &[Arc<Window>], tgid: Tgid) -> String {
    let named = windows.iter().rev().flat_map(|window| &window.tasks).find(|task| task.tgid == tgid);
    let timed = || windows.iter().rev().flat_map(|window| &window.times).find(|times| times.tgid == tgid);
    let comm = named.map(|task| &task.comm).or_else(|| timed().map(|times| &times.comm));
    comm.map(ToString::to_string).unwrap_or_default()
}

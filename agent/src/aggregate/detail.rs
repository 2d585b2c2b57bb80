//! More about one process: its threads, what they waited for, who ran meanwhile.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{DurNs, Tgid, Tid};
use agent_common::wire::report::{ProcessDetail, RanRow, ThreadRow, WaitRow};

use super::groups::is_lost;
use crate::syscall_names;
use crate::window::{WaitTarget, Window};

/// Rows of each table: what is behind them is in the sums.
const ROWS: usize = 20;

pub(super) fn detail(windows: &[Arc<Window>], pid: Tgid) -> ProcessDetail {
    ProcessDetail {
        threads: threads(windows, pid),
        waits: waits(windows, pid),
        ran_meanwhile: ran(windows, pid),
    }
}

fn threads(windows: &[Arc<Window>], pid: Tgid) -> Vec<ThreadRow> {
    let mut sums: HashMap<Tid, (Arc<str>, BTreeMap<State, u64>)> = HashMap::new();
    for process in windows.iter().flat_map(|window| &window.times).filter(|process| process.tgid == pid) {
        for thread in &process.threads {
            let (comm, states) =
                sums.entry(thread.tid).or_insert_with(|| (Arc::clone(&thread.comm), BTreeMap::new()));
            if !thread.comm.is_empty() {
                *comm = Arc::clone(&thread.comm);
            }
            for (state, time) in &thread.states {
                *states.entry(*state).or_default() += time.0;
            }
        }
    }
    let mut rows: Vec<ThreadRow> = sums
        .into_iter()
        .map(|(tid, (comm, states))| ThreadRow {
            tid: tid.0,
            comm: comm.to_string(),
            lost_ns: states.iter().filter(|(state, _)| is_lost(**state)).map(|(_, ns)| ns).sum(),
            states: states.into_iter().map(|(state, ns)| (format!("{}_ns", state.name()), ns)).collect(),
        })
        .collect();
    let ran = |row: &ThreadRow| row.states.get("oncpu_ns").copied().unwrap_or(0);
    rows.sort_by_key(|row| (Reverse((row.lost_ns, ran(row))), row.tid));
    rows.truncate(ROWS);
    rows
}

#[derive(Default)]
struct Sum {
    waits: u64,
    waited: u64,
    max: DurNs,
    wakers: HashMap<String, u64>,
}

fn waits(windows: &[Arc<Window>], pid: Tgid) -> Vec<WaitRow> {
    let mut sums: HashMap<(State, Option<String>, Option<String>), Sum> = HashMap::new();
    for wait in windows.iter().flat_map(|window| &window.waits).filter(|wait| wait.tgid == pid) {
        let syscall = wait.syscall.map(|(abi, nr)| syscall_names::display(abi, nr).to_string());
        let sum = sums.entry((wait.state, syscall, target(&wait.target))).or_default();
        sum.waits += 1;
        sum.waited += wait.weight.0;
        sum.max = sum.max.max(wait.waited);
        if let Some(waker) = &wait.waker {
            *sum.wakers.entry(format!("{} ({})", waker.comm, waker.tgid)).or_default() += wait.weight.0;
        }
    }
    let mut rows: Vec<WaitRow> = sums
        .into_iter()
        .map(|((state, syscall, target), sum)| WaitRow {
            state: state.name().to_owned(),
            syscall,
            target,
            waker: sum
                .wakers
                .into_iter()
                .max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)))
                .map(|(waker, _)| waker),
            waits: sum.waits,
            waited_ns: sum.waited,
            max_ns: sum.max.0,
        })
        .collect();
    rows.sort_by(|a, b| {
        (b.waited_ns, &a.state, &a.syscall, &a.target).cmp(&(a.waited_ns, &b.state, &b.syscall, &b.target))
    });
    rows.truncate(ROWS);
    rows
}

fn target(target: &WaitTarget) -> Option<String> {
    let end =
        |peer: &Option<(std::net::IpAddr, u16)>| peer.map(|(ip, port)| std::net::SocketAddr::new(ip, port));
    Some(match target {
        WaitTarget::None => return None,
        WaitTarget::Futex { addr, owner: Some(owner) } => format!("futex {addr:#x}, owned by thread {owner}"),
        WaitTarget::Futex { addr, owner: None } => format!("futex {addr:#x}"),
        WaitTarget::File { dev, inode } => {
            format!("inode {inode} of device {}:{}", dev >> 20, dev & 0xf_ffff)
        }
        WaitTarget::Pipe { inode } => format!("pipe {inode}"),
        WaitTarget::Unix { peer: Some(peer) } => format!("local socket of process {peer}"),
        WaitTarget::Unix { peer: None } => "local socket".to_owned(),
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
    let comm = |tgid: Tgid| {
        let named = windows.iter().rev().flat_map(|window| &window.tasks).find(|task| task.tgid == tgid);
        let timed = || windows.iter().rev().flat_map(|window| &window.times).find(|times| times.tgid == tgid);
        let comm = named.map(|task| &task.comm).or_else(|| timed().map(|times| &times.comm));
        comm.map(ToString::to_string).unwrap_or_default()
    };
    let mut rows: Vec<RanRow> = sums
        .into_iter()
        .map(|(tgid, waited_ns)| RanRow { pid: tgid.0, comm: comm(tgid), waited_ns })
        .collect();
    rows.sort_by_key(|row| (Reverse(row.waited_ns), row.pid));
    rows.truncate(ROWS);
    rows
}

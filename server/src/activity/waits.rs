//! Who waits for whom: what the stacks of waits say of who ended them.
//!
//! A wait that was looked at has a reason and, on top of it, the stack of who ended it; its name is the last frame. So the edges
//! lead from a process to the name of another one. What follows from them: from each process along the heaviest edge to who
//! keeps it, and so on, down to one that waits for nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::text::cleaned;
use profile::block::{Block, Trie};
use profile::{Kind, state_of};
use serde::Serialize;

/// Stands for a wait that an interrupt ended, a timer or a device, or whose waker is not known.
const INTERRUPT: &str = "[interrupt]";
/// Longest way to a root that is followed.
const MAX_LINKS: usize = 16;

/// Somebody who waits, and for whom.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edge {
    /// Name of the process that waits.
    pub comm: String,
    /// Its number; 0: those of this name and place together.
    pub pid: u32,
    /// Its container or service.
    pub place: String,
    /// What for: a thread state.
    pub reason: String,
    /// It waits for work, and is not held up.
    pub idle: bool,
    /// Name of who ended the waits; none: an interrupt (a timer, a device), or it is not known.
    pub waker: Option<String>,
    /// Waits that were looked at.
    pub waits: u64,
    /// Time that they stand for, ns.
    pub waited_ns: u64,
}

/// A way from who waits to who waits for nobody.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chain {
    /// From the first to the last.
    pub links: Vec<Link>,
    /// The last one waits for another that is on the way: they wait for each other.
    pub circular: bool,
    /// Where it leads: a process, or none: to an interrupt.
    pub root: Option<String>,
    /// What the root waits for itself, if its waits ended by an interrupt: a disk, the network, a timer.
    pub root_reason: Option<String>,
}

/// One step of a way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Link {
    /// Who waits.
    pub comm: String,
    /// What for.
    pub reason: String,
    /// Who ended that.
    pub waker: String,
    /// For how long, ns.
    pub waited_ns: u64,
}

/// What the waits of an interval say.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Waits {
    /// The longest waiting first.
    pub edges: Vec<Edge>,
    /// Ways to the roots, of who is held up, the longest waiting first.
    pub chains: Vec<Chain>,
}

/// What a process waits for at most: ns, for whom, and why.
type Most<'e> = (u64, Option<&'e str>, &'e str);

/// Reason and waker of a stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Ending {
    reason: Option<u32>,
    /// The last frame of who ended it.
    waker: Option<u32>,
}

/// What the waits of a block say. `no_idle` leaves out waits for work.
#[must_use]
pub fn waits(block: &Block, no_idle: bool) -> Waits {
    let endings = endings(&block.trie);
    let mut sums: HashMap<(u32, Ending), (u64, u64)> = HashMap::new();
    for entry in &block.waits {
        let sum = sums.entry((entry.group, endings[entry.node as usize])).or_default();
        *sum = (sum.0.saturating_add(entry.samples), sum.1.saturating_add(entry.ns));
    }
    let mut edges: BTreeMap<(String, u32, String, String, Option<String>), Edge> = BTreeMap::new();
    let name = |frame: u32| cleaned(&block.trie.frames[frame as usize].name).into_owned();
    for ((group, ending), (count, ns)) in sums {
        let Some(state) = ending.reason.and_then(|reason| state_of(&block.trie.frames[reason as usize].name))
        else {
            continue;
        };
        if no_idle && state.is_idle() {
            continue;
        }
        let group = &block.groups[group as usize];
        let waker = ending.waker.map(name).filter(|name| name != INTERRUPT);
        let (comm, place) = (cleaned(&group.comm).into_owned(), cleaned(&group.place()).into_owned());
        let reason = state.name().to_owned();
        let key = (comm.clone(), group.tgid, place.clone(), reason.clone(), waker.clone());
        let edge = edges.entry(key).or_insert_with(|| Edge {
            comm,
            pid: group.tgid,
            place,
            reason,
            idle: state.is_idle(),
            waker,
            waits: 0,
            waited_ns: 0,
        });
        edge.waits = edge.waits.saturating_add(count);
        edge.waited_ns = edge.waited_ns.saturating_add(ns);
    }
    let mut edges: Vec<Edge> = edges.into_values().collect();
    edges.sort_by_key(|edge| std::cmp::Reverse(edge.waited_ns));
    let chains = chains(&edges);
    Waits { edges, chains }
}

/// Reason and waker of each stack, by its number.
fn endings(trie: &Trie) -> Vec<Ending> {
    let mut all = Vec::with_capacity(trie.nodes.len() + 1);
    all.push(Ending::default());
    // A parent has a smaller number.
    for node in &trie.nodes {
        let below: Ending = all[node.parent as usize];
        all.push(match trie.frames[node.frame as usize].kind {
            Kind::Reason => Ending { reason: Some(node.frame), waker: None },
            Kind::Waker => Ending { waker: Some(node.frame), ..below },
            _ => below,
        });
    }
    all
}

/// From each name along its heaviest edge to others. Who waits for work keeps nobody.
fn chains(edges: &[Edge]) -> Vec<Chain> {
    // By name: of a waker nothing else is known.
    /// All of its reasons, the heaviest of them, and its name.
    type Heaviest<'a> = (u64, u64, &'a str);
    let mut heaviest: HashMap<(&str, Option<&str>), Heaviest<'_>> = HashMap::new();
    let mut sums: HashMap<(&str, Option<&str>, &str), u64> = HashMap::new();
    for edge in edges.iter().filter(|edge| !edge.idle && edge.waker.as_deref() != Some(&*edge.comm)) {
        let sum = sums.entry((&edge.comm, edge.waker.as_deref(), &edge.reason)).or_default();
        *sum = sum.saturating_add(edge.waited_ns);
    }
    for ((comm, waker, reason), ns) in sums {
        let (all, most, heaviest) = heaviest.entry((comm, waker)).or_insert((0, 0, reason));
        *all = all.saturating_add(ns);
        if ns > *most || (ns == *most && reason < *heaviest) {
            (*most, *heaviest) = (ns, reason);
        }
    }
    let mut of: BTreeMap<&str, Most<'_>> = BTreeMap::new();
    for ((comm, waker), (ns, _, reason)) in heaviest {
        let most = of.entry(comm).or_insert((ns, waker, reason));
        *most = (*most).max((ns, waker, reason));
    }
    let mut chains: Vec<Chain> = of.keys().filter_map(|comm| chain(&of, comm)).collect();
    let weight = |chain: &Chain| chain.links.first().map_or(0, |link| link.waited_ns);
    chains.sort_by_key(|chain| std::cmp::Reverse(weight(chain)));
    chains
}

/// The way from one name; none if it waits for nobody.
fn chain<'a>(of: &BTreeMap<&'a str, Most<'a>>, from: &'a str) -> Option<Chain> {
    let mut links: Vec<Link> = Vec::new();
    let mut seen = BTreeSet::from([from]);
    let mut at = from;
    let (mut circular, mut root_reason) = (false, None);
    while links.len() < MAX_LINKS {
        let Some(&(waited_ns, waker, reason)) = of.get(at) else { break };
        let Some(waker) = waker else {
            root_reason = Some(reason.to_owned());
            break;
        };
        links.push(Link {
            comm: at.to_owned(),
            reason: reason.to_owned(),
            waker: waker.to_owned(),
            waited_ns,
        });
        at = waker;
        if !seen.insert(at) {
            circular = true;
            break;
        }
    }
    (!links.is_empty()).then(|| Chain { links, circular, root: Some(at.to_owned()), root_reason })
}

/// What edges cannot say, for whoever reads them.
#[must_use]
pub fn not_covered() -> Vec<Arc<str>> {
    let idle = State::ALL.into_iter().filter(|state| state.is_idle()).map(State::name);
    let idle: Vec<&str> = idle.collect();
    vec![
        "Waits for a CPU: who ran meanwhile is in the findings of reports.".into(),
        "Of who ended a wait the name is kept, not the number.".into(),
        "Waits are looked at by chance, one for each 10 ms of a thread's blocked time: short and rare ones may be missing.".into(),
        "Waits that have not ended are in no edge until they do.".into(),
        format!("Waits for work are left out unless idle=true: {}.", idle.join(", ")).into(),
    ]
}

#[cfg(test)]
mod tests {
    use agent_common::units::{BootNs, DurNs, MonoNs, UnixNs};
    use profile::block::{Builder, Group, Looked};
    use profile::{Frame, Point, Thread, Timeline};

    use super::*;

    /// Waits as `comm`, reason, name of the waker, ns.
    fn block(all: &[(&str, &str, &str, u64)]) -> Block {
        let mut timeline = Timeline::default();
        for (comm, reason, waker, ns) in all {
            let frames = [
                Frame::new("main", Kind::Native),
                Frame::new(format!("[{reason}]"), Kind::Reason),
                Frame::new("wake", Kind::Waker),
                Frame::new(*waker, Kind::Waker),
            ];
            let first = timeline.frames.len() as u32;
            timeline.frames.extend(frames);
            timeline.stacks.push((first..first + 4).collect());
            let comm: Arc<str> = (*comm).into();
            timeline.threads.push(Thread {
                tgid: 7,
                tid: 7,
                comm: Arc::clone(&comm),
                process: Some(comm),
                group: None,
            });
            let at = timeline.stacks.len() as u32 - 1;
            timeline.points.push(Point { at: MonoNs(1), thread: at, stack: at, weight: *ns });
        }
        let mut builder = Builder::new(UnixNs(0), DurNs(1), 1, 97, usize::MAX);
        builder.add(Looked::Wait, 0, &timeline, |thread| Group {
            tgid: 0,
            start: BootNs(0),
            comm: Arc::clone(thread.process_name()),
            cgroup: "/system.slice/a.service".into(),
            container: "".into(),
        });
        builder.finish()
    }

    #[test]
    fn edges_lead_down_to_who_waits_for_nobody() {
        let all = [
            ("web", "net_recv", "db", 900),
            ("web", "futex_lock", "web", 2_000),
            ("web", "poll", "client", 50_000),
            ("db", "futex_lock", "writer", 700),
            ("writer", "fsync", "[interrupt]", 650),
            ("cron", "child", "backup", 10),
            // Two reasons together are more than the heaviest: that one is named.
            ("many", "fsync", "one", 40),
            ("many", "ipc", "one", 50),
            ("many", "net_recv", "one", 45),
            ("left", "ipc", "right", 5),
            ("right", "ipc", "left", 4),
        ];
        let found = waits(&block(&all), true);
        let edges: Vec<(&str, &str, Option<&str>, u64)> = found
            .edges
            .iter()
            .map(|edge| (&*edge.comm, &*edge.reason, edge.waker.as_deref(), edge.waited_ns))
            .collect();
        assert_eq!(
            edges[..3],
            [
                ("web", "futex_lock", Some("web"), 2_000),
                ("web", "net_recv", Some("db"), 900),
                ("db", "futex_lock", Some("writer"), 700),
            ]
        );
        assert!(found.edges.iter().all(|edge| edge.waits == 1 && edge.place == "a.service"));
        let first = &found.chains[0];
        let names: Vec<&str> = first.links.iter().map(|link| &*link.comm).collect();
        assert_eq!((names, first.root.as_deref()), (vec!["web", "db"], Some("writer")));
        assert_eq!((first.root_reason.as_deref(), first.circular), (Some("fsync"), false));
        let of = |comm: &str| found.chains.iter().find(|chain| chain.links[0].comm == comm).unwrap();
        assert_eq!((of("cron").root.as_deref(), of("cron").root_reason.as_deref()), (Some("backup"), None));
        let many = &of("many").links[0];
        assert_eq!((many.reason.as_str(), many.waited_ns), ("ipc", 135));
        assert!(of("left").circular && of("right").circular);
        assert!(!found.chains.iter().any(|chain| chain.links[0].comm == "writer"), "a disk is nobody");
        let with_idle = waits(&block(&all), false);
        assert_eq!((with_idle.edges[0].waker.as_deref(), with_idle.edges[0].idle), (Some("client"), true));
        assert_eq!(with_idle.chains, found.chains, "who waits for work is not held up");
    }

    #[test]
    fn what_is_not_covered_names_the_states_that_are_idle() {
        assert!(not_covered().iter().any(|line| line.contains("poll") && line.contains("idle=true")));
    }
}

//! Roots and symptoms: a finding that another one explains hangs below it.

use agent_common::wire::finding::Class;

use crate::suspicion::{ALERT_CONFIDENCE, Level, Suspicion, evidence};
use crate::syscall_names;
use crate::window::SyscallAbi;

/// Each class with the classes that it explains in the same process (and the same call, where both name one).
static EXPLAINED_IN_SAME_PROCESS: [(Class, &[Class]); 19] = [
    (
        Class::PriorityInversion,
        &[Class::Futex, Class::KernelLock, Class::FileLock, Class::RunqNeighbour, Class::RunqSelf],
    ),
    (
        Class::Hang,
        &[
            Class::KernelLock,
            Class::Child,
            Class::DiskRead,
            Class::DiskWrite,
            Class::Fsync,
            Class::FileLock,
            Class::IpcPeer,
        ],
    ),
    (Class::Oom, &[Class::MemoryLeak, Class::Swap, Class::Reclaim]),
    (
        Class::Swap,
        &[
            Class::Reclaim,
            Class::FaultMajorFile,
            Class::FaultMinor,
            Class::CpuKernel,
            Class::DiskRead,
            Class::DiskWrite,
            Class::KernelLock,
        ],
    ),
    (Class::Reclaim, &[Class::FaultMajorFile, Class::FaultMinor, Class::CpuKernel, Class::KernelLock]),
    (Class::FdLeak, &[Class::TableFull]),
    (Class::FileLock, &[Class::TimerStorm]),
    (Class::CpuQuota, &[Class::RunqSelf, Class::RunqNeighbour, Class::Futex]),
    (Class::CpuSteal, &[Class::RunqSelf, Class::RunqNeighbour]),
    (
        Class::ErrorStorm,
        &[Class::SyscallStorm, Class::CpuKernel, Class::CpuUser, Class::TimerStorm, Class::Refused],
    ),
    (Class::TimerStorm, &[Class::SyscallStorm, Class::CpuKernel]),
    (Class::SyscallStorm, &[Class::CpuKernel, Class::CpuUser]),
    (
        Class::ProcessChurn,
        &[Class::Child, Class::CpuKernel, Class::FaultMinor, Class::RunqSelf, Class::RunqNeighbour],
    ),
    (Class::FaultMinor, &[Class::CpuKernel, Class::CpuUser]),
    (Class::NetRetransmit, &[Class::NetPeer, Class::NetConnect]),
    (Class::NetAcceptQueue, &[Class::CpuUser, Class::CpuKernel, Class::SingleThread]),
    (Class::Futex, &[Class::SingleThread]),
    (Class::SingleThread, &[Class::CpuUser, Class::CpuKernel]),
    (Class::Dns, &[Class::NetPeer]),
];

/// An error storm explains at most so many times the time that it takes itself.
const MAX_EXPLAINED_RATIO: u64 = 3;

/// Classes that say only that a process is busy. If it makes others wait, it is the culprit of their findings.
static BUSY_CLASSES: [Class; 3] = [Class::CpuUser, Class::CpuKernel, Class::SingleThread];

/// Classes of waiting for a disk: the process that keeps a disk busy waits for it, too.
static STORAGE_CLASSES: [Class; 5] =
    [Class::DiskRead, Class::DiskWrite, Class::Fsync, Class::Writeback, Class::FaultMajorFile];

/// Classes in which a process waits for another one; a finding about that other process is the root.
static PEER_WAIT_CLASSES: [Class; 5] =
    [Class::IpcPeer, Class::NetPeer, Class::Child, Class::FileLock, Class::KernelLock];

/// Host-wide classes, each with the classes of processes that explain it.
static HOST_CLASSES: [(Class, &[Class]); 4] = [
    (Class::HostCpu, &[Class::RunqNeighbour, Class::RunqSelf, Class::CpuUser, Class::CpuKernel]),
    (Class::HostMemory, &[Class::Swap, Class::Reclaim, Class::Oom, Class::MemoryLeak]),
    (
        Class::HostDisk,
        &[Class::DiskRead, Class::DiskWrite, Class::Fsync, Class::Writeback, Class::FaultMajorFile],
    ),
    (Class::HostNetwork, &[Class::NetRetransmit, Class::NetPeer, Class::Softirq]),
];

/// Moves each explained suspicion into the `caused` of its root.
pub(super) fn explain(mut all: Vec<Suspicion>) -> Vec<Suspicion> {
    follow_chains(&mut all);
    // A connection that the peer refuses loses nothing on the way.
    let is_refused = |root: &Suspicion| root.finding.class == Class::NetConnect && root.call.is_some();
    let on_the_way =
        |effect: &Suspicion| matches!(effect.finding.class, Class::NetRetransmit | Class::NetPeer);
    absorb(&mut all, is_refused, on_the_way, |root, effect| root.finding.subject == effect.finding.subject);
    for (class, effects) in &EXPLAINED_IN_SAME_PROCESS {
        absorb(
            &mut all,
            |root| root.finding.class == *class,
            |effect| effects.contains(&effect.finding.class),
            |root, effect| {
                let same_call = effect.call.is_none() || root.call.is_none() || effect.call == root.call;
                // Calls that fail are a part of the kernel time, often a small one.
                let enough = root.finding.class != Class::ErrorStorm
                    || root.finding.lost_ns_per_s >= effect.finding.lost_ns_per_s / MAX_EXPLAINED_RATIO;
                root.finding.subject == effect.finding.subject && same_call && enough
            },
        );
    }
    // A thread that is woken for a lock waits for a CPU before it has the lock.
    absorb(
        &mut all,
        |root| root.finding.class == Class::KernelLock,
        |effect| effect.finding.class == Class::RunqSelf,
        runnable_in_lock,
    );
    let blames_other = |root: &Suspicion| root.culprit_unit.is_some() && root.unit != root.culprit_unit;
    let is_busy = |effect: &Suspicion| BUSY_CLASSES.contains(&effect.finding.class);
    absorb(&mut all, blames_other, is_busy, |root, effect| root.culprit_unit == effect.unit);
    // A full descriptor table explains EMFILE.
    let no_descriptor =
        |effect: &Suspicion| effect.finding.class == Class::Refused && effect.key.ends_with("EMFILE");
    let is_table = |root: &Suspicion| matches!(root.finding.class, Class::FdLeak | Class::TableFull);
    absorb(&mut all, is_table, no_descriptor, |root, effect| root.unit.is_some() && root.unit == effect.unit);
    let storm = |suspicion: &Suspicion| suspicion.finding.class == Class::SyscallStorm;
    let sends = |suspicion: &Suspicion| storm(suspicion) && suspicion.call.is_some_and(is_signal);
    absorb(
        &mut all,
        |root| storm(root) && blames_other(root),
        sends,
        |root, effect| root.culprit_unit == effect.unit,
    );
    let is_storage = |suspicion: &Suspicion| STORAGE_CLASSES.contains(&suspicion.finding.class);
    absorb(
        &mut all,
        |root| blames_other(root) && is_storage(root),
        |effect| is_storage(effect) && !blames_other(effect),
        |root, effect| root.culprit_unit == effect.unit,
    );
    let waits =
        |effect: &Suspicion| PEER_WAIT_CLASSES.contains(&effect.finding.class) && blames_other(effect);
    let is_frozen = |root: &Suspicion| root.finding.class == Class::Frozen;
    absorb(&mut all, is_frozen, blames_other, |root, effect| root.unit == effect.culprit_unit);
    // Refusals now and then do not explain why others wait for a process.
    let has_trouble = |root: &Suspicion| root.unit.is_some() && root.finding.class != Class::Refused;
    absorb(&mut all, has_trouble, waits, |root, effect| effect.culprit_unit == root.unit);
    let suffers = |effect: &Suspicion| {
        matches!(effect.finding.class, Class::NetRetransmit | Class::NetConnect | Class::NetPeer)
    };
    absorb(
        &mut all,
        |root| root.finding.class == Class::NetAcceptQueue,
        suffers,
        |root, effect| {
            let peer = effect.finding.culprit.as_ref().filter(|culprit| culprit.kind == "peer");
            let port = |text: &str| text.rsplit_once(':').map(|(_, port)| port.to_owned());
            peer.and_then(|peer| port(peer.comm.as_deref()?)).is_some_and(|to| port(&root.key) == Some(to))
        },
    );
    for (host, named) in &HOST_CLASSES {
        let is_host = |effect: &Suspicion| effect.finding.class == *host;
        absorb(&mut all, |root| named.contains(&root.finding.class), is_host, |_, _| true);
    }
    all
}

/// True if a unit's wait for a CPU is part of its wait for a kernel lock, which costs it more.
fn runnable_in_lock(lock: &Suspicion, ready: &Suspicion) -> bool {
    lock.finding.class == Class::KernelLock
        && ready.finding.class == Class::RunqSelf
        && lock.unit == ready.unit
        && lock.finding.lost_ns_per_s >= ready.finding.lost_ns_per_s
}

/// True for a call that sends a signal.
fn is_signal((abi, nr): (SyscallAbi, u16)) -> bool {
    syscall_names::name(abi, nr).is_some_and(syscall_names::signals)
}

/// Resolves wait chains: a wait whose chain ends in another class is that class' symptom, and takes its name.
fn follow_chains(all: &mut Vec<Suspicion>) {
    let mut at = 0;
    while at < all.len() {
        let Some(end) = all[at].chain.last().cloned() else {
            at += 1;
            continue;
        };
        let root = all.iter().position(|other| {
            other.unit == Some(end.unit) && other.finding.class == end.class && other.chain.is_empty()
        });
        let root = root.filter(|root| *root != at && firm(&all[*root], &all[at]));
        // The lock's holder waits for a CPU behind other threads of the lock: they lose that time to the lock.
        let is_within = root.is_some_and(|root| runnable_in_lock(&all[at], &all[root]));
        let root = root.filter(|_| !is_within);
        if root.is_none() && matches!(end.class, Class::RunqSelf | Class::RunqNeighbour) {
            // No finding says that the holder waits for a CPU too long: its threads only take turns at the lock.
            all[at].chain.pop();
            continue;
        }
        if let Some(root) = root {
            let effect = all.remove(at);
            let root = if root > at { root - 1 } else { root };
            take(&mut all[root], effect);
            continue;
        }
        let suspicion = &mut all[at];
        let was = std::mem::replace(&mut suspicion.finding.class, end.class.clone());
        suspicion.explained.push(suspicion.key.clone());
        suspicion.key = format!("{}/{}", end.class, suspicion.key);
        suspicion.finding.caused.push(was);
        if end.culprit.is_some() {
            suspicion.finding.culprit = end.culprit;
            suspicion.culprit_unit = end.culprit_unit;
        }
        suspicion.finding.advice = end.advice;
        suspicion.chain.clear();
        at += 1;
    }
}

/// Puts each effect below its first root. A root is at least as firm as what it explains.
fn absorb(
    all: &mut Vec<Suspicion>,
    is_root: impl Fn(&Suspicion) -> bool,
    is_effect: impl Fn(&Suspicion) -> bool,
    belong: impl Fn(&Suspicion, &Suspicion) -> bool,
) {
    // Most classes have no suspicion.
    if !all.iter().any(&is_effect) || !all.iter().any(&is_root) {
        return;
    }
    let mut at = 0;
    while at < all.len() {
        let effect = &all[at];
        let root = is_effect(effect).then(|| {
            let explains = |root: &Suspicion| is_root(root) && belong(root, effect) && firm(root, effect);
            (0..all.len()).find(|root| *root != at && explains(&all[*root]))
        });
        match root.flatten() {
            Some(root) => {
                let effect = all.remove(at);
                let root = if root > at { root - 1 } else { root };
                take(&mut all[root], effect);
            }
            None => at += 1,
        }
    }
}

/// False for a root that is in reports only, if the effect would open an alert: it must not hide it.
fn firm(root: &Suspicion, effect: &Suspicion) -> bool {
    root.level >= effect.level
        && (root.finding.confidence >= ALERT_CONFIDENCE
            || effect.finding.confidence < ALERT_CONFIDENCE
            || effect.level == Level::Hold)
}

/// Puts an effect below its root. The root's lost time is at least that of the effect.
fn take(root: &mut Suspicion, effect: Suspicion) {
    let into = &mut root.finding;
    // A culprit that is busy, or waits for the disk that it keeps busy, makes no other process lose time.
    let own_doing = [&BUSY_CLASSES[..], &STORAGE_CLASSES[..]]
        .iter()
        .any(|classes| classes.contains(&effect.finding.class));
    if root.unit == effect.unit || !own_doing {
        let more = effect.finding.lost_ns_per_s > into.lost_ns_per_s;
        if more && root.unit == effect.unit && BUSY_CLASSES.contains(&effect.finding.class) {
            // Of the same non-idle time.
            let times = effect.finding.lost_ns_per_s as f64 / into.lost_ns_per_s.max(1) as f64;
            into.share_pct = (into.share_pct * times).min(100.0);
        } else if more && root.unit == effect.unit {
            into.share_pct = into.share_pct.max(effect.finding.share_pct);
            let what = format!("thread time lost to {}, because of this", effect.finding.class);
            let lost = effect.finding.lost_ns_per_s as f64 / 1e6;
            into.evidence.push(evidence(what, lost, "ms/s", None));
        }
        into.lost_ns_per_s = into.lost_ns_per_s.max(effect.finding.lost_ns_per_s);
    }
    for class in std::iter::once(effect.finding.class).chain(effect.finding.caused) {
        if class != into.class && !into.caused.contains(&class) {
            into.caused.push(class);
        }
    }
    root.explained.push(effect.key);
    root.explained.extend(effect.explained);
}

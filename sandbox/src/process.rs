//! The processes of a daemon, and the capabilities that each keeps.

use caps::{CapSet, Capability, CapsHashSet};

use crate::Error;

/// One capability with the feature that needs it.
pub type Purpose = (Capability, &'static str);

/// A process of `agent run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Process {
    /// Holds the probes; reads `/proc` and other users' files.
    Collector,
    /// Starts the processes without privileges, again when they die.
    Launcher,
    /// Makes diagnostic sockets in other network namespaces.
    Netns,
    /// Spool, MQTT, webhooks; all in one: broker, ingest, store.
    Relay,
    /// Starts foreign programs.
    Plugin,
}

impl Process {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Collector, Self::Launcher, Self::Netns, Self::Relay, Self::Plugin];

    /// Its `comm`: what `ps` shows.
    #[must_use]
    pub const fn comm(self) -> &'static str {
        match self {
            Self::Collector => "agent",
            Self::Launcher => "agent-launcher",
            Self::Netns => "agent-netns",
            Self::Relay => "agent-relay",
            Self::Plugin => "s7mpa-plugin",
        }
    }

    /// What it keeps once it is started, and for which feature.
    #[must_use]
    pub const fn capabilities(self) -> &'static [Purpose] {
        match self {
            Self::Collector => &[
                (Capability::CAP_BPF, "load probes, read and fill their maps"),
                (Capability::CAP_PERFMON, "attach probes and sampling, walk stacks"),
                (Capability::CAP_SYS_PTRACE, "/proc/PID/{maps,io,fd,mem,root} of other users' processes"),
                (Capability::CAP_DAC_READ_SEARCH, "programs and debug files that only their owner may read"),
                (
                    Capability::CAP_SYSLOG,
                    "kernel addresses in /proc/kallsyms, where kernel.kptr_restrict hides them",
                ),
                (
                    Capability::CAP_CHECKPOINT_RESTORE,
                    "/proc/PID/map_files: programs that were deleted or replaced",
                ),
            ],
            Self::Launcher => &[
                (Capability::CAP_SETUID, "start the relay and plugin processes as their users"),
                (Capability::CAP_SETGID, "the same, for their groups"),
                (Capability::CAP_KILL, "end one that does not end by itself"),
            ],
            Self::Netns => {
                &[(Capability::CAP_SYS_ADMIN, "listeners and sockets in other network namespaces (setns)")]
            }
            Self::Relay | Self::Plugin => &[],
        }
    }

    /// The same as `/proc/PID/status` writes it in `CapEff`.
    #[must_use]
    pub fn capability_bits(self) -> u64 {
        self.capabilities().iter().fold(0, |bits, (capability, _)| bits | 1 << capability.index())
    }
}

/// Keeps, of what this process has, what `process` needs, and sets `no_new_privs`: the rest is gone for good. Must be
/// called while there is one thread; later ones have what it has.
///
/// `also`: what the process hands on to its children; it stays in the bounding set only.
pub fn keep(process: Process, also: &[Process]) -> Result<(), Error> {
    let failed = |source: caps::errors::CapsError| Error::Capabilities {
        process: process.comm(),
        source: Box::new(source),
    };
    nix::sys::prctl::set_no_new_privs()
        .map_err(|source| Error::Capabilities { process: process.comm(), source: Box::new(source) })?;
    let of = |process: &Process| process.capabilities().iter().map(|(capability, _)| *capability);
    let wanted: CapsHashSet = of(&process).collect();
    let bounding: CapsHashSet = also.iter().flat_map(of).chain(of(&process)).collect();
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        for capability in caps::read(None, CapSet::Bounding).map_err(failed)?.difference(&bounding) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(failed)?;
        }
    }
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let kept: CapsHashSet = permitted.intersection(&wanted).copied().collect();
    // Raising one of the ambient set would need it inheritable as well: with neither an exec passes nothing on.
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).map_err(failed)?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_collector_may_look_at_others_and_only_the_netns_process_is_an_administrator() {
        let admin = 1 << Capability::CAP_SYS_ADMIN.index();
        let ptrace = 1 << Capability::CAP_SYS_PTRACE.index();
        for process in Process::ALL {
            let bits = process.capability_bits();
            assert_eq!(bits & admin != 0, process == Process::Netns, "{process:?}");
            assert_eq!(bits & ptrace != 0, process == Process::Collector, "{process:?}");
        }
        assert_eq!(Process::Relay.capability_bits() | Process::Plugin.capability_bits(), 0);
    }

    #[test]
    fn the_kernel_keeps_each_name_whole() {
        assert!(Process::ALL.iter().all(|process| process.comm().len() < 16));
    }

    #[test]
    fn what_is_given_away_cannot_be_had_back() {
        // A thread of its own: capabilities are a thread's.
        std::thread::spawn(|| {
            keep(Process::Plugin, &[]).unwrap();
            assert!(caps::read(None, CapSet::Permitted).unwrap().is_empty());
            assert!(caps::raise(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).is_err());
        })
        .join()
        .unwrap();
    }
}

//! Classes of findings.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares the enum, the list of its variants without a name of their own, and their names.
macro_rules! classes {
    ($($variant:ident $name:literal,)*) => {
        /// What kind of trouble a finding is about. In JSON, metrics and text it is its name; `RULES.md` explains each.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Class {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// A class that a rule file, a plugin or a newer agent has given a name.
            External(Arc<str>),
        }

        impl Class {
            /// All but [`Self::External`].
            pub const KNOWN: &[Self] = &[$(Self::$variant,)*];

            /// Its name: stable, lower case, words joined by `-`.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::External(name) => name,
                }
            }

            /// The class of this name.
            #[must_use]
            pub fn of(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    other => Self::External(other.into()),
                }
            }
        }
    };
}

classes! {
    Child "child",
    CpuKernel "cpu-kernel",
    CpuQuota "cpu-quota",
    CpuSteal "cpu-steal",
    CpuUser "cpu-user",
    DiskRead "disk-read",
    DiskWrite "disk-write",
    Dns "dns",
    ErrorStorm "error-storm",
    FaultMajorFile "fault-major-file",
    FaultMinor "fault-minor",
    FdLeak "fd-leak",
    FileLock "file-lock",
    Frozen "frozen",
    Fsync "fsync",
    Futex "futex",
    Hang "hang",
    HostCpu "host-cpu",
    HostDisk "host-disk",
    HostMemory "host-memory",
    HostNetwork "host-network",
    IpcPeer "ipc-peer",
    KernelLock "kernel-lock",
    MemoryLeak "memory-leak",
    NetAcceptQueue "net-accept-queue",
    NetConnect "net-connect",
    NetPeer "net-peer",
    NetRetransmit "net-retransmit",
    Oom "oom",
    PriorityInversion "priority-inversion",
    ProcessChurn "process-churn",
    Reclaim "reclaim",
    Refused "refused",
    RunqNeighbour "runq-neighbour",
    RunqSelf "runq-self",
    SingleThread "single-thread",
    Softirq "softirq",
    Swap "swap",
    SyscallStorm "syscall-storm",
    TableFull "table-full",
    ThreadLeak "thread-leak",
    TimerStorm "timer-storm",
    Writeback "writeback",
    ZombieLeak "zombie-leak",
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A class reads as its name.
impl Deref for Class {
    type Target = str;

    fn deref(&self) -> &str {
        self.name()
    }
}

impl From<&str> for Class {
    fn from(name: &str) -> Self {
        Self::of(name)
    }
}

impl PartialEq<str> for Class {
    fn eq(&self, name: &str) -> bool {
        self.name() == name
    }
}

impl PartialEq<&str> for Class {
    fn eq(&self, name: &&str) -> bool {
        self.name() == *name
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|name| Self::of(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways_and_foreign_ones_are_kept() {
        for class in Class::KNOWN {
            assert_eq!(&Class::of(class.name()), class);
            assert!(!matches!(Class::of(class), Class::External(_)), "{class}");
        }
        let foreign = Class::of("gpu-stall");
        assert_eq!(foreign, Class::External("gpu-stall".into()));
        assert_eq!(serde_json::to_string(&[foreign, Class::NetPeer]).unwrap(), r#"["gpu-stall","net-peer"]"#);
        let back: Vec<Class> = serde_json::from_str(r#"["gpu-stall","net-peer"]"#).unwrap();
        assert_eq!(back, [Class::External("gpu-stall".into()), Class::NetPeer]);
    }
}

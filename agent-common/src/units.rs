//! Units and ids as types, so that a nanosecond never lands where an id belongs.

/// Declares a transparent newtype over an unsigned integer.
macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "std", serde(transparent))]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

unit!(
    /// A span of time in nanoseconds.
    DurNs(u64)
);
unit!(
    /// A point in time: `CLOCK_MONOTONIC`, nanoseconds (`bpf_ktime_get_ns`).
    MonoNs(u64)
);
unit!(
    /// A point in time: `CLOCK_BOOTTIME`, nanoseconds. The clock of processes' starts; unlike [`MonoNs`] it goes on while the
    /// host is suspended.
    BootNs(u64)
);
unit!(
    /// A point in time: `CLOCK_REALTIME`, nanoseconds since the Unix epoch.
    UnixNs(u64)
);
unit!(
    /// Kernel thread-group id: what users call PID.
    Tgid(u32)
);
unit!(
    /// Kernel `task->pid`: one thread.
    Tid(u32)
);

impl MonoNs {
    /// Time from `earlier` to `self`; zero if `earlier` is later (two CPUs' clocks may differ by some ns).
    #[must_use]
    pub const fn since(self, earlier: Self) -> DurNs {
        DurNs(self.0.saturating_sub(earlier.0))
    }
}

impl BootNs {
    /// Time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> DurNs {
        DurNs(self.0.saturating_sub(earlier.0))
    }
}

impl UnixNs {
    /// Time from `earlier` to `self`; zero if `earlier` is later (the clock was set back).
    #[must_use]
    pub const fn since(self, earlier: Self) -> DurNs {
        DurNs(self.0.saturating_sub(earlier.0))
    }
}

impl DurNs {
    /// The span in seconds.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

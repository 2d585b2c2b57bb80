//! The kernel's clocks as its programs read them, also from within a time namespace.
//!
//! A container may have clocks of its own (`unshare --time`, since 5.6): `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME` of its
//! processes, and the starts that `/proc/PID/stat` shows them, are offset from the kernel's. What BPF programs and perf
//! records say is the kernel's.

use std::fs;
use std::sync::OnceLock;

/// By how much this process' clocks are ahead of the kernel's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offsets {
    /// `CLOCK_MONOTONIC`, ns.
    pub monotonic_ns: i64,
    /// `CLOCK_BOOTTIME`, ns.
    pub boottime_ns: i64,
}

/// `/proc` does not tell the offsets of this process' clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process is in a time namespace whose offsets /proc/self/timens_offsets does not tell")]
pub struct Unknown;

/// The first time namespace (`PROC_TIME_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL: &str = "time:[4026531834]";

/// The offsets, read once. They cannot change: they are set before the first process enters the namespace.
pub fn offsets() -> Result<Offsets, Unknown> {
    static OFFSETS: OnceLock<Result<Offsets, Unknown>> = OnceLock::new();
    *OFFSETS.get_or_init(read)
}

/// A reading of this process' `CLOCK_MONOTONIC` as the kernel has it.
#[must_use]
pub fn kernel_monotonic(own_ns: u64) -> u64 {
    own_ns.saturating_add_signed(-offsets().unwrap_or_default().monotonic_ns)
}

/// A reading of this process' `CLOCK_BOOTTIME` as the kernel has it.
#[must_use]
pub fn kernel_boottime(own_ns: u64) -> u64 {
    own_ns.saturating_add_signed(-offsets().unwrap_or_default().boottime_ns)
}

fn read() -> Result<Offsets, Unknown> {
    let namespace = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).ok();
    // Kernels without time namespaces have no such link.
    let Some(own) = namespace("time") else { return Ok(Offsets::default()) };
    if own.as_os_str() == INITIAL {
        return Ok(Offsets::default());
    }
    // The file tells of the namespace that children get: another one between `unshare` and `fork`.
    if namespace("time_for_children") != Some(own) {
        return Err(Unknown);
    }
    fs::read_to_string("/proc/self/timens_offsets").ok().and_then(|text| parse(&text)).ok_or(Unknown)
}

/// `monotonic  100000  0`, `boottime  100000  0`: seconds and ns.
fn parse(text: &str) -> Option<Offsets> {
    let of = |clock: &str| {
        let mut words = text.lines().find_map(|line| line.strip_prefix(clock))?.split_whitespace();
        let (seconds, ns): (i64, i64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        seconds.checked_mul(1_000_000_000)?.checked_add(ns)
    };
    Some(Offsets { monotonic_ns: of("monotonic")?, boottime_ns: of("boottime")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_seconds_and_nanoseconds_of_either_sign() {
        let text = "monotonic       86400         5\nboottime          -10 999999999\n";
        let offsets = Offsets { monotonic_ns: 86_400_000_000_005, boottime_ns: -9_000_000_001 };
        assert_eq!(parse(text), Some(offsets));
        for broken in [
            "",
            "monotonic 1 2\n",
            "monotonic x 0\nboottime 0 0\n",
            "monotonic 9223372036854775807 0\nboottime 0 0",
        ] {
            assert_eq!(parse(broken), None, "{broken:?}");
        }
    }
}

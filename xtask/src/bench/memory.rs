//! Memory of a process by kind, and whether it holds its bars.

use std::fs;

const MIB: f64 = 1024.0 * 1024.0;

/// What `/proc/PID/status` says, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// `VmRSS`: the sum of the next three.
    pub(super) resident: u64,
    /// `RssAnon`: heap, stacks.
    pub(super) anonymous: u64,
    /// `RssFile`: the program and what it has mapped; the kernel can take these pages back.
    pub(super) file: u64,
    /// `RssShmem`: memory that is shared, copies of symbol tables.
    pub(super) shared: u64,
    /// `VmHWM`: the most that was resident since the start, or since [`forget_peak`].
    pub(super) peak: u64,
}

impl Memory {
    /// Of a process that is there.
    pub(super) fn of(pid: u32) -> Option<Self> {
        parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    /// The larger of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            anonymous: self.anonymous.max(other.anonymous),
            file: self.file.max(other.file),
            shared: self.shared.max(other.shared),
            peak: self.peak.max(other.peak),
        }
    }
}

/// The column heads of [`row`].
pub(super) const HEAD: &str = "   RSS MiB  anonymous      file    shared      peak";

/// One line, MiB.
pub(super) fn row(memory: Memory) -> String {
    let mib = |bytes: u64| bytes as f64 / MIB;
    let Memory { resident, anonymous, file, shared, peak } = memory;
    format!(
        "{:>10.1}{:>11.1}{:>10.1}{:>10.1}{:>10.1}",
        mib(resident),
        mib(anonymous),
        mib(file),
        mib(shared),
        mib(peak)
    )
}

/// Prints a figure beside its bar.
pub(super) fn bar(name: &str, bytes: u64, mib: u64) {
    super::bar(name, bytes as f64 / MIB, mib as f64);
}

/// The next [`Memory::peak`] is of the time from now on (proc(5), `clear_refs`).
pub(super) fn forget_peak(pid: u32) {
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn parse(status: &str) -> Option<Memory> {
    let bytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    };
    Some(Memory {
        resident: bytes("VmRSS:")?,
        anonymous: bytes("RssAnon:")?,
        file: bytes("RssFile:")?,
        shared: bytes("RssShmem:")?,
        peak: bytes("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_by_kind() {
        let status = "Name:\tagent\nVmHWM:\t    2000 kB\nVmRSS:\t    1000 kB\nRssAnon:\t     500 kB\nRssFile:\t     400 kB\nRssShmem:\t     100 kB\n";
        let memory = parse(status).unwrap();
        assert_eq!((memory.resident, memory.anonymous), (1000 << 10, 500 << 10));
        assert_eq!((memory.file, memory.shared, memory.peak), (400 << 10, 100 << 10, 2000 << 10));
        assert_eq!(parse("Name:\tkthreadd\n"), None, "a thread of the kernel");
    }
}

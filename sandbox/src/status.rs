//! What is in force for a running process, as the kernel says it.

use std::path::Path;

/// Of `/proc/PID/status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `Name`.
    pub comm: String,
    /// Parent.
    pub parent: u32,
    /// Effective user.
    pub uid: u32,
    /// `CapEff`.
    pub capabilities: u64,
    /// `NoNewPrivs`.
    pub no_new_privs: bool,
    /// `Seccomp`: 2 when a filter is in force.
    pub filtered: bool,
}

impl Status {
    /// Reads it below `proc` (`/proc`).
    #[must_use]
    pub fn read(proc: &Path, pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(proc.join(pid.to_string()).join("status")).ok()?)
    }

    /// A process and all below it, parents before their children.
    #[must_use]
    pub fn family(proc: &Path, pid: u32) -> Vec<(u32, Self)> {
        let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut others: Vec<(u32, Self)> =
            pids.filter_map(|pid| Some((pid, Self::read(proc, pid)?))).collect();
        let mut family: Vec<(u32, Self)> = others.extract_if(.., |(other, _)| *other == pid).collect();
        let mut at = 0;
        while let Some((parent, _)) = family.get(at) {
            let parent = *parent;
            family.extend(others.extract_if(.., |(_, status)| status.parent == parent));
            at += 1;
        }
        family
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        Some(Self {
            comm: field("Name")?.to_owned(),
            parent: field("PPid")?.parse().ok()?,
            uid: field("Uid")?.split_whitespace().nth(1)?.parse().ok()?,
            capabilities: u64::from_str_radix(field("CapEff")?, 16).ok()?,
            no_new_privs: field("NoNewPrivs")? == "1",
            filtered: field("Seccomp")? == "2",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_by_their_whole_names() {
        let text = "Name:\tagent\nPPid:\t7\nUid:\t0\t65534\t0\t0\nCapEff:\t0000008000000000\nNoNewPrivs:\t1\n\
                    Seccomp:\t2\nSeccomp_filters:\t1\n";
        let status = Status::parse(text).unwrap();
        assert_eq!((status.parent, status.uid, status.capabilities), (7, 65534, 1 << 39));
        assert!(status.no_new_privs && status.filtered);
        assert_eq!(Status::parse("Name:\tagent\n"), None);
    }
}

//! Tables of the kernel that can be full: threads, numbers for them, open files, tracked connections.

use std::fs;

use diagnosis::window::Tables;

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// `/proc/sys/fs/file-nr`: in use, unused (always 0), most.
fn files(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_whitespace().map(str::parse);
    Some((words.next()?.ok()?, words.nth(1)?.ok()?))
}

/// Reads them: four to six files of one line each. `threads` is that of `/proc/loadavg`.
pub(super) fn read(threads: u32) -> Tables {
    let with = |path| number(path).map(|most| (u64::from(threads), most));
    let tracked = number("/proc/sys/net/netfilter/nf_conntrack_count");
    Tables {
        threads: with("/proc/sys/kernel/threads-max"),
        pids: with("/proc/sys/kernel/pid_max"),
        files: fs::read_to_string("/proc/sys/fs/file-nr").ok().and_then(|text| files(&text)),
        conntrack: tracked.zip(number("/proc/sys/net/netfilter/nf_conntrack_max")),
    }
}

/// `net.ipv4.ip_local_port_range`: first and last.
pub(super) fn local_ports() -> Option<(u16, u16)> {
    ports(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

fn ports(text: &str) -> Option<(u16, u16)> {
    let mut words = text.split_whitespace().map(str::parse);
    Some((words.next()?.ok()?, words.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_says_how_full_its_tables_are() {
        assert_eq!(files("1120\t0\t9223372036854775807\n"), Some((1120, i64::MAX as u64)));
        assert_eq!(ports("32768\t60999\n"), Some((32_768, 60_999)));
        let tables = read(7);
        assert_eq!(tables.threads.map(|(used, _)| used), Some(7));
        assert!(tables.pids.is_some_and(|(_, most)| most > 300), "{tables:?}");
        assert!(tables.files.is_some_and(|(used, most)| used > 0 && used < most), "{tables:?}");
    }
}

//! Where the resource probes find what they read, and which arguments their tracepoints have on this kernel.

use agent_common::abi::resources::Layout;
use agent_common::abi::settings::NO_OFFSET;

use super::btf::Btf;

impl Btf {
    /// Everything the resource probes ask for.
    pub(super) fn layout(&self) -> Layout {
        let request = |path| self.offset("request", path);
        let sock = |path| self.offset("sock", path);
        let arguments = |tracepoint| self.tracepoint(tracepoint);
        // Since 6.2 the counters are per CPU, and `count` is what has been added up.
        let (mm_rss, mm_rss_step) = match self.offset("mm_struct", "rss_stat.count") {
            NO_OFFSET => {
                let counters = self.offset("mm_struct", "rss_stat");
                let count = self.offset("percpu_counter", "count");
                match (counters, count, self.size("percpu_counter")) {
                    (NO_OFFSET, _, _) | (_, NO_OFFSET, _) | (_, _, None) => (NO_OFFSET, 8),
                    (at, count, Some(size)) => (at + count, size),
                }
            }
            at => (at, 8),
        };
        Layout {
            request_queue: request("q"),
            request_flags: request("cmd_flags"),
            request_bytes: request("__data_len"),
            request_sector: request("__sector"),
            request_disk: request("rq_disk"),
            request_start: request("start_time_ns"),
            queue_disk: self.offset("request_queue", "disk"),
            disk_major: self.offset("gendisk", "major"),
            disk_minor: self.offset("gendisk", "first_minor"),
            sock_family: sock("__sk_common.skc_family"),
            sock_state: sock("__sk_common.skc_state"),
            sock_port: sock("__sk_common.skc_num"),
            sock_own_port: self.offset("inet_sock", "inet_sport"),
            sock_peer_port: sock("__sk_common.skc_dport"),
            sock_peer: sock("__sk_common.skc_daddr"),
            sock_peer6: sock("__sk_common.skc_v6_daddr"),
            sock_socket: sock("sk_socket"),
            socket_inode: self.offset("socket_alloc", "vfs_inode.i_ino"),
            task_sighand: self.offset("task_struct", "sighand"),
            sighand_action: self.offset("sighand_struct", "action"),
            task_mm: self.offset("task_struct", "mm"),
            mm_rss,
            mm_rss_step,
            mutex_owner: self.offset("mutex", "owner"),
            rwsem_owner: self.offset("rw_semaphore", "owner"),
            rt_mutex_owner: match self.offset("rt_mutex_base", "owner") {
                NO_OFFSET => self.offset("rt_mutex", "owner"),
                found => found,
            },
            block_request_arg: u32::from(arguments("block_rq_issue").is_some_and(|args| args.len() == 2)),
            block_io_start: u32::from(arguments("block_io_start").is_some()),
            writeback_pause_arg: match arguments("balance_dirty_pages").map_or(0, |args| args.len()) {
                8 => 6,
                _ => 10,
            },
            oom_victim_is_task: u32::from(
                arguments("mark_victim").is_some_and(|args| args.first() == Some(&true)),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_what_the_probes_read() {
        let layout = Btf::of_kernel().expect("BTF").layout();
        for offset in [
            layout.request_flags,
            layout.request_bytes,
            layout.request_sector,
            layout.disk_major,
            layout.sock_port,
            layout.sock_peer6,
            layout.socket_inode,
            layout.sighand_action,
            layout.mm_rss,
            layout.mutex_owner,
            layout.rwsem_owner,
        ] {
            assert_ne!(offset, NO_OFFSET, "{layout:?}");
        }
        assert!(layout.request_disk != NO_OFFSET || layout.queue_disk != NO_OFFSET, "{layout:?}");
    }
}

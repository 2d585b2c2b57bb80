//! Kernel functions that show what a thread waits for: the one table from function to class.
//!
//! The names are those of kernels 5.10 to 7.2. If a kernel has inlined or renamed a function, its line has no effect there.

use std::io::{BufRead, BufReader};

use agent_common::abi::sched::State;

/// What a function on a stack says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// The thread waits for this.
    Waits(State),
    /// It waits for a block device: what for is for others to say.
    Block,
    /// What it does changes a file.
    Writes,
    /// It is in a page fault.
    Faults,
    /// The processor was interrupted: what is below has nothing to do with it.
    Interrupt,
    /// It closes a socket, or ends.
    Closes,
    /// It waits for the answer of a file system's server (FUSE).
    Asks,
    /// It is such a server, and gives an answer.
    Answers,
    /// A frame of the probe itself.
    Probe,
}

use Says::{Answers, Asks, Block, Closes, Faults, Interrupt, Probe, Waits, Writes};

/// Functions by what they say. `*` at the end: all that begin so.
const TABLE: [(Says, &[&str]); 29] = [
    (Probe, &["bpf_trace_run*", "__bpf_trace_*", "__traceiter_*", "bpf_prog_*", "bpf_get_stack*"]),
    (Interrupt, &["asm_sysvec_*", "asm_common_interrupt", "sysvec_*", "common_interrupt", "irq_exit_rcu"]),
    (Closes, &["__tcp_close", "tcp_close", "tcp_shutdown", "inet_shutdown", "unix_release_sock", "do_exit"]),
    (Answers, &["fuse_dev_do_write", "fuse_dev_write", "fuse_dev_splice_write", "fuse_uring_*"]),
    // A server without requests; also one that reads them.
    (Waits(State::Poll), &["fuse_dev_do_read*", "fuse_dev_read", "fuse_dev_splice_read"]),
    (Asks, &["request_wait_answer", "__fuse_simple_request", "fuse_simple_request", "__fuse_request_send"]),
    (
        Waits(State::KernelLock),
        &[
            "__mutex_lock*",
            "mutex_lock*",
            "ww_mutex_lock*",
            "rwsem_down_*",
            "percpu_rwsem_wait",
            "percpu_down_write",
            "__percpu_down_read*",
            "rt_mutex_slowlock*",
            "__rt_mutex_*",
            "rwbase_*_lock*",
            "__down",
            "__down_common",
            "__down_interruptible",
            "__down_killable",
            "__down_timeout",
            "bit_wait",
            "__wait_on_freeing_inode",
            "__wait_on_inode*",
            "d_alloc_parallel",
        ],
    ),
    (
        Waits(State::Reclaim),
        &[
            "try_to_free_pages",
            "try_to_free_mem_cgroup_pages",
            "do_try_to_free_pages",
            "reclaim_throttle",
            "throttle_direct_reclaim",
            "__alloc_pages_direct_compact",
            "try_to_compact_pages",
            "mem_cgroup_handle_over_high",
            "__mem_cgroup_handle_over_high",
            "mem_cgroup_oom_synchronize",
            "mem_cgroup_out_of_memory",
            "out_of_memory",
            "too_many_isolated",
        ],
    ),
    (
        Waits(State::Swap),
        &[
            "do_swap_page",
            "swap_readpage*",
            "swap_read_folio*",
            "swapin_readahead",
            "swap_cluster_readahead",
            "swapin_folio",
            "shmem_swapin*",
            "zswap_load",
            "unuse_*",
        ],
    ),
    (Waits(State::Writeback), &["balance_dirty_pages*"]),
    (
        Waits(State::Fsync),
        &[
            "vfs_fsync_range",
            "do_fsync",
            "ksys_sync",
            "sync_filesystem",
            "sync_inodes_sb",
            "ksys_sync_file_range",
            "file_write_and_wait_range",
            "filemap_write_and_wait*",
            "generic_file_fsync",
            "ext4_sync_file",
            "xfs_file_fsync",
            "btrfs_sync_file",
            "fuse_fsync*",
            "blkdev_issue_flush",
            "blkdev_fsync",
            "jbd2_log_wait_commit",
            "jbd2_complete_transaction",
            "wait_transaction_locked",
            "wait_transaction_switching",
            "add_transaction_credits",
            "jbd2_log_do_checkpoint",
            "__jbd2_log_wait_for_space",
            "do_get_write_access",
            "xfs_log_force*",
            "xlog_wait*",
            "xlog_grant_head_wait",
            "btrfs_commit_transaction",
            "btrfs_wait_for_commit",
        ],
    ),
    (
        Waits(State::FileLock),
        &[
            "locks_lock_inode_wait",
            "posix_lock_inode_wait",
            "flock_lock_inode_wait",
            "fcntl_setlk*",
            "do_lock_file_wait",
            "__break_lease",
        ],
    ),
    (
        Faults,
        &[
            "do_user_addr_fault",
            "handle_mm_fault",
            "exc_page_fault",
            "asm_exc_page_fault",
            "fixup_user_fault",
        ],
    ),
    (
        Block,
        &[
            "io_schedule*",
            "folio_wait_bit*",
            "__folio_lock*",
            "wait_on_page_bit*",
            "__lock_page*",
            "folio_wait_writeback*",
            "wait_on_page_writeback",
            "folio_wait_stable",
            "filemap_get_pages",
            "filemap_update_page",
            "bit_wait_io",
            "out_of_line_wait_on_bit*",
            "__wait_on_buffer",
            "submit_bio_wait",
            "bio_await_chain",
            "blk_execute_rq*",
            "blk_mq_get_tag",
            "rq_qos_wait",
            "wbt_wait",
            "__iomap_dio_rw",
            "iomap_dio_rw",
            "__blkdev_direct_IO*",
            "blkdev_direct_IO*",
            "dio_complete",
            "do_blockdev_direct_IO",
        ],
    ),
    (
        Writes,
        &[
            "vfs_write",
            "ksys_write",
            "vfs_iter_write",
            "do_iter_write",
            "do_iter_readv_writev",
            "vfs_writev",
            "generic_perform_write",
            "ext4_file_write_iter",
            "xfs_file_write_iter",
            "blkdev_write_iter",
            "do_truncate",
            "do_unlinkat",
            "do_renameat2",
            "do_mkdirat",
            "do_rmdir",
            "do_linkat",
            "do_symlinkat",
            "vfs_fallocate",
        ],
    ),
    (Waits(State::NetAccept), &["inet_csk_accept", "inet_accept"]),
    (Waits(State::NetConnect), &["inet_stream_connect", "__inet_stream_connect", "inet_wait_for_connect"]),
    (
        Waits(State::Ipc),
        &[
            "unix_stream_*",
            "unix_dgram_*",
            "unix_wait_for_peer",
            "unix_accept",
            "__unix_dgram_recvmsg",
            "pipe_read",
            "anon_pipe_read",
            "fifo_pipe_read",
            "pipe_write",
            "anon_pipe_write",
            "fifo_pipe_write",
            "pipe_wait_*",
            "wait_for_partner",
            "fifo_open",
            "eventfd_read",
            "eventfd_write",
            "do_msgrcv",
            "do_msgsnd",
            "do_semtimedop",
            "__do_semtimedop",
            "do_mq_timedreceive",
            "do_mq_timedsend",
            "wq_sleep",
        ],
    ),
    (
        Waits(State::NetRecv),
        &[
            "tcp_recvmsg*",
            "tcp_data_wait",
            "sk_wait_data",
            "udp_recvmsg",
            "udpv6_recvmsg",
            "__skb_wait_for_more_packets",
            "inet_recvmsg",
            "inet6_recvmsg",
        ],
    ),
    (
        Waits(State::NetSend),
        &["sk_stream_wait_memory", "tcp_sendmsg*", "sock_alloc_send_pskb", "udp_sendmsg", "inet_sendmsg"],
    ),
    (Waits(State::Child), &["do_wait", "__do_wait", "kernel_wait4", "kernel_waitid", "kernel_clone"]),
    (
        Waits(State::Poll),
        &["ep_poll", "do_epoll_wait", "do_sys_poll", "do_select", "core_sys_select", "io_cqring_wait"],
    ),
    (
        Waits(State::Sleep),
        &["do_nanosleep", "hrtimer_nanosleep", "timerfd_read*", "sigsuspend", "do_sigtimedwait"],
    ),
    (Waits(State::Stopped), &["ptrace_stop", "do_signal_stop", "do_jobctl_trap"]),
    (Waits(State::AsyncIo), &["read_events", "do_io_getevents"]),
    (Waits(State::Device), &["n_tty_read", "n_tty_write", "tty_read", "tty_write", "file_tty_write*"]),
    (
        Waits(State::DiskRead),
        &["ext4_bread", "ext4_readdir", "xfs_buf_read*", "nfs_*wait*", "rpc_wait_bit_killable"],
    ),
    (Waits(State::FutexWait), &["futex_wait*", "__futex_wait", "futex_do_wait"]),
    (Waits(State::FutexLock), &["futex_lock_pi"]),
];

/// What functions say, by address.
#[derive(Debug, Default)]
pub(super) struct Functions {
    /// Begin, end, meaning; ascending.
    ranges: Vec<(u64, u64, Says)>,
    /// Modules when it was read: their functions come and go.
    modules: String,
}

impl Functions {
    /// Of the running kernel. Empty where its addresses are hidden.
    pub(super) fn of_kernel() -> Self {
        let modules = std::fs::read_to_string("/proc/modules").unwrap_or_default();
        let file = std::fs::File::open("/proc/kallsyms");
        let ranges = file.map(|file| parse(BufReader::with_capacity(64 * 1024, file))).unwrap_or_default();
        Self { ranges, modules }
    }

    /// Reads it again if modules have come or gone.
    pub(super) fn refresh(&mut self) {
        let modules = std::fs::read_to_string("/proc/modules").unwrap_or_default();
        if modules == self.modules {
            return;
        }
        let new = Self::of_kernel();
        // Privileges are dropped after the start: what was read with them is worth more than zeros.
        if !new.ranges.is_empty() {
            *self = new;
        }
    }

    /// Whether the kernel shows its addresses.
    pub(super) fn known(&self) -> bool {
        !self.ranges.is_empty()
    }

    pub(super) fn says(&self, address: u64) -> Option<Says> {
        let after = self.ranges.partition_point(|(begin, ..)| *begin <= address);
        let (_, end, says) = self.ranges.get(after.checked_sub(1)?)?;
        (address < *end).then_some(*says)
    }
}

/// `address type name [module]` lines, in any order.
fn parse(input: impl BufRead) -> Vec<(u64, u64, Says)> {
    let mut symbols: Vec<(u64, Option<Says>)> = Vec::with_capacity(80_000);
    for line in input.split(b'\n').map_while(Result::ok) {
        let mut words = line.split(u8::is_ascii_whitespace);
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        if !matches!(kind, b"t" | b"T" | b"w" | b"W") {
            continue;
        }
        let address = std::str::from_utf8(address).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
        let Some(address) = address.filter(|address| *address != 0) else { continue };
        symbols.push((address, said_by(std::str::from_utf8(name).unwrap_or_default())));
    }
    symbols.sort_unstable_by_key(|(address, says)| (*address, says.is_none()));
    symbols.dedup_by_key(|(address, _)| *address);
    let with_end = symbols.iter().zip(symbols.iter().skip(1));
    with_end.filter_map(|((begin, says), (end, _))| Some((*begin, *end, (*says)?))).collect()
}

fn said_by(name: &str) -> Option<Says> {
    // What the compiler made of a function: `.isra.0`, `.constprop.0`, `.part.0`, `.cold`.
    let plain = name.split_once('.').map_or(name, |(plain, _)| plain);
    let is = |pattern: &&&str| match pattern.strip_suffix('*') {
        Some(prefix) => plain.starts_with(prefix),
        None => plain == **pattern,
    };
    TABLE.iter().find(|(_, names)| names.iter().any(|pattern| is(&pattern))).map(|(says, _)| *says)
}

#[cfg(test)]
impl Functions {
    /// A kernel of these functions, and the address of each.
    pub(super) fn of_names(names: &[&str]) -> (Self, impl Fn(&str) -> u64) {
        let at = |index: usize| 0xffff_ffff_8100_0000 + index as u64 * 0x100;
        let lines = names.iter().chain([&"the_end"]).enumerate();
        let lines: Vec<String> = lines.map(|(index, name)| format!("{:x} t {name}\n", at(index))).collect();
        let text = lines.concat();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let address_of =
            move |name: &str| at(names.iter().position(|known| known == name).expect("a known name")) + 0x10;
        (Self { ranges: parse(text.as_bytes()), modules: String::new() }, address_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_reaches_to_the_next_symbol_whatever_that_is() {
        let kallsyms = "ffffffff81000100 t other\nffffffff81000000 T io_schedule\nffffffff81000040 t quiet\n\
                        ffffffff81000200 d data\nffffffff81000180 t __mutex_lock.constprop.0\n\
                        0000000000000000 t do_wait\nffffffff81000300 t last\n";
        let functions = Functions { ranges: parse(kallsyms.as_bytes()), modules: String::new() };
        assert_eq!(functions.says(0xffff_ffff_8100_0000), Some(Block));
        assert_eq!(functions.says(0xffff_ffff_8100_003f), Some(Block));
        assert_eq!(functions.says(0xffff_ffff_8100_0040), None, "the next function");
        assert_eq!(functions.says(0xffff_ffff_8100_01ff), Some(Waits(State::KernelLock)));
        assert_eq!(functions.says(0x1000), None);
        assert_eq!(functions.ranges.len(), 2, "hidden addresses say nothing");
    }
}

//! What the scheduler programs ask of the kernel's types.

use agent_common::abi::sched::SchedOffsets;
use agent_common::abi::settings::NO_OFFSET;

use super::Btf;

impl Btf {
    /// Offsets of the scheduler programs.
    pub(crate) fn sched_offsets(&self) -> SchedOffsets {
        let at = |structure, path| self.offset(structure, path);
        let either = |structure, new, old| match at(structure, new) {
            NO_OFFSET => at(structure, old),
            found => found,
        };
        let there = |yes| if yes { 0 } else { NO_OFFSET };
        let iowait = self.bits("task_struct", "in_iowait");
        SchedOffsets {
            task_tgid: at("task_struct", "tgid"),
            task_pid: at("task_struct", "pid"),
            task_flags: at("task_struct", "flags"),
            task_state: either("task_struct", "__state", "state"),
            task_stack: at("task_struct", "stack"),
            task_comm: at("task_struct", "comm"),
            task_thread_status: at("task_struct", "thread_info.status"),
            task_iowait: iowait.map_or(NO_OFFSET, |bits| bits / 8),
            task_iowait_mask: iowait.map_or(0, |bits| 1 << (bits % 8)),
            task_throttled: at("task_struct", "throttled"),
            task_cfs_rq: at("task_struct", "se.cfs_rq"),
            cfs_rq_throttle_count: at("cfs_rq", "throttle_count"),
            task_signal: at("task_struct", "signal"),
            signal_exec_task: either("signal_struct", "group_exec_task", "group_exit_task"),
            task_files: at("task_struct", "files"),
            files_fdt: at("files_struct", "fdt"),
            fdtable_max_fds: at("fdtable", "max_fds"),
            fdtable_fd: at("fdtable", "fd"),
            file_inode: at("file", "f_inode"),
            file_private_data: at("file", "private_data"),
            file_dentry: at("file", "f_path.dentry"),
            dentry_name: at("dentry", "d_name.name"),
            inode_mode: at("inode", "i_mode"),
            inode_ino: at("inode", "i_ino"),
            inode_sb: at("inode", "i_sb"),
            sb_magic: at("super_block", "s_magic"),
            sb_dev: at("super_block", "s_dev"),
            socket_sk: at("socket", "sk"),
            sock_protocol: at("sock", "sk_protocol"),
            sock_family: at("sock_common", "skc_family"),
            sock_num: at("sock_common", "skc_num"),
            sock_state: at("sock_common", "skc_state"),
            sock_dport: at("sock_common", "skc_dport"),
            sock_daddr: at("sock_common", "skc_daddr"),
            sock_v6_daddr: at("sock_common", "skc_v6_daddr"),
            sock_peer_pid: at("sock", "sk_peer_pid"),
            unix_addr: at("unix_sock", "addr"),
            unix_peer: at("unix_sock", "peer"),
            pid_numbers: at("pid", "numbers"),
            switch_state: there(
                self.tracepoint("sched_switch").is_some_and(|arguments| arguments.len() == 4),
            ),
            pt_regs_helper: there(self.has_helper("task_pt_regs")),
        }
    }
}

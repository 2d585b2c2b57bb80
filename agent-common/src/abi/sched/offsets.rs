//! Offsets that the scheduler programs use.

use crate::abi::offsets::offsets;

offsets! {
    "Offsets into kernel structures, in bytes, from the running kernel's BTF. `u32::MAX`: not in this kernel."
    SchedOffsets
    #[doc = "`task_struct.tgid`"]
    task_tgid,
    #[doc = "`task_struct.pid`"]
    task_pid,
    #[doc = "`task_struct.flags` (`PF_*`)"]
    task_flags,
    #[doc = "`task_struct.__state` (`state` before 5.14)"]
    task_state,
    #[doc = "`task_struct.stack`"]
    task_stack,
    #[doc = "`task_struct.comm`"]
    task_comm,
    #[doc = "`task_struct.thread_info.status` (x86: bit 1 is `TS_COMPAT`)"]
    task_thread_status,
    #[doc = "byte of `task_struct.in_iowait`"]
    task_iowait,
    #[doc = "mask of `in_iowait` in that byte"]
    task_iowait_mask,
    #[doc = "`task_struct.throttled`, since 6.18"]
    task_throttled,
    #[doc = "`task_struct.se.cfs_rq`, where groups have CPU quotas (`CONFIG_CFS_BANDWIDTH`)"]
    task_cfs_rq,
    #[doc = "`cfs_rq.throttle_count`"]
    cfs_rq_throttle_count,
    #[doc = "`task_struct.signal`"]
    task_signal,
    #[doc = "`signal_struct.group_exec_task` (`group_exit_task` before 5.17): the thread that has called exec"]
    signal_exec_task,
    #[doc = "`task_struct.files`"]
    task_files,
    #[doc = "`files_struct.fdt`"]
    files_fdt,
    #[doc = "`fdtable.max_fds`"]
    fdtable_max_fds,
    #[doc = "`fdtable.fd`"]
    fdtable_fd,
    #[doc = "`file.f_inode`"]
    file_inode,
    #[doc = "`file.private_data`"]
    file_private_data,
    #[doc = "`file.f_path.dentry`"]
    file_dentry,
    #[doc = "`dentry.d_name.name`"]
    dentry_name,
    #[doc = "`inode.i_mode`"]
    inode_mode,
    #[doc = "`inode.i_ino`"]
    inode_ino,
    #[doc = "`inode.i_sb`"]
    inode_sb,
    #[doc = "`super_block.s_magic`"]
    sb_magic,
    #[doc = "`super_block.s_dev`"]
    sb_dev,
    #[doc = "`socket.sk`"]
    socket_sk,
    #[doc = "`sock.sk_protocol`"]
    sock_protocol,
    #[doc = "`sock_common.skc_family`"]
    sock_family,
    #[doc = "`sock_common.skc_num`: port at this end, host order"]
    sock_num,
    #[doc = "`sock_common.skc_state` (`TCP_LISTEN` and so on, of local sockets too)"]
    sock_state,
    #[doc = "`sock_common.skc_dport`: port at the other end, network order"]
    sock_dport,
    #[doc = "`sock_common.skc_daddr`"]
    sock_daddr,
    #[doc = "`sock_common.skc_v6_daddr`"]
    sock_v6_daddr,
    #[doc = "`sock.sk_peer_pid`: who made the other end of a local socket"]
    sock_peer_pid,
    #[doc = "`unix_sock.addr`: the name of a local socket; one that was accepted has its listener's"]
    unix_addr,
    #[doc = "`unix_sock.peer`: the other end of a local socket"]
    unix_peer,
    #[doc = "`pid.numbers[0].nr`: its number in the first namespace"]
    pid_numbers,
    #[doc = "0 where `sched_switch` has the state of the previous task as its fourth argument (since 5.18)"]
    switch_state,
    #[doc = "0 where the helper `bpf_task_pt_regs` exists (since 5.15)"]
    pt_regs_helper,
}

//! Which name of `node_exporter` is which series of ours.

use promql::Operator;
use promql::Operator::{Equal, NotEqual};

use Value::{Kibibytes, Now, NowBeforeSeconds, One, Pages, Same, Seconds};

/// How a value of ours becomes theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// In the same unit.
    Same,
    /// Ours are ns.
    Seconds,
    /// Ours are bytes, theirs pages of 4 KiB.
    Pages,
    /// Ours are bytes, theirs KiB.
    Kibibytes,
    /// The time of the sample, Unix time, s.
    Now,
    /// That time less ours, which are ns.
    NowBeforeSeconds,
    /// A series whose labels say all.
    One,
}

/// Two texts: a label and what it is of, or its value.
type Pair = (&'static str, &'static str);

/// A name of theirs.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Our metric.
    pub(super) metric: &'static str,
    pub(super) value: Value,
    /// Labels of theirs, and the labels of ours that they are copied from.
    pub(super) copied: &'static [Pair],
    /// A label that ours do not have.
    pub(super) added: Option<Pair>,
    /// Only series of ours with, or without, this label.
    pub(super) only: Option<(&'static str, &'static str, Operator)>,
}

const fn row(
    name: &'static str,
    metric: &'static str,
    value: Value,
    copied: &'static [Pair],
    added: Option<Pair>,
    only: Option<(&'static str, &'static str, Operator)>,
) -> Row {
    Row { name, metric, value, copied, added, only }
}

/// Labels of a file system: the same as ours.
const FILESYSTEM: &[Pair] = &[("device", "device"), ("fstype", "fstype"), ("mountpoint", "mountpoint")];

/// Sorted by name.
#[rustfmt::skip]
pub(super) const TABLE: [Row; 122] = [
    row("node_boot_time_seconds", "s7mpa_host_uptime_ns", NowBeforeSeconds, &[], None, None),
    row("node_context_switches_total", "s7mpa_host_context_switches_total", Same, &[], None, None),
    row("node_cpu_guest_seconds_total", "s7mpa_cpu_guest_ns_total", Seconds, &[("cpu", "cpu")], Some(("mode", "user")), Some(("cpu", "all", NotEqual))),
    row("node_cpu_guest_seconds_total", "s7mpa_cpu_guest_nice_ns_total", Seconds, &[("cpu", "cpu")], Some(("mode", "nice")), Some(("cpu", "all", NotEqual))),
    row("node_cpu_seconds_total", "s7mpa_cpu_user_ns_total", Seconds, &[("cpu", "cpu")], Some(("mode", "user")), Some(("cpu", "all", NotEqual))),
    row("node_cpu_seconds_total", "s7mpa_cpu_nice_ns_total", Seconds, &[("cpu", "cpu")], Some(("mode", "nice")), Some(("cpu", "all", NotEqual))),
    row("node_cpu_seconds_total", "s7mpa_cpu_system_ns_total", Seconds, &[("cpu", "cpu")], Some(("mode", "system")), Some(("cpu", "all", NotEqual))),
    row("node_cpu_seconds_total", "s7mpa_cpu_idle_ns_total", Seconds, &[("cpu", "cpu")], Some(("mode", "idle")), Some(("cpu", "all", NotEqual))),
    row("node_cpu_seconds_total", "s7mpa_cpu_iowait_ns_total", Seconds, &[("cpu", "cpu")], Some(("mode", "iowait")), Some(("cpu", "all", NotEqual))),
    row("node_cpu_seconds_total", "s7mpa_cpu_irq_ns_total", Seconds, &[("cpu", "cpu")], Some(("mode", "irq")), Some(("cpu", "all", NotEqual))),
    row("node_cpu_seconds_total", "s7mpa_cpu_softirq_ns_total", Seconds, &[("cpu", "cpu")], Some(("mode", "softirq")), Some(("cpu", "all", NotEqual))),
    row("node_cpu_seconds_total", "s7mpa_cpu_steal_ns_total", Seconds, &[("cpu", "cpu")], Some(("mode", "steal")), Some(("cpu", "all", NotEqual))),
    row("node_disk_flush_requests_time_seconds_total", "s7mpa_disk_flush_ns_total", Seconds, &[("device", "device")], None, None),
    row("node_disk_flush_requests_total", "s7mpa_disk_flushes_total", Same, &[("device", "device")], None, None),
    row("node_disk_io_now", "s7mpa_disk_in_flight", Same, &[("device", "device")], None, None),
    row("node_disk_io_time_seconds_total", "s7mpa_disk_busy_ns_total", Seconds, &[("device", "device")], None, None),
    row("node_disk_io_time_weighted_seconds_total", "s7mpa_disk_queue_ns_total", Seconds, &[("device", "device")], None, None),
    row("node_disk_read_bytes_total", "s7mpa_disk_read_bytes_total", Same, &[("device", "device")], None, None),
    row("node_disk_read_time_seconds_total", "s7mpa_disk_read_ns_total", Seconds, &[("device", "device")], None, None),
    row("node_disk_reads_completed_total", "s7mpa_disk_reads_total", Same, &[("device", "device")], None, None),
    row("node_disk_reads_merged_total", "s7mpa_disk_reads_merged_total", Same, &[("device", "device")], None, None),
    row("node_disk_write_time_seconds_total", "s7mpa_disk_write_ns_total", Seconds, &[("device", "device")], None, None),
    row("node_disk_writes_completed_total", "s7mpa_disk_writes_total", Same, &[("device", "device")], None, None),
    row("node_disk_writes_merged_total", "s7mpa_disk_writes_merged_total", Same, &[("device", "device")], None, None),
    row("node_disk_written_bytes_total", "s7mpa_disk_write_bytes_total", Same, &[("device", "device")], None, None),
    row("node_filefd_allocated", "s7mpa_tables_files", Same, &[], None, None),
    row("node_filefd_maximum", "s7mpa_tables_files_max", Same, &[], None, None),
    row("node_filesystem_avail_bytes", "s7mpa_filesystem_available_bytes", Same, FILESYSTEM, None, None),
    row("node_filesystem_device_error", "s7mpa_filesystem_device_error", Same, FILESYSTEM, None, None),
    row("node_filesystem_files", "s7mpa_filesystem_files", Same, FILESYSTEM, None, None),
    row("node_filesystem_files_free", "s7mpa_filesystem_files_free", Same, FILESYSTEM, None, None),
    row("node_filesystem_free_bytes", "s7mpa_filesystem_free_bytes", Same, FILESYSTEM, None, None),
    row("node_filesystem_readonly", "s7mpa_filesystem_readonly", Same, FILESYSTEM, None, None),
    row("node_filesystem_size_bytes", "s7mpa_filesystem_size_bytes", Same, FILESYSTEM, None, None),
    row("node_forks_total", "s7mpa_host_forks_total", Same, &[], None, None),
    row("node_intr_total", "s7mpa_host_interrupts_total", Same, &[], None, None),
    row("node_load1", "s7mpa_host_load1", Same, &[], None, None),
    row("node_load15", "s7mpa_host_load15", Same, &[], None, None),
    row("node_load5", "s7mpa_host_load5", Same, &[], None, None),
    row("node_memory_Active_bytes", "s7mpa_memory_active_bytes", Same, &[], None, None),
    row("node_memory_AnonPages_bytes", "s7mpa_memory_anon_bytes", Same, &[], None, None),
    row("node_memory_Buffers_bytes", "s7mpa_memory_buffers_bytes", Same, &[], None, None),
    row("node_memory_Cached_bytes", "s7mpa_memory_cached_bytes", Same, &[], None, None),
    row("node_memory_CommitLimit_bytes", "s7mpa_memory_commit_limit_bytes", Same, &[], None, None),
    row("node_memory_Committed_AS_bytes", "s7mpa_memory_committed_bytes", Same, &[], None, None),
    row("node_memory_Dirty_bytes", "s7mpa_memory_dirty_bytes", Same, &[], None, None),
    row("node_memory_Inactive_bytes", "s7mpa_memory_inactive_bytes", Same, &[], None, None),
    row("node_memory_KernelStack_bytes", "s7mpa_memory_kernel_stack_bytes", Same, &[], None, None),
    row("node_memory_Mapped_bytes", "s7mpa_memory_mapped_bytes", Same, &[], None, None),
    row("node_memory_MemAvailable_bytes", "s7mpa_memory_available_bytes", Same, &[], None, None),
    row("node_memory_MemFree_bytes", "s7mpa_memory_free_bytes", Same, &[], None, None),
    row("node_memory_MemTotal_bytes", "s7mpa_memory_total_bytes", Same, &[], None, None),
    row("node_memory_PageTables_bytes", "s7mpa_memory_page_tables_bytes", Same, &[], None, None),
    row("node_memory_SReclaimable_bytes", "s7mpa_memory_slab_reclaimable_bytes", Same, &[], None, None),
    row("node_memory_SUnreclaim_bytes", "s7mpa_memory_slab_unreclaimable_bytes", Same, &[], None, None),
    row("node_memory_Shmem_bytes", "s7mpa_memory_shmem_bytes", Same, &[], None, None),
    row("node_memory_Slab_bytes", "s7mpa_memory_slab_bytes", Same, &[], None, None),
    row("node_memory_SwapCached_bytes", "s7mpa_memory_swap_cached_bytes", Same, &[], None, None),
    row("node_memory_SwapFree_bytes", "s7mpa_memory_swap_free_bytes", Same, &[], None, None),
    row("node_memory_SwapTotal_bytes", "s7mpa_memory_swap_total_bytes", Same, &[], None, None),
    row("node_memory_Writeback_bytes", "s7mpa_memory_writeback_bytes", Same, &[], None, None),
    row("node_netstat_IpExt_InOctets", "s7mpa_netstat_ip_in_bytes_total", Same, &[], None, None),
    row("node_netstat_IpExt_OutOctets", "s7mpa_netstat_ip_out_bytes_total", Same, &[], None, None),
    row("node_netstat_TcpExt_ListenDrops", "s7mpa_netstat_tcp_listen_drops_total", Same, &[], None, None),
    row("node_netstat_TcpExt_ListenOverflows", "s7mpa_netstat_tcp_listen_overflows_total", Same, &[], None, None),
    row("node_netstat_TcpExt_TCPTimeouts", "s7mpa_netstat_tcp_timeouts_total", Same, &[], None, None),
    row("node_netstat_Tcp_ActiveOpens", "s7mpa_netstat_tcp_active_opens_total", Same, &[], None, None),
    row("node_netstat_Tcp_CurrEstab", "s7mpa_netstat_tcp_established", Same, &[], None, None),
    row("node_netstat_Tcp_InErrs", "s7mpa_netstat_tcp_in_errors_total", Same, &[], None, None),
    row("node_netstat_Tcp_InSegs", "s7mpa_netstat_tcp_in_segments_total", Same, &[], None, None),
    row("node_netstat_Tcp_OutRsts", "s7mpa_netstat_tcp_out_resets_total", Same, &[], None, None),
    row("node_netstat_Tcp_OutSegs", "s7mpa_netstat_tcp_out_segments_total", Same, &[], None, None),
    row("node_netstat_Tcp_PassiveOpens", "s7mpa_netstat_tcp_passive_opens_total", Same, &[], None, None),
    row("node_netstat_Tcp_RetransSegs", "s7mpa_netstat_tcp_retransmits_total", Same, &[], None, None),
    row("node_netstat_Udp_InDatagrams", "s7mpa_netstat_udp_in_datagrams_total", Same, &[], None, None),
    row("node_netstat_Udp_InErrors", "s7mpa_netstat_udp_in_errors_total", Same, &[], None, None),
    row("node_netstat_Udp_NoPorts", "s7mpa_netstat_udp_no_ports_total", Same, &[], None, None),
    row("node_netstat_Udp_OutDatagrams", "s7mpa_netstat_udp_out_datagrams_total", Same, &[], None, None),
    row("node_netstat_Udp_RcvbufErrors", "s7mpa_netstat_udp_receive_buffer_errors_total", Same, &[], None, None),
    row("node_netstat_Udp_SndbufErrors", "s7mpa_netstat_udp_send_buffer_errors_total", Same, &[], None, None),
    row("node_network_receive_bytes_total", "s7mpa_net_rx_bytes_total", Same, &[("device", "interface")], None, None),
    row("node_network_receive_drop_total", "s7mpa_net_rx_dropped_total", Same, &[("device", "interface")], None, None),
    row("node_network_receive_errs_total", "s7mpa_net_rx_errors_total", Same, &[("device", "interface")], None, None),
    row("node_network_receive_packets_total", "s7mpa_net_rx_packets_total", Same, &[("device", "interface")], None, None),
    row("node_network_speed_bytes", "s7mpa_net_speed_bytes", Same, &[("device", "interface")], None, None),
    row("node_network_transmit_bytes_total", "s7mpa_net_tx_bytes_total", Same, &[("device", "interface")], None, None),
    row("node_network_transmit_colls_total", "s7mpa_net_collisions_total", Same, &[("device", "interface")], None, None),
    row("node_network_transmit_drop_total", "s7mpa_net_tx_dropped_total", Same, &[("device", "interface")], None, None),
    row("node_network_transmit_errs_total", "s7mpa_net_tx_errors_total", Same, &[("device", "interface")], None, None),
    row("node_network_transmit_packets_total", "s7mpa_net_tx_packets_total", Same, &[("device", "interface")], None, None),
    row("node_nf_conntrack_entries", "s7mpa_tables_conntrack", Same, &[], None, None),
    row("node_nf_conntrack_entries_limit", "s7mpa_tables_conntrack_max", Same, &[], None, None),
    row("node_pressure_cpu_waiting_seconds_total", "s7mpa_pressure_some_ns_total", Seconds, &[], None, Some(("resource", "cpu", Equal))),
    row("node_pressure_io_stalled_seconds_total", "s7mpa_pressure_full_ns_total", Seconds, &[], None, Some(("resource", "io", Equal))),
    row("node_pressure_io_waiting_seconds_total", "s7mpa_pressure_some_ns_total", Seconds, &[], None, Some(("resource", "io", Equal))),
    row("node_pressure_memory_stalled_seconds_total", "s7mpa_pressure_full_ns_total", Seconds, &[], None, Some(("resource", "memory", Equal))),
    row("node_pressure_memory_waiting_seconds_total", "s7mpa_pressure_some_ns_total", Seconds, &[], None, Some(("resource", "memory", Equal))),
    row("node_processes_max_processes", "s7mpa_tables_pids_max", Same, &[], None, None),
    row("node_processes_max_threads", "s7mpa_tables_threads_max", Same, &[], None, None),
    row("node_processes_pids", "s7mpa_host_processes", Same, &[], None, None),
    row("node_processes_threads", "s7mpa_host_threads", Same, &[], None, None),
    row("node_procs_blocked", "s7mpa_host_blocked", Same, &[], None, None),
    row("node_procs_running", "s7mpa_host_runnable", Same, &[], None, None),
    row("node_sockstat_TCP_alloc", "s7mpa_netstat_tcp_allocated", Same, &[], None, None),
    row("node_sockstat_TCP_inuse", "s7mpa_netstat_tcp_in_use", Same, &[], None, None),
    row("node_sockstat_TCP_mem", "s7mpa_netstat_tcp_memory_bytes", Pages, &[], None, None),
    row("node_sockstat_TCP_mem_bytes", "s7mpa_netstat_tcp_memory_bytes", Same, &[], None, None),
    row("node_sockstat_TCP_orphan", "s7mpa_netstat_tcp_orphans", Same, &[], None, None),
    row("node_sockstat_TCP_tw", "s7mpa_netstat_tcp_time_wait", Same, &[], None, None),
    row("node_sockstat_UDP_inuse", "s7mpa_netstat_udp_in_use", Same, &[], None, None),
    row("node_sockstat_UDP_mem", "s7mpa_netstat_udp_memory_bytes", Pages, &[], None, None),
    row("node_sockstat_UDP_mem_bytes", "s7mpa_netstat_udp_memory_bytes", Same, &[], None, None),
    row("node_sockstat_sockets_used", "s7mpa_netstat_sockets", Same, &[], None, None),
    row("node_time_seconds", "s7mpa_host_uptime_ns", Now, &[], None, None),
    row("node_uname_info", "s7mpa_host_uptime_ns", One, &[("nodename", "host")], None, None),
    row("node_vmstat_oom_kill", "s7mpa_memory_oom_kills_total", Same, &[], None, None),
    row("node_vmstat_pgfault", "s7mpa_memory_faults_total", Same, &[], None, None),
    row("node_vmstat_pgmajfault", "s7mpa_memory_major_faults_total", Same, &[], None, None),
    row("node_vmstat_pgpgin", "s7mpa_memory_paged_in_bytes_total", Kibibytes, &[], None, None),
    row("node_vmstat_pgpgout", "s7mpa_memory_paged_out_bytes_total", Kibibytes, &[], None, None),
    row("node_vmstat_pswpin", "s7mpa_memory_swap_in_bytes_total", Pages, &[], None, None),
    row("node_vmstat_pswpout", "s7mpa_memory_swap_out_bytes_total", Pages, &[], None, None),
];

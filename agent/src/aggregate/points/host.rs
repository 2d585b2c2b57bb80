//! Points about the host and about the agent itself.

use agent_common::abi::python::PythonVerdict;
use agent_common::abi::unwind::Verdict;
use agent_common::wire::line::Point;
use diagnosis::window::Window;
use diagnosis::window::{CpuTimes, NetStats, PressureKind, Tables};

use super::{Optional, PointsOptions, point};

pub(super) fn points(window: &Window, options: &PointsOptions) -> Vec<Point> {
    let at = |measurement| point(measurement, window, options);
    let mut points = vec![host(window, at("s7mpa_host")), memory(window, at("s7mpa_memory"))];
    points.push(cpu(&window.host.cpu, at("s7mpa_cpu").tag("cpu", "all")));
    for (id, times) in &window.host.cpus {
        points.push(cpu(times, at("s7mpa_cpu").tag("cpu", id.0.to_string())));
    }
    for disk in &window.host.disks {
        let point = at("s7mpa_disk")
            .tag("device", disk.name.as_str())
            .field("reads", disk.reads)
            .field("reads_merged", disk.reads_merged)
            .field("read_bytes", disk.read_bytes)
            .field("read_ns", disk.read_time.0)
            .field("writes", disk.writes)
            .field("writes_merged", disk.writes_merged)
            .field("write_bytes", disk.write_bytes)
            .field("write_ns", disk.write_time.0)
            .maybe("flushes", disk.flushes)
            .maybe("flush_ns", disk.flush_time.map(|time| time.0))
            .field("busy_ns", disk.busy.0)
            .field("queue_ns", disk.queue_time.0)
            .field("in_flight", disk.in_flight);
        points.push(point);
    }
    for interface in &window.host.interfaces {
        let point = at("s7mpa_net")
            .tag("interface", interface.name.as_str())
            .field("rx_bytes", interface.rx_bytes)
            .field("rx_packets", interface.rx_packets)
            .field("rx_errors", interface.rx_errors)
            .field("rx_dropped", interface.rx_dropped)
            .field("tx_bytes", interface.tx_bytes)
            .field("tx_packets", interface.tx_packets)
            .field("tx_errors", interface.tx_errors)
            .field("tx_dropped", interface.tx_dropped)
            .field("collisions", interface.collisions)
            .maybe("speed_bytes", interface.speed_bytes);
        points.push(point);
    }
    points.extend(window.host.network.as_ref().map(|net| network(net, at("s7mpa_netstat"))));
    // Recordings of older agents, and hosts that hide them, have none.
    points.extend(
        Some(tables(&window.host.tables, at("s7mpa_tables"))).filter(|point| !point.fields.is_empty()),
    );
    for mount in window.host.filesystems.iter() {
        let point = at("s7mpa_filesystem")
            .tag("device", mount.device.as_str())
            .tag("fstype", mount.fstype.as_str())
            .tag("mountpoint", mount.mountpoint.as_str())
            .field("readonly", mount.readonly)
            .field("device_error", mount.error)
            .maybe("size_bytes", mount.size_bytes)
            .maybe("free_bytes", mount.free_bytes)
            .maybe("available_bytes", mount.available_bytes)
            .maybe("files", mount.files)
            .maybe("files_free", mount.files_free);
        points.push(point);
    }
    for kind in PressureKind::ALL {
        if let Some(pressure) = window.host.pressure.of(kind) {
            let point = at("s7mpa_pressure").tag("resource", kind.name()).field("some_ns", pressure.some.0);
            points.push(point.maybe("full_ns", pressure.full.map(|full| full.0)));
        }
    }
    points.extend(own(window, options));
    points
}

fn host(window: &Window, point: Point) -> Point {
    let host = &window.host;
    let failed = window.exits.iter().filter(|exit| exit.code != 0 || exit.signal != 0).count();
    point
        .field("load1", host.load[0])
        .field("load5", host.load[1])
        .field("load15", host.load[2])
        .field("runnable", host.runnable)
        .field("blocked", host.blocked)
        .field("threads", host.threads)
        .field("processes", window.tasks.len() as u64)
        .field("forks", host.forks)
        .field("processes_started", window.forks)
        .field("processes_ended", window.exits.len() as u64)
        .field("processes_failed", failed as u64)
        .field("context_switches", host.context_switches)
        .field("interrupts", host.interrupts)
        .field("uptime_ns", host.uptime.0)
}

fn memory(window: &Window, point: Point) -> Point {
    let memory = &window.host.memory;
    point
        .field("total_bytes", memory.total_bytes)
        .field("free_bytes", memory.free_bytes)
        .field("available_bytes", memory.available_bytes)
        .field("buffers_bytes", memory.buffers_bytes)
        .field("cached_bytes", memory.cached_bytes)
        .field("anon_bytes", memory.anon_bytes)
        .field("shmem_bytes", memory.shmem_bytes)
        .field("slab_bytes", memory.slab_bytes)
        .field("slab_reclaimable_bytes", memory.slab_reclaimable_bytes)
        .field("dirty_bytes", memory.dirty_bytes)
        .field("writeback_bytes", memory.writeback_bytes)
        .field("committed_bytes", memory.committed_bytes)
        .field("commit_limit_bytes", memory.commit_limit_bytes)
        .field("active_bytes", memory.active_bytes)
        .field("inactive_bytes", memory.inactive_bytes)
        .field("mapped_bytes", memory.mapped_bytes)
        .field("page_tables_bytes", memory.page_tables_bytes)
        .field("kernel_stack_bytes", memory.kernel_stack_bytes)
        .field("slab_unreclaimable_bytes", memory.slab_unreclaimable_bytes)
        .field("swap_cached_bytes", memory.swap_cached_bytes)
        .field("paged_in_bytes", memory.paged_in_bytes)
        .field("paged_out_bytes", memory.paged_out_bytes)
        .field("swap_total_bytes", memory.swap_total_bytes)
        .field("swap_free_bytes", memory.swap_free_bytes)
        .field("swap_in_bytes", memory.swap_in_bytes)
        .field("swap_out_bytes", memory.swap_out_bytes)
        .field("faults", memory.faults)
        .field("major_faults", memory.major_faults)
        .maybe("oom_kills", memory.oom_kills)
}

fn network(net: &NetStats, point: Point) -> Point {
    point
        .field("tcp_active_opens", net.tcp_active_opens)
        .field("tcp_passive_opens", net.tcp_passive_opens)
        .field("tcp_attempt_fails", net.tcp_attempt_fails)
        .field("tcp_in_segments", net.tcp_in_segments)
        .field("tcp_out_segments", net.tcp_out_segments)
        .field("tcp_retransmits", net.tcp_retransmits)
        .field("tcp_in_errors", net.tcp_in_errors)
        .field("tcp_out_resets", net.tcp_out_resets)
        .field("tcp_listen_overflows", net.tcp_listen_overflows)
        .field("tcp_listen_drops", net.tcp_listen_drops)
        .field("tcp_timeouts", net.tcp_timeouts)
        .field("udp_in_datagrams", net.udp_in_datagrams)
        .field("udp_out_datagrams", net.udp_out_datagrams)
        .field("udp_in_errors", net.udp_in_errors)
        .field("udp_no_ports", net.udp_no_ports)
        .field("udp_receive_buffer_errors", net.udp_receive_buffer_errors)
        .field("udp_send_buffer_errors", net.udp_send_buffer_errors)
        .field("ip_in_bytes", net.ip_in_bytes)
        .field("ip_out_bytes", net.ip_out_bytes)
        .field("tcp_established", net.tcp_established)
        .field("sockets", net.sockets)
        .field("tcp_in_use", net.tcp_in_use)
        .field("tcp_orphans", net.tcp_orphans)
        .field("tcp_time_wait", net.tcp_time_wait)
        .field("tcp_allocated", net.tcp_allocated)
        .field("tcp_memory_bytes", net.tcp_memory_bytes)
        .field("udp_in_use", net.udp_in_use)
        .field("udp_memory_bytes", net.udp_memory_bytes)
}

fn tables(tables: &Tables, point: Point) -> Point {
    let most = |table: Option<(u64, u64)>| table.map(|(_, most)| most);
    let used = |table: Option<(u64, u64)>| table.map(|(used, _)| used);
    point
        .maybe("threads_max", most(tables.threads))
        .maybe("pids_max", most(tables.pids))
        .maybe("files", used(tables.files))
        .maybe("files_max", most(tables.files))
        .maybe("conntrack", used(tables.conntrack))
        .maybe("conntrack_max", most(tables.conntrack))
}

fn cpu(times: &CpuTimes, point: Point) -> Point {
    point
        .field("user_ns", times.user.0)
        .field("nice_ns", times.nice.0)
        .field("system_ns", times.system.0)
        .field("idle_ns", times.idle.0)
        .field("iowait_ns", times.iowait.0)
        .field("irq_ns", times.irq.0)
        .field("softirq_ns", times.softirq.0)
        .field("steal_ns", times.steal.0)
        .field("guest_ns", times.guest.0)
        .field("guest_nice_ns", times.guest_nice.0)
}

/// Coverage, losses and own cost.
fn own(window: &Window, options: &PointsOptions) -> Vec<Point> {
    let at = |measurement| point(measurement, window, options);
    let coverage = &window.coverage;
    let mut points = vec![
        at("s7mpa_coverage")
            .field("expected", coverage.expected)
            .field("captured", coverage.captured)
            .field("syscall_times", coverage.syscall_tier == "times")
            .maybe("symbolized_pct", coverage.symbolized_pct),
        at("s7mpa_self")
            .field("cpu_pct", window.self_cost.cpu_pct)
            .field("rss_bytes", window.self_cost.rss_bytes)
            .field("map_bytes", window.self_cost.map_bytes)
            .field("unwind_processes", window.self_cost.unwind.processes)
            .field("unwind_tables", window.self_cost.unwind.tables)
            .field("unwind_rows", window.self_cost.unwind.rows)
            .field("unwind_bytes", window.self_cost.unwind.bytes)
            .field("unwind_cpu_ns", window.self_cost.unwind.cpu_ns)
            .field("unwind_evicted", window.self_cost.unwind.evicted)
            .field("unwind_refused", window.self_cost.unwind.refused),
    ];
    for (reason, lost) in coverage.lost.iter().filter(|(_, lost)| **lost > 0) {
        points.push(at("s7mpa_lost").tag("reason", reason.as_str()).field("lost", *lost));
    }
    let mut ends = [0; Verdict::ALL.len()];
    for verdicts in window.unwound.values() {
        ends.iter_mut().zip(verdicts).for_each(|(sum, count)| *sum += count);
    }
    for (verdict, samples) in Verdict::ALL.iter().zip(ends).filter(|(_, samples)| *samples > 0) {
        points.push(at("s7mpa_unwound").tag("verdict", verdict.name()).field("samples", samples));
    }
    let mut ends = [0; PythonVerdict::ALL.len()];
    for verdicts in window.pythons.values() {
        ends.iter_mut().zip(verdicts).for_each(|(sum, count)| *sum += count);
    }
    for (verdict, samples) in PythonVerdict::ALL.iter().zip(ends).filter(|(_, samples)| *samples > 0) {
        points.push(at("s7mpa_python_stacks").tag("verdict", verdict.name()).field("samples", samples));
    }
    points
}

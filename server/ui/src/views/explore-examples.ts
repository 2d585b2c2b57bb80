// Queries to begin with.
export const EXAMPLES: readonly { readonly words: string; readonly query: string }[] = [
  { words: 'Programs that compute most', query: 'topk(10, sum by (comm) (rate(s7mpa_process_user_ns_total[30s]) + rate(s7mpa_process_system_ns_total[30s])))' },
  { words: 'CPU time of the host by kind', query: 'sum by (__name__) (rate({__name__=~"s7mpa_cpu_(user|system|iowait|steal)_ns_total", cpu="all"}[30s]))' },
  { words: 'Time that threads lose', query: 'rate(s7mpa_host_time_lost_ns_total[30s])' },
  { words: 'Memory that programs could still get', query: 's7mpa_memory_available_bytes' },
  { words: 'Bytes written by disk', query: 'sum by (device) (rate(s7mpa_disk_write_bytes_total[30s]))' },
  { words: 'Processes begun each second', query: 'rate(s7mpa_host_processes_started_total[30s])' },
  { words: 'Memory of programs', query: 'topk(10, sum by (comm) (s7mpa_process_rss_bytes))' },
  { words: 'Network bytes received', query: 'sum by (interface) (rate(s7mpa_net_rx_bytes_total[30s]))' },
];

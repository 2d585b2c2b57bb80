// All hosts side by side: what is asked for, and a row for each.
import type { Alert, Host, Labels, Values } from './api/types';

/** Answer of an instant query. */
export interface Instant { readonly data: { readonly result: readonly { readonly metric: Labels; readonly value: readonly [number, string] }[] } }
/** Answer of a range query. */
export interface Matrix { readonly data: { readonly result: readonly { readonly metric: Labels; readonly values: readonly (readonly [number, string])[] }[] } }

/** Lengths that figures are the mean of, s. */
export const LENGTHS = { '1m': 60, '5m': 300, '1h': 3_600 } as const;
export type Length = keyof typeof LENGTHS;

/** One query of all that a row has; `what` says which figure a series is. */
export function fleetQuery(length: Length): string {
  const mean = (metric: string) => `avg_over_time(${metric}[${length}])`;
  const figures: Record<string, string> = {
    lost: `sum by (host) (${mean('s7mpa_host_time_lost_ns')})`,
    // Processes come and go: a mean would be of the seconds in which each was there.
    loser: `topk by (host) (1, sum by (host, comm) (sum_over_time(s7mpa_thread_time_lost_ns[${length}]))) / ${LENGTHS[length]}`,
    idle: `sum by (host) (${mean('s7mpa_cpu_idle_ns{cpu="all"}')} + ${mean('s7mpa_cpu_iowait_ns{cpu="all"}')})`,
    cpus: 'count by (host) (s7mpa_cpu_user_ns{cpu!="all"})',
    memory: 'sum by (host) (1 - s7mpa_memory_available_bytes / s7mpa_memory_total_bytes)',
    disk: `max by (host) (${mean('s7mpa_disk_busy_ns')}) / 1e9`,
  };
  return Object.entries(figures).map(([what, query]) => `label_replace(${query}, "what", "${what}", "", "")`).join(' or ');
}
/** Time of all threads of each host in the newest second. */
export const STATES_QUERY = '{__name__=~"s7mpa_host_time_.*_ns",__name__!="s7mpa_host_time_lost_ns"}';
export const LOST_QUERY = 'sum by (host) (avg_over_time(s7mpa_host_time_lost_ns[1m]))';

export interface FleetRow {
  readonly host: string;
  readonly silent: boolean;
  /** Of its newest window, s; null: none has come. */
  readonly age_s: number | null;
  readonly open: number;
  /** ns each second. */
  readonly lost: number | undefined;
  readonly loser: { readonly comm: string; readonly lost: number } | undefined;
  /** Share of all its CPUs. */
  readonly busy: number | undefined;
  readonly cpus: number | undefined;
  readonly memory: number | undefined;
  readonly disk: number | undefined;
  readonly states: Values;
  /** Lost time over the last hour. */
  readonly history: readonly (readonly [number, number])[];
}

export function fleet(hosts: readonly Host[], figures: Instant | null, states: Instant | null, history: Matrix | null, alerts: readonly Alert[]): FleetRow[] {
  const values = new Map<string, { comm: string; value: number }>();
  for (const { metric, value } of figures?.data.result ?? []) values.set(`${metric.host}\n${metric.what}`, { comm: metric.comm ?? '', value: Number(value[1]) });
  const time = new Map<string, Values>();
  for (const { metric, value } of states?.data.result ?? []) {
    const own = time.get(metric.host ?? '') ?? {};
    own[(metric.__name__ ?? '').replace('s7mpa_host_time_', '')] = Number(value[1]);
    time.set(metric.host ?? '', own);
  }
  const past = new Map((history?.data.result ?? []).map(({ metric, values: list }) => [metric.host ?? '', list.map(([at, value]) => [at, Number(value)] as const)]));
  return hosts.map(({ host, silent, age_s }) => {
    const get = (what: string) => values.get(`${host}\n${what}`);
    const [idle, cpus, loser] = [get('idle')?.value, get('cpus')?.value, get('loser')];
    return {
      host, silent, age_s, open: alerts.filter((alert) => alert.host === host && alert.state !== 'resolved').length,
      lost: get('lost')?.value, loser: loser && loser.value > 0 ? { comm: loser.comm, lost: loser.value } : undefined,
      busy: idle === undefined || !cpus ? undefined : Math.min(1, Math.max(0, 1 - idle / (cpus * 1e9))), cpus,
      memory: get('memory')?.value, disk: get('disk')?.value === undefined ? undefined : Math.min(1, get('disk')!.value),
      states: time.get(host) ?? {}, history: past.get(host) ?? [],
    };
  });
}

/** The path of a line in a box of this size. `top`: what reaches its upper edge. */
export function linePath(points: readonly (readonly [number, number])[], from: number, to: number, top: number, width: number, height: number): string {
  return points.filter(([at]) => at >= from && at <= to)
    .map(([at, value], index) => `${index ? 'L' : 'M'}${(((at - from) / (to - from)) * width).toFixed(1)} ${(height - Math.min(1, value / (top || 1)) * height).toFixed(1)}`).join('');
}

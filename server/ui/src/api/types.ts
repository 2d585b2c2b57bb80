// Shapes of answers, as `server/src/api/v1/openapi.json` describes them.

/** Fields of a measurement by name (agent/METRICS.md): a counter is its amount of the interval, a gauge its last value. */
export type Values = Record<string, number>;
export type Labels = Record<string, string>;
export interface Row { labels: Labels; values: Values }

export interface Host { host: string; newest_at: string | null; age_s: number | null; silent: boolean }
export interface Hosts { hosts: Host[] }
export interface HostActivity { host: string; from: string; to: string; span_s: number; measurements: Record<string, Row[]> }

/** `pid` 0: all processes without rows of their own. `start_ms`: since boot; with the PID its identity. `states`: ns, keys `…_ns`, and `lost_ns`. */
export interface Process { host: string; pid: number; start_ms: number; comm: string; labels: Labels; values: Values; states: Values }
export interface Processes { host: string; from: string; to: string; span_s: number; total: number; processes: Process[] }
export interface Syscall { syscall: string; values: Values }
export interface ProcessActivity { from: string; to: string; span_s: number; process: Process; syscalls: Syscall[] }

export interface Change {
  comm: string; cgroup: string; pids: number[]; state: string;
  before_ns_per_s: number; after_ns_per_s: number; more_ns_per_s: number;
}
export interface Changes {
  host: string; from: string; to: string; span_s: number; before_from: string; before_to: string; before_span_s: number;
  total: number; changes: Change[];
}

/** A group's subject or culprit. */
export interface Party { kind: string; pid?: number; comm?: string; name?: string }
export interface Evidence { what: string; value: number; unit: string; threshold?: number; side?: string }
export interface Finding {
  rule: string; class: string; subject: Party; culprit?: Party; lost_ns_per_s: number; share_pct: number; confidence: number;
  evidence: Evidence[]; stacks: string[]; alternatives: { class: string; why_not: string }[]; caused: string[];
  advice: string; headline?: string;
  places?: { pid: number; container?: string; pod?: string; namespace?: string; image?: string; unit?: string }[];
}
export interface Alert {
  id: string; host: string; state: 'open' | 'update' | 'resolved'; opened_unix_ns: number; at_unix_ns: number; finding: Finding;
  of_rule?: { labels: Labels; annotations: Labels };
  /** Who looks after it; left out by servers that do not know of it. `at`: Unix seconds or a date. */
  acknowledged?: { by: string; at: number | string; note: string } | null;
  /** Id of the silence that keeps notifiers quiet about it. */
  silenced?: number | string | null;
}
export interface Silence {
  id: number | string; match: { host?: string; class?: string; comm?: string }; from: number | string; until: number | string; by: string; note: string;
}
export interface Silences { silences: Silence[] }
export interface Alerts { total: number; cut: boolean; alerts: Alert[] }

export interface ReportSummary { host: string; at: string; verdict: string; of_alert: boolean; findings: Finding[] }
export interface Reports { from: string; to: string; more: boolean; reports: ReportSummary[] }

/** `states`: by state, without `_ns`: ns in each part. `windows`: known ones in each part; 0: nothing is known of it. */
export interface States { host: string; from: string; to: string; step_s: number; windows: number[]; states: Record<string, number[]> }

export interface Now {
  host: string; from: string; to: string; span_s: number; age_s: number; measurements: Record<string, Row[]>;
  total_processes: number; processes: Process[]; alerts: Alert[]; report: ReportSummary | null;
}

export interface Edge {
  comm: string; pid: number; place: string; reason: string; idle: boolean; waker: string | null; waits: number; waited_ns: number;
}
export interface Chain {
  links: { comm: string; reason: string; waker: string; waited_ns: number }[];
  circular: boolean; root: string | null; root_reason: string | null;
}
export interface Waits {
  from: string; to: string; span_s: number; hosts: string[]; looked_at: { waits: number; waited_ns: number };
  total: number; edges: Edge[]; chains: Chain[]; not_covered: string[];
}

export interface Columns {
  from: string; to: string; step_s: number; kept_step_s: number;
  samples: number[]; oncpu_ns: number[]; waits: number[]; waited_ns: number[];
}

export type Role = 'viewer' | 'operator' | 'admin';
/** `expires_at`: Unix seconds. */
export interface Session { name: string; role: Role; by: 'owner' | 'token' | 'session'; expires_at: number | null }

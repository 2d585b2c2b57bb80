// Shapes of answers about log lines, as `server/src/api/v1/openapi.json` describes them.
import type { Labels } from '../api/types';

export type Severity = 'emergency' | 'alert' | 'critical' | 'error' | 'warning' | 'notice' | 'info' | 'debug' | 'unknown';

/** `at_ns`: Unix time; `cut`: full length in bytes of a message that is not all here; `start_ns`: of the process, since boot. */
export interface Line {
  at: string; at_ns: string; severity: Severity; message: string; labels: Labels; position: string;
  cut?: number; pid?: number; start_ns?: string; fields?: [string, string][];
}
/** `complete` false: lines older than `searched_to_ns` may be missing. */
export interface Lines {
  from: string; to: string; lines: Line[]; more: boolean; complete: boolean; searched_to_ns: string; damaged_blocks: number;
}
export interface Histogram {
  from: string; to: string; step_s: number; bars: { at: string; counts: Partial<Record<Severity, number>> }[];
  lines: number; complete: boolean; searched_to_ns: string;
}
export interface Streams { from: string; to: string; total: number; streams: { labels: Labels; lines: number }[] }

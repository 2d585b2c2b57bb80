// Severities: their order, words, and the groups that are drawn.
import type { Severity } from './types';

/** The gravest first. */
export const SEVERITIES: readonly Severity[] = ['emergency', 'alert', 'critical', 'error', 'warning', 'notice', 'info', 'debug', 'unknown'];

/** Groups with a colour of their own (`--sev-…`). The three gravest are rare: together they are one. */
export type Group = 'critical' | 'error' | 'warning' | 'notice' | 'info' | 'debug' | 'unknown';
export const GROUPS: readonly Group[] = ['critical', 'error', 'warning', 'notice', 'info', 'debug', 'unknown'];
export const groupOf = (severity: string): Group =>
  severity === 'emergency' || severity === 'alert' ? 'critical' : GROUPS.includes(severity as Group) ? (severity as Group) : 'unknown';

/** Of a filter: this grave and graver. */
export const LEAST: readonly { readonly value: Severity; readonly label: string }[] = [
  { value: 'critical', label: 'critical and worse' }, { value: 'error', label: 'errors and worse' }, { value: 'warning', label: 'warnings and worse' },
  { value: 'notice', label: 'notices and worse' }, { value: 'info', label: 'without debug' },
];
/** In a list there is room for so much. */
export const SHORT: Readonly<Record<Severity, string>> = {
  emergency: 'emerg', alert: 'alert', critical: 'crit', error: 'error', warning: 'warn', notice: 'notice', info: 'info', debug: 'debug', unknown: '',
};

/** Counts of a bar by group. */
export function grouped(counts: Partial<Record<Severity, number>>): Partial<Record<Group, number>> {
  const found: Partial<Record<Group, number>> = {};
  for (const [severity, count] of Object.entries(counts)) found[groupOf(severity)] = (found[groupOf(severity)] ?? 0) + count;
  return found;
}

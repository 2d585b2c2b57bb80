// Values of a graph as text.
import { count, ns, share } from '../format';
import type { About, Graph } from './graph';
import { scaleOf } from './paint';

/** `117 samples (1.2 s)`, `3.4 ms`. */
export function amount({ unit, rate_hz }: About, value: number): string {
  if (unit === 'ns') return ns(value);
  return `${count(Math.round(value))} samples${rate_hz > 0 ? ` (${ns((value / rate_hz) * 1e9)})` : ''}`;
}
/** The time that it stands for. */
export function time({ unit, rate_hz }: About, value: number): string {
  return ns(unit === 'ns' ? value : rate_hz > 0 ? (value / rate_hz) * 1e9 : undefined);
}
/** `+12 %`, `−3.4 %`, `new`, `gone`: a change against a value of the time before, which is scaled to the same length. */
export function changeText(value: number, before: number): string {
  if (before === 0) return value === 0 ? '±0 %' : 'new';
  if (value === 0) return 'gone';
  const by = value / before - 1;
  return by > 9.99 ? `×${count(Math.round(value / before))}` : `${by > 0 ? '+' : by < 0 ? '−' : '±'}${share(Math.abs(by))}`;
}
export function changeOf(graph: Graph, node: number): string {
  return graph.base ? changeText(graph.value[node]!, graph.base[node]! * scaleOf(graph)) : '';
}

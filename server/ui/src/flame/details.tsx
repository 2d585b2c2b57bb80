// What is known of one node: in the box at the pointer, below the graph, and as a sentence for screen readers.
import { count, share } from '../format';
import { KIND_WORDS, REASON, ROOT } from './graph';
import { children, pathTo } from './layout';
import { clean } from './names';
import type { Drawn } from './opened';
import { scaleOf } from './paint';
import { amount, changeOf } from './values';

/** A name as people read it: reasons have words of their own. */
const nodeName = ({ graph: { frame, frames } }: Drawn, node: number) => clean(frames.names[frame[node]!]!);

/** What a node hides: its value that is neither its own nor that of a node that is known. */
export function hiddenOf({ graph: { value, own }, layout: { end } }: Drawn, node: number): number {
  let known = 0;
  for (let at = node; at < end[node]!; at++) known += own[at]!;
  return Math.max(0, value[node]! - known);
}

export function Details({ drawn, node }: { drawn: Drawn; node: number }) {
  const { graph, layout } = drawn;
  const { value, own, samples, base, frame, frames, about } = graph;
  const index = frame[node]!;
  const parent = layout.parent[node]!;
  const all = value[0]!;
  const kind = frames.kinds[index]!;
  return (
    <>
      <strong class="mono">{nodeName(drawn, node)}</strong>
      <span class="dim">{KIND_WORDS[kind]}{frames.modules[index] && ` · ${clean(frames.modules[index]!)}`}</span>
      <span>{amount(about, value[node]!)} · {share(value[node]! / all)} of all{parent > 0 && value[parent]! > 0 && ` · ${share(value[node]! / value[parent]!)} of its caller`}</span>
      {kind !== REASON && kind !== ROOT && <span>itself: {amount(about, own[node]!)} · {share(own[node]! / all)}</span>}
      {about.unit === 'ns' && <span>{count(samples[node]!)} samples and waits</span>}
      {base && <span>before: {amount(about, base[node]! * scaleOf(graph))} · <strong>{changeOf(graph, node)}</strong></span>}
    </>
  );
}

export function sentence(drawn: Drawn, node: number): string {
  const { graph, layout } = drawn;
  let calls = 0;
  for (const _ of children(layout, node)) calls++;
  const change = changeOf(graph, node);
  return `${nodeName(drawn, node)}, ${share(graph.value[node]! / graph.value[0]!)} of all, ${amount(graph.about, graph.value[node]!)}${change && `, ${change}`}, level ${graph.depth[node]}, `
    + `${calls === 0 ? 'calls nothing that is shown' : `calls ${calls}`}`;
}

/** The stack of a node as text: one function a line, the root first. */
export function stackText(drawn: Drawn, node: number): string {
  const { frame, frames } = drawn.graph;
  return pathTo(drawn.layout, node).filter((at) => at !== 0).map((at) => {
    const module = frames.modules[frame[at]!];
    return clean(frames.names[frame[at]!]!) + (module ? `  (${clean(module)})` : '');
  }).join('\n');
}

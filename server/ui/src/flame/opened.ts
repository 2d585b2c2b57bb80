// All that is computed of the bytes of a graph before it can be drawn.
import { decode } from './decode';
import { functions, type Functions } from './functions';
import type { Graph } from './graph';
import { layout, type Layout } from './layout';

export interface Drawn { readonly graph: Graph; readonly layout: Layout }
export interface Opened extends Drawn { readonly functions: Functions }

export function opened(bytes: ArrayBuffer, by: 'value' | 'base'): Opened {
  const graph = decode(bytes);
  return { graph, layout: layout(graph, widths(graph, by)), functions: functions(graph) };
}

export const widths = (graph: Graph, by: 'value' | 'base') => (by === 'base' && graph.base ? graph.base : graph.value);

// Processes of the same name in the same cgroup, taken together: a build has many, and each alone is small.
import type { Labels, Process } from './api/types';
import { count, name } from './format';
import { link } from './route';

export interface Group {
  readonly comm: string;
  readonly cgroup: string;
  /** Those with the largest value first. */
  readonly processes: readonly Process[];
  readonly value: number;
}

/** Container, service, or cgroup that a process belongs to, short; '' where none is known. */
export function placeOf(labels: Labels): string {
  const container = [labels.namespace, labels.pod, labels.container].filter(Boolean).join('/');
  return container || labels.unit || (labels.cgroup ?? '').replace(/^\/$/, '');
}
/** The same, as text: a long cgroup by its end, which tells it apart. */
export function placeWords(labels: Labels, most = 32): string {
  const place = placeOf(labels);
  return place.length > most ? `…${name(place.slice(1 - most))}` : name(place);
}

/** Groups by the sum of a value, the largest first; without those that have none of it. `total`: of all processes. */
export function heaviest(processes: readonly Process[], of: (process: Process) => number, most = 3): { groups: Group[]; total: number } {
  const found = new Map<string, { process: Process; value: number }[]>();
  let total = 0;
  for (const process of processes) {
    const value = of(process);
    if (!(value > 0)) continue;
    total += value;
    const key = `${process.comm}\n${process.pid ? process.labels.cgroup ?? '' : ''}`;
    const list = found.get(key);
    if (list) list.push({ process, value });
    else found.set(key, [{ process, value }]);
  }
  const groups = [...found.values()].map((list) => {
    list.sort((a, b) => b.value - a.value);
    const first = list[0]!.process;
    return { comm: first.comm, cgroup: first.labels.cgroup ?? '', processes: list.map(({ process }) => process), value: list.reduce((sum, each) => sum + each.value, 0) };
  });
  groups.sort((a, b) => b.value - a.value);
  return { groups: groups.slice(0, most), total };
}

/** `postgres`, `postgres ×4`; processes without rows of their own are many. */
export function groupName({ comm, processes }: Pick<Group, 'comm' | 'processes'>): string {
  if (processes[0]?.pid === 0) return 'all other processes';
  return processes.length > 1 ? `${name(comm, 60)} ×${count(processes.length)}` : name(comm, 60);
}
/** One process: its view. Several: the list of them. */
export function groupLink({ comm, processes }: Pick<Group, 'comm' | 'processes'>): string {
  const [first] = processes;
  if (!first || first.pid === 0) return link('processes');
  return processes.length === 1 ? link('process', { pid: first.pid, start: first.start_ms || undefined }) : link('processes', { q: comm });
}

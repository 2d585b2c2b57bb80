// Ends of processes in time, in groups, and where each is shown: for the page and for what is loaded later. It keeps nothing.
import { link } from '../route';
import { host } from '../time';
import { momentOf } from '../views/alerts-list';
import type { End } from './types';

/** When it ended, Unix ms; where that is not known, when it was reported. */
export const endedMs = (end: End) => (Number(end.ended.at_ns) > 0 ? momentOf(end.ended.at_ns) : Date.parse(end.at));

/** Parameters of the view that shows it. */
export const endParams = (end: End) => ({ id: end.id, when: Math.round(endedMs(end)), ...(end.host === host.value ? {} : { host: end.host }) });
export const endLink = (end: End) => link('ends', endParams(end));

/** Ends of one program, in one place, for one cause, that say the same but for their numbers. The newest first, in each and of all. */
export interface Group { readonly key: string; readonly ends: readonly [End, ...End[]] }
export function groupsOf(ends: readonly End[]): Group[] {
  const found = new Map<string, [End, ...End[]]>();
  for (const end of [...ends].sort((a, b) => endedMs(b) - endedMs(a))) {
    const { process: { comm, unit, container }, cause } = end;
    const key = JSON.stringify([end.host, comm, unit, container, cause.class, cause.text.replace(/\d+/g, '0')]);
    const group = found.get(key);
    if (group) group.push(end);
    else found.set(key, [end]);
  }
  return [...found].map(([key, each]) => ({ key, ends: each }));
}

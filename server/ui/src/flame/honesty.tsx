// What the graph is made of, and what is not in it.
import { count, name, share, span } from '../format';
import type { Drawn } from './opened';
import { amount } from './values';

export function Honesty({ drawn: { graph: { about, count: nodes } } }: { drawn: Drawn }) {
  const { covers } = about;
  const lost = Object.entries(covers.lost).filter(([, each]) => each > 0);
  const lostSum = lost.reduce((sum, [, each]) => sum + each, 0);
  const parts: [string, string, boolean?][] = [
    [`${amount(about, about.total)} in all`, 'The weight of all stacks that are shown.'],
    [span(Date.parse(about.from), Date.parse(about.to)), 'Profiles are kept in columns of ten seconds or more; a column is taken as a whole.'],
    [about.hosts.map((host) => name(host, 60)).join(', '), 'Host'],
  ];
  if (covers.expected > 0) parts.push([`${share(covers.captured / covers.expected)} of ${count(covers.expected)} samples taken`, `${about.rate_hz} samples a second and CPU.`, covers.captured < 0.95 * covers.expected]);
  if (covers.waits > 0) parts.push([`${count(covers.waits)} waits`, 'Waits that were seen.']);
  parts.push([lostSum ? `${count(lostSum)} lost` : 'nothing lost', lost.map(([what, each]) => `${name(what.replaceAll('_', ' '), 60)}: ${count(each)}`).join(', '), lostSum > 0.01 * Math.max(covers.expected, covers.waits)]);
  if (covers.frames > 0) parts.push([`${share(covers.named_frames / covers.frames)} of frames have a name`, `${count(covers.named_frames)} of ${count(covers.frames)}.`, covers.named_frames < 0.8 * covers.frames]);
  if (about.cut > 0) parts.push([`${amount(about, about.cut)} in stacks that were cut`, 'There were too many different stacks: these are shorter than they were.', true]);
  parts.push([about.hidden ? `${count(about.hidden)} of ${count(about.hidden + nodes)} nodes too narrow to send: zooming asks for them` : `${count(nodes)} nodes, none left out`, 'A node is a function with the stack that it stands on.']);
  if (about.base_from && about.base_to) parts.push([`compared with ${span(Date.parse(about.base_from), Date.parse(about.base_to))} (${amount(about, about.base_total ?? 0)}, scaled to the same length)`, '']);
  return (
    <p class="flame-honesty dim">
      {parts.filter(([text]) => text).map(([text, help, bad], at) => <span key={at} title={help} class={bad ? 'warn' : undefined}>{at > 0 && ' · '}{text}</span>)}
    </p>
  );
}

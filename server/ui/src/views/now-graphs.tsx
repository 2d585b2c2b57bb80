// The graphs of the first view, each with what it costs whom.
import type { ComponentChildren } from 'preact';
import { useMemo } from 'preact/hooks';
import { useSeries, type Series } from '../api/series';
import type { Process, Row } from '../api/types';
import { Chart, type Line } from '../parts/chart';
import { Cost } from '../parts/cost';
import { Failed, Loading } from '../parts/notes';
import { bytes, bytesPerS, count, ns, nsPerS, share } from '../format';
import { SELECTS, busyLines, cpuLines, diskLines, loadLines, lostLines, memoryLines, memoryTotal, netLines, pressureLines, runqLines } from '../now-lines';
import { byState, type Group } from '../states';

interface Props {
  /** null: not known. */
  readonly processes: readonly Process[] | null;
  readonly span_s: number;
  readonly rows: Readonly<Record<string, Row[]>>;
}

/** Lost time in one group of states, ns each second. */
const inGroup = (span_s: number, group: Group) => ({ states }: Process) =>
  byState(states).reduce((sum, { state, ns: time }) => sum + (state.group === group && state.lost ? time : 0), 0) / span_s;
const field = (span_s: number, ...fields: string[]) => ({ values }: Process) => fields.reduce((sum, each) => sum + (values[each] ?? 0), 0) / span_s;
const states = (span_s: number, ...keys: string[]) => ({ states: all }: Process) => keys.reduce((sum, each) => sum + (all[`${each}_ns`] ?? 0), 0) / span_s;

const cpusWords = (value: number) => `${count(value / 1e9)} CPUs`;

function lines(data: Series) {
  return {
    cpu: cpuLines(data), lost: lostLines(data), runq: runqLines(data), memory: memoryLines(data), memoryTop: memoryTotal(data), disk: diskLines(data),
    busy: busyLines(data), net: netLines(data), pressure: pressureLines(data), load: loadLines(data),
  };
}

export function Graphs({ processes: known, span_s, rows }: Props) {
  const processes = known ?? [];
  const { data, error } = useSeries(SELECTS);
  const all = useMemo(() => data && lines(data), [data]);
  if (error && !data) return <Failed error={error} what="The graphs" />;
  if (!data || !all) return <Loading what="Graphs" />;
  const { times } = data;
  const graph = (title: string, of: readonly Line[], format: (value: number) => string, more: { stacked?: boolean; top?: number; height?: number } = {}) =>
    <Chart key={title} title={title} times={times} lines={of} format={format} {...more} />;
  const waitsFor = (what: string, group: Group) => (
    <Cost title="Waits most for it" processes={processes} of={inGroup(span_s, group)} format={nsPerS} none={`No process waits for ${what}.`} />
  );
  const cpuUse = ({ states: time, values }: Process) => ((time.oncpu_ns ?? 0) || (values.user_ns ?? 0) + (values.system_ns ?? 0)) / span_s;
  const sockets = rows.s7mpa_sockets?.[0]?.values;
  return (
    <div class="panels">
      <Panel known={known !== null} graphs={graph('CPU', all.cpu, share, { stacked: true, top: 1 })}>
        <Cost title="Uses most" processes={processes} of={cpuUse} format={cpusWords} none="No process runs." />
        {waitsFor('a CPU', 'runq')}
      </Panel>
      <Panel known={known !== null} graphs={graph('Lost time of all threads', all.lost, nsPerS, { stacked: true, top: 1e9 })}>
        <Cost title="Loses most" most={6} processes={processes} of={({ states: time }) => (time.lost_ns ?? 0) / span_s} format={nsPerS} none="No thread is held up." />
      </Panel>
      <Panel known={known !== null} graphs={graph('Run-queue latency: mean wait for a CPU', all.runq, ns, { top: 1e5 })}>
        <Cost title="Waits most after it was woken" processes={processes} of={states(span_s, 'runq_woken')} format={nsPerS} none="No process waits for a CPU." />
        <Cost title="Is preempted most" processes={processes} of={states(span_s, 'runq_preempted', 'runq_throttled')} format={nsPerS} none="No process is preempted." />
      </Panel>
      {all.pressure.length > 0 && (
        <Panel known={known !== null} graphs={graph('Pressure: time with tasks held up', all.pressure, share, { top: 0.1 })}>
          <Cost title="Held up for CPU" most={2} processes={processes} of={(each) => inGroup(span_s, 'runq')(each) + inGroup(span_s, 'quota')(each)} format={nsPerS} none="Nobody." />
          <Cost title="Held up for storage" most={2} processes={processes} of={inGroup(span_s, 'disk')} format={nsPerS} none="Nobody." />
          <Cost title="Held up for memory" most={2} processes={processes} of={inGroup(span_s, 'memory')} format={nsPerS} none="Nobody." />
        </Panel>
      )}
      <Panel known={known !== null} graphs={<>{graph('Storage', all.disk, bytesPerS, { top: 2 ** 20 })}{graph('Storage: time with open requests', all.busy, share, { top: 0.2, height: 80 })}</>}>
        <Cost title="Reads and writes most" processes={processes} of={field(span_s, 'read_bytes', 'write_bytes')} format={bytesPerS} none="No process reads or writes storage." />
        {waitsFor('storage', 'disk')}
      </Panel>
      <Panel known={known !== null} graphs={graph('Memory', all.memory, bytes, { stacked: true, top: all.memoryTop })}>
        <Cost title="Has most" processes={processes} of={({ values }) => values.rss_bytes ?? 0} format={bytes} none="Not known." />
        {waitsFor('memory', 'memory')}
      </Panel>
      <Panel known={known !== null} graphs={graph('Network', all.net, bytesPerS, { top: 10_240 })}>
        {waitsFor('the network', 'net')}
        {sockets && <p class="dim">{sockets.retransmits || sockets.resets || sockets.accept_overflows || sockets.receive_drops
          ? `${count(sockets.retransmits)} segments sent again, ${count(sockets.resets)} resets, ${count((sockets.accept_overflows ?? 0) + (sockets.receive_drops ?? 0))} refused or dropped`
          : 'No segment was sent again, no connection refused.'}</p>}
      </Panel>
      <Panel known={known !== null} graphs={graph('Threads', all.load, count, { top: 2 })}>
        <Cost title="Has most threads" processes={processes} of={({ values }) => values.threads ?? 0} format={count} none="Not known." />
        <Cost title="Starts most short processes" processes={processes} of={field(span_s, 'short_lived')} format={(value) => `${count(value)}/s`} none="No process starts short ones." />
      </Panel>
    </div>
  );
}

function Panel({ known, graphs, children }: { known: boolean; graphs: ComponentChildren; children: ComponentChildren }) {
  return <section class="card panel"><div class="panel-graphs">{graphs}</div><div class="panel-costs">{known ? children : <p class="dim">Whom it costs is not known of this time.</p>}</div></section>;
}

// What is said where there is no graph.
import { saved } from '../api/http';
import { Empty } from '../parts/notes';
import { moment } from '../format';
import { goLive, isLive, select } from '../time';
import type { FlameKind } from './flame';

const WORDS: Readonly<Record<FlameKind, string>> = {
  'on-cpu': 'Nothing ran on a CPU in this time.', 'off-cpu': 'Nothing waited in this time, but for work.', wall: 'There are no samples in this time.', wakers: 'Nothing waited in this time, but for work.',
};

export function None({ detail, kind, mayCome, base, onAlone }: { detail: string; kind: FlameKind; mayCome: boolean; base: string; onAlone: () => void }) {
  // A host that is short of CPU time names its stacks late: what there is may be older than what was asked for.
  const newest = Date.parse(/ to (\S+Z)$/.exec(detail)?.[1] ?? '');
  return (
    <Empty>
      <strong>{detail ? 'No samples of this time are kept.' : WORDS[kind]}</strong><br />
      {mayCome && detail ? 'Profiles come once a minute: those of this time may still come, and are then shown here. ' : ''}{detail && `The server says: ${detail}.`}
      <span class="row flame-none">
        {base && <button onClick={onAlone}>Show it without comparing</button>}
        {!saved && newest > 0 && <button onClick={() => select({ from: newest - 60_000, to: newest })}>Show the newest that is kept, of {moment(newest)}</button>}
        {!saved && !isLive.value && <button onClick={() => goLive()}>Show the newest time</button>}
      </span>
    </Empty>
  );
}

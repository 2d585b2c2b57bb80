// Beside a graph: which processes use most of it, or lose most by it, in the chosen time.
import type { Process } from '../api/types';
import { share } from '../format';
import { groupLink, groupName, heaviest, placeWords } from '../groups';
import { Meter } from './meter';

interface Props {
  /** `Uses most`, `Waits most for it`. */
  readonly title: string;
  readonly processes: readonly Process[];
  readonly of: (process: Process) => number;
  readonly format: (value: number) => string;
  /** What is said when no process has any of it. */
  readonly none: string;
  readonly most?: number;
}

export function Cost({ title, processes, of, format, none, most = 3 }: Props) {
  const { groups, total } = heaviest(processes, of, most);
  return (
    <section class="cost">
      <h3>{title}</h3>
      {groups.length === 0 ? <p class="dim">{none}</p> : (
        <ol>
          {groups.map((group) => (
            <li key={`${group.comm}\n${group.cgroup}`} title={placeWords(group.processes[0]!.labels, 80)}>
              <a class="cut" href={groupLink(group)}>{groupName(group)}</a>
              <span class="num">{format(group.value)}</span>
              <Meter of={group.value / total} title={`${share(group.value / total)} of all processes`} />
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

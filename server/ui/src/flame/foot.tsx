// Below a graph: what one can do with the chosen node, what colours mean, and the same as files.
import { useMemo } from 'preact/hooks';
import { share } from '../format';
import { Swatch } from '../parts/swatch';
import { theme } from '../theme';
import { inks } from './colours';
import { Details } from './details';
import { clean } from './names';
import type { Opened } from './opened';
import type { Colouring, Paint } from './paint';

interface Props {
  readonly opened: Opened; readonly node: number; readonly copied: string;
  readonly onZoom: () => void; readonly onCopy: () => void; readonly onFunction: () => void; readonly onFind: () => void;
}
export function Actions({ opened, node, copied, onZoom, onCopy, onFunction, onFind }: Props) {
  if (node < 0) return <p class="flame-chosen dim small">Click a function to zoom to it, one of its callers to go back. With Ctrl the wheel zooms; the arrow keys move, / finds.</p>;
  return (
    <div class="flame-chosen">
      <div class="flame-details"><Details drawn={opened} node={node} /></div>
      <div class="row">
        <button onClick={onZoom}>Zoom</button>
        {node > 0 && <button onClick={onFunction} title="s">Callers and callees</button>}
        <button onClick={onFind}>Find</button>
        <button onClick={onCopy} title="c">Copy stack</button>
        <span class="dim" role="status">{copied}</span>
      </div>
    </div>
  );
}

export function LegendRow({ paint, total, colouring }: { paint: Paint; total: number; colouring: Colouring }) {
  const shade = theme.value;
  const colours = useMemo(() => inks(paint.colours), [paint, shade]);
  return (
    <ul class="legend flame-legend" aria-label="What colours mean; shares are of the functions themselves">
      {paint.legend.map(({ label, colour, own }) => (
        <li key={label}><Swatch fill={colours[colour]!.fill} />{clean(label)}{colouring !== 'difference' && own > 0 && total > 0 && ` ${share(own / total)}`}</li>
      ))}
    </ul>
  );
}

export function Downloads({ of }: { of: (format: string) => string }) {
  return (
    <p class="small dim">Download as{' '}
      <a href={of('svg')} download="flamegraph.svg">SVG</a>, <a href={of('pprof')} download="profile.pb.gz">pprof</a>, <a href={of('folded')} download="stacks.folded">folded stacks</a>
    </p>
  );
}

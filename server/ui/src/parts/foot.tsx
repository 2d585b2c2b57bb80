// What the page covers and what the agent costs, on every view in one line.
import { useAnswer } from '../api/load';
import { part } from '../api/http';
import type { HostActivity } from '../api/types';
import { bytes, count, share } from '../format';
import { link } from '../route';
import { asked, host } from '../time';

export function Foot() {
  const { data } = useAnswer<HostActivity>(host.value ? `hosts/${part(host.value)}` : null, asked(), { live: 5_000 });
  const rows = data?.measurements ?? {};
  const covered = rows.s7mpa_coverage?.[0]?.values;
  const lost = (rows.s7mpa_lost ?? []).reduce((sum, row) => sum + (row.values.lost ?? 0), 0);
  const self = rows.s7mpa_self?.[0]?.values;
  return (
    <footer class="foot">
      {!data ? 'Coverage is not known yet.' : (
        <>
          {covered && covered.expected ? `${share(covered.captured! / covered.expected)} of ${count(covered.expected)} samples` : 'No samples'}
          {' · '}<span class={lost ? 'warn' : ''}>{lost ? `${count(lost)} lost` : 'nothing lost'}</span>
          {self && ` · the agent itself: ${share(self.cpu_pct! / 100)} of a CPU, ${bytes(self.rss_bytes)}`}
        </>
      )}
      {' · '}<a href={link('about')}>what is covered</a>
    </footer>
  );
}

// Rule files that the server evaluates, as Prometheus's API tells them.
import { useAnswer } from '../api/load';
import { count, length, moment, name, ns } from '../format';
import { Empty, Shown } from '../parts/notes';
import { link, params, set } from '../route';

interface Rule { readonly name: string; readonly query: string; readonly type: string; readonly health: string; readonly state?: string; readonly duration?: number; readonly lastError?: string; readonly evaluationTime: number; readonly lastEvaluation: string; readonly alerts?: readonly unknown[] }
interface Answered { readonly data: { readonly groups: readonly { readonly name: string; readonly file: string; readonly interval: number; readonly evaluationTime: number; readonly lastEvaluation: string; readonly rules: readonly Rule[] }[] } }

export function Rules() {
  const answer = useAnswer<Answered>('api/v1/rules', {}, { live: 10_000 });
  const wanted = (params.value.q ?? '').toLowerCase();
  return (
    <Shown answer={answer} what="Rules">
      {({ data: { groups } }) => (groups.length === 0 ? <Empty>There are no rule files. Rules of your own (Prometheus’s format) are named in the configuration under <code>rules</code>; the built-in ones need none.</Empty> : (
        <>
          <label>Filter <input type="search" value={params.value.q ?? ''} onInput={(event) => set({ q: event.currentTarget.value })} /></label>
          {groups.map((group) => {
            const rules = group.rules.filter((rule) => `${rule.name} ${rule.query} ${group.name}`.toLowerCase().includes(wanted));
            return rules.length > 0 && (
              <section class="card" key={`${group.file} ${group.name}`}>
                <header class="row"><h2 class="grow">{name(group.name, 100)}</h2><span class="dim">{name(group.file, 120)} · each {length(group.interval * 1_000)} · last took {ns(group.evaluationTime * 1e9)}</span></header>
                <div class="table" tabIndex={0} role="region" aria-label={`Rules of ${name(group.name, 100)}`}>
                  <table>
                    <thead><tr><th>Rule</th><th>State</th><th>Query</th><th class="num wide">Evaluated</th></tr></thead>
                    <tbody>{rules.map((rule) => <RuleRow key={`${rule.name} ${rule.query}`} rule={rule} />)}</tbody>
                  </table>
                </div>
              </section>
            );
          })}
        </>
      ))}
    </Shown>
  );
}

function RuleRow({ rule }: { rule: Rule }) {
  const at = Date.parse(rule.lastEvaluation);
  const failed = rule.health === 'err';
  return (
    <tr>
      <td>{name(rule.name, 100)} <span class="dim">{rule.type === 'alerting' ? 'alert' : 'recorded'}{rule.duration ? `, after ${length(rule.duration * 1_000)}` : ''}</span></td>
      <td>
        {failed ? <span class="badge bad">failed</span> : rule.state === 'firing' ? <span class="badge bad">fires ({count(rule.alerts?.length ?? 0)})</span> : rule.state === 'pending' ? <span class="badge warn">pending</span> : <span class="badge">{rule.health === 'unknown' ? 'not evaluated yet' : 'in order'}</span>}
        {rule.lastError && <div class="bad">{name(rule.lastError, 300)}</div>}
      </td>
      <td><a class="mono" href={link('explore', { q1: rule.query })}>{name(rule.query, 300)}</a></td>
      <td class="num wide">{at > 0 ? moment(at) : '–'}</td>
    </tr>
  );
}

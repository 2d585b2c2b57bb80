// The field for a PromQL query: its colours, and what may come next, as far as the page knows the language.
import { useEffect, useMemo } from 'preact/hooks';
import { name } from '../format';
import { QueryField, type Option } from '../parts/query-field';
import { catalogue, loadPromql, promql } from './explore-catalogue';
import { contextAt, inserted, type Completion } from './promql-complete';

interface Props {
  /** Unique on the page. */
  readonly id: string;
  readonly label: string;
  readonly text: string;
  readonly onText: (text: string) => void;
  readonly onRun: () => void;
}
const KIND_WORDS: Readonly<Record<Completion['kind'], string>> = { function: 'function', metric: 'metric', label: 'label', value: 'value', keyword: 'word', duration: 'length of time' };
const optionOf = (each: Completion): Option & Completion => ({ ...each, key: `${each.kind} ${each.text}`, class: `q-${each.kind}`, help: each.help || KIND_WORDS[each.kind] });

export function Editor({ text, ...field }: Props) {
  useEffect(loadPromql, []);
  const known = promql.value;
  const analysis = useMemo(() => known?.analyse(text) ?? null, [known, text]);
  const offer = (at: number) => {
    const context = known && contextAt(text, at);
    const found = context ? known.complete(text, at, catalogue(context.wanted)) : null;
    return found && { from: found.from, options: found.options.map(optionOf) };
  };
  return (
    <QueryField {...field} text={text} placeholder="A metric, or a question such as: topk(5, sum by (comm) (rate(s7mpa_process_user_ns_total[1m])))" multiline
      say="Enter runs it, Shift and Enter make a new line, Control and space show what may come next."
      coloured={analysis ? coloured(text, analysis.marks) : text} offer={offer} take={(option, from, at) => ({ ...inserted(text, { from, to: at }, option), open: false })}>
      {analysis && analysis.error !== null && text.trim() !== '' && <p class="query-error">{analysis.error >= text.trimEnd().length ? 'Something is missing at the end.' : `It cannot be read from here on: ${name(text.slice(analysis.error, analysis.error + 24))}`}</p>}
    </QueryField>
  );
}

function coloured(text: string, marks: readonly { from: number; to: number; kind: string }[]) {
  const parts: preact.ComponentChildren[] = [];
  let done = 0;
  const error = marks.find((mark) => mark.kind === 'error');
  for (const { from, to, kind } of marks) {
    if (from < done || kind === 'error') continue;
    if (from > done) parts.push(text.slice(done, from));
    parts.push(<span key={from} class={`q-${kind} ${error && from < error.to && to > error.from ? 'q-error' : ''}`}>{text.slice(from, to)}</span>);
    done = to;
  }
  parts.push(text.slice(done));
  return parts;
}

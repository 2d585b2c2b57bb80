// PromQL for the editor of Explore: colours, where the grammar breaks, what may come next. Loaded when Explore is opened.
import { parser } from '@prometheus-io/lezer-promql';

export { complete, type Catalogue, type Completion, type Completions, type Wanted } from './promql-complete';

type MarkKind = 'function' | 'keyword' | 'metric' | 'label' | 'string' | 'number' | 'comment' | 'operator' | 'error';
/** `from`, `to`: places in the text. */
export interface Mark { readonly from: number; readonly to: number; readonly kind: MarkKind }
/** `error`: where the grammar breaks, unless a function that only the server knows may be the reason. */
interface Analysis { readonly marks: readonly Mark[]; readonly error: number | null }

const KINDS: Readonly<Record<string, MarkKind>> = {
  AggregateOp: 'function', FunctionIdentifier: 'function', StringLiteral: 'string', NumberDurationLiteral: 'number', NumberDurationLiteralInDurationContext: 'number',
  LineComment: 'comment', LabelName: 'label', QuotedLabelName: 'label', Identifier: 'metric', MatchOp: 'operator',
  ...Object.fromEntries(['By', 'Without', 'On', 'Ignoring', 'GroupLeft', 'GroupRight', 'Offset', 'Bool', 'And', 'Or', 'Unless', 'Atan2', 'At', 'AtStart', 'AtEnd'].map((each) => [each, 'keyword' as const])),
  ...Object.fromEntries(['Pow', 'Mul', 'Div', 'Mod', 'Add', 'Sub', 'Eql', 'Gte', 'Gtr', 'Lte', 'Lss', 'Neq'].map((each) => [each, 'operator' as const])),
};
/** The server replaces these before the grammar sees them; here by names of the same length, so that places stay. */
const ALIASES: Readonly<Record<string, string>> = { mean: 'max ', median: 'stddev', mean_over_time: 'last_over_time', median_over_time: 'stddev_over_time' };
const CALL = /\b([A-Za-z_]\w*)(?=\s*(?:\(|by\b|without\b))/gi;

export function analyse(text: string): Analysis {
  const known = text.replace(CALL, (word) => ALIASES[word] ?? word);
  const marks: Mark[] = [];
  const own: Mark[] = [];
  let error: number | null = null;
  parser.parse(known).iterate({
    enter: ({ name, from, to, type }) => {
      if (type.isError) {
        error ??= from;
        return;
      }
      const kind = KINDS[name];
      if (!kind || to === from) return;
      marks.push({ from, to, kind });
    },
  });
  if (error !== null) {
    // A function of the user's own is none to the grammar: the server says whether it is one.
    for (const { from, to } of marks.filter((each) => each.kind === 'metric')) if (/^\s*\(/.test(text.slice(to))) own.push({ from, to, kind: 'function' });
    if (own.length) error = null;
    else if (text.trim() === '') error = null;
    else marks.push({ from: Math.min(error, Math.max(0, text.length - 1)), to: Math.min(text.length, error + 1), kind: 'error' });
  }
  const all = marks.map((mark) => own.find((each) => each.from === mark.from) ?? mark);
  return { marks: all.sort((a, b) => a.from - b.from || b.to - a.to), error };
}

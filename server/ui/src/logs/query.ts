// The query language of log lines, as far as the page has to know it: colours, completion, queries with a term that a click adds or excludes, and
// the same question as a command. `term.ts` writes terms. `logs/src/query.rs` describes the language; the server alone says what is wrong with a query.
import type { Severity } from './types';

export type Kind = 'keyword' | 'label' | 'operator' | 'value' | 'text' | 'regex';
export interface Token { readonly from: number; readonly to: number; readonly kind: Kind; /** It stands for what is not to match. */ readonly not: boolean; readonly depth: number }

const COMPARE = /^([\p{L}\p{N}_.@-]+)(!=|!~|>=|=|~|<)/u;
const KEYWORD = /^(AND|OR|NOT)(?=[\s()]|$)/;
const MINUS = /^-(?=[\p{L}\p{N}_"(~=])/u;

/** Where a quote ends, or the text. */
function quoteEnd(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end++) {
    if (text[end] === '\\') end++;
    else if (text[end] === '"') return end + 1;
  }
  return text.length;
}
/** Where a value ends: at white space, or at a `)` that it does not open itself. */
function valueEnd(text: string, at: number): number {
  if (text[at] === '"') return quoteEnd(text, at);
  let open = 0;
  let end = at;
  for (; end < text.length && !/\s/.test(text[end]!); end++) {
    if (text[end] === '\\') end++;
    else if (text[end] === '(') open++;
    else if (text[end] === ')' && open-- === 0) break;
  }
  return Math.min(end, text.length);
}

/** The parts of a query, in order. White space is none; a text that is half written has parts too. */
export function tokens(text: string): Token[] {
  const found: Token[] = [];
  /** `not` of each group that is open. */
  const groups: boolean[] = [];
  let at = 0;
  let not = false;
  // What is excluded from what is excluded matches.
  const inside = () => groups.filter(Boolean).length % 2 === 1;
  const put = (to: number, kind: Kind, negated = not !== inside()) => {
    if (to > at) found.push({ from: at, to, kind, not: negated, depth: groups.length });
    at = to;
  };
  while (at < text.length) {
    const rest = text.slice(at);
    const space = /^\s+/.exec(rest);
    const keyword = KEYWORD.exec(rest);
    const compare = COMPARE.exec(rest);
    if (space) at += space[0].length;
    else if (keyword) {
      if (keyword[1] === 'NOT') not = !not;
      put(at + keyword[0].length, 'keyword');
    } else if (MINUS.test(rest)) {
      not = !not;
      put(at + 1, 'operator');
    } else if (rest[0] === '(') {
      put(at + 1, 'operator');
      groups.push(not);
      not = false;
    } else if (rest[0] === ')') {
      groups.pop();
      put(at + 1, 'operator');
      not = false;
    } else {
      const negated = not !== inside();
      if (rest[0] === '~') put(valueEnd(text, at + 1), 'regex', negated);
      else if (rest[0] === '"') put(quoteEnd(text, at), 'text', negated);
      else if (rest[0] === '=' && rest[1] === '"') put(quoteEnd(text, at + 1), 'text', negated);
      else if (compare) {
        put(at + compare[1]!.length, 'label', negated);
        put(at + compare[2]!.length, 'operator', negated);
        put(valueEnd(text, at), compare[2]!.endsWith('~') ? 'regex' : 'value', negated);
      } else {
        const end = /[\s()"]/.exec(rest.slice(1));
        put(end ? at + 1 + end.index : text.length, 'text', negated);
      }
      not = false;
    }
  }
  return found;
}

/** What is typed at a place: a name or word, or the value of a name. `from`…`at` is what a completion replaces. */
export type Typed = { readonly kind: 'name'; readonly from: number; readonly typed: string } | { readonly kind: 'value'; readonly name: string; readonly from: number; readonly typed: string };
export function typedAt(text: string, at: number): Typed | null {
  const before = text.slice(0, at);
  const all = tokens(before);
  const last = all.at(-1);
  if (!last || last.to < at) return { kind: 'name', from: at, typed: '' };
  const valued = (name: Token, from: number): Typed => ({ kind: 'value', name: before.slice(name.from, name.to), from, typed: before.slice(from).replace(/^"/, '') });
  const [second, third] = [all.at(-2), all.at(-3)];
  if (last.kind === 'value' && third && second?.kind === 'operator') return valued(third, last.from);
  if (last.kind === 'operator' && /=$/.test(before) && second?.kind === 'label') return valued(second, at);
  if (last.kind === 'operator' && /[(-]$/.test(before)) return { kind: 'name', from: at, typed: '' };
  // A name before `>=` or `~` has no values to choose from.
  return (last.kind === 'text' || last.kind === 'keyword') && before[last.from] !== '"' ? { kind: 'name', from: last.from, typed: before.slice(last.from) } : null;
}

/** The query with this term, and without its opposite. */
export function added(query: string, term: string, not = false): string {
  const all = tokens(query);
  const opposite = not ? term : `-${term}`;
  const wanted = not ? `-${term}` : term;
  let text = query.trim();
  const apart = (each: string) => {
    // As a whole, not as a part of another term.
    for (let at = text.indexOf(each); at >= 0; at = text.indexOf(each, at + 1)) {
      if ((at === 0 || /\s/.test(text[at - 1]!)) && (at + each.length === text.length || /\s/.test(text[at + each.length]!))) return at;
    }
    return -1;
  };
  if (apart(wanted) >= 0) return text;
  const at = apart(opposite);
  if (at >= 0 && !all.some((each) => each.kind === 'keyword')) text = `${text.slice(0, at)}${text.slice(at + opposite.length)}`.replace(/\s+/g, (space) => space[0]!).trim();
  const alternatives = all.some((each) => each.kind === 'keyword' && each.depth === 0 && query.slice(each.from, each.to) === 'OR');
  return `${alternatives ? `(${text})` : text} ${wanted}`.trim();
}

/** The query and the least severity as one. `shift`: bytes before the query's own text. */
export function combined(query: string, least: string): { readonly text: string; readonly shift: number } {
  const text = query.trim();
  if (!least) return { text, shift: 0 };
  return text ? { text: `(${text}) severity>=${least}`, shift: 1 } : { text: `severity>=${least}`, shift: 0 };
}

/** Where and what a refusal says is wrong: `query, at byte 7: …`. `at`: place in the text, as characters of a string. */
export function mistake(detail: string, query: string, shift: number): { readonly at: number; readonly what: string } | null {
  const found = /^query, at byte (\d+): (.*)$/s.exec(detail);
  if (!found) return null;
  const bytes = new TextEncoder().encode(query.trim());
  const at = new TextDecoder().decode(bytes.slice(0, Math.max(0, Number(found[1]) - shift))).length;
  return { at: Math.min(at, query.trim().length), what: found[2]! };
}

/** Words and phrases that matching lines have, as a regular expression for marking them; null: there are none. */
export function marked(query: string): RegExp | null {
  const words = tokens(query).flatMap(({ from, to, kind, not }) => {
    if (kind !== 'text' || not) return [];
    const text = query.slice(from, to).replace(/^=/, '').replace(/^"|"$/g, '').replaceAll('\\"', '"').replace(/\*$/, '');
    return text.length > 1 ? [text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')] : [];
  });
  return words.length > 0 ? new RegExp(words.slice(0, 16).sort((a, b) => b.length - a.length).join('|'), 'giu') : null;
}

/** One word of a shell. */
const shell = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
/** The same question as a command. `from`, `to`: Unix ms; without `to` it follows. */
export function command({ query, least, host, from, to }: { query: string; least: string; host: string; from: number; to?: number | undefined }): string {
  const parts = ['sudo agent logs'];
  const text = query.trim();
  // A query that begins with `-` is no option.
  if (text) parts.push(shell(text.startsWith('-') ? `(${text})` : text));
  if (host) parts.push('--host', shell(host));
  if (least) parts.push('--severity', least as Severity);
  parts.push('--since', new Date(from).toISOString());
  parts.push(...(to === undefined ? ['--follow'] : ['--until', new Date(to).toISOString()]));
  return parts.join(' ');
}

// Messages are anybody's text: what steers a terminal, turns text around or cannot be seen is shown as a mark.

/** `kind` of a piece: text as it is, a mark in place of what cannot be seen, or what was searched for. */
export interface Piece { readonly kind: 'text' | 'mark' | 'found'; readonly text: string; /** What a mark stands for. */ readonly what?: string }

/** More marks than these are written as `�`: each is an element of the page. */
const MOST_MARKS = 1_000;
// A sequence of a terminal, or one character.
const HIDDEN = /\u001b\[[0-9;:?]{0,32}[ -/]?[@-~]|[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;
const C0 = 'NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US'.split(' ');
const NAMES: Readonly<Record<number, string>> = {
  ...C0, 127: 'DEL', 0xad: 'SHY', 0x200b: 'ZWSP', 0x200c: 'ZWNJ', 0x200d: 'ZWJ', 0x200e: 'LRM', 0x200f: 'RLM', 0x202a: 'LRE', 0x202b: 'RLE', 0x202c: 'PDF', 0x202d: 'LRO', 0x202e: 'RLO',
  0x2028: 'LS', 0x2029: 'PS', 0x2066: 'LRI', 0x2067: 'RLI', 0x2068: 'FSI', 0x2069: 'PDI', 0xfeff: 'BOM',
};
const code = (at: number) => `U+${at.toString(16).toUpperCase().padStart(4, '0')}`;

function mark(hidden: string): Piece {
  const at = hidden.codePointAt(0)!;
  if (hidden.length > 2) return { kind: 'mark', text: `ESC${hidden.slice(1)}`, what: 'steers a terminal' };
  return { kind: 'mark', text: NAMES[at] ?? code(at), what: code(at) };
}

/** The text in pieces, each of which may be a text node. `found`: what is to stand out. */
export function pieces(text: string, found: RegExp | null = null): Piece[] {
  const all: Piece[] = [];
  const plain = (part: string) => {
    let done = 0;
    if (found) {
      for (const { 0: hit, index } of part.matchAll(found)) {
        if (!hit) break;
        if (index > done) all.push({ kind: 'text', text: part.slice(done, index) });
        all.push({ kind: 'found', text: hit });
        done = index + hit.length;
      }
    }
    if (done < part.length) all.push({ kind: 'text', text: part.slice(done) });
  };
  let done = 0;
  let marks = 0;
  for (const { 0: hidden, index } of text.matchAll(HIDDEN)) {
    if (++marks > MOST_MARKS) break;
    if (index > done) plain(text.slice(done, index));
    all.push(mark(hidden));
    done = index + hidden.length;
  }
  if (done < text.length) plain(marks > MOST_MARKS ? text.slice(done).replace(HIDDEN, '\ufffd') : text.slice(done));
  return all;
}

/** Without any marks: for titles and labels. */
export const clean = (text: string) => text.replace(HIDDEN, '\ufffd');

/** A row has so much of a message, and of the fields beside it. */
const MOST_ROW = 500;
const MOST_FIELDS = 8;
const MOST_FIELD = 60;
const STAMP = /^\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)\]?:?\s+/;
const LEVEL = /^[[(<]?(emerg|emergency|alert|crit|critical|fatal|error|err|warning|warn|notice|info|debug|trace)[\])>]?:?\s+/i;

/** Without the time and the severity that stand at the beginning: a row has both already. */
function bare(text: string, ms: number): string {
  const stamp = STAMP.exec(text)?.[1];
  if (!stamp) return text;
  const at = Date.parse(`${stamp.replace(' ', 'T').replace(',', '.')}${/(Z|[+-]\d\d:?\d\d)$/.test(stamp) ? '' : 'Z'}`);
  // A time that is not the line's own says something.
  if (Math.abs(at - ms) > 1_000) return text;
  return text.replace(STAMP, '').replace(LEVEL, '') || text;
}

/** What a row has of a message, how many lines more there are, and whether that is all of the message. `ms`: the line's time. */
export function head(message: string, ms = NaN): { readonly text: string; readonly lines: number; readonly whole: boolean } {
  const end = message.indexOf('\n');
  const first = (end < 0 ? message : message.slice(0, end)).slice(0, 2 * MOST_ROW);
  let text = bare(first, ms);
  let lines = 0;
  if (end >= 0) for (let at = end; at >= 0; at = message.indexOf('\n', at + 1)) lines++;
  // What happened is in a Python trace's last line.
  if (end >= 0 && text.startsWith('Traceback (most recent call last)')) {
    const last = message.trimEnd().split('\n').findLast((line) => /^\S/.test(line));
    if (last && last !== text) text = `${last}  · traceback`;
  }
  const cut = text.length > MOST_ROW;
  // Not within a character.
  return { text: cut ? `${text.slice(0, MOST_ROW).replace(/[\ud800-\udbff]$/, '')}…` : text, lines, whole: text === message };
}

/** Fields whose value a row has already. */
const SAID = /^(level|lvl|severity|loglevel|log\.level|time|ts|timestamp|@timestamp|msg|message)$/i;

/** Fields that the message does not have already, for the rest of a row. */
export const rest = (message: string, fields: readonly (readonly [string, string])[] = []): string => fields
  .filter(([name, value]) => value !== '' && !SAID.test(name) && !message.includes(value)).slice(0, MOST_FIELDS)
  .map(([name, value]) => `${name}=${value.length > MOST_FIELD ? `${value.slice(0, MOST_FIELD)}…` : value}`).join('  ');

// Terms of the query language of log lines: what links, clicks and completion write. For the page and for what is loaded later.

/** Names that stand for a label of a line's stream; all others are fields. */
export const LABELS: readonly string[] = ['host', 'source', 'file', 'unit', 'container', 'pod', 'namespace', 'comm', 'stream'];
/** Names that are neither. */
const OWN: readonly string[] = ['severity', 'pid', 'time'];
/** A longer value is not put into a query by a click. */
const MOST_VALUE = 300;

/** A value as a query has it. */
export const written = (value: string) => (value === '' || value === '*' || /[\s"()\\]/.test(value) || /^[~=-]/.test(value) ? `"${value.replaceAll('"', '\\"')}"` : value);

/** The term for a label or field; null: the language cannot say it, such as a backslash before a quote or at the end. */
export function termOf(kind: 'label' | 'field' | 'pid', name: string, value: string): string | null {
  if (value.length > MOST_VALUE || /[\u0000-\u001f\u007f]|\\(?:"|$)/.test(value) || !/^[\p{L}\p{N}_.@-]+$/u.test(name)) return null;
  if (kind === 'pid') return `pid=${value}`;
  const known = LABELS.includes(name);
  if (kind === 'label') return `${known ? '' : 'label.'}${name}=${written(value)}`;
  return `${known || OWN.includes(name) || /^(label|field)\./.test(name) ? 'field.' : ''}${name}=${written(value)}`;
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clean, head, pieces, rest } from './text';

const shown = (text: string, found: RegExp | null = null) => pieces(text, found).map(({ kind, text: each }) => (kind === 'text' ? each : `[${kind === 'found' ? '*' : ''}${each}]`)).join('');

test('what steers a terminal, or turns text around, is a mark', () => {
  assert.equal(shown('\u001b[31mred\u001b[0m'), '[ESC[31m]red[ESC[0m]');
  assert.equal(shown('a\u202egnp.exe'), 'a[RLO]gnp.exe');
  assert.equal(shown('a\u0000b\u0007c\u007f'), 'a[NUL]b[BEL]c[DEL]');
  assert.equal(shown('zero\u200bwidth\ufeff'), 'zero[ZWSP]width[BOM]');
  assert.equal(shown('tag\u{e0041}'), 'tag[U+E0041]');
  assert.ok(pieces('\u202a\u202b\u2066\u2069\u061c').every(({ kind }) => kind === 'mark'));
});

test('lines, tabs and letters of all scripts stay as they are', () => {
  for (const text of ['a\tb\nc', 'größe 名前 пример', '<img src=x onerror=1>', '👍 é']) assert.deepEqual(pieces(text), [{ kind: 'text', text }]);
  assert.deepEqual(pieces(''), []);
});

test('a text of nothing but marks makes no million elements', () => {
  const all = pieces('\u0001'.repeat(1_000_000));
  assert.ok(all.length <= 1_001, `${all.length}`);
  assert.ok(!clean('\u202e\u0001').match(/[\u0001\u202e]/));
});

test('what was searched for stands out', () => {
  assert.equal(shown('Connection refused by peer', /refused/giu), 'Connection [*refused] by peer');
  assert.equal(shown('a\u0007refused', /refused/giu), 'a[BEL][*refused]');
});

test('a row has the first line, without the time and severity that it has already', () => {
  const ms = Date.parse('2026-11-30T20:04:20.543Z');
  assert.deepEqual(head('2026-11-30T20:04:20.543Z INFO ready', ms), { text: 'ready', lines: 0, whole: false });
  assert.deepEqual(head('2026-11-30 20:04:20,543 [ERROR] no', ms), { text: 'no', lines: 0, whole: false });
  assert.deepEqual(head('ready', ms), { text: 'ready', lines: 0, whole: true });
  // Another time says something.
  assert.equal(head('2026-11-30T18:04:20Z is when it began', ms).text, '2026-11-30T18:04:20Z is when it began');
  assert.deepEqual(head('one\ntwo\nthree', ms), { text: 'one', lines: 2, whole: false });
  assert.equal(head('x'.repeat(1_000_000), ms).text.length, 501);
});

test('of a Python trace the row has what happened', () => {
  const trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\nValueError: no such order: 7\n';
  assert.equal(head(trace).text, 'ValueError: no such order: 7  · traceback');
});

test('fields that the message has already are left out of the row', () => {
  assert.equal(rest('took 12 ms', [['level', 'info'], ['took', '12'], ['path', '/a'], ['empty', ''], ['long', 'y'.repeat(80)]]), `path=/a  long=${'y'.repeat(60)}…`);
});

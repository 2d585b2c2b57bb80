import assert from 'node:assert/strict';
import { test } from 'node:test';
import { added, combined, command, marked, mistake, tokens, typedAt } from './query';
import { termOf, written } from './term';

const parts = (text: string) => tokens(text).map(({ from, to, kind, not }) => `${not ? '!' : ''}${kind} ${text.slice(from, to)}`);

test('a query has words, names with values, and what is excluded', () => {
  assert.deepEqual(parts('timeout -"a b" unit=nginx.service path~^/a(b|c)$'), [
    'text timeout', '!operator -', '!text "a b"', 'label unit', 'operator =', 'value nginx.service', 'label path', 'operator ~', 'regex ^/a(b|c)$',
  ]);
  assert.deepEqual(parts('severity>=warning AND NOT (a OR -b)'), ['label severity', 'operator >=', 'value warning', 'keyword AND', '!keyword NOT', '!operator (', '!text a', '!keyword OR', 'operator -', 'text b', 'operator )']);
});

test('what is excluded from what is excluded matches', () => {
  assert.deepEqual(parts('-(a -(b -(c))) d'), [
    '!operator -', '!operator (', '!text a', 'operator -', 'operator (', 'text b', '!operator -', '!operator (', '!text c', 'operator )', '!operator )', 'operator )', 'text d',
  ]);
  assert.deepEqual('aa bb cc dd'.match(marked('-(aa -(bb)) dd')!), ['bb', 'dd']);
});

test('half a query has parts too', () => {
  for (const text of ['"', '=', '~', 'a=', 'a="', '((((', '))', '-', 'unit!', '\\', 'a=b)c', '"\\']) assert.ok(tokens(text).every(({ from, to }) => from < to && to <= text.length), text);
  assert.deepEqual(parts('a=b)c'), ['label a', 'operator =', 'value b', 'operator )', 'text c']);
});

test('what is typed is a name, or the value of a name', () => {
  assert.deepEqual(typedAt('un', 2), { kind: 'name', from: 0, typed: 'un' });
  assert.deepEqual(typedAt('unit=', 5), { kind: 'value', name: 'unit', from: 5, typed: '' });
  assert.deepEqual(typedAt('a unit=', 7), { kind: 'value', name: 'unit', from: 7, typed: '' });
  assert.deepEqual(typedAt('a unit=ng', 9), { kind: 'value', name: 'unit', from: 7, typed: 'ng' });
  assert.deepEqual(typedAt('unit="a b', 9), { kind: 'value', name: 'unit', from: 5, typed: 'a b' });
  assert.deepEqual(typedAt('severity>=w', 11), { kind: 'value', name: 'severity', from: 10, typed: 'w' });
  assert.deepEqual(typedAt('-un', 3), { kind: 'name', from: 1, typed: 'un' });
  assert.equal(typedAt('"a b', 4), null);
  assert.equal(typedAt('path~^/a', 8), null);
});

test('values with white space, quotes and brackets are quoted', () => {
  assert.equal(written('nginx.service'), 'nginx.service');
  assert.equal(written('a b'), '"a b"');
  assert.equal(written('say "x"'), '"say \\"x\\""');
  assert.equal(written('*'), '"*"');
  assert.equal(written(''), '""');
});

test('a field that is called as a label is asked for as a field', () => {
  assert.equal(termOf('label', 'unit', 'a.service'), 'unit=a.service');
  assert.equal(termOf('label', 'unit', 'dev-disk-by\\x2duuid.device'), 'unit="dev-disk-by\\x2duuid.device"');
  assert.equal(termOf('field', 'unit', 'a'), 'field.unit=a');
  assert.equal(termOf('field', 'severity', 'x'), 'field.severity=x');
  assert.equal(termOf('label', 'zone', 'b'), 'label.zone=b');
  for (const value of ['a\\', 'a\\"b']) assert.equal(termOf('field', 'x', value), null, 'the language cannot say it');
  assert.equal(termOf('pid', 'pid', '7'), 'pid=7');
  assert.equal(termOf('field', 'a b', 'x'), null);
  assert.equal(termOf('field', 'a', 'x\ny'), null);
  assert.equal(termOf('field', 'a', 'x'.repeat(2_000)), null);
});

test('a click adds a term once, and takes the place of its opposite', () => {
  assert.equal(added('', 'unit=a'), 'unit=a');
  assert.equal(added('error', 'unit=a'), 'error unit=a');
  assert.equal(added('error unit=a', 'unit=a'), 'error unit=a');
  assert.equal(added('unit=a error', 'unit=a', true), 'error -unit=a');
  assert.equal(added('unit=ab', 'unit=a', true), 'unit=ab -unit=a');
  assert.equal(added('a OR b', 'pid=7'), '(a OR b) pid=7');
  assert.equal(added('(a OR b) c', 'pid=7'), '(a OR b) c pid=7');
});

test('the least severity binds more loosely than the query', () => {
  assert.deepEqual(combined('a OR b', 'error'), { text: '(a OR b) severity>=error', shift: 1 });
  assert.deepEqual(combined('  ', 'error'), { text: 'severity>=error', shift: 0 });
  assert.deepEqual(combined('a OR b', ''), { text: 'a OR b', shift: 0 });
});

test('a mistake is shown where it is, also after text of more bytes', () => {
  assert.deepEqual(mistake('query, at byte 7: `(` is not closed', 'größe (', 0), { at: 5, what: '`(` is not closed' });
  assert.deepEqual(mistake('query, at byte 3: no', 'a (', 1), { at: 2, what: 'no' });
  assert.equal(mistake('too many questions', 'a', 0), null);
});

test('words are marked, what is excluded is not, and nothing of them is a pattern', () => {
  const found = marked('Time.out -debug "a(b" unit=x =Exact con*')!;
  assert.deepEqual('timeXout time.out debug a(b unit exact connect'.match(found), ['time.out', 'a(b', 'exact', 'con']);
  assert.equal(marked('unit=x -a'), null);
});

test('the command asks the same, whatever is in it', () => {
  assert.equal(command({ query: "it's OR x", least: 'error', host: 'vm', from: 0, to: 1_000 }),
    "sudo agent logs 'it'\\''s OR x' --host vm --severity error --since 1970-01-01T00:00:00.000Z --until 1970-01-01T00:00:01.000Z");
  assert.equal(command({ query: '-debug', least: '', host: '', from: 0 }), "sudo agent logs '(-debug)' --since 1970-01-01T00:00:00.000Z --follow");
  assert.equal(command({ query: '$(reboot)', least: '', host: '', from: 0 }), "sudo agent logs '$(reboot)' --since 1970-01-01T00:00:00.000Z --follow");
});

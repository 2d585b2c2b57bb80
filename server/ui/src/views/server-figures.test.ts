import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figure, labelOf, metricLines } from './server-figures';

test('a field is shown by what its name says of its unit', () => {
  assert.equal(figure('file_bytes', 2 ** 20), '1 MiB');
  assert.equal(figure('as_written_s', 86_400), '1 d');
  assert.equal(figure('step_s', 0), 'window, as it was written');
  assert.equal(figure('connected', false), 'no');
  assert.equal(figure('anything', null), '–');
  assert.equal(figure('deleted', { samples: 5 }), 'Values 5');
  assert.equal(labelOf('new_thing_bytes'), 'New thing');
});

test('lines of a metrics page have their help', () => {
  const text = '# HELP a_total What it is.\n# TYPE a_total counter\na_total{code="2xx"} 12\nb 3\nc 4\n';
  assert.deepEqual(metricLines(text, /^[ab]/), [{ name: 'a_total', labels: 'code="2xx"', help: 'What it is.', value: 12 }, { name: 'b', labels: '', help: '', value: 3 }]);
});

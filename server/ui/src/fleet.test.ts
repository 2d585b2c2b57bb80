import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Alert } from './api/types';
import { fleet, linePath } from './fleet';

const instant = (rows: [Record<string, string>, number][]) => ({ data: { result: rows.map(([metric, value]) => ({ metric, value: [0, String(value)] as [number, string] })) } });

test('a row has the figures of its host, and says what is not known', () => {
  const figures = instant([[{ host: 'a', what: 'lost' }, 5e8], [{ host: 'a', what: 'idle' }, 1e9], [{ host: 'a', what: 'cpus' }, 4], [{ host: 'a', what: 'loser', comm: 'x' }, 3e8], [{ host: 'b', what: 'disk' }, 1.2]]);
  const states = instant([[{ __name__: 's7mpa_host_time_fsync_ns', host: 'a' }, 7]]);
  const alerts = [{ host: 'a', state: 'update' }, { host: 'a', state: 'resolved' }] as Alert[];
  const hosts = ['a', 'b'].map((host) => ({ host, newest_at: null, age_s: null, silent: host === 'b' }));
  const [a, b] = fleet(hosts, figures, states, null, alerts);
  assert.equal(a!.busy, 0.75);
  assert.equal(a!.open, 1);
  assert.deepEqual(a!.loser, { comm: 'x', lost: 3e8 });
  assert.deepEqual(a!.states, { fsync_ns: 7 });
  assert.equal(b!.disk, 1);
  assert.equal(b!.lost, undefined);
  assert.equal(b!.silent, true);
});

test('a line starts at the left edge and has its largest value at the top', () => {
  assert.equal(linePath([[0, 0], [5, 10], [10, 5]], 0, 10, 10, 100, 20), 'M0.0 20.0L50.0 0.0L100.0 10.0');
  assert.equal(linePath([], 0, 10, 0, 100, 20), '');
});

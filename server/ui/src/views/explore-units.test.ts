import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commonLabels, seriesName, unitOf } from './explore-units';

test('the unit is in the name and in what is done with it', () => {
  const units: readonly [string, string][] = [
    ['s7mpa_memory_free_bytes', 'bytes'], ['rate(s7mpa_disk_read_bytes_total[1m])', 'bytes_s'], ['topk(5, sum by (comm) (rate(s7mpa_process_user_ns_total{x="a_bytes"}[30s])))', 'ns_s'],
    ['s7mpa_self_cpu_pct', 'pct'], ['node_boot_time_seconds', 's'], ['rate(node_cpu_seconds_total[1m])', 'ratio'], ['rate(s7mpa_host_forks_total[1m])', 'per_s'], ['s7mpa_host_load1', 'none'],
    ['rate(s7mpa_cpu_idle_ns_total[1m]) / rate(s7mpa_cpu_user_ns_total[1m])', 'ratio'], ['count(s7mpa_memory_free_bytes)', 'none'], ['s7mpa_memory_free_bytes * 2', 'none'],
    ['a_bytes + b_ns', 'none'], ['s7mpa_syscall_p99_ns / 1e9', 's'], ['1 + 1', 'none'],
  ];
  for (const [query, unit] of units) assert.equal(unitOf(query), unit, query);
});

test('a series is called by what tells it from the others', () => {
  const all = [{ __name__: 'm', host: 'vm', comm: 'a' }, { __name__: 'm', host: 'vm', comm: 'b' }];
  const common = commonLabels(all);
  assert.deepEqual(all.map((each) => seriesName(each, common)), ['a', 'b']);
  assert.equal(seriesName({ __name__: 'm', host: 'vm' }, commonLabels([{ __name__: 'm', host: 'vm' }])), 'm');
  assert.equal(seriesName({}, commonLabels([{}])), 'value');
  assert.equal(seriesName({ __name__: 'm', a: '1', b: '2' }, new Set(['__name__'])), 'a=1, b=2');
});

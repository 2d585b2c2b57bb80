import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytes, count, name, ns, nsPerS, share } from './format';

test('numbers have the unit that fits, and no more digits than are of use', () => {
  assert.equal(ns(0), '0 ns');
  assert.equal(ns(1_500_000), '1.5 ms');
  assert.equal(ns(90e9), '1.5 min');
  assert.equal(nsPerS(6_550_860_000), '6.55 s/s');
  assert.equal(bytes(1536), '1.5 KiB');
  assert.equal(count(12_345), '12.3k');
  assert.equal(count(0.256), '0.26');
  assert.equal(share(0.123), '12 %');
  assert.equal(share(0.00001), '<0.01 %');
  assert.equal(ns(undefined), '–');
});

test('a name cannot turn the text around it, nor fill the page', () => {
  assert.equal(name('a\u202eb\u0007'), 'a\ufffdb\ufffd');
  assert.equal(name('x'.repeat(28_000)).length, 200);
});
